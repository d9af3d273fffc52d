"""The restart drill: rolling restarts by SIGTERM, and workers that are killed, under load, and no call may fail.

    python -m tests.processes.drill --restarts 50 --seed 1 [--shape workers|kills|servers|all] [--clients 6] [--grace 5]

`workers` is one server of two worker processes, which are asked to end in turn and replaced. `kills` is the same with
SIGKILL, and tells how long a place was empty. `servers` are two servers of one process on one database and one folder
of files, ended and started again in turn; clients have the addresses of both. Clients read and write with the retry
policy of the contract, and upload files as relctl does. What the seed repeats are their choices; what the machine makes
of them differs from run to run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
from releaseregistry.v1 import releases_pb2

from relctl.client import Client
from relctl.connection import Connection, channel_options, service_config
from relctl.deploys import DeployDraft
from relctl.errors import RegistryError
from relctl.files import FileDraft
from relctl.releases import ReleaseDraft
from relctl.uploads import FileToUpload
from tests.postgres_server import PostgresServer, running
from tests.processes.conftest import end_workers
from tests.processes.serving import wait_for, workers
from tests.processes.supervising import until
from tests.server_process import ServerProcess

ORGANIZATION = "acme"
BETWEEN_SECONDS = (0.1, 0.6)
"""So long a server or worker is left alone after the last restart."""
KILLS_A_SERVER = 4
"""Each worker twice: whoever dies over and over is started ever later, as is right."""
REPLACED_SECONDS = 2.0
CONTENT = random.Random(5).randbytes(4 << 20)


@dataclass(slots=True)
class Tally:
    """What came of all that was called."""

    calls: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    uploads: int = 0
    wrong_uploads: list[str] = field(default_factory=list)
    drains: list[float] = field(default_factory=list)
    replacements: list[float] = field(default_factory=list)
    """From the end of one that was killed until another one serves in its place, in seconds."""

    def call(self, name: str, work: Callable[[], object]) -> None:
        """Count it, and whether it failed."""
        self.calls[name] += 1
        try:
            work()
        except RegistryError as error:
            self.failures.append(f"{name}: {error}")


def connected(target: str, token: str) -> Client:
    """A client as relctl is one, with connections of its own to all addresses of the target."""
    config = {**json.loads(service_config()), "loadBalancingConfig": [{"round_robin": {}}]}
    options = {
        **channel_options(),
        "grpc.service_config": json.dumps(config),
        "grpc.use_local_subchannel_pool": 1,
    }
    return Client(Connection(grpc.insecure_channel(target, [*options.items()]), token=token))


class Caller(threading.Thread):
    """Calls and uploads until it is over."""

    def __init__(self, number: int, seed: int, client: Client, folder: Path, tally: Tally) -> None:
        super().__init__(name=f"caller-{number}", daemon=True)
        self._number = number
        self._random = random.Random(seed * 1000 + number)
        self._client = client
        self._file = folder / f"upload-{number}.bin"
        self._tally = tally
        self.over = threading.Event()

    def run(self) -> None:
        try:
            count = 0
            while not self.over.is_set():
                self._work(f"app@{self._number}.{count}.0")
                count += 1
        finally:
            self._client.close()

    def _work(self, version: str) -> None:
        client, call = self._client, self._tally.call
        draft = ReleaseDraft(version=version, projects=["web"])
        call("CreateRelease", lambda: client.releases.create(ORGANIZATION, draft))
        for _ in range(5):
            call("GetRelease", lambda: client.releases.get(ORGANIZATION, version))
            call("ListReleases", lambda: list(client.releases.list(ORGANIZATION, limit=5)))
        changes = releases_pb2.Release(url=f"https://example.com/{version}")
        call("UpdateRelease", lambda: client.releases.update(ORGANIZATION, version, changes, paths=["url"]))
        deploy = DeployDraft(environments=["production"])
        call("CreateDeploy", lambda: client.deploys.create(ORGANIZATION, version, deploy))
        if self._random.random() < 0.4:
            self._upload(version)

    def _upload(self, version: str) -> None:
        large = self._random.random() < 0.5
        size = self._random.randrange(2 << 20, len(CONTENT)) if large else self._random.randrange(1, 1 << 20)
        # Content that no upload before had: else nothing would travel.
        content = self._random.randbytes(64) + CONTENT[:size]
        content = bytes(byte ^ content[0] for byte in content[:4096]) + content[4096:]
        self._file.write_bytes(content)
        item = FileToUpload(path=self._file, draft=FileDraft(file_name="app.bin"))
        self._tally.uploads += 1
        try:
            [uploaded] = self._client.uploads.upload(ORGANIZATION, version, [item])
        except RegistryError as error:
            self._tally.wrong_uploads.append(f"upload of {size} bytes: {error}")
            return
        if uploaded.file.sha256 != hashlib.sha256(content).hexdigest():
            self._tally.wrong_uploads.append(f"upload of {size} bytes: another digest")


@contextmanager
def load(target: str, token: str, *, options: argparse.Namespace, folder: Path, tally: Tally) -> Iterator[None]:
    """All clients at work meanwhile."""
    with connected(target, token) as client:
        client.organizations.create(ORGANIZATION)
        client.organizations.create_project(ORGANIZATION, "web")
    callers = [
        Caller(number, options.seed, connected(target, token), folder, tally) for number in range(options.clients)
    ]
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        for caller in callers:
            caller.over.set()
        for caller in callers:
            caller.join(120)
            if caller.is_alive():
                tally.failures.append(f"{caller.name} hangs")


def restart_workers(postgres: PostgresServer, folder: Path, options: argparse.Namespace) -> Tally:
    """One server of two workers; each is asked to end in turn."""
    tally = Tally()
    chance = random.Random(options.seed)
    with two_workers(postgres, folder, options, tally) as server:
        for number in range(options.restarts):
            before = workers(server)
            pid = before[number % 2 + 1]
            started = time.monotonic()
            os.kill(pid, signal.SIGTERM)
            until(partial(ended, pid))
            tally.drains.append(time.monotonic() - started)
            until(partial(replaced, server, before), server.output)
            time.sleep(chance.uniform(*BETWEEN_SECONDS))
    return tally


def kill_workers(postgres: PostgresServer, folder: Path, options: argparse.Namespace) -> Tally:
    """One server of two workers after the other; the workers of each are killed in turn."""
    tally = Tally()
    chance = random.Random(options.seed)
    for first in range(0, options.restarts, KILLS_A_SERVER):
        with two_workers(postgres, folder / str(first), options, tally) as server:
            for number in range(min(KILLS_A_SERVER, options.restarts - first)):
                before = workers(server)
                started = time.monotonic()
                os.kill(before[number % 2 + 1], signal.SIGKILL)
                until(partial(replaced, server, before), server.output)
                tally.replacements.append(time.monotonic() - started)
                time.sleep(chance.uniform(*BETWEEN_SECONDS))
    return tally


@contextmanager
def two_workers(
    postgres: PostgresServer, folder: Path, options: argparse.Namespace, tally: Tally
) -> Iterator[ServerProcess]:
    """One server of two workers on a new database, with all clients at work."""
    settings = {"RELEASES_WORKERS": "2", "RELEASES_DRAIN_SECONDS": str(options.grace)}
    with postgres.fresh_database() as url, ServerProcess(folder, database=url, environment=settings) as server:
        try:
            wait_for(server, message="all workers serve")
            with load(f"ipv4:{server.address}", server.token, options=options, folder=folder, tally=tally):
                yield server
            if (code := server.stop()) != 0:
                tally.failures.append(f"exit code {code}")
        finally:
            end_workers(server)


def restart_servers(postgres: PostgresServer, folder: Path, options: argparse.Namespace) -> Tally:
    """Two servers on one database and one folder of files; each is ended and started again in turn."""
    tally = Tally()
    settings = {"RELEASES_DRAIN_SECONDS": str(options.grace), "RELEASES_DATA": str(folder / "data")}
    with postgres.fresh_database() as url:
        pair = [ServerProcess(folder / name, database=url, environment=settings) for name in ("one", "two")]
        with pair[0], pair[1]:
            target = "ipv4:" + ",".join(server.address for server in pair)
            with load(target, pair[0].token, options=options, folder=folder, tally=tally):
                chance = random.Random(options.seed)
                for number in range(options.restarts):
                    server = pair[number % 2]
                    started = time.monotonic()
                    if (code := server.stop()) != 0:
                        tally.failures.append(f"exit code {code}")
                    tally.drains.append(time.monotonic() - started)
                    server.start()
                    # Clients that have lost it come back within a second; until then the other one is alone.
                    time.sleep(chance.uniform(*BETWEEN_SECONDS) + options.settle)
    return tally


def ended(pid: int) -> bool:
    """Whether there is no such process any more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def replaced(server: ServerProcess, before: dict[int, int]) -> bool:
    """Whether a worker serves that did not before."""
    return not set(workers(server).values()) <= set(before.values())


