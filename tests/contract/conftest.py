"""What the contract tests of files share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.commits import busy
from store.database import Database
from tests.contract.acme import Acme
from tests.contract.chunks import Sender
from tests.contract.shelf import Shelf


@pytest.fixture
def shelf(database: Database, tmp_path: Path) -> Iterator[Shelf]:
    """A blob store, and the release `app@1.0.0` of the projects `web` and `api` to put files into."""
    acme = Acme(database, "web", "api", "cli")
    acme.release("app@1.0.0", "web", "api")
    shelf = Shelf(acme, tmp_path / "blobs")
    yield shelf
    shelf.blobs.close()


@pytest.fixture
def sender(shelf: Shelf) -> Sender:
    """Whoever sends chunks to that store."""
    return Sender(shelf)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets commits beside others waits a minute for them, on a machine that may be slow."""
    monkeypatch.setattr(busy, "MAX_WAIT_SECONDS", 60.0)
