from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from releaseregistry.v1.sessions_pb2 import SessionStatus, SessionUpdate

from relctl import connect
from relctl.client import Client
from relctl.connection import open_channel
from store.database import Database
from tests.clocks import ManualClock
from tests.relctl.command_line import Relctl
from tests.relctl.repositories import Repository
from tests.relctl.scripts import Script, Scripted
from tests.relctl.telling import run_adoption, update
from tests.relctl.uploading import Calls
from tests.rpc.serving import served
from tests.rpc.wire import OPERATOR_TOKEN, Served

CRASHED = SessionStatus.SESSION_STATUS_CRASHED
MINUTE = Duration(seconds=60)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.new(tmp_path / "repository")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings of whoever runs the tests stay out of them."""
    for name in ("SERVER", "TOKEN", "ORG", "TLS", "TLS_CA", "CALLER", "TIMEOUT", "CONFIG"):
        monkeypatch.delenv(f"RELCTL_{name}", raising=False)
    monkeypatch.delenv("RELEASES_DATA", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "no-data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def acme(edge: Served) -> Served:
    """The server on SQLite with the organization acme, its project web, and the release app@1.0.0 of it."""
    organization = edge.make_organization("acme", projects=["web"])
    edge.make_release(organization, "app@1.0.0", "web")
    return edge


@pytest.fixture
def calls() -> Calls:
    """What `client` asks the server for."""
    return Calls()


@pytest.fixture
def client(acme: Served, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The client as the operator of the server with acme uses it from a program."""
    monkeypatch.setattr("relctl.client.open_channel", lambda *said: grpc.intercept_channel(open_channel(*said), calls))
    with connect(acme.address, token=OPERATOR_TOKEN) as made:
        yield made


@pytest.fixture
def relctl(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Relctl:
    """The command line, run in this process; it knows no server yet."""
    return Relctl(capfd, monkeypatch)


@pytest.fixture
def ctl(acme: Served, relctl: Relctl) -> Relctl:
    """The command line as the operator of the server with acme uses it."""
    return relctl.at(acme)


@pytest.fixture
def scripted(sqlite: Database, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """Makes a server of the handlers it is given; waits between attempts take no time."""
    slept: list[float] = []
    monkeypatch.setattr("relctl.connection.sleep", slept.append)
    with ExitStack() as stack:

        def make(**script: Callable[..., Any]) -> Scripted:
            server = stack.enter_context(served(sqlite, clock, tmp_path, script=script))
            client = stack.enter_context(connect(server.address, token=OPERATOR_TOKEN))
            return Scripted(server, client, slept)

        yield make


@pytest.fixture
def three(acme: Served, ctl: Relctl) -> Relctl:
    """The command line beside app@1.0.0, then app@1.1.0 of web and api and lib@2.0.0 of api, both with labels."""
    acme.make_project("organizations/acme", "api")
    acme.clock.advance(seconds=60)
    ctl.ok("release", "create", "app@1.1.0", "--project", "web", "--project", "api", "--label", "team=pay ments")
    acme.clock.advance(seconds=60)
    ctl.ok("release", "create", "lib@2.0.0", "--project", "api", "--label", "team=search", "--label", "tier=one")
    return ctl


@pytest.fixture
def told(acme: Served, client: Client, ctl: Relctl) -> Relctl:
    """The command line beside app@1.0.0 of web with ten sessions of ten users an hour ago, four of them in staging; one
    of production crashed, and one had three errors. Two more releases of web: app@1.1.0 with ten sessions of one user,
    half of them crashed; app@1.2.0 with none."""
    for version in ("app@1.1.0", "app@1.2.0"):
        acme.clock.advance(seconds=60)
        acme.make_release("organizations/acme", version, "web")
    items: list[SessionUpdate] = [update(acme, number, duration=MINUTE) for number in range(4)]
    items += [update(acme, number, environment="staging", duration=MINUTE) for number in range(4, 8)]
    items += [update(acme, 8, status=CRASHED), update(acme, 9, error_count=3)]
    items += [
        update(acme, number, version="app@1.1.0", distinct_user_id="bob", status=CRASHED if number % 2 else 0)
        for number in range(10, 20)
    ]
    recorded = client.health.stream_sessions("acme", items)
    assert recorded.recorded_count == 20
    run_adoption(acme)
    return ctl
