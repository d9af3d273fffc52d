"""What the tests of collection and checking share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.database import Database
from tests.collection.warehouse import Warehouse


@pytest.fixture
def warehouse(database: Database, tmp_path: Path) -> Iterator[Warehouse]:
    """An empty blob store beside a fresh database, once on each engine."""
    made = Warehouse(database, tmp_path / "blobs")
    yield made
    made.packs.close()
