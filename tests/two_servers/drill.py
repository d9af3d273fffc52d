"""The drill of two servers: callers at work through the proxy and past it, one server killed, the other goes on.

    python -m tests.two_servers.drill [--rounds 5] [--seed N]

Each round kills a server (the other one each time) in the middle of calls and of an upload, lets it come back, and
looks at everything that was acknowledged with the server that survived. What was cut is repeated at the other server.
Then a server is drained under load. Connections get five seconds old, also those of the proxy. At the end a server dies
with the collector's lease in its hands.
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
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from releaseregistry.v1 import organizations_pb2, releases_pb2

from examples.two_servers.run import find_haproxy, running_postgres, running_s3
from tests.crash.invariants import check_rows, list_versions, postgres_rows, settle
from tests.crash.ledger import ReleaseEntry, Tally
from tests.crash.workload import CALL_SECONDS, ORGANIZATION, BrokenPromise
from tests.server_process import Stubs
from tests.two_servers.across import (
    LEASE_SECONDS,
    REVOKED_SECONDS,
    Collecting,
    accepted_after_revocation,
    missed_by_pages,
    one_effect,
    seconds_until_a_revoked_stream_ends,
    seconds_until_it_collects_and_adopts,
)
from tests.two_servers.callers import Caller, Way
from tests.two_servers.pair import MIB, Pair, Upload, downloaded, pair

RELEASE = f"{ORGANIZATION}/releases/drill@1.0.0"
ANSWERS_BEFORE_THE_SHOT = (8, 40)
PATIENCE_SECONDS = 30.0
DOWN_SECONDS = 1.5
UPLOAD_BYTES, HELD_BYTES = 20 * MIB, 12 * MIB
# Every connection, the proxy's too, is told to go (GOAWAY) several times a round, and no call may notice.
CONNECTION_AGE_SECONDS = 5
DRAINING = " DRAINING"  # behind UNAVAILABLE, or the CANCELLED that HAProxy makes of a stream refused before its end


@dataclass(slots=True)
class Drill:
    """Two servers, their callers, and what came of it."""

    pair: Pair
    seed: int
    callers: list[Caller] = field(init=False)
    random: random.Random = field(init=False)
    tally: Tally = field(default_factory=Tally)
    figures: Counter[str] = field(default_factory=Counter)
    revoked_stream_seconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        one, two = self.pair.ways
        doors = [self.pair.door, self.pair.door, one, two]
        self.callers = [Caller(number, seed=self.seed, way=way) for number, way in enumerate(doors)]
        self.random = random.Random(self.seed)

    def prepare(self) -> None:
        """The organization and projects of the callers, and a release of the drill's own."""
        way = self.pair.ways[0]
        with way.channel() as channel:
            stubs = Stubs(channel)
            organization = organizations_pb2.Organization(slug=ORGANIZATION.partition("/")[2])
            stubs.organizations.CreateOrganization(
                organizations_pb2.CreateOrganizationRequest(organization=organization),
                metadata=way.metadata,
                timeout=CALL_SECONDS,
            )
            for slug in ("web", "api"):
                stubs.organizations.CreateProject(
                    organizations_pb2.CreateProjectRequest(
                        parent=ORGANIZATION, project=organizations_pb2.Project(slug=slug)
                    ),
                    metadata=way.metadata,
                    timeout=CALL_SECONDS,
                )
            release = releases_pb2.Release(version="drill@1.0.0", projects=[f"{ORGANIZATION}/projects/web"])
            stubs.releases.CreateRelease(
                releases_pb2.CreateReleaseRequest(parent=ORGANIZATION, release=release),
                metadata=way.metadata,
                timeout=CALL_SECONDS,
            )

    def killed(self, number: int) -> None:
        """A round: one server dies under load and comes back; everything acknowledged is with the other one."""
        victim = number % 2
        shot, survivor = self.pair.servers[victim], self.pair.ways[1 - victim]
        with survivor.channel() as channel, self.pair.ways[victim].channel() as doomed, ExitStack() as stack:
            uploads = [(survivor, self._upload())]
            held = [uploads[0][1].begin(self.pair.ways[victim], doomed, stop=HELD_BYTES)]
            if self.pair.proxy is not None:
                by_proxy = stack.enter_context(self.pair.proxy.channel())
                uploads.append((self.pair.proxy, self._upload()))
                held.append(uploads[1][1].begin(self.pair.proxy, by_proxy, stop=HELD_BYTES))
            seen = [upload.wait_until_committed(survivor, channel, 8 * MIB) for _, upload in uploads]
            over, threads = self._start()
            try:
                self._let_them_work(threads)
                shot.kill()
                answered = [caller.answered for caller in self.callers]
                for (way, upload), call, safe in zip(uploads, held, seen, strict=True):
                    call.cancel()
                    upload.go_on()
                    self._resume(way, upload, safe, survivor)
                time.sleep(DOWN_SECONDS)
                now = [caller.answered for caller in self.callers]
                shot.start()
                time.sleep(DOWN_SECONDS)
            finally:
                self._end(over, threads)
            self.figures["kills"] += 1
            self.figures["answers while one is down"] += sum(now) - sum(answered)
            if self.pair.proxy is not None:
                self.figures["answers by the proxy while one is down"] += sum(now[:2]) - sum(answered[:2])
            self._look(survivor, self.pair.ways[victim])

    def drained(self, number: int) -> None:
        """A round: one server is told to end under load, and comes back."""
        victim = number % 2
        before = self._cuts()
        over, threads = self._start()
        try:
            self._let_them_work(threads)
            code = self.pair.servers[victim].stop()
            self.pair.servers[victim].start()
            time.sleep(DOWN_SECONDS)
        finally:
            self._end(over, threads)
        if code != 0:
            raise BrokenPromise(f"exit code {code} after SIGTERM")
        self.figures["drains"] += 1
        told = self._cuts() - before
        refused = sum(count for end, count in told.items() if end.endswith(DRAINING))
        self.figures["calls that a drain refused by the proxy"] += refused
        self.figures["calls that a drain cut without a word by the proxy"] += told.total() - refused
        self._look(*self.pair.ways)

    def across(self) -> None:
        """What both have to agree on."""
        self.figures["deploys of one request_id"] = one_effect(self.pair.ways, RELEASE)
        self.figures["releases missed or doubled by pages of both"] = missed_by_pages(self.pair.ways)
        self.figures["calls taken with a revoked token"] = accepted_after_revocation(self.pair.ways)
        self.revoked_stream_seconds = seconds_until_a_revoked_stream_ends(
            self.pair.ways, self._upload(), stop=HELD_BYTES
        )

    def lease(self) -> float:
        """How long the other waits for the leases of a server that was killed while it collected."""
        collecting = Collecting(self.pair.ways[0])
        time.sleep(self.random.uniform(0.5, 1.0))
        self.pair.servers[0].kill()
        collecting.wait()
        return seconds_until_it_collects_and_adopts(self.pair.ways[1])

    def rows(self) -> None:
        """Rows agree with one another."""
        with postgres_rows(self.pair.database) as query:
            check_rows(query, engine="postgresql", blobs=None)

    # ------------------------------------------------------------------------------------------------------- its parts

    def _upload(self) -> Upload:
        upload_id = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        return Upload(RELEASE, f"{upload_id}.bin", upload_id, self.random.randbytes(UPLOAD_BYTES))

    def _start(self) -> tuple[threading.Event, list[threading.Thread]]:
        over = threading.Event()
        threads = [threading.Thread(target=caller.work, args=(over,)) for caller in self.callers]
        for thread in threads:
            thread.start()
        return over, threads

    def _let_them_work(self, threads: list[threading.Thread]) -> None:
        wanted = sum(caller.answered for caller in self.callers) + self.random.randint(*ANSWERS_BEFORE_THE_SHOT)
        patience = time.monotonic() + PATIENCE_SECONDS
        while sum(caller.answered for caller in self.callers) < wanted and time.monotonic() < patience:
            time.sleep(0.001)
        time.sleep(self.random.uniform(0, 0.05))

    def _end(self, over: threading.Event, threads: list[threading.Thread]) -> None:
        over.set()
        for thread in threads:
            thread.join(2 * CALL_SECONDS)
        if any(thread.is_alive() for thread in threads):
            raise BrokenPromise("a caller hangs")
        if problems := [problem for caller in self.callers for problem in caller.problems]:
            raise BrokenPromise("; ".join(problems))

    def _cuts(self) -> Counter[str]:
        return sum((caller.cuts for caller in self.callers if caller.way is self.pair.proxy), Counter[str]())

    def _resume(self, way: Way, upload: Upload, seen: int, survivor: Way) -> None:
        """Goes on with an upload by the way, from at least what the survivor knew of it before the shot."""
        with way.channel() as fresh, survivor.channel() as reading:
            known = upload.committed(survivor, reading)
            if known < seen:
                raise BrokenPromise(f"{seen} bytes of an upload were safe, and now {known}")
            file = upload.finish(way, fresh)
            if downloaded(survivor, reading, file.name) != upload.content:
                raise BrokenPromise(f"{file.name}: its bytes are not those that were sent")
        self.figures["uploads resumed"] += 1
        self.figures["MiB not sent again"] += known // MIB

    def _look(self, survivor: Way, other: Way) -> None:
        """Compare what the survivor has with what was acknowledged; repeat at the other what was cut, and again."""
        in_doubt = [
            (caller, entry, file)
            for caller in self.callers
            for entry in caller.releases.values()
            for file in (*(each for each in entry.files.values() if len(each.possible) > 1), None)
            if file is not None or len(entry.possible) > 1
        ]
        entries: dict[str, ReleaseEntry] = {}
        for caller in self.callers:
            entries |= caller.releases
        touched = [entry for entry in entries.values() if entry.touched]
        with survivor.patient_channel() as channel, other.patient_channel() as second:
            settle(Stubs(channel), self.pair.servers[0], touched, self.tally)
            for caller, entry, file in in_doubt:
                caller.repeat(Stubs(second), [(entry, file)])
            settle(Stubs(channel), self.pair.servers[0], [entry for _, entry, _ in in_doubt], self.tally)
            wanted = {version for version, entry in entries.items() if entry.commits is not None} | {"drill@1.0.0"}
            listed = list_versions(Stubs(channel), self.pair.servers[0])
        if listed != wanted:
            raise BrokenPromise(f"listed but not there: {listed - wanted}; there but not listed: {wanted - listed}")
        self.figures["acknowledged releases read back"] += len(touched)
        self.figures["cut calls repeated"] += len(in_doubt)


