"""Of PostgreSQL: what a call whose time is over does to its statement, its connection and its COMMIT."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from store import deadlines
from store.database import Database, Reader, Transaction
from store.database.postgres import PostgresDatabase
from store.database.postgres_connection import Connection
from store.database.postgres_pool import SIZE, Pool
from store.database.postgres_transaction import PostgresSession
from store.deadlines import WATCH, Deadline, bound_by
from store.errors import DeadlinePassed
from tests.database.conftest import Crowd
from tests.database.ending import LASTS, endless, goes_meanwhile, later, soon
from tests.database.things import ADD, FIND, INSERT, add, names, put, thing


@pytest.fixture(autouse=True)
def _unbound() -> Iterator[None]:
    yield
    bound_by(None)


def eventually(happened: Callable[[], bool]) -> bool:
    """Whether it happens within a minute."""
    until = time.monotonic() + 60
    while not happened() and time.monotonic() < until:
        time.sleep(0.001)
    return happened()


def running(admin: psycopg.Connection[Any]) -> int:
    """How many statements PostgreSQL works on for the registry."""
    counted = admin.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
        " AND pid <> pg_backend_pid()"
    ).fetchone()
    assert counted is not None
    return int(counted[0])


def test_the_server_stops_working_too(postgres_things: Database, admin: psycopg.Connection[Any]) -> None:
    soon()
    with pytest.raises(DeadlinePassed):
        postgres_things.read(endless)
    assert running(admin) == 0


def test_a_connection_that_was_cancelled_is_not_used_again(postgres_things: Database) -> None:
    """A cancel that comes late would end what somebody else does on it."""

    def backend(reader: Reader) -> int:
        found: int = reader._read("SELECT pg_backend_pid()", ())[0][0]
        return found

    before = postgres_things.read(backend)
    assert postgres_things.read(backend) == before
    soon()
    with pytest.raises(DeadlinePassed):
        postgres_things.read(endless)
    bound_by(None)
    assert postgres_things.read(backend) != before


def test_waiting_for_a_lock_ends_at_the_deadline(postgres_things: Database, crowd: Crowd) -> None:
    postgres_things.write(lambda tx: tx.run_many(INSERT, [thing("a")]))
    held, let_go = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        tx.lock(FIND, name="a")
        held.set()
        assert let_go.wait(60)

    holding = crowd.start(lambda: postgres_things.write(hold))
    assert held.wait(60)
    try:
        soon()
        with pytest.raises(DeadlinePassed):
            postgres_things.write(lambda tx: tx.run(ADD, count=1, name="a"), wait_seconds=60.0)
    finally:
        let_go.set()
        bound_by(None)
        holding.result()
    row = postgres_things.row(FIND, name="a")
    assert row is not None
    assert row.count == thing("a")["count"]


@pytest.mark.parametrize("how", ["time", "cancel"])
def test_waiting_for_a_connection_ends_with_the_call(postgres_things: Database, crowd: Crowd, how: str) -> None:
    all_in, let_go = threading.Barrier(SIZE + 1), threading.Event()

    def hold(_: Reader) -> None:
        all_in.wait(60)
        assert let_go.wait(60)

    holding = [crowd.start(lambda: postgres_things.read(hold)) for _ in range(SIZE)]
    all_in.wait(60)
    try:
        if how == "time":
            soon()
        else:
            later(is_gone=goes_meanwhile())
        with pytest.raises(DeadlinePassed):
            names(postgres_things)
    finally:
        let_go.set()
        bound_by(None)
        for read in holding:
            read.result()
    assert names(postgres_things) == []


def test_a_commit_that_has_begun_is_waited_for(postgres_things: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    deadline, commit = later(), PostgresSession.commit

    def slow(session: PostgresSession) -> str:
        session.connection.commits()
        deadline.at = deadlines.OVER
        session.connection.pgconn.exec_(b"SELECT pg_sleep(0.3)")
        return commit(session)

    monkeypatch.setattr(PostgresSession, "commit", slow)
    add(postgres_things, "a")
    bound_by(None)
    assert names(postgres_things) == ["a"]


# What happens between two steps of the watching thread cannot be timed. So they are made here by hand, and it happens
# while the caller is asked for.


@pytest.fixture
def watched(postgres_things: Database) -> Connection:
    """The one connection of the pool, which only the test looks at."""
    names(postgres_things)
    (connection,) = pool_of(postgres_things)._idle
    WATCH.remove(connection)
    return connection


def pool_of(database: Database) -> Pool:
    assert isinstance(database, PostgresDatabase)
    return database._pool


def works(connection: Connection) -> bool:
    return connection.pgconn.transaction_status == TransactionStatus.ACTIVE


def test_what_comes_next_on_a_connection_is_not_ended_for_what_went_before(
    postgres_things: Database, watched: Connection, crowd: Crowd
) -> None:
    next_one: list[Future[Any]] = []

    def ends_meanwhile() -> bool:
        pool_of(postgres_things).give(watched)
        next_one.append(crowd.start(lambda: postgres_things.read(lambda reader: reader._read(LASTS, ()))))
        assert eventually(lambda: works(watched))
        return True

    assert pool_of(postgres_things).take(time.monotonic() + 60) is watched
    bound_by(Deadline(time.monotonic() + 3600, ends_meanwhile))
    PostgresSession(watched).command(b"SELECT 1")
    bound_by(None)

    watched.look(time.monotonic())

    assert next_one[0].result() == [("lasted",)]
    assert not watched.was_cancelled


def test_a_commit_that_begins_while_the_deadline_is_looked_at_is_not_ended(
    postgres_things: Database, watched: Connection, crowd: Crowd
) -> None:
    goes_on = threading.Event()
    begun = threading.Event()

    def commits_meanwhile() -> bool:
        if begun.is_set():
            goes_on.set()
            assert eventually(lambda: works(watched))
        return begun.is_set()

    def call() -> str:
        bound_by(Deadline(time.monotonic() + 3600, commits_meanwhile))
        session = PostgresSession(pool_of(postgres_things).take(time.monotonic() + 60))
        session.command(b"BEGIN")
        begun.set()
        assert goes_on.wait(60)
        session.connection.commits()
        session.command(b"SELECT pg_sleep(0.3)")
        answer = session.commit()
        pool_of(postgres_things).give(session.connection)
        return answer

    committing = crowd.start(call)
    assert begun.wait(60)
    watched.look(time.monotonic())
    assert committing.result() == "COMMIT"


def test_nothing_is_committed_once_it_was_cancelled(postgres_things: Database, watched: Connection) -> None:
    """The cancel may come when the statement that it was meant for has ended well."""
    deadline = later()

    def write(tx: Transaction) -> None:
        put(tx, "a")
        deadline.at = deadlines.OVER
        watched.was_cancelled = True
        deadline.at = time.monotonic() + 3600  # else the deadline is looked at before

    with pytest.raises(DeadlinePassed):
        postgres_things.write(write)
    bound_by(None)
    assert names(postgres_things) == []


def test_a_descriptor_that_is_somebody_elses_now_is_left_alone(watched: Connection) -> None:
    """libpq closes a stream that it finds broken, and its number goes to whatever is opened next."""
    mine, other = socket.socketpair()
    kept = os.dup(watched.pgconn.socket)
    try:
        os.dup2(mine.fileno(), watched.pgconn.socket)
        watched._cut()
        mine.sendall(b"x")
        assert other.recv(1) == b"x"
        os.dup2(kept, watched.pgconn.socket)
        watched._cut()
        with pytest.raises(psycopg.OperationalError):
            watched.execute("SELECT 1")
    finally:
        os.close(kept)
        mine.close()
        other.close()
