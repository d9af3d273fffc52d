"""The power cut drill: callers at work, a power cut of one or both disks, a start on what is left, a look at it all.

    python -m tests.crash.power_drill --cycles 100 [--engine sqlite|postgresql|both] [--seed N] [--no-controls]

Packs and database lie on two file systems of their own (tests/crash/power_cut.py). After each cut: every acknowledged
file is there byte for byte, everything else wholly or not at all, uploads go on at the offset that was told to be
committed, rows agree with each other and with the bytes, and the server's own check finds nothing. Each round of twelve
cycles begins with empty disks and cuts each disk, and both, at each kind of moment.

Then the controls: with one sync taken out, the same drill must fail.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import grpc
import psycopg
from releaseregistry.v1 import admin_pb2

from tests.crash.drill import Drill
from tests.crash.invariants import check_rows, postgres_rows, settle, sqlite_rows
from tests.crash.ledger import Tally
from tests.crash.power_cut import Disks, FileSystem, disks, obstacle
from tests.crash.power_postgres import PostgresDied, PostgresOnDisk
from tests.crash.power_workload import SlowUploader, Uploader
from tests.crash.without_sync import CONTROLS
from tests.crash.workload import BrokenPromise
from tests.server_process import SERVER, ServerDied, ServerProcess, Stubs

UPLOADERS = 3
CUTS = ("blobs", "database", "both")
MOMENTS = ("at an answer", "at work", "between groups", "at a start")
ROUND = len(CUTS) * len(MOMENTS)
ANSWERS_BEFORE_THE_CUT = (0, 20)
MOMENT_SECONDS = (0.0, 0.1)
START_SECONDS = (0.0, 1.5)
DEAD_DISK_SECONDS = (0.0, 0.1)  # how long the server still runs on disks that are gone
RESUMED_SHARE = 0.3  # of the unfinished uploads after each cut; after the last one of a round, all
PATIENCE_SECONDS = 30.0
CHECK_SECONDS = 120.0
_ALARM = re.compile(r'"level": "(error|critical)"|Traceback')
PROGRAM = (str(SERVER),)
FINDINGS = (BrokenPromise, ServerDied, PostgresDied, grpc.RpcError, apsw.Error, psycopg.Error)


@dataclass(slots=True)
class Machine:
    """What loses power: two disks, a server on them, and a database server where the engine is one."""

    disks: Disks
    server: ServerProcess
    postgres: PostgresOnDisk | None

    def first_start(self) -> None:
        """Empty disks, nothing on them but an empty PostgreSQL."""
        self.off()
        self.disks.make()
        self.server.log.unlink(missing_ok=True)
        if self.postgres is not None:
            self.postgres.make()

    def cut(self, what: str, chance: random.Random) -> None:
        """Power is gone for the disks; the processes live on for a moment."""
        found: list[FileSystem] = [
            getattr(self.disks, name) for name in ("blobs", "database") if what in (name, "both")
        ]
        chance.shuffle(found)
        for disk in found:
            disk.cut()

    def off(self) -> None:
        """No process and no mount is left, and nothing that was in memory."""
        self.server.kill()
        if self.postgres is not None:
            self.postgres.kill()
        self.disks.unmount()

    def on(self) -> None:
        """The disks are mounted, journals replayed, PostgreSQL has recovered. Raises `PostgresDied`."""
        self.disks.mount()
        if self.postgres is not None:
            self.postgres.start()


class PowerDrill(Drill):
    """One round: a server that begins with empty disks, its callers, and up to twelve power cuts."""

    def __init__(self, machine: Machine, *, seed: int, tally: Tally, cuts: Counter[tuple[str, str]]) -> None:
        super().__init__(machine.server, seed, tally)
        self.machine = machine
        self.cuts = cuts
        self.slow = SlowUploader(UPLOADERS, seed=seed, tally=tally)
        self.uploaders: list[Uploader] = [
            *(Uploader(number, seed=seed, tally=tally) for number in range(UPLOADERS)),
            self.slow,
        ]
        self.workers = list(self.uploaders)
        self._log_from = 0

    def run(self, cycles: int) -> None:
        """Raises `BrokenPromise` at the first finding, with the cycle in its text."""
        self.machine.first_start()
        for cycle in range(cycles + 1):
            what, moment = CUTS[(cycle - 1) % len(CUTS)], MOMENTS[(cycle - 1) % len(MOMENTS)]
            if not cycle:
                what, moment = self.random.choice(CUTS), "at the first start"
            try:
                self._cycle(what, moment, is_last=cycle == cycles)
            except FINDINGS as finding:
                told = f"cycle {cycle} ({what}, {moment}), seed {self.seed}: {_told(finding)}"
                raise BrokenPromise("\n".join((told, *self._alarms()[-3:]))) from finding
        self._end()

    def _cycle(self, what: str, moment: str, *, is_last: bool) -> None:
        if moment == "at the first start":
            self._cut_a_start(what)
        else:
            self._work(what, moment)
        self.cuts[what, moment] += 1
        self.machine.on()
        if moment != "at the first start":
            self._check_rows()
        self._start()
        if moment == "at the first start":
            self._prepare()
        else:
            self._look(everything=is_last)
            self._check_storage()

    def _start(self) -> None:
        self._log_from = self._log_size()
        self.server.start()

    def _work(self, what: str, moment: str) -> None:
        """Let the callers work, and cut power in the middle of it, or just when one of them has its answer."""
        stop, cut = threading.Event(), threading.Event()
        self.slow.stop = stop
        callers = [each for each in self.uploaders if each is not self.slow or moment == "between groups"]
        threads = [threading.Thread(target=each.work, args=(self.server, stop, cut)) for each in callers]
        for thread in threads:
            thread.start()
        self._wait_for_answers(threads)
        if moment == "between groups":
            self._wait_for_two_groups(threads)
        if moment == "at work":
            time.sleep(self.random.uniform(*MOMENT_SECONDS))
        if moment == "at an answer":
            # Nobody else may sync anything behind this answer's back.
            stop.set()
            self._join(threads)
            with self.server.channel() as channel:
                self.uploaders[0].upload_one(Stubs(channel), in_pack=what != "database")
        log_to = self._log_size()
        if moment == "at a start":
            cut.set()
            self.server.kill()
            self._check_log(log_to)
            self._cut_a_start(what)
        else:
            cut.set()
            self.machine.cut(what, self.random)
            time.sleep(self.random.uniform(*DEAD_DISK_SECONDS))
            self.machine.off()
            self._check_log(log_to)
        stop.set()
        self._join(threads)

    def _cut_a_start(self, what: str) -> None:
        self.server.launch()
        time.sleep(self.random.uniform(*START_SECONDS))
        self.machine.cut(what, self.random)
        self.machine.off()

    def _wait_for_answers(self, threads: Sequence[threading.Thread]) -> None:
        wanted = self.tally.answered + self.random.randint(*ANSWERS_BEFORE_THE_CUT)
        patience = time.monotonic() + PATIENCE_SECONDS
        while self.tally.answered < wanted and time.monotonic() < patience and any(each.is_alive() for each in threads):
            time.sleep(0.001)

    def _wait_for_two_groups(self, threads: Sequence[threading.Thread]) -> None:
        """Until a pack was synced, named by rows, and synced again where it lies."""
        patience, seen = time.monotonic() + PATIENCE_SECONDS, {0}
        with self.server.channel() as channel:
            stubs = Stubs(channel)
            while len(seen) < 3 and time.monotonic() < patience and threads[-1].is_alive():
                seen.add(self.slow.committed(stubs))
                time.sleep(0.01)
        self.tally.add("slow upload", f"{len(seen) - 1} groups told")

    def _join(self, threads: Sequence[threading.Thread]) -> None:
        for thread in threads:
            thread.join(60)
        if any(thread.is_alive() for thread in threads):
            raise BrokenPromise("a caller hangs on a server that is dead")
        if problems := [problem for worker in self.workers for problem in worker.problems]:
            raise BrokenPromise("; ".join(problems))

    def _look(self, *, everything: bool) -> None:
        """As after a kill; then some of the uploads that were cut are finished, and looked at, too."""
        super()._look(everything=everything)
        with self.server.channel() as channel:
            stubs = Stubs(channel)
            resumed = []
            for worker in self.uploaders:
                for upload in list(worker.unfinished.values()):
                    if upload.release.commits is None:
                        raise BrokenPromise(f"{upload.release.version}: it is gone, and had an upload")
                    if everything or self.random.random() < RESUMED_SHARE:
                        worker.resume(stubs, upload)
                        resumed.append(upload.release)
            settle(stubs, self.server, resumed, self.tally)

    def _check_storage(self) -> None:
        """The server's own check: rows against rows, rows against bytes, bytes against rows."""
        with self.server.channel() as channel:
            found = Stubs(channel).admin.CheckStorage(
                admin_pb2.CheckStorageRequest(), timeout=CHECK_SECONDS, metadata=self.server.metadata
            )
        if found.finding_count:
            raise BrokenPromise(f"the check finds {found.finding_count}, such as {found.findings[0]}")
        self.tally.add("CheckStorage", "clean")

    def _end(self) -> None:
        """The last of a round: a drained server, and the operator's check on what it leaves."""
        log_to = self._log_size()
        if (code := self.server.stop()) != 0:
            raise BrokenPromise(f"seed {self.seed}: exit code {code} after the last SIGTERM")
        self._check_log(log_to)
        self._check_rows()
        checked = subprocess.run(
            [str(SERVER), "check"],
            env=self.server.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if checked.returncode != 0:
            raise BrokenPromise(
                f"seed {self.seed}: release-server check: {checked.stdout[:2000]}{checked.stderr[:2000]}"
            )
        self.tally.add("release-server check", "clean")

    def _check_rows(self) -> None:
        if self.machine.postgres is None:
            with sqlite_rows(self.machine.disks.database.path / "registry.db") as query:
                check_rows(query, engine="sqlite", blobs=self.blobs)
        else:
            with postgres_rows(self.machine.postgres.url) as query:
                check_rows(query, engine="postgresql", blobs=self.blobs)

    def _check_log(self, log_to: int) -> None:
        """What the server logged from its start up to the cut; on disks that are gone it may complain."""
        if errors := [line for line in self._logged(self._log_from, log_to) if _ALARM.search(line)]:
            raise BrokenPromise(f"the log has {len(errors)} errors before the cut, such as {errors[0][:1000]}")

    def _alarms(self) -> list[str]:
        """What the server complained of since its last start."""
        return [line for line in self._logged(self._log_from, self._log_size()) if _ALARM.search(line)]

    def _logged(self, start: int, stop: int) -> list[str]:
        if not self.server.log.exists():
            return []
        return self.server.log.read_bytes()[start:stop].decode(errors="replace").splitlines()

    def _log_size(self) -> int:
        return self.server.log.stat().st_size if self.server.log.exists() else 0


def _told(finding: BaseException) -> str:
    if isinstance(finding, grpc.Call):
        return f"{finding.code().name}: {finding.details()}"
    return str(finding) if isinstance(finding, AssertionError) else repr(finding)


@dataclass(slots=True)
class Outcome:
    """What a drill did: cuts by what and when, calls by what became of them."""

    cuts: Counter[tuple[str, str]] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)

    def __str__(self) -> str:
        cuts = Counter[str]()
        for (what, _), count in self.cuts.items():
            cuts[what] += count
        return f"{self.cuts.total()} cuts ({', '.join(f'{what} {cuts[what]}' for what in CUTS)}): {self.tally}"


