"""A served registry for every test that calls over the wire, on both engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.database import Database
from tests.clocks import ManualClock
from tests.conftest import opened
from tests.rpc.serving import served
from tests.rpc.wire import Served


@pytest.fixture
def server(database: Database, clock: ManualClock, tmp_path: Path) -> Iterator[Served]:
    """A running server on a fresh database, once on each engine; its clock stands still."""
    with served(database, clock, tmp_path) as running:
        yield running


@pytest.fixture
def sqlite(clock: ManualClock, tmp_path: Path) -> Iterator[Database]:
    """A fresh database on SQLite, for tests of what happens before any database is asked."""
    with opened(f"sqlite://{tmp_path}/registry.db", clock) as database:
        database.migrate()
        yield database


@pytest.fixture
def edge(sqlite: Database, clock: ManualClock, tmp_path: Path) -> Iterator[Served]:
    """A running server on SQLite alone, for tests of what is the same whatever the database."""
    with served(sqlite, clock, tmp_path) as running:
        yield running
