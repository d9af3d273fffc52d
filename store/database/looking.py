"""What a doctor wants to know of a database; nothing is changed."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import apsw

from store.database.engine import Database
from store.database.postgres import PostgresDatabase
from store.database.sqlite import SqliteDatabase
from store.database.sqlite_file import WAL_LIMIT_BYTES

__all__ = ["WAL_LIMIT_BYTES", "PostgresLook", "SqliteLook", "look_at_postgres", "look_at_sqlite", "wal_bytes"]


@dataclass(frozen=True, slots=True)
class SqliteLook:
    """An SQLite file: which SQLite reads it, how large it is, and what is wrong with it, empty when nothing is."""

    library: str
    size_bytes: int
    damage: str


@dataclass(frozen=True, slots=True)
class PostgresLook:
    """A PostgreSQL server: its version, how many connections it gives in all and has given, how its clock differs
    from this machine's, and whether it keeps what it answered and takes writes and new tables."""

    version: str
    most_connections: int
    used_connections: int
    ahead_seconds: float
    is_read_only: bool
    is_durable: bool
    may_make_tables: bool


def look_at_sqlite(database: Database) -> SqliteLook:
    """Reads the whole file. Raises CannotOpen, DatabaseDown."""
    assert isinstance(database, SqliteDatabase)
    try:
        with closing(apsw.Connection(str(database.file), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
            answer = connection.execute("PRAGMA quick_check(1)").fetchall()[0][0]
    except apsw.Error as error:
        answer = type(error).__name__
    return SqliteLook(
        apsw.sqlite_lib_version(), database.file.stat().st_size, "" if answer == "ok" else str(answer).splitlines()[0]
    )


def wal_bytes(file: Path) -> int:
    """The size of the write-ahead log beside an SQLite file."""
    log = file.with_name(file.name + "-wal")
    return log.stat().st_size if log.exists() else 0


def look_at_postgres(database: Database) -> PostgresLook:
    """Asks the server a few questions. Raises DatabaseDown, DatabaseBusy."""
    assert isinstance(database, PostgresDatabase)
    with database.dial() as connection:
        before = time.time()
        (there,) = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone() or (before,)
        after = time.time()
        found = connection.execute(
            """
            SELECT current_setting('server_version'),
                current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
                - coalesce(current_setting('reserved_connections', true)::int, 0),
                (SELECT count(*)::int FROM pg_stat_activity
                 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
                 AND application_name <> 'release-registry'),
                pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool,
                current_setting('fsync')::bool AND current_setting('full_page_writes')::bool
                AND current_setting('synchronous_commit') <> 'off',
                coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)
            """
        ).fetchone()
    assert found is not None
    version, most, used, read_only, durable, may_make = found
    # Between the two looks at this clock there is no telling when the other one was read.
    ahead = 0.0 if before <= there <= after else min(there - before, there - after, key=abs)
    return PostgresLook(version, most, used, ahead, read_only, durable, may_make)