def drill(
    *, engine: str, cycles: int, seed: int, program: Sequence[str] = PROGRAM, fsync: bool = True, outcome: Outcome
) -> None:
    """So many power cuts, in rounds of twelve, and one more at the first start of each round.

    Raises `BrokenPromise` at the first finding, `CannotCutPower`; `outcome` tells what happened up to there.
    """
    with _machine(engine, program=program, fsync=fsync) as machine:
        for number, done in enumerate(range(0, cycles, ROUND)):
            power = PowerDrill(machine, seed=seed + number, tally=outcome.tally, cuts=outcome.cuts)
            power.run(min(ROUND, cycles - done))


@contextmanager
def _machine(engine: str, *, program: Sequence[str], fsync: bool) -> Iterator[Machine]:
    with disks() as found:
        postgres = None
        database = f"sqlite://{found.database.path}/registry.db"
        if engine == "postgresql":
            postgres = PostgresOnDisk(found.database.path / "postgresql", outside=found.outside, fsync=fsync)
            database = postgres.url
        data = found.blobs.path / "data"
        server = ServerProcess(
            found.outside, database=database, environment={"RELEASES_DATA": str(data)}, program=program
        )
        server.data = data
        machine = Machine(found, server, postgres)
        try:
            yield machine
        finally:
            server.kill()
            if postgres is not None:
                postgres.stop()


