"""Databases of the product, as a benchmark fills and measures them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from store.database import Database, open_database
from store.database.dialect import Engine
from tests.postgres_server import PostgresServer, running


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """The database, migrated, until the block ends."""
    database = open_database(url)
    try:
        database.migrate()
        yield database
    finally:
        database.close()


def durably(server: PostgresServer) -> None:
    """Has a server of the tests, which need not be durable, sync what it commits, as one in service does."""
    with server.admin() as connection:
        connection.execute("ALTER SYSTEM SET fsync = on")
        connection.execute("SELECT pg_reload_conf()")


def fresh_databases(count: int, *, sqlite_only: bool) -> Iterator[tuple[Engine, list[str], Path]]:
    """Each engine, the URLs of so many empty databases of it, and a folder; they last until the next is asked for."""
    with tempfile.TemporaryDirectory(prefix="bench-sqlite-") as name:
        folder = Path(name)
        yield "sqlite", [f"sqlite://{folder / str(number)}.db" for number in range(count)], folder
    if not sqlite_only:
        with tempfile.TemporaryDirectory(prefix="bench-") as name, running() as server, ExitStack() as stack:
            durably(server)
            yield "postgresql", [stack.enter_context(server.fresh_database()) for _ in range(count)], Path(name)
