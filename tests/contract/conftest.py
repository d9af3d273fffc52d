"""What the contract tests of files share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.database import Database
from tests.contract.acme import Acme
from tests.contract.shelf import Shelf


@pytest.fixture
def shelf(database: Database, tmp_path: Path) -> Iterator[Shelf]:
    """A blob store, and the release `app@1.0.0` of the projects `web` and `api` to put files into."""
    acme = Acme(database, "web", "api", "cli")
    acme.release("app@1.0.0", "web", "api")
    shelf = Shelf(acme, tmp_path / "blobs")
    yield shelf
    shelf.blobs.close()