def goals(drill: Drill, lease_seconds: float | None) -> list[tuple[str, float, str, float]]:
    """Each: what, its value, how it is to be, and the limit."""
    figures = drill.figures
    kills = figures["kills"]
    uploads = kills * (2 if drill.pair.proxy is not None else 1)
    told: list[tuple[str, float, str, float]] = [
        ("two.lost", 0, "<=", 0),  # anything lost ends the drill before this line
        ("two.resumed_uploads", figures["uploads resumed"], ">=", uploads),
        ("two.mib_not_sent_again", figures["MiB not sent again"], ">=", 8 * uploads),
        ("two.answers_while_one_is_down", figures["answers while one is down"], ">=", kills),
        ("two.effects_of_one_request_id", figures["deploys of one request_id"], "<=", 1),
        ("two.missed_by_pages_of_both", figures["releases missed or doubled by pages of both"], "<=", 0),
        ("two.taken_with_a_revoked_token", figures["calls taken with a revoked token"], "<=", 0),
        ("two.revoked_stream_seconds", round(drill.revoked_stream_seconds, 1), "<=", REVOKED_SECONDS),
    ]
    if drill.pair.proxy is not None:
        by_proxy = figures["answers by the proxy while one is down"]
        told.append(("two.answers_by_the_proxy_while_one_is_down", by_proxy, ">=", kills))
        cut = figures["calls that a drain cut without a word by the proxy"]
        told.append(("two.cut_without_a_word_by_a_drain", cut, "<=", 0))
    if lease_seconds is not None:
        told.append(("two.lease_moves_seconds", round(lease_seconds, 1), "<=", LEASE_SECONDS + 15))
    return told


