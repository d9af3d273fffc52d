"""Calls a second of GetRelease and CreateRelease, beside an empty RPC on the same server settings, in one run.

On SQLite, then on a PostgreSQL that it brings along, or on one that is named.

The server runs in a process of its own, the clients in this one. The empty RPC is served by a bare grpc server in the
server's process, with the same options and as many threads, whose handler returns the bytes it got. CreateRelease
creates a new release of three projects with each call, durably.

The three take turns in short rounds, so that whatever else the machine does hits all of them alike: the ratio is the
median of the ratios that the rounds had, each in itself. The server's processor time a call tells the same with less
noise.

    python -m bench.calls [--engines sqlite postgresql] [--database postgresql://...]
                          [--calls 480] [--clients 1 16] [--rounds 20]
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import grpc
from releaseregistry.v1 import (
    organizations_pb2,
    organizations_pb2_grpc,
    release_service_pb2_grpc,
    releases_pb2,
)

from bench.databases import durably
from bench.figures import tell
from bench.machine import Process, machine
from server.app import open_server
from server.settings import read_settings
from server.transport import GRPC_OPTIONS
from store.database import Engine
from tests.postgres_server import running

TOKEN = "operator-of-the-benchmarks"
METADATA = (("authorization", f"Bearer {TOKEN}"),)
ORGANIZATION = "organizations/bench"
PROJECTS = [f"{ORGANIZATION}/projects/project-{number}" for number in range(3)]
EMPTY = "/bench.Empty/Call"
GOALS = {"GetRelease": 0.6, "CreateRelease": 0.3}
"""Of the calls a second of an empty RPC, at least."""


class Echo(grpc.GenericRpcHandler):
    """Answers every call with the bytes that it brought."""

    def service(self, _details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda request, _context: request)


def serve(pipe: Connection, done: Event, database: str | None, data: str) -> None:
    """Run both servers until told to end."""
    arguments = ["--listen", "127.0.0.1:0", "--data", data]
    settings = read_settings(
        arguments + (["--database", database] if database else []), {"RELEASES_BOOTSTRAP_TOKEN": TOKEN}
    )
    server = open_server(settings)
    server.start()
    bare = grpc.server(ThreadPoolExecutor(settings.call_slots), handlers=[Echo()], options=GRPC_OPTIONS)
    bare_port = bare.add_insecure_port("127.0.0.1:0")
    bare.start()
    pipe.send((server.port, bare_port))
    done.wait()
    bare.stop(None).wait()
    server.close()


def rate(call: Callable[[], Any], *, calls: int, clients: int) -> float:
    """Calls a second of `clients` threads that call as fast as they are answered."""
    share = calls // clients
    ready = threading.Barrier(clients + 1)

    def client() -> None:
        ready.wait()
        for _ in range(share):
            call()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    return share * clients / (time.perf_counter() - started)


def workloads(address: str, bare_address: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Each kind of call, prepared so that a call of it is all that is measured."""
    channel = grpc.insecure_channel(address)
    organizations = organizations_pb2_grpc.OrganizationServiceStub(channel)
    releases = release_service_pb2_grpc.ReleaseServiceStub(channel)
    organizations.CreateOrganization(
        organizations_pb2.CreateOrganizationRequest(organization=organizations_pb2.Organization(slug="bench")),
        metadata=METADATA,
    )
    for name in PROJECTS:
        project = organizations_pb2.Project(slug=name.rpartition("/")[2])
        organizations.CreateProject(
            organizations_pb2.CreateProjectRequest(parent=ORGANIZATION, project=project), metadata=METADATA
        )
    numbers = itertools.count()

    def create() -> Any:
        release = releases_pb2.Release(version=f"app@1.0.{next(numbers)}", projects=PROJECTS)
        request = releases_pb2.CreateReleaseRequest(parent=ORGANIZATION, release=release)
        return releases.CreateRelease(request, metadata=METADATA)

    created = create().release.name
    get = releases_pb2.GetReleaseRequest(name=created)
    empty: grpc.UnaryUnaryMultiCallable[bytes, bytes] = grpc.insecure_channel(bare_address).unary_unary(EMPTY)
    yield "empty RPC", lambda: empty(b"", metadata=METADATA)
    yield "GetRelease", lambda: releases.GetRelease(get, metadata=METADATA)
    yield "CreateRelease", create


def measure(engine: Engine, database: str | None, options: argparse.Namespace) -> None:
    """One kind of database: a table, and the figures that have goals."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    done = spawn.Event()
    with tempfile.TemporaryDirectory() as folder:
        data = str(Path(folder) / "data")
        process = spawn.Process(target=serve, args=(there, done, database, data), daemon=True)
        process.start()
        there.close()
        port, bare_port = here.recv()
        kinds = list(workloads(f"127.0.0.1:{port}", f"127.0.0.1:{bare_port}"))
        print(engine)
        print(f"{'clients':>7}  {'call':14} {'calls/s':>9} {'ratio':>6} {'of rounds':>13} {'server CPU us':>14}")
        for _, call in kinds:
            rate(call, calls=options.calls, clients=max(options.clients))  # threads, connections, prepared statements
        assert process.pid is not None
        server = Process(process.pid)
        figures: dict[str, tuple[list[float], float | None]] = {}
        for clients in options.clients:
            rates: dict[str, list[float]] = {name: [] for name, _ in kinds}
            seconds = dict.fromkeys(rates, 0.0)
            for _ in range(options.rounds):
                for name, call in kinds:
                    before = server.cpu_seconds()
                    rates[name].append(rate(call, calls=options.calls, clients=clients))
                    seconds[name] += server.cpu_seconds() - before
            done_calls = options.calls // clients * clients * options.rounds
            for name, measured in rates.items():
                ratios = sorted(own / empty for own, empty in zip(measured, rates["empty RPC"], strict=True))
                quarter = len(ratios) // 4
                print(
                    f"{clients:>7}  {name:14} {statistics.median(measured):9.0f} {statistics.median(ratios):6.2f}"
                    f" {ratios[quarter]:6.2f}-{ratios[-1 - quarter]:6.2f} {seconds[name] / done_calls * 1e6:14.0f}"
                )
                told = f"{name} / empty RPC, calls/s, {clients} {'client' if clients == 1 else 'clients'}, {engine}"
                figures[told] = (ratios, GOALS.get(name))
        for told, (ratios, goal) in figures.items():
            if goal is not None:
                tell(told, ratios, at_least=goal)
        done.set()
        process.join(30)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        prog="bench.calls", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--engines", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--database", help="a PostgreSQL to use, and nothing else")
    parser.add_argument("--calls", type=int, default=480, help="of each kind in a round")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    print(machine())
    if options.database:
        measure("postgresql", options.database, options)
        return
    for engine in options.engines:
        if engine == "sqlite":
            measure(engine, None, options)
        else:
            with running() as postgres, postgres.fresh_database() as url:
                durably(postgres)
                measure(engine, url, options)


if __name__ == "__main__":
    main()
