"""The kill drill: callers at work, kill -9 at a random moment, a start on the same data, and a look at everything.

    python -m tests.crash.drill --cycles 100 [--engine sqlite|postgresql|both] [--seed N]

After each kill: every acknowledged call is there with the same content, every unacknowledged one wholly or not at all,
a repeated one has its effect once, rows agree with each other and with the bytes, and nothing unfinished lies about.
The seed repeats the callers' choices and the moments; what the machine makes of them differs from run to run.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import threading
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from releaseregistry.v1 import organizations_pb2

from tests import postgres_server
from tests.crash.invariants import Rows, check_rows, list_versions, postgres_rows, settle, sqlite_rows, unfinished_packs
from tests.crash.ledger import ReleaseEntry, Tally
from tests.crash.workload import CALL_SECONDS, ORGANIZATION, BrokenPromise, Worker
from tests.server_process import ServerProcess, Stubs

WORKERS = 4
# The shot falls after so many answers, whatever the machine's pace, and a moment later, where calls are under way.
ANSWERS_BEFORE_THE_SHOT = (0, 60)
MOMENT_SECONDS = (0.0, 0.05)
PATIENCE_SECONDS = 20.0
_ALARM = re.compile(r'"level": "(error|critical)"|Traceback')
OLD_RELEASES = 8  # of those that no call touched since, so many are looked at again after each kill; at the end all are


@dataclass(slots=True)
class Drill:
    """One server and its callers, over many kills."""

    server: ServerProcess
    seed: int
    tally: Tally = field(default_factory=Tally)
    workers: list[Worker] = field(init=False)
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.workers = [Worker(number, seed=self.seed, tally=self.tally) for number in range(WORKERS)]
        self.random = random.Random(self.seed)

    def run(self, cycles: int) -> None:
        """Raises `BrokenPromise` at the first finding, with the cycle in its text."""
        self.server.start()
        self._prepare()
        for cycle in range(1, cycles + 1):
            try:
                self._shoot()
                self._check_rows()
                self.server.start()
                self._look(everything=cycle == cycles)
            except BrokenPromise as finding:
                raise BrokenPromise(f"cycle {cycle}, seed {self.seed}: {finding}") from finding
        if (code := self.server.stop()) != 0:
            raise BrokenPromise(f"seed {self.seed}: exit code {code} after the last SIGTERM")
        self._check_rows()
        # A call that failed by a defect may have been one whose caller was cut and never heard of it.
        if errors := [line for line in self.server.output().splitlines() if _ALARM.search(line)]:
            raise BrokenPromise(f"seed {self.seed}: the log has {len(errors)} errors, such as {errors[0][:1000]}")

    def _prepare(self) -> None:
        with self.server.channel() as channel:
            stubs = Stubs(channel)
            organization = organizations_pb2.Organization(slug=ORGANIZATION.partition("/")[2])
            stubs.organizations.CreateOrganization(
                organizations_pb2.CreateOrganizationRequest(organization=organization),
                timeout=CALL_SECONDS,
                metadata=self.server.metadata,
            )
            for slug in ("web", "api"):
                stubs.organizations.CreateProject(
                    organizations_pb2.CreateProjectRequest(
                        parent=ORGANIZATION, project=organizations_pb2.Project(slug=slug)
                    ),
                    timeout=CALL_SECONDS,
                    metadata=self.server.metadata,
                )

    def _shoot(self) -> None:
        """Let the callers work, and kill the server in the middle of it."""
        shot = threading.Event()
        threads = [threading.Thread(target=worker.run, args=(self.server, shot)) for worker in self.workers]
        for thread in threads:
            thread.start()
        wanted = self.tally.answered + self.random.randint(*ANSWERS_BEFORE_THE_SHOT)
        patience = time.monotonic() + PATIENCE_SECONDS
        while self.tally.answered < wanted and time.monotonic() < patience and any(each.is_alive() for each in threads):
            time.sleep(0.001)
        time.sleep(self.random.uniform(*MOMENT_SECONDS))
        shot.set()
        self.server.kill()
        for thread in threads:
            thread.join(2 * CALL_SECONDS)
        if any(thread.is_alive() for thread in threads):
            raise BrokenPromise("a caller hangs on a server that is dead")
        if problems := [problem for worker in self.workers for problem in worker.problems]:
            raise BrokenPromise("; ".join(problems))

    def _look(self, *, everything: bool) -> None:
        """Compare the restarted server with the ledger; send half of the cut calls again, and compare once more."""
        entries = {version: entry for worker in self.workers for version, entry in worker.releases.items()}
        in_doubt = [
            (worker, entry, file)
            for worker in self.workers
            for entry in worker.releases.values()
            for file in (*(each for each in entry.files.values() if len(each.possible) > 1), None)
            if file is not None or len(entry.possible) > 1
        ]
        touched = [entry for entry in entries.values() if entry.touched]
        untouched = [entry for entry in entries.values() if not entry.touched]
        with self.server.channel() as channel:
            stubs = Stubs(channel)
            again = untouched if everything else self.random.sample(untouched, min(OLD_RELEASES, len(untouched)))
            settle(stubs, self.server, [*touched, *again], self.tally)
            self._compare_list(stubs, entries)
            repeated = []
            for worker, entry, file in in_doubt:
                if self.random.random() < 0.5:
                    worker.repeat(stubs, [(entry, file)])
                    self.tally.add("cut call (repeated)", "answered")
                    repeated.append(entry)
            settle(stubs, self.server, repeated, self.tally)
            self._compare_list(stubs, entries)
        if unfinished := unfinished_packs(self.blobs):
            raise BrokenPromise(f"unfinished packs lie about: {unfinished}")

    def _compare_list(self, stubs: Stubs, entries: dict[str, ReleaseEntry]) -> None:
        wanted = {version for version, entry in entries.items() if entry.commits is not None}
        if (listed := list_versions(stubs, self.server)) != wanted:
            raise BrokenPromise(f"listed but not there: {listed - wanted}; there but not listed: {wanted - listed}")

    def _check_rows(self) -> None:
        rows: AbstractContextManager[Rows]
        if self.server.database is None:
            engine, rows = "sqlite", sqlite_rows(self.server.data / "registry.db")
        else:
            engine, rows = "postgresql", postgres_rows(self.server.database)
        with rows as query:
            check_rows(query, engine=engine, blobs=self.blobs)

    @property
    def blobs(self) -> Path:
        """The folder of the files' bytes."""
        return self.server.data / "blobs"


