"""PostgreSQL: connections, what is refused at start, and what every transaction is bounded by."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import psycopg
import pytest

from store.database import CannotOpen, Database, Reader, open_database
from store.database.postgres_pool import SIZE, check_driver
from store.errors import DatabaseBusy, DatabaseDown, ReadOnly
from tests.clocks import ManualClock
from tests.database.conftest import Crowd, things_at
from tests.database.things import add, names
from tests.postgres_server import PostgresServer

BACKENDS = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
PID = "SELECT pg_terminate_backend(%s, 5000)"


def test_a_pool_in_full_use_makes_others_wait_only_so_long(postgres_url: str, crowd: Crowd) -> None:
    go_on = threading.Event()
    with things_at(postgres_url) as database:
        all_in = threading.Barrier(SIZE + 1)

        def hold(_: Reader) -> None:
            all_in.wait(60)
            assert go_on.wait(60)

        holding = [crowd.start(lambda: database.read(hold)) for _ in range(SIZE)]
        all_in.wait(60)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(database, "_wait_seconds", 0.2)
            with pytest.raises(DatabaseBusy):
                names(database)
            with pytest.raises(DatabaseBusy):
                add(database, "a")
        go_on.set()
        for read in holding:
            read.result()
        assert names(database) == []


def test_at_most_eight_connections_are_open(
    postgres_things: Database, admin: psycopg.Connection[Any], crowd: Crowd
) -> None:
    writes = [crowd.start(partial(add, postgres_things, str(n))) for n in range(200)]
    for write in writes:
        write.result()
    counted = admin.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s",
        ("release-registry",),
    ).fetchone()
    assert counted is not None
    assert 1 <= counted[0] <= 8


def test_too_many_connections_is_busy_not_down(postgres_url: str, admin: psycopg.Connection[Any]) -> None:
    with things_at(postgres_url) as database:
        admin.execute("CREATE ROLE guest LOGIN")
        try:
            admin.execute("GRANT SELECT ON thing TO guest")
            admin.execute("ALTER ROLE guest CONNECTION LIMIT 0")
            internals: Any = database
            internals._pool._parameters["user"] = "guest"
            internals._pool.discard_idle()
            with pytest.raises(DatabaseBusy, match="no free connection"):
                names(database)
            admin.execute("ALTER ROLE guest CONNECTION LIMIT -1")
            assert names(database) == []
        finally:
            internals._pool.discard_idle()
            admin.execute("DROP OWNED BY guest")
            admin.execute("DROP ROLE guest")


def test_a_database_that_was_made_read_only_refuses_writes_and_answers_reads(
    postgres_url: str, admin: psycopg.Connection[Any]
) -> None:
    with things_at(postgres_url) as database:
        add(database, "a")
        name = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
        admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'.encode())
        internals: Any = database
        internals._pool.discard_idle()
        with pytest.raises(ReadOnly):
            add(database, "b")
        assert names(database) == ["a"]


def test_a_server_that_is_not_there_is_down(postgres_url: str) -> None:
    with things_at(postgres_url, wait_seconds=0.5) as database:
        internals: Any = database
        internals._pool._parameters["host"] = "/nowhere"
        internals._pool.discard_idle()
        with pytest.raises(DatabaseDown) as down:
            names(database)
        assert "nowhere" not in str(down.value)
        with pytest.raises(DatabaseDown):
            add(database, "a")


def test_opening_what_is_not_there_is_one_line_without_the_password() -> None:
    with pytest.raises(CannotOpen, match="cannot be reached") as refused:
        open_database("postgresql://someone:hunter2@/x?host=/nowhere")
    assert "hunter2" not in str(refused.value)
    assert "No such file or directory" in str(refused.value)
    with pytest.raises(CannotOpen, match="malformed"):
        open_database("postgresql://someone:hunter2%zz@host/x")


def test_a_database_in_another_encoding_is_refused(postgres_server: PostgresServer) -> None:
    with postgres_server.admin() as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(CannotOpen, match="LATIN1"):
        open_database(postgres_server.url("latin"))


def test_an_old_server_is_refused(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.database.postgres_pool.OLDEST", 99)
    with pytest.raises(CannotOpen, match="99 or newer"):
        open_database(postgres_url)


def test_the_slow_driver_is_refused() -> None:
    with pytest.raises(CannotOpen, match="binary"):
        check_driver("python")
    check_driver(psycopg.pq.__impl__)


def test_behind_a_pooler_nothing_is_prepared_and_nothing_stays_set(
    postgres_url: str, clock: ManualClock, admin: psycopg.Connection[Any]
) -> None:
    with things_at(postgres_url, clock, server_side_prepares=False) as database:
        for number in range(10):
            add(database, str(number))
            assert len(names(database)) == number + 1
        internals: Any = database
        [connection] = internals._pool._idle
        assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
        for setting in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            assert connection.execute(f"SHOW {setting}").fetchone() == ("0",)
        assert connection.info.get_parameters().get("options") is None


def test_every_transaction_has_its_timeouts(postgres_things: Database) -> None:
    def settings(tx: Any) -> list[str]:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_isolation")
        return [tx._session.read(f"SHOW {name}", ())[0][0] for name in names]

    assert postgres_things.write(settings, wait_seconds=2)[0::2] == ["15s", "10s"]
    assert postgres_things.write(settings, long=True)[0] == "1min"
    answers: list[str] = postgres_things.write(settings, wait_seconds=2)
    lock_timeout, isolation = answers[1::2]
    assert lock_timeout.endswith("ms")
    assert 0 < int(lock_timeout.removesuffix("ms")) <= 2000
    assert isolation == "read committed"
    reading = postgres_things.read(settings)
    assert reading[0::2] == ["15s", "10s"]
    assert reading[3] == "repeatable read"


def test_what_postgresql_refuses_is_told(postgres_server: PostgresServer) -> None:
    with pytest.raises(CannotOpen, match='database "nowhere" does not exist'):
        open_database(postgres_server.url("nowhere"))
    with postgres_server.fresh_database() as url, postgres_server.admin() as connection:
        connection.execute("CREATE ROLE guest LOGIN")
        database = open_database(url.replace("postgres@", "guest@"))
        try:
            with pytest.raises(CannotOpen, match="does not let this user make the tables"):
                database.migrate()
        finally:
            database.close()
            connection.execute("DROP ROLE guest")
