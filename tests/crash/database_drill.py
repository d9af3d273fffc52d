"""The database drill: callers at work over the wire while PostgreSQL restarts, loses connections and falls silent.

    python -m tests.crash.database_drill --restarts 20 [--seed N] [--silences 2]

For each restart (all of its processes killed, and started again) there are a round in which all backends are
terminated, and one in which the connection is cut in the COMMIT of a write of each kind in turn, before PostgreSQL gets
it or after it has answered; and now and then PostgreSQL takes what it is sent and says nothing, for two seconds or,
once, for longer than the server waits for an answer.

Eight callers repeat each call until it is answered, under its request id where it has one. In the end all that was
answered is there, and nothing twice: deploys by their names, commits by their ids, sessions by their sum. Every failure
on the way was told with a reason that a caller may repeat a call for. Prints `GOAL id value limit seed PASS|FAIL`.

Then its controls: a server that loses writes, and one that doubles them, must each be caught.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
import psycopg
from releaseregistry.v1 import (
    commits_pb2,
    deploy_service_pb2,
    deploy_service_pb2_grpc,
    health_pb2,
    organizations_pb2,
    releases_pb2,
    sessions_pb2,
)

from tests.crash import careless_writes
from tests.crash.careless_writes import CONTROLS
from tests.crash.power_postgres import PostgresOnDisk
from tests.crash.workload import BrokenPromise, reason_of
from tests.postgres_proxy import PostgresProxy, proxied
from tests.server_process import SERVER, ServerProcess, Stubs

CALLERS: Final = 8
CALL_SECONDS: Final = 60.0
BACK_SECONDS: Final = 2.0
SILENCE_SECONDS: Final = 2.0
LONG_SILENCE_SECONDS: Final = 20.0
GIVE_UP_SECONDS: Final = 120.0
MOMENTS: Final = ("before", "after")
CUT_KINDS: Final = ("deploy", "commit", "sessions")
CUT_TRIES: Final = 50
CONTROL_RESTARTS: Final = 2  # so many that the COMMIT of a deploy is cut at each moment
ACME: Final = "organizations/acme"
PROJECT: Final = f"{ACME}/projects/web"
REPEATABLE: Final = frozenset({"DATABASE_BUSY", "DATABASE_DOWN", "COMMITS_BUSY"})
END_ALL: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = 'release-registry'"
)


@dataclass
class Caller:
    """Repeats calls about a release of its own, and takes down what was answered."""

    number: int
    stubs: Stubs
    deploys: deploy_service_pb2_grpc.DeployServiceStub
    options: dict[str, Any]
    random: random.Random
    failures: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    deployed: list[str] = field(default_factory=list)
    commits: list[str] = field(default_factory=list)
    sessions: int = 0

    @property
    def version(self) -> str:
        return f"app@1.0.{self.number}"

    @property
    def release(self) -> str:
        return f"{ACME}/releases/{self.version}"

    def begin(self) -> None:
        """The release is there."""
        release = releases_pb2.Release(version=self.version, projects=[PROJECT])
        request = releases_pb2.CreateReleaseRequest(parent=ACME, release=release)
        self._insist("CreateRelease", lambda: self.stubs.releases.CreateRelease(request, **self.options))

    def run(self, over: threading.Event) -> None:
        """Call after call, until it is over."""
        steps = (self.deploy, self.deploy, self.add_commit, self.count_sessions, self.read)
        try:
            while not over.is_set():
                self.random.choice(steps)()
        except Exception as error:  # noqa: BLE001 - a caller's thread: told at the end
            self.problems.append(f"caller {self.number}: {type(error).__name__}: {error}")

    def deploy(self, mark: uuid.UUID | None = None) -> None:
        """A second effect of it would be a second deploy."""
        request = deploy_service_pb2.CreateDeployRequest(
            parent=self.release, environments=["production"], request_id=str(uuid.uuid4())
        )
        request.deploy.display_name = str(mark or "")
        answer = self._insist("CreateDeploy", lambda: self.deploys.CreateDeploy(request, **self.options))
        self.deployed += [deploy.name for deploy in answer.deploys]

    def add_commit(self, mark: uuid.UUID | None = None) -> None:
        """Without a request id: what was added is not added again."""
        commit = commits_pb2.Commit(id=str(mark or f"{self.number}-{len(self.commits)}"), repository="acme/web")
        request = commits_pb2.SetCommitsRequest(
            name=self.release, mode=commits_pb2.COMMIT_MODE_APPEND, commits=[commit], finish=True, commit_count=1
        )
        self._insist("SetCommits", lambda: self.stubs.releases.SetCommits(iter([request]), **self.options))
        self.commits.append(commit.id)

    def count_sessions(self, mark: uuid.UUID | None = None) -> None:
        """A second effect of it would show in the sum."""
        count = self.random.randint(1, 9)
        counts = sessions_pb2.SessionCounts(
            counts_id=str(mark or uuid.uuid4()),
            exited_count=count,
            version=self.version,
            environment="production",
            project=PROJECT,
        )
        counts.start_time.GetCurrentTime()
        request = sessions_pb2.RecordSessionsRequest(parent=ACME, counts=[counts])
        self._insist("RecordSessions", lambda: self.stubs.health.RecordSessions(request, **self.options))
        self.sessions += count

    def read(self) -> None:
        request = releases_pb2.GetReleaseRequest(name=self.release)
        answer = self._insist("GetRelease", lambda: self.stubs.releases.GetRelease(request, **self.options))
        if answer.release.version != self.version:
            self.problems.append(f"caller {self.number}: read {answer.release.version}")

    def look(self) -> tuple[int, int]:
        """How much of what was answered is not there, and how much is there that nobody made."""
        token, listed = "", list[str]()
        while True:
            page = deploy_service_pb2.ListDeploysRequest(parent=self.release, page_size=1000, page_token=token)
            answer = self._insist("ListDeploys", partial(self.deploys.ListDeploys, page, **self.options))
            listed += [deploy.name for deploy in answer.deploys]
            if not (token := answer.next_page_token):
                break
        commits = commits_pb2.ListCommitsRequest(parent=self.release, page_size=1000)
        there = self._insist("ListCommits", lambda: self.stubs.releases.ListCommits(commits, **self.options))
        ids = [commit.id for commit in there.commits]
        health = health_pb2.GetReleaseHealthRequest(name=self.release, period=health_pb2.HEALTH_PERIOD_LAST_24H)
        figures = self._insist(
            "GetReleaseHealth", lambda: self.stubs.health.GetReleaseHealth(health, **self.options)
        ).projects
        sessions = sum(project.figures.session_count for project in figures) - self.sessions
        lost = len(set(self.deployed) - set(listed)) + len(set(self.commits) - set(ids)) + max(0, -sessions)
        doubled = len(listed) - len(set(self.deployed) & set(listed)) + len(ids) - len(set(ids)) + max(0, sessions)
        return lost, doubled

    def _insist(self, kind: str, call: Callable[[], Any]) -> Any:
        give_up = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                answer = call()
            except grpc.RpcError as error:
                reason = reason_of(error) or str(error.code())
                self.failures[reason] += 1
                if reason not in REPEATABLE:
                    self.problems.append(f"{kind}: {error.code()} {reason}: {error.details()}")
                if time.monotonic() > give_up:
                    raise BrokenPromise(f"{kind} is refused without end: {reason}") from None
                time.sleep(0.02)
            else:
                self.answered[kind] += 1
                return answer


@dataclass
class DatabaseDrill:
    """One server, its callers, and what is done to its database."""

    server: ServerProcess
    postgres: PostgresOnDisk
    proxy: PostgresProxy
    seed: int
    callers: list[Caller] = field(default_factory=list)
    back: dict[str, list[float]] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)

    def run(self, *, restarts: int, silences: int, long_silences: int) -> None:
        """Raises BrokenPromise when a caller cannot go on."""
        chosen = random.Random(self.seed)
        rounds: list[Callable[[], None]] = []
        for number in range(restarts):
            cut = partial(self._cut, MOMENTS[number % 2], CUT_KINDS[number // 2 % 3])
            rounds += [self._restart, self._terminate, cut]
        rounds += [lambda: self._be_silent(SILENCE_SECONDS)] * silences
        rounds += [lambda: self._be_silent(LONG_SILENCE_SECONDS)] * long_silences
        chosen.shuffle(rounds)
        self.server.start()
        with self._connected():
            over = threading.Event()
            threads = [threading.Thread(target=caller.run, args=(over,)) for caller in self.callers[:-1]]
            for thread in threads:
                thread.start()
            try:
                for each in rounds:
                    time.sleep(chosen.uniform(0.02, 0.2))
                    each()
            finally:
                over.set()
                self.proxy.let_go()
                for thread in threads:
                    thread.join(GIVE_UP_SECONDS + CALL_SECONDS)
            self.lost, self.doubled = (sum(each) for each in zip(*(each.look() for each in self.callers), strict=True))

    @property
    def goals(self) -> list[tuple[str, float, float]]:
        """Each goal: its id, what was found, and what is allowed."""
        problems = [problem for caller in self.callers for problem in caller.problems]
        for problem in problems[:10]:
            print(f"database drill: {problem}", file=sys.stderr)
        slowest = [(f"F20.back_seconds_after_{kind}", max(times), BACK_SECONDS) for kind, times in self.back.items()]
        return [
            ("F20.lost", self.lost, 0),
            ("F20.doubled", self.doubled, 0),
            ("F20.failures_told_wrongly", len(problems), 0),
            *slowest,
        ]

    def __str__(self) -> str:
        answered = sum((caller.answered for caller in self.callers), Counter[str]())
        failures = sum((caller.failures for caller in self.callers), Counter[str]())
        return f"{dict(self.done)}; cut {dict(self.cut)}; answered {dict(answered)}; refused {dict(failures)}"

    def _restart(self) -> None:
        self.postgres.kill()
        self.postgres.start()
        self._measure("restart")

    def _terminate(self) -> None:
        with psycopg.connect(self.postgres.url, autocommit=True) as admin:
            admin.execute(END_ALL.encode())
        self._measure("termination")

    def _cut(self, moment: str, kind: str) -> None:
        """Surely in a write of this kind, whoever else commits: it is known by an id of its own."""
        caller, before = self.callers[-1], self.proxy.cuts
        write = {"deploy": caller.deploy, "commit": caller.add_commit, "sessions": caller.count_sessions}[kind]
        for _ in range(CUT_TRIES):  # a control's server may roll a write back: that has no COMMIT
            mark = uuid.uuid4()
            self.proxy.cut_next_commit(moment, (str(mark).encode(), mark.hex.encode(), mark.bytes))
            write(mark)
            self.proxy.forget_cuts()
            if self.proxy.cuts > before:
                break
        else:
            raise BrokenPromise(f"the COMMIT of a write of a {kind} is not known by what is sent in it")
        self.cut[f"{kind} {moment}"] += 1
        self._measure(f"cut {moment} commit".replace(" ", "_"))

    def _be_silent(self, seconds: float) -> None:
        self.proxy.hold()
        time.sleep(seconds)
        self.proxy.let_go()
        self._measure("silence" if seconds == SILENCE_SECONDS else "long_silence")

    def _measure(self, kind: str) -> None:
        """From now until a write and a read are answered."""
        began = time.monotonic()
        self.callers[-1].deploy()
        self.callers[-1].read()
        self.back.setdefault(kind, []).append(time.monotonic() - began)
        self.done[kind] += 1

    @contextmanager
    def _connected(self) -> Iterator[None]:
        with ExitStack() as stack:
            for number in range(CALLERS + 1):  # the last one measures
                channel = stack.enter_context(self.server.channel())
                options = {"metadata": self.server.metadata, "timeout": CALL_SECONDS}
                self.callers.append(
                    Caller(
                        number,
                        Stubs(channel),
                        deploy_service_pb2_grpc.DeployServiceStub(channel),
                        options,
                        random.Random(f"{self.seed} {number}"),
                    )
                )
            organization = organizations_pb2.Organization(slug=ACME.rpartition("/")[2])
            first = self.callers[0]
            first.stubs.organizations.CreateOrganization(
                organizations_pb2.CreateOrganizationRequest(organization=organization), **first.options
            )
            project = organizations_pb2.CreateProjectRequest(
                parent=ACME, project=organizations_pb2.Project(slug=PROJECT.rpartition("/")[2])
            )
            first.stubs.organizations.CreateProject(project, **first.options)
            for caller in self.callers:
                caller.begin()
            yield


def drill(
    folder: Path,
    *,
    restarts: int,
    silences: int,
    long_silences: int,
    seed: int,
    program: Sequence[str] = (str(SERVER),),
) -> DatabaseDrill:
    """A drill that has run, in this folder. Raises BrokenPromise."""
    folder.chmod(0o755)  # PostgreSQL runs as a user of its own
    postgres = PostgresOnDisk(folder / "postgres", outside=folder)
    with ExitStack() as stack:
        stack.callback(postgres.stop)
        postgres.make()
        proxy = stack.enter_context(proxied(postgres.url))
        server = ServerProcess(folder / "server", database=proxy.url, program=program)
        stack.callback(server.kill)
        rehearsal = DatabaseDrill(server, postgres, proxy, seed)
        rehearsal.run(restarts=restarts, silences=silences, long_silences=long_silences)
        if (code := server.stop()) != 0:
            raise BrokenPromise(f"exit code {code} after SIGTERM")
    print(f"database drill: {rehearsal}", flush=True)
    return rehearsal


def run_control(name: str, folder: Path, *, seed: int) -> str:
    """What the drill finds in a server with this fault. Raises AssertionError when it finds nothing."""
    program = (sys.executable, str(Path(careless_writes.__file__)), name)
    _, missed = CONTROLS[name]
    folder.chmod(0o755)  # PostgreSQL runs as a user of its own
    found = drill(folder, restarts=CONTROL_RESTARTS, silences=0, long_silences=0, seed=seed, program=program)
    values = {goal: value for goal, value, limit in found.goals if value > limit and "back" not in goal}
    if set(values) != {missed}:
        raise AssertionError(f"a server with a {name} misses {values}, seed {seed}")
    return f"{missed} {values[missed]:g}"


def _controls(seed: int) -> None:
    for name in CONTROLS:
        with tempfile.TemporaryDirectory(prefix="registry-drill-") as folder:
            print(f"CONTROL {name} {run_control(name, Path(folder), seed=seed)}", flush=True)


def main() -> int:
    """The full count, from the command line."""
    parser = argparse.ArgumentParser(description="Trouble the database again and again, and look at what is left.")
    parser.add_argument("--restarts", type=int, default=100, help="restarts, terminations and cuts each (default: 100)")
    parser.add_argument("--silences", type=int, default=5, help="silences of two seconds (default: 5)")
    parser.add_argument("--long-silences", type=int, default=1, help="silences of twenty seconds (default: 1)")
    parser.add_argument("--seed", type=int, default=None, help="repeats the choices (default: a new one)")
    controls = parser.add_mutually_exclusive_group()
    controls.add_argument("--no-controls", action="store_true", help="leave out the runs that must fail")
    controls.add_argument("--only-controls", action="store_true", help="run nothing else")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    if options.only_controls:
        _controls(seed)
        return 0
    with tempfile.TemporaryDirectory(prefix="registry-drill-") as folder:
        try:
            done = drill(
                Path(folder),
                restarts=options.restarts,
                silences=options.silences,
                long_silences=options.long_silences,
                seed=seed,
            )
        except BrokenPromise as finding:
            print(f"database drill: seed {seed}: {finding}", file=sys.stderr)
            return 1
    failed = False
    for name, value, limit in done.goals:
        passed = value <= limit
        failed |= not passed
        print(f"GOAL {name} {value:g} {limit:g} {seed} {'PASS' if passed else 'FAIL'}", flush=True)
    if not options.no_controls:
        _controls(seed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