def drill(*, engine: str, cycles: int, seed: int, folder: Path, database: str | None) -> Tally:
    """So many kills on one engine, in this folder. Raises `BrokenPromise`; answers what happened how often."""
    server = ServerProcess(folder, database=database)
    rehearsal = Drill(server, seed)
    try:
        rehearsal.run(cycles)
    finally:
        server.kill()
    print(f"kill drill: {engine}, {cycles} kills, seed {seed}: {rehearsal.tally}", flush=True)
    return rehearsal.tally


def main() -> int:
    """The full count, from the command line."""
    parser = argparse.ArgumentParser(description="Kill the server again and again, and look at what is left.")
    parser.add_argument("--cycles", type=int, default=100, help="kills on each engine (default: 100)")
    parser.add_argument("--engine", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--seed", type=int, default=None, help="repeats the callers' choices (default: a new one)")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    engines = ("sqlite", "postgresql") if options.engine == "both" else (options.engine,)
    for engine in engines:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="registry-drill-")))
            database = None
            if engine == "postgresql":
                postgres = stack.enter_context(postgres_server.running())
                database = stack.enter_context(postgres.fresh_database())
            try:
                drill(engine=engine, cycles=options.cycles, seed=seed, folder=folder, database=database)
            except BrokenPromise as finding:
                print(f"kill drill: {engine}: {finding}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