def report(drill: Drill, lease_seconds: float | None) -> bool:
    """Prints a line for each goal; whether all are reached."""
    reached = True
    for name, value, how, limit in goals(drill, lease_seconds):
        passed = value <= limit if how == "<=" else value >= limit
        reached = reached and passed
        print(f"GOAL {name} {value:g} {how}{limit:g} seed={drill.seed} {'PASS' if passed else 'FAIL'}", flush=True)
    for caller in drill.callers:
        print(f"  by {caller.way.name}: {caller.answered} answered, cut {dict(caller.cuts)}")
    print(f"  {dict(drill.figures)}")
    return reached


def main() -> int:
    """The full count, from the command line."""
    parser = argparse.ArgumentParser(description="Kill one of two servers again and again, and ask the other.")
    parser.add_argument("--rounds", type=int, default=5, help="kills, and drains (default: 5)")
    parser.add_argument("--seed", type=int, default=None, help="repeats the callers' choices (default: a new one)")
    parser.add_argument("--workers", default="2", help="processes of each server (default: 2)")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    haproxy = find_haproxy()
    if haproxy is None:
        print("two servers: haproxy is missing; run `make haproxy`, or install it", file=sys.stderr)
        return 1
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="registry-two-")))
        database = stack.enter_context(running_postgres(folder))
        environment = {
            **stack.enter_context(running_s3(folder)),
            "RELEASES_WORKERS": options.workers,
            "RELEASES_CONNECTION_AGE_SECONDS": str(CONNECTION_AGE_SECONDS),
        }
        both = stack.enter_context(pair(folder, database=database, environment=environment, haproxy=haproxy))
        drill = Drill(both, seed)
        try:
            drill.prepare()
            for number in range(options.rounds):
                drill.killed(number)
                drill.drained(number + 1)
            drill.across()
            lease_seconds = drill.lease()
            drill.rows()
        except BrokenPromise as finding:
            print(f"GOAL two.lost 1 <=0 seed={seed} FAIL", flush=True)
            print(f"two servers: seed {seed}: {finding}", file=sys.stderr)
            return 1
        return 0 if report(drill, lease_seconds) else 1


if __name__ == "__main__":
    sys.exit(main())
