"""Databases and servers for the tests: what asks for one of both engines runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.telemetry.metrics import INTERNAL_ERRORS
from store.database import Database, open_database
from tests.clocks import ManualClock
from tests.postgres_server import PostgresServer, running
from tests.rpc.serving import served
from tests.rpc.wire import Served
from tests.s3_server import S3Server
from tests.s3_server import running as s3_running
from tests.server_process import ServerProcess, defects_told


class _Escaped(logging.Handler):
    """What grpc logs of a handler that raised: its caller got UNKNOWN."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())


@pytest.fixture(autouse=True)
def _no_defect(request: pytest.FixtureRequest) -> Iterator[None]:
    """No call of a server, in this process or in one of its own, ends INTERNAL or UNKNOWN, but where a test provokes
    that on purpose and is marked `provokes_defects`."""
    before, escaped = INTERNAL_ERRORS._value.get(), _Escaped()
    grpc_log = logging.getLogger("grpc._server")
    grpc_log.addHandler(escaped)
    yield
    grpc_log.removeHandler(escaped)
    count = INTERNAL_ERRORS._value.get() - before
    told = escaped.told + defects_told()
    if request.node.get_closest_marker("provokes_defects") is None:
        assert (count, told) == (0, []), "a defect of the server: its log has the traceback"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_running(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """A migrated database to copy."""
    with opened(postgres_server.make_template("migrated")) as database:
        database.migrate()
    return "migrated"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database with the schema, once on each engine; tests change its rows only, not its tables."""
    if request.param == "sqlite":
        yield f"sqlite://{tmp_path}/registry.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.recycled_database(request.getfixturevalue("postgres_template")) as url:
        yield url


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def database(database_url: str, clock: ManualClock) -> Iterator[Database]:
    """An open, migrated, empty database, whose clock stands still."""
    with opened(database_url, clock) as database:
        database.migrate()
        yield database


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


@contextmanager
def opened(url: str, clock: ManualClock | None = None) -> Iterator[Database]:
    """The database, closed at the end. Nobody is told that it is busy within a minute: a machine may be slow."""
    database = open_database(url, clock=clock, wait_seconds=60.0)
    try:
        yield database
    finally:
        database.close()


@pytest.fixture
def server_process(database_url: str, tmp_path: Path) -> Iterator[ServerProcess]:
    """A real server in a process of its own, serving, once on each engine."""
    on_postgres = database_url.startswith("postgresql")
    with ServerProcess(tmp_path / "server", database=database_url if on_postgres else None) as server:
        yield server
