"""Servers of several processes, on a database of their own, and what a test asks of them."""

from __future__ import annotations

import json
import queue
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import grpc
from releaseregistry.v1 import commits_pb2, organizations_pb2, releases_pb2, tokens_pb2

from relctl.connection import service_config
from tests.processes.supervising import WAIT, until
from tests.server_process import ServerProcess, Stubs

NAME = "organizations/acme/releases/app@1.0.0"


def lines(process: ServerProcess, **having: object) -> list[dict[str, Any]]:
    """The lines of the log that have these values."""
    found = []
    for text in process.output().splitlines(keepends=True):
        with suppress(ValueError):
            line = json.loads(text)
            if text.endswith("\n") and all(line.get(name) == value for name, value in having.items()):
                found.append(line)
    return found


def wait_for(process: ServerProcess, count: int = 1, **having: object) -> list[dict[str, Any]]:
    """Wait until so many lines of the log have these values."""
    found: list[dict[str, Any]] = until(
        lambda: those if len(those := lines(process, **having)) >= count else None, process.output
    )
    return found


def workers(process: ServerProcess) -> dict[int, int]:
    """The process of each worker that serves, by its number."""
    return {line["worker"]: line["pid"] for line in lines(process, logger="server.worker", message="serving")}


@contextmanager
def patient_channel(address: str) -> Iterator[grpc.Channel]:
    """A connection of its own, with the retry policy of the contract."""
    options = (
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.service_config", service_config()),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
    )
    with grpc.insecure_channel(address, options=options) as channel:
        yield channel


def whoami(process: ServerProcess, channel: grpc.Channel, *, seconds: float = WAIT) -> None:
    Stubs(channel).tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=process.metadata, timeout=seconds)


def make_release(process: ServerProcess, stubs: Stubs) -> None:
    """The organization acme, its project web, and the release NAME."""
    metadata = process.metadata
    organization = organizations_pb2.Organization(slug="acme")
    stubs.organizations.CreateOrganization(
        organizations_pb2.CreateOrganizationRequest(organization=organization, request_id=str(uuid.uuid4())),
        metadata=metadata,
    )
    stubs.organizations.CreateProject(
        organizations_pb2.CreateProjectRequest(
            parent="organizations/acme", project=organizations_pb2.Project(slug="web"), request_id=str(uuid.uuid4())
        ),
        metadata=metadata,
    )
    release = releases_pb2.Release(version="app@1.0.0", projects=["organizations/acme/projects/web"])
    stubs.releases.CreateRelease(
        releases_pb2.CreateReleaseRequest(parent="organizations/acme", release=release), metadata=metadata
    )


class OpenStream:
    """A SetCommits call that has reached a worker and waits for the test to finish it."""

    def __init__(self, process: ServerProcess, channel: grpc.Channel) -> None:
        self._messages: queue.Queue[commits_pb2.SetCommitsRequest | None] = queue.Queue()
        self._messages.put(commits_pb2.SetCommitsRequest(name=NAME, commits=[commits_pb2.Commit(id="a")]))
        self._call: Any = Stubs(channel).releases.SetCommits.future(
            iter(self._messages.get, None), metadata=process.metadata
        )
        whoami(process, channel)  # over one connection calls begin in order

    def finish(self) -> int:
        """How many commits the release then has."""
        self._messages.put(commits_pb2.SetCommitsRequest(finish=True, commit_count=1))
        self._messages.put(None)
        answer: releases_pb2.SetCommitsResponse = self._call.result(WAIT)
        return answer.release.commit_count


def asked_to_end(process: ServerProcess, number: signal.Signals = signal.SIGTERM) -> int:
    """Its exit code, after one signal."""
    assert process._process is not None
    process._process.send_signal(number)
    return process.wait()
