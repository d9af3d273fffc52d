"""Installations whose data is kept from run to run: loading a million releases takes longer than measuring them.

Rows are written without the indexes, which are made at the end. Nobody gathers statistics that a database in service
would not have: PostgreSQL does by itself, SQLite does not.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import apsw
import psycopg

import store.migrations
from bench.bulk import Installation
from bench.population import COLUMNS, EDITION, PROJECTS, Population
from store.database import Engine
from tests.postgres_server import PostgresServer

_SQLITE_INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = ?"
_POSTGRES_INDEXES = """
SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid = %s::regclass AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)
"""


@contextmanager
def populated(engine: Engine, sizes: Sequence[int], *, folder: str | None) -> Iterator[dict[int, Installation]]:
    """An installation for each number of releases; in this folder for the next time, else in a temporary one."""
    with ExitStack() as stack:
        place = Path(folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))).absolute()
        place.mkdir(parents=True, exist_ok=True)
        if engine == "sqlite":
            yield {size: _on_sqlite(place / f"sqlite-{size}", size) for size in sizes}
            return
        server = PostgresServer(place / "postgresql")
        stack.callback(server.stop)
        yield {size: _on_postgres(server, place / f"postgresql-{size}", size) for size in sizes}


def _on_sqlite(place: Path, size: int) -> Installation:
    if not _is_current(place):
        shutil.rmtree(place, ignore_errors=True)
    return _loaded(place, size, lambda: Installation("sqlite", place, None, PROJECTS))


def _on_postgres(server: PostgresServer, place: Path, size: int) -> Installation:
    name = f"releases_{size}"
    if not _is_current(place):
        shutil.rmtree(place, ignore_errors=True)
        with server.admin() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
        server.make_template(name)
    return _loaded(place, size, lambda: Installation("postgresql", place, server.url(name), PROJECTS))


def _loaded(place: Path, size: int, installation: Callable[[], Installation]) -> Installation:
    """The installation, filled unless it is."""
    if _is_current(place):
        return installation()
    place.mkdir()
    started = time.monotonic()
    made = installation()
    _fill(made, Population(made.organization.id, made.projects, size))
    made.settle()
    _mark(place).write_text(_edition())
    print(f"{made.engine}: {size:,} releases written in {time.monotonic() - started:.0f} s", flush=True)
    return made


def _fill(target: Installation, population: Population) -> None:
    with _sqlite(target) if target.engine == "sqlite" else _postgres(target) as (execute, asked):
        indexes = [index for model in COLUMNS for index in execute(asked, (model._meta.table_name,))]
        for name, _ in indexes:
            execute(f"DROP INDEX {name}" if target.engine == "postgresql" else f'DROP INDEX "{name}"', ())
    for rows in population.blocks():
        for model, columns in COLUMNS.items():
            target.insert(model, columns, rows[model])
    with _sqlite(target) if target.engine == "sqlite" else _postgres(target) as (execute, _):
        for _, statement in indexes:
            execute(statement, ())


Execute = Callable[[str, tuple[Any, ...]], list[Any]]


@contextmanager
def _sqlite(target: Installation) -> Iterator[tuple[Execute, str]]:
    connection = apsw.Connection(target.url.removeprefix("sqlite://"))
    connection.execute("PRAGMA cache_size = -500000")
    try:
        yield lambda statement, values: list(connection.execute(statement, values)), _SQLITE_INDEXES
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


@contextmanager
def _postgres(target: Installation) -> Iterator[tuple[Execute, str]]:
    with psycopg.connect(target.url, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '500MB'")

        def execute(statement: str, values: tuple[Any, ...]) -> list[Any]:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

        yield execute, _POSTGRES_INDEXES


def _is_current(place: Path) -> bool:
    """Whether these tables were filled with these rows, and wholly."""
    return _mark(place).exists() and _mark(place).read_text() == _edition()


def _mark(place: Path) -> Path:
    return place / "filled"


def _edition() -> str:
    """What tells the tables and the rows from those of another edition of the project."""
    digest = hashlib.sha256(str(EDITION).encode())
    for migration in sorted(Path(*store.migrations.__path__).glob("0*.py")):
        digest.update(migration.read_bytes())
    return digest.hexdigest()
