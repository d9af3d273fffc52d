"""Opening a database by its URL."""

from __future__ import annotations

from pathlib import Path

from store.clock import Clock, SystemClock
from store.database import migrations
from store.database.engine import Database
from store.database.failures import CannotOpen


def open_database(
    url: str,
    *,
    clock: Clock | None = None,
    server_side_prepares: bool = True,
    wait_seconds: float = 5.0,
    lock_wait_seconds: float = 0.0,
    migrations_folder: Path = migrations.FOLDER,
) -> Database:
    """The database at `sqlite:///absolute/path.db` or `postgresql://…`, checked and ready; not migrated yet.

    `server_side_prepares=False` is for PostgreSQL behind a pooler in transaction mode. `wait_seconds` is how long
    reads and writes wait for their turn unless they say otherwise. `lock_wait_seconds` is how long to wait for another
    process that has the SQLite file open. Without a `clock` rows get this machine's time on SQLite, and on
    PostgreSQL its server's, whatever those say that share it. Raises `CannotOpen`, one line for the operator.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/"):
        from store.database.sqlite import SqliteDatabase

        return SqliteDatabase(
            rest,
            clock=clock or SystemClock(),
            wait_seconds=wait_seconds,
            lock_wait_seconds=lock_wait_seconds,
            migrations_folder=migrations_folder,
        )
    if scheme in ("postgresql", "postgres"):
        from store.database.postgres import PostgresDatabase

        return PostgresDatabase(
            url,
            clock=clock,
            wait_seconds=wait_seconds,
            server_side_prepares=server_side_prepares,
            migrations_folder=migrations_folder,
        )
    raise CannotOpen("The database must be sqlite:///absolute/path.db or postgresql://user@host/name.")


def is_well_formed(url: str) -> bool:
    """Whether a URL can be read as one of a database; nothing is opened or asked."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        return rest.startswith("/") and rest != "/"
    if scheme in ("postgresql", "postgres"):
        from store.database.postgres_pool import parameters_of

        try:
            parameters_of(url)
        except CannotOpen:
            return False
        return bool(rest)
    return False
