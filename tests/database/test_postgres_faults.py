"""PostgreSQL behind a network that fails: nobody waits for ever, nothing is doubled, and it goes on by itself."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from store.database import Database, Once, Terms, Transaction, postgres_connection
from store.database.postgres_transaction import PostgresSession
from store.deadlines import OVER, Deadline, bound_by
from store.errors import DatabaseBusy, DatabaseDown, DeadlinePassed
from tests.crash.power_postgres import PostgresOnDisk
from tests.database.conftest import Crowd, things_at
from tests.database.things import ADD, FIND, INSERT, add, names, put, thing
from tests.postgres_proxy import PostgresProxy, proxied


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[PostgresProxy]:
    with proxied(postgres_url) as running:
        yield running


@pytest.fixture
def behind(proxy: PostgresProxy) -> Iterator[Database]:
    """A database behind the proxy, whose connections are taken for gone after half a second."""
    with things_at(proxy.url, wait_seconds=0.5) as database, pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_connection, "ANSWER_SECONDS", 0.5 - postgres_connection.STATEMENT_MS / 1000)
        internals: Any = database
        internals._pool._parameters["connect_timeout"] = 2  # the least that libpq takes
        yield database
        proxy.let_go()
        bound_by(None)


def test_a_server_that_never_answers_is_down_and_then_back(behind: Database, proxy: PostgresProxy) -> None:
    add(behind, "a")
    proxy.hold()
    with pytest.raises(DatabaseDown):
        names(behind)
    with pytest.raises(DatabaseDown):  # by now it has no connection, and gets none
        add(behind, "b")
    proxy.let_go()
    assert names(behind) == ["a"]
    add(behind, "c")
    assert names(behind) == ["a", "c"]


def test_while_all_connections_hang_others_are_told_busy(
    behind: Database, proxy: PostgresProxy, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(behind, "_wait_seconds", 0.1)
    monkeypatch.setattr(postgres_connection, "ANSWER_SECONDS", 3 - postgres_connection.STATEMENT_MS / 1000)
    add(behind, "a")
    proxy.hold()
    hanging = [crowd.start(lambda: names(behind)) for _ in range(20)]
    told = [each.exception() for each in hanging]
    assert {type(each) for each in told} == {DatabaseBusy, DatabaseDown}


def test_a_call_whose_time_is_over_does_not_wait_for_a_server_that_never_answers(
    behind: Database, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connection, "ANSWER_SECONDS", 3600.0)
    add(behind, "a")
    proxy.hold()
    bound_by(Deadline(time.monotonic() + 0.2))
    with pytest.raises(DeadlinePassed):
        names(behind)
    bound_by(None)
    proxy.let_go()
    assert names(behind) == ["a"]


def test_a_write_that_fails_by_itself_does_not_hang_in_its_rollback(behind: Database, proxy: PostgresProxy) -> None:
    def write(tx: Transaction) -> None:
        put(tx, "a")
        proxy.hold()
        raise InterruptedError

    with pytest.raises(InterruptedError):
        behind.write(write)
    proxy.let_go()
    assert names(behind) == []


def test_a_commit_that_is_never_answered_leaves_the_outcome_unknown(behind: Database, proxy: PostgresProxy) -> None:
    def write(tx: Transaction) -> None:
        put(tx, "a")
        proxy.hold()

    with pytest.raises(DatabaseDown, match="unknown"):
        behind.write(write)
    proxy.let_go()
    assert names(behind) in ([], ["a"])


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_cut_commit_with_a_request_id_has_one_effect(behind: Database, proxy: PostgresProxy, moment: str) -> None:
    behind.write(lambda tx: tx.run_many(INSERT, [{**thing("a"), "count": 0}]))
    once = Once(b"t" * 16, "Increment", "r1", b"body", encode=str.encode, decode=bytes.decode)
    proxy.cut_next_commit(moment)

    def increment(tx: Transaction) -> str:
        tx.run(ADD, count=1, name="a")
        return "done"

    answer: str = behind.write(increment, Terms(once=once))
    assert proxy.cuts == 1
    assert answer == "done"
    row = behind.row(FIND, name="a")
    assert row is not None
    assert row.count == 1


def test_a_cut_commit_is_looked_for_even_when_the_time_of_the_call_is_over(
    behind: Database, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "Nothing was changed" would be a lie."""
    deadline, commit = Deadline(time.monotonic() + 3600), PostgresSession.commit

    def late(session: PostgresSession) -> str:
        deadline.at = OVER
        return commit(session)

    monkeypatch.setattr(PostgresSession, "commit", late)
    once = Once(b"t" * 16, "Put", "r1", b"body", encode=str.encode, decode=bytes.decode)

    def write(tx: Transaction) -> str:
        put(tx, "a")
        return "done"

    proxy.cut_next_commit("after")
    bound_by(deadline)
    answer: str = behind.write(write, Terms(once=once))
    bound_by(None)
    assert (proxy.cuts, answer, names(behind)) == (1, "done", ["a"])


# ----------------------------------------------------------------------------------------- a server that goes and comes


@pytest.fixture(scope="module")
def restartable() -> Iterator[PostgresOnDisk]:
    # Not in pytest's folder: PostgreSQL runs as a user of its own, which may not go there.
    with tempfile.TemporaryDirectory(prefix="registry-pg-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = PostgresOnDisk(folder / "data", outside=folder, fsync=False)
        try:
            postgres.make()
            yield postgres
        finally:
            postgres.stop()


def test_a_write_survives_a_restart_in_its_middle(restartable: PostgresOnDisk) -> None:
    with things_at(restartable.url) as database:
        attempts: list[int] = []

        def write(tx: Transaction) -> None:
            put(tx, "a")
            attempts.append(1)
            if len(attempts) == 1:
                restartable.kill()
                restartable.start()
            put(tx, "b")

        database.write(write)
        assert len(attempts) == 2
        assert names(database) == ["a", "b"]


def test_a_server_that_is_away_is_down_and_all_goes_on_when_it_is_back(
    restartable: PostgresOnDisk, crowd: Crowd
) -> None:
    with things_at(restartable.url, wait_seconds=0.3) as database:
        add(database, "before")
        restartable.kill()
        told = [crowd.start(partial(add, database, f"while {n}")).exception() for n in range(12)]
        restartable.start()
        assert {type(each) for each in told} == {DatabaseDown}
        add(database, "after")
        assert {"before", "after"} <= set(names(database))


def test_a_server_whose_connections_are_all_taken_is_busy(restartable: PostgresOnDisk) -> None:
    with things_at(restartable.url, wait_seconds=0.3) as database:
        add(database, "one of them")
        internals: Any = database
        internals._pool.discard_idle()
        with psycopg.connect(restartable.url, autocommit=True) as admin:
            admin.execute("CREATE ROLE ordinary LOGIN")
            admin.execute("GRANT SELECT ON thing TO ordinary")
            internals._pool._parameters["user"] = "ordinary"
            with ExitStack() as taken:
                while True:
                    try:
                        taken.enter_context(psycopg.connect(restartable.url, user="ordinary"))
                    except psycopg.OperationalError:
                        break
                with pytest.raises(DatabaseBusy, match="no free connection"):
                    names(database)
        assert eventually(lambda: "one of them" in names(database))


def eventually(happened: Callable[[], bool]) -> bool:
    """Whether it happens within a minute; while the database is busy, it has not yet."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(DatabaseBusy):
            if happened():
                return True
        time.sleep(0.01)
    return False
