"""Databases of the product, as a benchmark fills and measures them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from store.database import Database, open_database


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """The database, migrated, until the block ends."""
    database = open_database(url)
    try:
        database.migrate()
        yield database
    finally:
        database.close()