def run_control(name: str, *, cycles: int, seed: int) -> str:
    """What the drill finds with this sync taken out. Raises AssertionError when it finds nothing in so many cycles."""
    engine, program, fsync, expected = _control(name)
    try:
        drill(engine=engine, cycles=cycles, seed=seed, program=program, fsync=fsync, outcome=Outcome())
    except BrokenPromise as finding:
        if re.search(expected, str(finding)) is None:
            raise AssertionError(f"without {name} the drill fails by something else: {finding}") from finding
        return str(finding)
    raise AssertionError(f"without {name} the drill finds nothing in {cycles} cycles, seed {seed}")


LOST_PACK = r"is missing or shorter than|CHUNK_LOST|DATA_LOSS|is lost: pack"
LOST_ROWS = r"is None, may be|, may be \[|is gone|there but not listed|are committed, |belongs to another registry"
"""The last one: the row is lost by which a database knows its folder of blobs."""
CONTROL_NAMES = (*CONTROLS, "postgresql-fsync")


def _control(name: str) -> tuple[str, Sequence[str], bool, str]:
    """The engine, the program, whether PostgreSQL syncs, and what is expected to be told."""
    if name == "postgresql-fsync":
        return "postgresql", PROGRAM, False, f"{LOST_ROWS}|does not start|does not exist|could not (open|read|access)"
    program = (sys.executable, str(Path(__file__).with_name("without_sync.py")), name)
    return "sqlite", program, True, LOST_ROWS if name == "full-synchronous" else LOST_PACK