def judged(shape: str, tally: Tally, options: argparse.Namespace) -> bool:
    """Print what came of it; whether all goals were reached."""
    calls = ", ".join(f"{name} {count}" for name, count in sorted(tally.calls.items()))
    restarts = len(tally.drains) + len(tally.replacements)
    print(f"{shape}: {restarts} restarts, {calls}, {tally.uploads} uploads")
    for failure in (*tally.failures, *tally.wrong_uploads)[:20]:
        print(f"  {failure[:300]}")
    goals: list[tuple[str, float, float]] = [
        (f"restarts.{shape}.failed_calls", len(tally.failures), 0),
        (f"restarts.{shape}.failed_uploads", len(tally.wrong_uploads), 0),
    ]
    if tally.drains:
        goals.append((f"restarts.{shape}.longest_end_seconds", round(max(tally.drains), 2), options.grace + 1))
    if tally.replacements:
        goals.append((f"restarts.{shape}.replaced_seconds", round(max(tally.replacements), 2), REPLACED_SECONDS))
    for name, value, limit in goals:
        print(f"GOAL {name} {value} {limit} {options.seed} {'PASS' if value <= limit else 'FAIL'}")
    # A drill in which nothing was called shows nothing.
    return all(value <= limit for _, value, limit in goals) and tally.uploads > 0


SHAPES: dict[str, Callable[[PostgresServer, Path, argparse.Namespace], Tally]] = {
    "workers": restart_workers,
    "kills": kill_workers,
    "servers": restart_servers,
}


def main() -> int:
    """Run the shapes that are asked for; 1 when a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--restarts", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shape", choices=[*SHAPES, "all"], default="all")
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--grace", type=int, default=5, help="seconds that a drain may take")
    parser.add_argument("--settle", type=float, default=2.0, help="seconds for clients to find a server again")
    options = parser.parse_args()
    good = True
    with running() as postgres:
        for shape in SHAPES if options.shape == "all" else [options.shape]:
            with tempfile.TemporaryDirectory(prefix="restarts-") as folder:
                good &= judged(shape, SHAPES[shape](postgres, Path(folder), options), options)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
