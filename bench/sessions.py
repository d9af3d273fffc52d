"""RecordSessions beside a bare upsert of the same rows, in one run, on both databases.

    python -m bench.sessions [--batch 1000] [--batches 20] [--releases 20] [--kept 500000] [--sqlite-only]

Each batch brings updates of one project's sessions, which began within the last hour: of some twenty releases, a few of
them with most sessions, in two environments, by users of whom there are 20,000. Every session is told of twice: first
that it began (*new*), in a later batch how it ended (*again*). All have the same sessions from before, `--kept` of
them: as many as a project with 500,000 a day has told in a day. Rivals take turns, each with a database of its own:

* *bare upsert*: the driver alone, with the very rows that the store wrote ready in memory: sessions, hours, the times
  of series and of the project; a statement of many rows a table, one transaction.
* *executemany*: the same, a statement of one row over and over, which SQLite likes better.
* *store*: `store.health.record.record_sessions`, from items to the committed transaction.
* *RPC*: a server process; from ready messages to the answer. The client is on the same machine.

The median of the batches counts. Databases are durable (synchronous=FULL, fsync=on).
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import apsw
import psycopg
from releaseregistry.v1 import release_health_service_pb2_grpc, sessions_pb2

from bench.databases import fresh_databases, opened
from bench.figures import tell
from bench.machine import load, machine
from bench.rounds import timed
from store.database import Engine, Reader
from store.database.sqlite_file import CHECKPOINT_FRAMES
from store.health.items import SessionLimits, SessionStatus, SessionUpdate
from store.health.models import HealthHour, HealthProject, HealthSeries, Session
from store.health.record import record_sessions
from store.organizations.lookup import find_organization
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR, member_of_all
from tests.health.messages import update_message
from tests.server_process import ServerProcess

PARENT: Final = "organizations/acme"
CHANGED: Final[dict[Any, str]] = {
    HealthProject: "last_time",
    HealthSeries: "first_time last_time",
    Session: "sequence status error_count timed",
    HealthHour: "session_count crashed_count abnormal_count errored_count error_count users crashed_users durations",
}
"""The tables that a batch writes, in this order, and what changes in rows that are there."""
GOAL: Final = 0.5
Rows = dict[str, list[tuple[Any, ...]]]


class Batch:
    """Updates, what they are on the wire, and the rows that they come to."""

    def __init__(self, updates: list[SessionUpdate]) -> None:
        self.updates = updates
        self.request = sessions_pb2.RecordSessionsRequest(parent=PARENT)
        self.request.updates.extend(update_message(update) for update in updates)
        self.rows: Rows = {}


def batches(count: int, size: int, releases: int, *, seed: int) -> list[Batch]:
    """So many batches of so many updates: half of them begin sessions, the others end these."""
    source = random.Random(seed)
    now = time.time_ns() // 1000
    versions = [f"web@1.{number}.0" for number in range(releases)]
    weights = [1 / (number + 1) for number in range(releases)]
    begun: list[list[SessionUpdate]] = []
    for _ in range(count // 2):
        chosen = source.choices(versions, weights, k=size)
        begun.append(
            [
                SessionUpdate(
                    source.getrandbits(128).to_bytes(16, "big"),
                    f"user-{source.randrange(20_000)}@example.com",
                    1,
                    SessionStatus.OK,
                    0,
                    now - source.randrange(3_500_000_000),
                    None,
                    version,
                    source.choice(("production", "production", "staging")),
                    "web",
                )
                for version in chosen
            ]
        )
    ended = [[_ended(update, source) for update in source.sample(updates, len(updates))] for updates in begun]
    return [Batch(updates) for pair in zip(begun, ended, strict=True) for updates in pair]


def _ended(update: SessionUpdate, source: random.Random) -> SessionUpdate:
    status = source.choices((SessionStatus.EXITED, SessionStatus.CRASHED, SessionStatus.ABNORMAL), (97, 2, 1))[0]
    errors = source.choice((0, 0, 0, 0, 1))
    return update._replace(sequence=2, status=status, error_count=errors, duration=source.randrange(900_000_000))


# --- The rivals --------------------------------------------------------------------------------------------------


def _fetched(query: Any, reader: Reader) -> list[Any]:
    return reader.fetch(query)


def prepare(url: str, kept: int, project_id: bytes = b"") -> bytes:
    """Make a database of the organization `acme` with the project `web`; so many sessions of that project were told, or
    of one with this id. Its id."""
    with opened(url) as database:
        project_id = project_id or Acme(database, "web").projects["web"]
        hour = database.clock.now_us() // 3_600_000_000 * 3_600_000_000
    sqlite = url.startswith("sqlite")
    mark, random_id, rest = (
        ("?", "randomblob(16)", "n % 24") if sqlite else ("%s", "decode(md5(random()::text), 'hex')", "n %% 24")
    )
    text = f"""WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {mark})
        INSERT INTO session (project_id, session_id, series_id, hour, sequence, status, error_count, timed)
        SELECT {mark}, {random_id}, {mark}, {mark} - {rest} * 3600000000, 2, 2, 0, 1 FROM numbers ORDER BY 2"""
    values = (kept, project_id, project_id, hour)
    if sqlite:
        connection: Any = apsw.Connection(url.removeprefix("sqlite://"))
        connection.execute(text, values)
        connection.close()
    else:
        with psycopg.connect(url, autocommit=True) as session:
            session.execute(text, values)
            session.execute("VACUUM ANALYZE session")
            session.execute("CHECKPOINT")
    return project_id


@contextmanager
def store(url: str) -> Iterator[Callable[[Batch], float]]:
    """Records a batch, and takes down the rows that this left."""
    with opened(url) as database:
        organization = database.read(lambda reader: find_organization(reader, OPERATOR, "acme"))
        everybody = member_of_all(organization)
        limits = SessionLimits()
        seen: dict[str, set[tuple[Any, ...]]] = {model._meta.table_name: set() for model in CHANGED}

        def run(batch: Batch) -> float:
            seconds = timed(lambda: record_sessions(database, everybody, "acme", batch.updates, (), limits=limits))
            for model in CHANGED:
                name = model._meta.table_name
                query = model.select().tuples()
                if model is Session:
                    query = query.where(Session.session_id.in_([update.session_id for update in batch.updates]))
                rows = set(database.read(partial(_fetched, query)))
                batch.rows[name] = sorted(rows - seen[name], key=lambda row: row[:2])
                seen[name] = rows
            return seconds

        yield run


@contextmanager
def rpc(url: str, folder: Path) -> Iterator[Callable[[Batch], float]]:
    with ServerProcess(folder, database=url) as server, server.channel() as channel:
        stub = release_health_service_pb2_grpc.ReleaseHealthServiceStub(channel)

        def run(batch: Batch) -> float:
            answers: list[sessions_pb2.RecordSessionsResponse] = []
            seconds = timed(lambda: answers.append(stub.RecordSessions(batch.request, metadata=server.metadata)))
            assert answers[0].recorded.recorded_count == len(batch.updates)
            return seconds

        yield run


@contextmanager
def bare(engine: Engine, url: str, *, together: bool) -> Iterator[Callable[[Batch], float]]:
    connection: Any
    if engine == "sqlite":
        connection = apsw.Connection(url.removeprefix("sqlite://"))
        pragmas = ("journal_mode = WAL", "synchronous = FULL", f"wal_autocheckpoint = {CHECKPOINT_FRAMES}")
        connection.execute("; ".join(f"PRAGMA {pragma}" for pragma in pragmas))
    else:
        connection = psycopg.connect(url, autocommit=True)
    cursor = connection.cursor()

    def run(batch: Batch) -> float:
        texts = [
            (upsert(engine, model, len(rows) if together else 1), rows, [value for row in rows for value in row])
            for model in CHANGED
            if (rows := batch.rows[model._meta.table_name])
        ]

        def write() -> None:
            cursor.execute("BEGIN")
            for text, rows, values in texts:
                if together:
                    cursor.execute(text, values)
                else:
                    cursor.executemany(text, rows)
            cursor.execute("COMMIT")

        return timed(write)

    try:
        yield run
    finally:
        connection.close()


def upsert(engine: Engine, model: Any, count: int) -> str:
    """The statement that inserts so many rows, or makes what is there like them."""
    columns = [field.column_name for field in model._meta.sorted_fields]
    key = [field.column_name for field in model._meta.get_primary_keys()]
    row = f"({', '.join(['?' if engine == 'sqlite' else '%s'] * len(columns))})"
    changed = ", ".join(f"{column} = excluded.{column}" for column in CHANGED[model].split())
    return (
        f"INSERT INTO {model._meta.table_name} ({', '.join(columns)}) VALUES {', '.join([row] * count)} "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changed}"
    )


# --- The comparison ----------------------------------------------------------------------------------------------


def compare(engine: Engine, urls: Sequence[str], folder: Path, options: argparse.Namespace) -> None:
    took: dict[tuple[str, int], list[float]] = {}
    sent = batches(options.batches + 4, options.batch, options.releases, seed=1)
    project_id = prepare(urls[0], options.kept)
    prepare(urls[1], options.kept, project_id)  # where the same rows go into the same places
    prepare(urls[2], options.kept)
    prepare(urls[3], options.kept, project_id)
    with ExitStack() as stack:
        # The store goes first: it leaves the rows that the bare upsert writes.
        rivals = {
            "store": stack.enter_context(store(urls[0])),
            "bare upsert": stack.enter_context(bare(engine, urls[1], together=True)),
            "executemany": stack.enter_context(bare(engine, urls[3], together=False)),
            "RPC": stack.enter_context(rpc(urls[2], folder / engine)),
        }
        for number, batch in enumerate(sent):
            for name, rival in rivals.items():
                seconds = rival(batch)
                if number >= 4:  # the first ones fill caches
                    took.setdefault((name, number % 2), []).append(seconds)
    hours = statistics.median(len(batch.rows["health_hour"]) for batch in sent)
    print(
        f"{engine}: {options.batch:,} updates a batch, {hours:.0f} rows of hours; the median of {options.batches // 2}"
    )
    for name in rivals:
        columns = []
        for kind, said in enumerate(("new", "again")):
            median = statistics.median(took[name, kind])
            ratio = middle_ratio(took["bare upsert", kind], took[name, kind])
            columns.append(f"{said} {median * 1e3:6.2f} ms {options.batch / median:8,.0f} updates/s {ratio:5.2f} x")
        print(f"  {name:12} {'   '.join(columns)}")
    for name in ("store", "RPC"):
        bares, ours = (
            list(map(sum, zip(took[rival, 0], took[rival, 1], strict=True))) for rival in ("bare upsert", name)
        )
        ratio = middle_ratio(bares, ours)
        tell(f"  RecordSessions, {name} / bare upsert, updates a second, {engine}", ratio, at_least=GOAL)


def middle_ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """The median of the ratios that each turn had: what else the machine does hits both of a turn."""
    return statistics.median(their / our for their, our in zip(theirs, ours, strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.sessions", description="RecordSessions beside a bare upsert.")
    parser.add_argument("--batch", type=int, default=1_000, help="updates a call")
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--releases", type=int, default=20)
    parser.add_argument("--kept", type=int, default=500_000, help="sessions that were told before")
    parser.add_argument("--sqlite-only", action="store_true")
    options = parser.parse_args(arguments)
    print(f"{machine()}; load {load():.1f}")
    for engine, urls, folder in fresh_databases(4, sqlite_only=options.sqlite_only):
        compare(engine, urls, folder, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
