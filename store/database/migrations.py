"""Bringing the schema up to the code: Peewee's migrations, one process at a time.

Unguarded, 25 of 30 processes that started at once failed. The caller holds the lock: on SQLite the file is one
process's anyway, on PostgreSQL it is an advisory lock. The list of what is applied is read after the lock is taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import peewee
import psycopg
from playhouse.apsw_ext import APSWDatabase
from playhouse.migrations import Runner
from playhouse.postgres_ext import Psycopg3Database

from store.database.dialect import POSTGRESQL_TYPES, SQLITE_TYPES
from store.database.failures import CannotOpen
from store.database.fields import TextField, TimeField

FOLDER = Path(__file__).parent.parent / "migrations"


def apply(database: peewee.Database, folder: Path, *, until: str | None = None) -> list[str]:
    """Apply what is pending, oldest first, up to `until`, each in a transaction with its own entry in the history.

    Raises `CannotOpen` when the folder has no migrations, or the database has some that it lacks.
    """
    _refuse_empty(folder)
    _refuse_newer(database, folder)
    names: list[str] = _Runner(database, str(folder)).up(until)
    return names


def pending(database: peewee.Database, folder: Path) -> list[str]:
    """The names of what is still to be applied. Raises what `apply` raises."""
    _refuse_empty(folder)
    _refuse_newer(database, folder)
    return [entry.name for entry in _Runner(database, str(folder)).status() if entry.applied is None]


def unknown(names: Iterable[str], folder: Path) -> list[str]:
    """Those of the migrations that this installation does not have."""
    return sorted(set(names) - {path.stem for path in folder.glob("[0-9]*.py")})


def has_migrations(folder: Path) -> bool:
    """Whether there is anything that could be applied."""
    return any(folder.glob("[0-9]*.py"))


@contextmanager
def on_sqlite(connect: Callable[[], apsw.Connection]) -> Iterator[peewee.Database]:
    """Peewee's view of the SQLite file, on a connection of its own."""
    with _closing(_Sqlite(connect)) as database:
        yield database


@contextmanager
def on_postgresql(connect: Callable[[], psycopg.Connection[Any]]) -> Iterator[peewee.Database]:
    """Peewee's view of the PostgreSQL database, on a connection of its own."""
    with _closing(_Postgresql(connect)) as database:
        yield database


@contextmanager
def _closing(database: peewee.Database) -> Iterator[peewee.Database]:
    try:
        yield database
    finally:
        if not database.is_closed():
            database.close()


class _Sqlite(APSWDatabase):  # type: ignore[misc]  # playhouse has no types
    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        # IMMEDIATE: a transaction that reads first and then writes fails at once if anybody wrote between.
        super().__init__("given", lock_type="IMMEDIATE", field_types=SQLITE_TYPES)
        self._dial = connect

    def _connect(self) -> apsw.Connection:
        connection = self._dial()
        self._add_conn_hooks(connection)
        return connection


class _Postgresql(Psycopg3Database):  # type: ignore[misc]
    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        super().__init__("given", field_types=POSTGRESQL_TYPES)
        self._dial = connect

    def _connect(self) -> psycopg.Connection[Any]:
        return self._dial()


class _Runner(Runner):  # type: ignore[misc]
    def __init__(self, database: peewee.Database, directory: str) -> None:
        super().__init__(database, directory)

        # Peewee's own history has a DateTimeField, which apsw cannot bind.
        class SchemaMigration(peewee.Model):
            name = TextField(primary_key=True)
            applied = TimeField(default=lambda: time.time_ns() // 1000)

        SchemaMigration._meta.set_table_name("schema_migration")
        SchemaMigration.bind(database)
        self.History = SchemaMigration


def _refuse_empty(folder: Path) -> None:
    # A package built without them would serve a database without tables.
    if not has_migrations(folder):
        raise CannotOpen(f"This installation is incomplete, it has no migrations in {folder}: install it again.")


def _refuse_newer(database: peewee.Database, folder: Path) -> None:
    unknown = [entry.name for entry in _Runner(database, str(folder)).status() if entry.path is None]
    if unknown:
        raise CannotOpen(
            f"The database was migrated by a newer version of this program ({unknown[-1]} is not known here): "
            "run that version, or restore a backup."
        )
