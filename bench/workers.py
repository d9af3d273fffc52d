"""Calls a second of a server of two workers, beside a server of one, each worker with 0.3 of a processor.

On a machine of two processors the database and the clients would else need what the second worker is to show. The two
servers take turns in rounds, and the ratio is the median of the rounds' ratios. The clients are processes of their own;
how much of a processor they and the workers took is printed beside, so that one sees who waited for whom.

Needs PostgreSQL, which it brings along, and root, for the limit; without that it says so and measures nothing.

    python -m bench.workers [--cores 0.3] [--rounds 6] [--seconds 4] [--clients 2] [--threads 12]
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.pool import Pool
from pathlib import Path

import grpc
from releaseregistry.v1 import organizations_pb2, release_service_pb2_grpc, releases_pb2

from bench.databases import durably
from bench.figures import tell
from bench.machine import Process, machine
from bench.quotas import CannotLimit, limited
from tests.postgres_server import PostgresServer, running
from tests.processes.conftest import end_workers
from tests.processes.serving import wait_for, workers
from tests.server_process import ServerProcess, Stubs

ORGANIZATION = "organizations/bench"
NAME = f"{ORGANIZATION}/releases/app@1.0.0"
WARM_UP_SECONDS = 1.0
GOAL = 1.6


@dataclass(frozen=True, slots=True)
class Measured:
    """Calls a second, and how much of a processor a client took for its share of them."""

    rate: float
    client_cores: float


def client(address: str, token: str, threads: int, seconds: float) -> Measured:
    """Call GetRelease from so many threads, each over a connection of its own, as fast as it is answered."""
    counts = [0] * threads
    begin, end = threading.Event(), threading.Event()
    metadata = (("authorization", f"Bearer {token}"),)

    def call(number: int) -> None:
        with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = release_service_pb2_grpc.ReleaseServiceStub(channel)
            request = releases_pb2.GetReleaseRequest(name=NAME)
            while not end.is_set():
                stub.GetRelease(request, metadata=metadata, timeout=60)
                if begin.is_set():
                    counts[number] += 1

    callers = [threading.Thread(target=call, args=(number,)) for number in range(threads)]
    for caller in callers:
        caller.start()
    time.sleep(WARM_UP_SECONDS)
    started, cpu = time.perf_counter(), time.process_time()
    begin.set()
    time.sleep(seconds)
    done = sum(counts)
    took, cpu_took = time.perf_counter() - started, time.process_time() - cpu
    end.set()
    for caller in callers:
        caller.join()
    return Measured(done / took, cpu_took / took)


@contextmanager
def served(
    postgres: PostgresServer, folder: Path, count: int, cores: float
) -> Iterator[tuple[ServerProcess, list[int]]]:
    """A server of so many workers, each limited, with one release; and the processes that serve."""
    settings = {"RELEASES_WORKERS": str(count)}
    with (
        ExitStack() as stack,
        postgres.fresh_database() as url,
        ServerProcess(folder, database=url, environment=settings) as server,
    ):
        stack.callback(end_workers, server)
        if count > 1:
            wait_for(server, message="all workers serve")
        pids = list(workers(server).values()) if count > 1 else [server.pid]
        fill(server)
        for pid in pids:
            stack.enter_context(limited(pid, cores))
        yield server, pids


def fill(server: ServerProcess) -> None:
    """The release that is asked for."""
    with server.channel() as channel:
        stubs, metadata = Stubs(channel), server.metadata
        organization = organizations_pb2.Organization(slug="bench")
        stubs.organizations.CreateOrganization(
            organizations_pb2.CreateOrganizationRequest(organization=organization), metadata=metadata
        )
        project = organizations_pb2.Project(slug="web")
        stubs.organizations.CreateProject(
            organizations_pb2.CreateProjectRequest(parent=ORGANIZATION, project=project), metadata=metadata
        )
        release = releases_pb2.Release(version="app@1.0.0", projects=[f"{ORGANIZATION}/projects/web"])
        stubs.releases.CreateRelease(
            releases_pb2.CreateReleaseRequest(parent=ORGANIZATION, release=release), metadata=metadata
        )


def measured(pool: Pool, server: ServerProcess, pids: Sequence[int], options: argparse.Namespace) -> float:
    """One round on one server: its calls a second."""
    before = [Process(pid).cpu_seconds() for pid in pids]
    started = time.perf_counter()
    work = (server.address, server.token, options.threads, options.seconds)
    clients = pool.starmap(client, [work] * options.clients)
    took = time.perf_counter() - started
    cores = [(Process(pid).cpu_seconds() - cpu) / took for pid, cpu in zip(pids, before, strict=True)]
    rate = sum(one.rate for one in clients)
    told = ", ".join(f"{each:.2f}" for each in cores)
    taken = ", ".join(f"{one.client_cores:.2f}" for one in clients)
    print(f"  {len(pids)} at work: {rate:6.0f} calls/s; processors: workers {told}; clients {taken}", flush=True)
    return rate


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="bench.workers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cores", type=float, default=0.3, help="of a processor, for each worker")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=4.0, help="that a round takes on each server")
    parser.add_argument("--clients", type=int, default=2, help="processes")
    parser.add_argument("--threads", type=int, default=12, help="of each client, each with a connection")
    options = parser.parse_args()
    print(machine())
    ratios = []
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            running() as postgres,
            multiprocessing.get_context("spawn").Pool(options.clients) as pool,
        ):
            durably(postgres)
            with (
                served(postgres, Path(folder) / "one", 1, options.cores) as (one, its_pid),
                served(postgres, Path(folder) / "two", 2, options.cores) as (two, its_pids),
            ):
                for _ in range(options.rounds):
                    alone = measured(pool, one, its_pid, options)
                    ratios.append(measured(pool, two, its_pids, options) / alone)
    except CannotLimit as reason:
        print(f"not measured: {reason}")
        return 0
    print(f"ratio, by round: {', '.join(f'{ratio:.2f}' for ratio in ratios)}; median {statistics.median(ratios):.2f}")
    tell(f"two workers / one, GetRelease calls/s, {options.cores} processors each, postgresql", ratios, at_least=GOAL)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