def main() -> int:
    """The full count, from the command line."""
    parser = argparse.ArgumentParser(description="Cut power again and again, and look at what is left.")
    parser.add_argument("--cycles", type=int, default=100, help="power cuts on each engine (default: 100)")
    parser.add_argument("--engine", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--seed", type=int, default=None, help="repeats the callers' choices (default: a new one)")
    parser.add_argument("--no-controls", action="store_true", help="leave out the runs that must fail")
    options = parser.parse_args()
    if (why := obstacle()) is not None:
        print(f"power drill: cannot cut power here: {why}", file=sys.stderr)
        return 1
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    engines = ("sqlite", "postgresql") if options.engine == "both" else (options.engine,)
    try:
        for engine in engines:
            outcome, began = Outcome(), time.monotonic()
            drill(engine=engine, cycles=options.cycles, seed=seed, outcome=outcome)
            seconds = time.monotonic() - began
            print(f"power drill: {engine}, seed {seed}, {seconds:.0f} s: 0 lost, 0 bad; {outcome}", flush=True)
        for name in () if options.no_controls else CONTROL_NAMES:
            found = run_control(name, cycles=options.cycles, seed=seed)
            print(f"power drill: without {name}, as it must be: {found.splitlines()[0][:300]}", flush=True)
    except AssertionError as finding:  # of which BrokenPromise is one
        print(f"power drill: {finding}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
