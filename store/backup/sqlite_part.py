"""The database of a backup as an SQLite file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import apsw

from store.backup.needed import Snapshot, snapshot_of
from store.database.engine import Reader
from store.database.sqlite import SqliteReader

FILE: Final = "database.sqlite"
KIND: Final = "sqlite"


def read_snapshot(file: Path) -> Snapshot:
    """What a copied database says."""
    with _reading(file) as reader:
        return snapshot_of(reader)


@contextmanager
def _reading(file: Path) -> Iterator[Reader]:
    with closing(apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        reader = SqliteReader(connection, [])
        reader.begin()
        yield reader
        reader.end()
