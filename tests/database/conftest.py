"""A database with the tests' own table, and ways to make the writer's group commit meet what it has to survive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from store.database import Database, Transaction, open_database
from tests.clocks import ManualClock
from tests.database.things import MIGRATIONS
from tests.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def things_template(postgres_server: PostgresServer) -> str:
    with things_at(postgres_server.make_template("things")):
        return "things"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any tables, on both engines."""
    if request.param == "sqlite":
        yield f"sqlite://{tmp_path}/empty.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.fresh_database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def things_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite://{tmp_path}/things.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.recycled_database(request.getfixturevalue("things_template")) as url:
        yield url


@contextmanager
def things_at(url: str, clock: ManualClock | None = None, **options: Any) -> Iterator[Database]:
    """The database at the URL, with the tests' own table. Nobody is told that it is busy within a minute."""
    options = {"wait_seconds": 60.0, **options}
    database = open_database(url, clock=clock, migrations_folder=MIGRATIONS, **options)
    try:
        database.migrate()
        yield database
    finally:
        database.close()


@pytest.fixture
def things(things_url: str, clock: ManualClock) -> Iterator[Database]:
    """Both engines."""
    with things_at(things_url, clock) as database:
        yield database


@pytest.fixture
def sqlite_things(tmp_path: Path, clock: ManualClock) -> Iterator[Database]:
    with things_at(f"sqlite://{tmp_path}/things.db", clock) as database:
        yield database


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.fresh_database() as url:
        yield url


@pytest.fixture
def postgres_things(postgres_url: str, clock: ManualClock) -> Iterator[Database]:
    with things_at(postgres_url, clock) as database:
        yield database


@pytest.fixture
def admin(postgres_server: PostgresServer, postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


class Crowd:
    """Threads that each carry out one call, and their outcomes."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def start(self, call: Callable[[], Any]) -> Future[Any]:
        """Begin the call on a thread of its own."""
        return self._pool.submit(call)


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    with ThreadPoolExecutor(max_workers=32) as pool:
        yield Crowd(pool)


class Plug:
    """Holds up the SQLite writer, so that what is queued meanwhile is committed as one group."""

    def __init__(self, database: Database, crowd: Crowd) -> None:
        self._database = database
        self._crowd = crowd
        self._pulled = threading.Event()
        self._reached = threading.Event()
        self.future: Future[Any] | None = None

    def __enter__(self) -> Self:
        self.future = self._crowd.start(lambda: self._database.write(self._hold, long=True))
        assert self._reached.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._pulled.set()

    def queue(self, fn: Callable[[Transaction], Any], **options: Any) -> Future[Any]:
        """Queue a write behind the plug; returns once it stands in line."""
        jobs = self._database._writer._jobs  # type: ignore[attr-defined]
        before = len(jobs)
        future = self._crowd.start(lambda: self._database.write(fn, **options))
        while len(jobs) == before and not future.done():
            threading.Event().wait(0.001)
        return future

    def _hold(self, tx: Transaction) -> None:
        self._reached.set()
        self._pulled.wait(60)


@pytest.fixture
def plug(crowd: Crowd) -> Callable[[Database], Plug]:
    return lambda database: Plug(database, crowd)
