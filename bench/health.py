"""What sessions come to on disk, and GetReleaseHealth beside its bare SQL, on both databases.

    python -m bench.health [--releases 200] [--sessions 1000000] [--calls 200] [--processor] [--sqlite-only]

An installation has had `--sessions` a day for 90 days, of `--releases` releases in two environments alike, by a user
for every second or third session. Its rows are written in bulk, as ingest and upkeep leave them: first a month of hours
and days, of which the size is told, then the days of two months before. Sketches are drawn from some dozens of a size.

Asked is for one release over 90 days; the rivals take turns:

* *bare SQL*: the very statements that the call below runs, by the driver alone, on values ready in memory: all rows
  fetched, and their counts summed. No sketch is looked at.
* *store*: `store.health.read.get_release_health`, when nothing has changed since it was asked before (*again*), when
  the hour under way has changed since, in both environments (*told*), and when nothing is remembered of what sketches
  came to, as after a start (*first*). A write empties SQLite's cache of pages, so *told* is compared by itself.
* *RPC*: a server process, *again*; the client is on the same machine.

The median of the calls counts. The pages of the database are in memory in all cases. With `--processor` times on
SQLite, where the thread that calls does it all, are the processor's, whatever else the machine does.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import apsw
import psycopg
from releaseregistry.v1 import health_pb2, release_health_service_pb2_grpc

from bench.figures import tell
from bench.machine import MB, load, machine
from store.access.operators import ensure_operator_token
from store.database import Database, Engine, Statement, Transaction, hole, holes_for, new_id, open_database
from store.database.postgres_transaction import PostgresReader
from store.database.sqlite import SqliteReader
from store.health import sums
from store.health.models import HealthDay, HealthHour, HealthProject, HealthSeries
from store.health.read import HealthQuestion, ReleaseHealth, get_release_health
from store.health.sketches import Durations, Users
from store.health.spans import Span
from store.health.windows import DAY_US, HOUR_US, Period, day_of, hour_of
from tests.contract.acme import Acme
from tests.postgres_server import running
from tests.server_process import OPERATOR_TOKEN, ServerProcess

GOAL: Final = 2.0
DAYS: Final = 90
MONTH: Final = 30
PLACES: Final = ("production", "staging")
HOUR_DAYS: Final = 35
TABLES: Final[tuple[Any, ...]] = (HealthHour, HealthDay, HealthSeries)

_ROLLUPS: Final = {
    model: Statement(model.insert(holes_for(*model._meta.sorted_fields))) for model in (HealthHour, HealthDay)
}
_SERIES: Final = Statement(HealthSeries.insert(holes_for(*HealthSeries._meta.sorted_fields)))
_PROJECT: Final = Statement(HealthProject.insert(holes_for(*HealthProject._meta.sorted_fields)))

_TELL: Final = Statement(
    HealthHour.update({HealthHour.users: hole(HealthHour.users)}).where(
        HealthHour.series_id == hole(HealthHour.series_id), HealthHour.start_time == hole(HealthHour.start_time)
    )
)


# --- The data ----------------------------------------------------------------------------------------------------


def rollup(sessions: int, source: random.Random) -> dict[str, Any]:
    """What so many sessions come to: one in a hundred crashed, nearly all the others ended with a duration."""
    crashes = max(1, sessions // 100)
    users, crashed_users, durations = Users.of(None), Users.of(None), Durations.of(None)
    numbers = [source.getrandbits(64) - 2**63 for _ in range(max(1, sessions * 2 // 5))]
    users.add(numbers)
    crashed_users.add(numbers[:crashes])
    durations.add(source.expovariate(1 / 300) for _ in range(sessions - crashes))
    return {
        "session_count": sessions,
        "crashed_count": crashes,
        "abnormal_count": sessions // 500,
        "errored_count": sessions // 20,
        "error_count": sessions // 10,
        "users": users.data(),
        "crashed_users": crashed_users.data(),
        "durations": durations.data(),
    }


class Population:
    """The series of a project, and rows of their hours and days."""

    def __init__(self, acme: Acme, releases: int, sessions: int, now_us: int) -> None:
        source = random.Random(1)
        self._acme = acme
        self._today = day_of(now_us)
        self._hour = hour_of(now_us)
        each = sessions // releases // len(PLACES)
        self.series = [new_id() for _ in range(releases * len(PLACES))]
        self.projects = [new_id() for _ in PLACES]
        self._rollups = {
            (model, whole): [rollup(max(1, count), source) for _ in range(variants)]
            for (model, whole, count, variants) in (
                (HealthHour, False, each // 24, 50),
                (HealthDay, False, each, 50),
                (HealthHour, True, sessions // len(PLACES) // 24, 10),
                (HealthDay, True, sessions // len(PLACES), 4),
            )
        }
        self._source = source
        self._versions = [f"app@1.{number}.0" for number in range(releases)]

    def write_series(self) -> None:
        """Write the project, the release that is asked for, and all series."""
        self._acme.release(self._versions[0], "web")
        project_id, first = self._acme.projects["web"], self._today - (DAYS - 1) * DAY_US
        keys = [(version, place) for version in self._versions for place in PLACES] + [("", place) for place in PLACES]

        def write(tx: Transaction) -> None:
            organization = {"project_id": project_id, "organization_id": self._acme.id}
            tx.run(_PROJECT, **organization, last_time=self._hour, sought_time=0)
            fixed = {"release_id": None, "first_time": first, "last_time": self._hour}
            tx.run_many(
                _SERIES,
                [
                    {**organization, **fixed, "id": id_, "version": version, "environment": place}
                    | {"days_until": self._today - DAY_US}
                    for id_, (version, place) in zip(self.series + self.projects, keys, strict=True)
                ],
            )

        self._acme.db.write(write, long=True)

    def write_hours(self, days: int) -> None:
        """Write the hours of so many days, the last of which is today, hour by hour."""
        for start in range(self._today - (days - 1) * DAY_US, self._hour + HOUR_US, HOUR_US):
            self._write(HealthHour, start)

    def write_days(self, first: int, end: int) -> None:
        """Write the days from `first` days before today until `end` days before."""
        for ago in range(first, end, -1):
            self._write(HealthDay, self._today - ago * DAY_US)

    def tell_more(self) -> None:
        """Change this hour of the release that is asked for, as an ingest of sessions does."""
        rows = [
            {"series_id": id_, "start_time": self._hour, "users": self._source.choice(self._hours)["users"]}
            for id_ in self.series[: len(PLACES)]
        ]
        self._acme.db.write(lambda tx: tx.run_many(_TELL, rows))

    @property
    def _hours(self) -> list[dict[str, Any]]:
        return self._rollups[HealthHour, False]

    def _write(self, model: Any, start: int) -> None:
        rows = [
            {"series_id": id_, "start_time": start, **self._source.choice(self._rollups[model, whole])}
            for whole, ids in ((False, self.series), (True, self.projects))
            for id_ in ids
        ]
        self._acme.db.write(lambda tx: tx.run_many(_ROLLUPS[model], rows), long=True)


# --- Sizes -------------------------------------------------------------------------------------------------------


def sizes(engine: Engine, url: str) -> dict[str, tuple[int, int]]:
    """The bytes on disk, indexes included, and the rows of each table."""
    found = {}
    if engine == "sqlite":
        file = apsw.Connection(url.removeprefix("sqlite://"))
        for model in TABLES:
            table = model._meta.table_name
            pages = file.execute(
                "SELECT sum(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name = ?)",
                (table,),
            ).get
            found[table] = (pages, file.execute(f"SELECT count(*) FROM {table}").get)
        file.close()
        return found
    with psycopg.connect(url, autocommit=True) as connection:
        for model in TABLES:
            table = model._meta.table_name
            row = connection.execute(
                f"SELECT pg_total_relation_size('{table}'), (SELECT count(*) FROM {table})".encode()
            ).fetchone()
            assert row is not None
            found[table] = row
    return found


# --- The rivals --------------------------------------------------------------------------------------------------

Rival = Callable[[], Any]
Executed = list[tuple[str, list[Any]]]


def executed(action: Rival) -> Executed:
    """The statements that it runs, with their values."""
    told: Executed = []
    with ExitStack() as stack:
        for reader in (SqliteReader, PostgresReader):

            def spy(self: Any, sql: str, values: Any, *, original: Any = reader._read) -> Any:
                told.append((sql, list(values)))
                return original(self, sql, values)

            stack.enter_context(patch.object(reader, "_read", spy))
        action()
    return told


def summed(rows: Sequence[tuple[Any, ...]]) -> list[int]:
    """The sums of the columns that count something."""
    return [sum(column) for column in zip(*rows, strict=True) if type(column[0]) is int]


@contextmanager
def bare(engine: Engine, url: str, statements: Executed) -> Iterator[Rival]:
    """The same statements by the driver alone."""
    if engine == "sqlite":
        file = apsw.Connection(url.removeprefix("sqlite://"))

        def on_sqlite() -> None:
            for sql, values in statements:
                summed(file.execute(sql, values).fetchall())

        yield on_sqlite
        file.close()
        return
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.cursor()

        def on_postgres() -> None:
            for sql, values in statements:
                summed(cursor.execute(sql.encode(), values, prepare=True, binary=True).fetchall())

        yield on_postgres


# --- The comparison ----------------------------------------------------------------------------------------------


def measured(
    rivals: dict[str, Rival], calls: int, *, timer: Callable[[], float], before: dict[str, Rival]
) -> dict[str, float]:
    """The median seconds of each, call by call in turns."""
    took: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(calls + 10):
        for name, rival in rivals.items():
            if name in before:
                before[name]()
            started = timer()
            rival()
            if number >= 10:  # the first ones fill caches
                took[name].append(timer() - started)
    return {name: statistics.median(seconds) for name, seconds in took.items()}


def asked(database: Database, acme: Acme) -> ReleaseHealth:
    """One release over 90 days."""
    question = HealthQuestion(span=Span(Period.LAST_90D))
    return get_release_health(database, acme.everybody, "acme", "app@1.0.0", question, hour_days=HOUR_DAYS)


def compare(engine: Engine, url: str, folder: Path, options: argparse.Namespace) -> None:
    database = open_database(url)
    try:
        database.migrate()
        ensure_operator_token(database, OPERATOR_TOKEN)
        acme = Acme(database, "web")
        started = time.perf_counter()
        population = Population(acme, options.releases, options.sessions, database.now_us())
        population.write_series()
        population.write_hours(MONTH)
        population.write_days(MONTH - 1, 1)
        if engine == "sqlite":
            tell_sizes(engine, url, "a month of hours and days")
        else:
            tell_sizes(engine, url, "a month of hours and days, each row written once")
        population.write_days(DAYS - 1, MONTH - 1)
        if engine == "postgresql":
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("ANALYZE")  # as autovacuum does before long
        print(f"  (written in {time.perf_counter() - started:.0f} s)", flush=True)
        compare_calls(engine, url, database, acme, population, options)
    finally:
        database.close()
    compare_rpc(engine, url, folder, options)


def tell_sizes(engine: Engine, url: str, what: str) -> None:
    found = sizes(engine, url)
    print(f"{engine}: {what} take {sum(size for size, _ in found.values()) / MB:,.0f} MB", flush=True)
    for table, (size, rows) in found.items():
        print(f"  {table:14} {rows:9,} rows {size / MB:8,.1f} MB  {size / rows:8,.0f} bytes a row")


_BARE: dict[Engine, float] = {}


def compare_calls(
    engine: Engine,
    url: str,
    database: Database,
    acme: Acme,
    population: Population,
    options: argparse.Namespace,
) -> None:
    ask = partial(asked, database, acme)
    figures = ask().projects[0].figures
    statements = executed(ask)
    print(
        f"  one release over {DAYS} days: {len(statements)} statements, {figures.session_count:,} sessions of "
        f"{figures.user_count:,} users; the median of {options.calls} calls; load {load():.1f}"
    )
    timer = time.thread_time if options.processor and engine == "sqlite" else time.perf_counter
    with bare(engine, url, statements) as bare_sql:
        quiet = measured(
            {"bare SQL": bare_sql, "store, again": ask, "store, first": ask},
            options.calls,
            timer=timer,
            before={"store, first": sums.forget},
        )
        busy = measured(
            {"bare SQL, told": bare_sql, "store, told": ask},
            options.calls,
            timer=timer,
            before={"bare SQL, told": population.tell_more, "store, told": population.tell_more},
        )
    for medians in (quiet, busy):
        bare_seconds, *_ = medians.values()
        for name, seconds in medians.items():
            print_beside(name, seconds, bare_seconds)
    _BARE[engine] = quiet["bare SQL"]
    for name, ratio in (
        ("again", quiet["store, again"] / quiet["bare SQL"]),
        ("told", busy["store, told"] / busy["bare SQL, told"]),
    ):
        tell(f"  GetReleaseHealth, store / bare SQL, {name}, {engine}", ratio, at_most=GOAL)


def compare_rpc(engine: Engine, url: str, folder: Path, options: argparse.Namespace) -> None:
    environment = {"RELEASES_HEALTH_HOUR_DAYS": str(HOUR_DAYS)}
    with ServerProcess(folder, database=url, environment=environment) as server, server.channel() as channel:
        stub = release_health_service_pb2_grpc.ReleaseHealthServiceStub(channel)
        request = health_pb2.GetReleaseHealthRequest(
            name="organizations/acme/releases/app@1.0.0", period=health_pb2.HEALTH_PERIOD_LAST_90D
        )
        ask = partial(stub.GetReleaseHealth, request, metadata=server.metadata)
        medians = measured({"RPC": ask}, options.calls, timer=time.perf_counter, before={})
        print_beside("RPC, again", medians["RPC"], _BARE[engine])


def print_beside(name: str, seconds: float, bare_seconds: float) -> None:
    print(f"  {name:14} {seconds * 1e3:7.2f} ms  {seconds / bare_seconds:5.2f} x", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.health", description="GetReleaseHealth beside its bare SQL.")
    parser.add_argument("--releases", type=int, default=200)
    parser.add_argument("--sessions", type=int, default=1_000_000, help="sessions a day")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--processor", action="store_true", help="on SQLite the thread's time, not the clock's")
    parser.add_argument("--sqlite-only", action="store_true")
    options = parser.parse_args(arguments)
    print(f"{machine()}; load {load():.1f}")
    with tempfile.TemporaryDirectory(prefix="bench-health-") as name:
        folder = Path(name)
        compare("sqlite", f"sqlite://{folder}/registry.db", folder / "sqlite", options)
        if not options.sqlite_only:
            with running() as server, server.fresh_database() as url:
                compare("postgresql", url, folder / "postgresql", options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
