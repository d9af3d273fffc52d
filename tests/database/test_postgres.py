"""PostgreSQL: what is tried again, what is reported, and that a lost connection never makes a write happen twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
import pytest

from store.database import Database, DatabaseError, Once, Reader, Terms, Transaction
from store.database.postgres_errors import Remedy, failure_of
from store.database.postgres_pool import SIZE
from store.database.postgres_transaction import PostgresSession
from store.errors import DatabaseBusy, DatabaseDown, LockTimeout, ReadOnly, StorageFull
from tests.database.conftest import Crowd
from tests.database.things import ADD, FIND, INSERT, NAMES, add, names, put, thing
from tests.postgres_server import PostgresServer

BACKENDS = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
PID = "SELECT pg_terminate_backend(%s, 5000)"


class Killer:
    """Ends connections the way a restart or an operator does."""

    def __init__(self, server: PostgresServer, url: str) -> None:
        self._server = server
        self._database = psycopg.conninfo.conninfo_to_dict(url)["dbname"]

    def kill_all(self) -> None:
        with self._server.admin() as connection:
            connection.execute(BACKENDS, (self._database,))

    def kill(self, session: PostgresSession) -> None:
        with self._server.admin() as connection:
            connection.execute(PID, (session.connection.info.backend_pid,))


@pytest.fixture
def killer(postgres_server: PostgresServer, postgres_url: str) -> Killer:
    return Killer(postgres_server, postgres_url)


def test_a_write_whose_backend_is_killed_is_made_again(postgres_things: Database, killer: Killer) -> None:
    attempts: list[int] = []
    effects: list[int] = []

    def write(tx: Transaction) -> None:
        attempt = len(attempts)
        attempts.append(attempt)
        tx.after_commit(lambda: effects.append(attempt))
        put(tx, "a")
        if attempt == 0:
            killer.kill_all()
        put(tx, "b")

    postgres_things.write(write)
    assert attempts == [0, 1]
    assert effects == [1]
    assert names(postgres_things) == ["a", "b"]


def test_a_read_whose_backend_is_killed_is_made_again(postgres_things: Database, killer: Killer) -> None:
    add(postgres_things, "a")
    attempts: list[int] = []

    def read(reader: Reader) -> list[str]:
        attempts.append(1)
        if len(attempts) == 1:
            killer.kill_all()
        return reader.rows(NAMES)

    assert postgres_things.read(read) == ["a"]
    assert len(attempts) == 2


def test_idle_connections_that_died_are_no_error(postgres_things: Database, killer: Killer, crowd: Crowd) -> None:
    barrier = threading.Barrier(SIZE)

    def occupy(reader: Reader) -> None:
        reader.rows(NAMES)
        barrier.wait(60)

    for read in [crowd.start(lambda: postgres_things.read(occupy)) for _ in range(SIZE)]:
        read.result()
    killer.kill_all()
    add(postgres_things, "a")
    killer.kill_all()
    assert names(postgres_things) == ["a"]
    killer.kill_all()
    assert postgres_things.read(lambda reader: reader.rows(NAMES)) == ["a"]


@pytest.fixture
def cut_at_commit(monkeypatch: pytest.MonkeyPatch, killer: Killer) -> Callable[[str], None]:
    """Make the next COMMIT lose its connection: "before" the server carries it out, or "after" that."""

    def arm(moment: str) -> None:
        original, armed = PostgresSession.command, [True]

        def command(session: PostgresSession, text: bytes) -> str:
            if text == b"COMMIT" and armed and armed.pop():
                if moment == "after":
                    session.connection.pgconn.exec_(text)
                killer.kill(session)
            return original(session, text)

        monkeypatch.setattr(PostgresSession, "command", command)

    return arm


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_connection_lost_during_commit_leaves_the_outcome_unknown(
    postgres_things: Database, cut_at_commit: Callable[[str], None], moment: str
) -> None:
    """Making it again could add twice; only the caller can know."""
    add(postgres_things, "a", count=0)
    effects: list[int] = []

    def increment(tx: Transaction) -> None:
        tx.run(ADD, count=1, name="a")
        tx.after_commit(lambda: effects.append(1))

    cut_at_commit(moment)
    with pytest.raises(DatabaseDown, match="unknown"):
        postgres_things.write(increment)
    row = postgres_things.row(FIND, name="a")
    assert row is not None
    assert row.count == {"before": 0, "after": 1}[moment]
    assert effects == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_with_a_request_id_the_outcome_is_looked_up(
    postgres_things: Database, cut_at_commit: Callable[[str], None], moment: str
) -> None:
    add(postgres_things, "a", count=0)
    runs: list[int] = []
    effects: list[int] = []

    def increment(tx: Transaction) -> str:
        run = len(runs)
        runs.append(run)
        tx.run(ADD, count=1, name="a")
        tx.after_commit(lambda: effects.append(run))
        return f"run {run}"

    once = Once(b"t" * 16, "Increment", "r1", b"body", encode=str.encode, decode=bytes.decode)
    cut_at_commit(moment)
    answer: str = postgres_things.write(increment, Terms(once=once))
    row = postgres_things.row(FIND, name="a")
    assert row is not None
    assert row.count == 1
    last = {"before": 1, "after": 0}[moment]
    assert answer == f"run {last}"
    assert effects == [last]


def test_a_deadlock_is_resolved_by_trying_again(postgres_things: Database, crowd: Crowd) -> None:
    postgres_things.write(lambda tx: tx.run_many(INSERT, [thing("a"), thing("b")]))
    barrier = threading.Barrier(2)
    attempts: list[str] = []
    effects: list[str] = []

    def write(first: str, second: str) -> None:
        tried: list[int] = []

        def body(tx: Transaction) -> None:
            tried.append(1)
            attempts.append(first)
            tx.after_commit(lambda: effects.append(first))
            tx.run(ADD, count=1, name=first)
            if len(tried) == 1:
                barrier.wait(60)  # now each holds what the other wants
            tx.run(ADD, count=1, name=second)

        postgres_things.write(body)

    both = [crowd.start(lambda: write("a", "b")), crowd.start(lambda: write("b", "a"))]
    for job in both:
        job.result()
    assert len(attempts) > 2, "no deadlock was provoked"
    assert sorted(effects) == ["a", "b"]
    for name in "ab":
        row = postgres_things.row(FIND, name=name)
        assert row is not None
        assert row.count == 2


def test_conflicts_without_end_are_given_up(postgres_things: Database) -> None:
    attempts: list[int] = []

    def conflict(tx: Transaction) -> None:
        attempts.append(1)
        raise_in(tx, "40001")

    with pytest.raises(DatabaseBusy):
        postgres_things.write(conflict)
    assert len(attempts) == 6


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("53100", StorageFull),
        ("25006", ReadOnly),
        ("53300", DatabaseBusy),
        ("57014", DatabaseBusy),
        ("55P03", LockTimeout),
        ("40P01", DatabaseBusy),
        ("58030", DatabaseDown),  # its disk is gone
        ("58P01", DatabaseDown),
        ("XX001", DatabaseDown),  # what it reads makes no sense
        ("XX002", DatabaseDown),
        ("XX000", DatabaseError),
        ("22003", DatabaseError),
    ],
)
def test_what_the_server_reports_is_told_in_our_words(
    postgres_things: Database, state: str, expected: type[Exception]
) -> None:
    with pytest.raises(expected) as raised:
        postgres_things.write(lambda tx: raise_in(tx, state))
    assert type(raised.value) is expected or expected is DatabaseError
    add(postgres_things, "next")


@pytest.mark.parametrize("kind", [psycopg.DatabaseError, psycopg.OperationalError])
def test_an_error_that_names_no_state_is_a_broken_connection(kind: type[psycopg.Error]) -> None:
    """As libpq reports a server that died while it was sent to: the connection does not count as closed yet."""
    failure = failure_of(kind("server closed the connection unexpectedly"), connection_closed=False)

    assert type(failure.error) is DatabaseDown
    assert failure.remedy is Remedy.RECONNECT


def raise_in(tx: Transaction, state: str) -> None:
    """Have the server raise an error of that state."""
    internals: Any = tx
    internals._session.read(f"DO $$ BEGIN RAISE EXCEPTION 'provoked' USING ERRCODE = '{state}'; END $$", ())


def test_a_row_held_by_another_is_waited_for_as_long_as_said(
    postgres_things: Database, admin: psycopg.Connection[Any]
) -> None:
    add(postgres_things, "a")
    with admin.transaction():
        admin.execute("SELECT 1 FROM thing WHERE name = 'a' FOR UPDATE")
        with pytest.raises(LockTimeout) as timeout:
            postgres_things.write(lambda tx: tx.lock(FIND, name="a"), wait_seconds=1.0)
    assert timeout.value.reason == "DATABASE_BUSY"
    postgres_things.write(lambda tx: tx.lock(FIND, name="a"))


def test_an_operation_can_say_which_lock_it_waited_for(
    postgres_things: Database, admin: psycopg.Connection[Any]
) -> None:
    class CommitsBusy(Exception):
        pass

    def write(tx: Transaction) -> None:
        try:
            tx.lock(FIND, name="a")
        except LockTimeout as error:
            raise CommitsBusy from error

    add(postgres_things, "a")
    with admin.transaction():
        admin.execute("SELECT 1 FROM thing WHERE name = 'a' FOR UPDATE")
        with pytest.raises(CommitsBusy):
            postgres_things.write(write, wait_seconds=1.0)


def test_a_race_on_a_unique_key_is_decided_by_a_second_look(postgres_things: Database, crowd: Crowd) -> None:
    barrier = threading.Barrier(2)

    def create(number: int) -> str:
        tried: list[int] = []

        def body(tx: Transaction) -> str:
            tried.append(1)
            if tx.row(FIND, name="a") is not None:
                return "was there"
            if len(tried) == 1:
                barrier.wait(60)  # now both believe that it is not there
            put(tx, "a", count=number)
            return "created"

        return postgres_things.write(body)

    calls = [crowd.start(partial(create, n)) for n in range(2)]
    assert sorted(call.result() for call in calls) == ["created", "was there"]


def test_a_changed_table_does_not_break_prepared_reads(
    postgres_things: Database, admin: psycopg.Connection[Any]
) -> None:
    add(postgres_things, "a")
    for _ in range(3):
        assert postgres_things.row(FIND, name="a") is not None
    admin.execute("ALTER TABLE thing ALTER COLUMN count TYPE numeric")
    assert postgres_things.row(FIND, name="a") is not None
    assert postgres_things.write(lambda tx: tx.row(FIND, name="a")) is not None
