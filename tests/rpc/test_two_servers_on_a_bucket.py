"""Two servers on one PostgreSQL and one bucket: what one takes in the other hands out, goes on with and takes over."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from releaseregistry.v1 import files_pb2, uploads_pb2, uploads_pb2_grpc

from tests.crash.test_kill_on_a_bucket import committed, downloaded, environment, finish, frames, header, make_release
from tests.postgres_server import PostgresServer
from tests.rpc.wire import raises_reason
from tests.server_process import ServerProcess, Stubs

__all__ = ["environment"]  # a fixture

MIB = 2**20


class Client(NamedTuple):
    """One of the servers, and the way to it."""

    server: ServerProcess
    channel: grpc.Channel
    stubs: Stubs

    def send(self, requests: Iterator[files_pb2.UploadReleaseFileRequest]) -> files_pb2.UploadReleaseFileResponse:
        return self.stubs.releases.UploadReleaseFile(requests, metadata=self.server.metadata, timeout=120)

    def committed(self, upload_id: str) -> int:
        return committed(self.channel, self.server, upload_id)

    def download(self, name: str) -> bytes:
        return downloaded(self.stubs, self.server, name)


@pytest.fixture
def pair(
    postgres_server: PostgresServer, postgres_template: str, tmp_path: Path, environment: dict[str, str]
) -> Iterator[tuple[Client, Client]]:
    """Both, and a release to upload to."""
    with postgres_server.recycled_database(postgres_template) as url, ExitStack() as stack:
        clients = []
        for name in ("one", "other"):
            server = stack.enter_context(ServerProcess(tmp_path / name, database=url, environment=environment))
            channel = stack.enter_context(server.channel())
            clients.append(Client(server, channel, Stubs(channel)))
        make_release(clients[0].stubs, clients[0].server)
        yield clients[0], clients[1]


class Held:
    """A stream of the first bytes of a content that then neither sends nor ends, until it is told to go on."""

    def __init__(self, client: Client, upload_id: str, content: bytes, *, stop: int) -> None:
        self._go_on = threading.Event()
        self._content, self._stop = content, stop
        requests = self._requests(upload_id)
        self.call = client.stubs.releases.UploadReleaseFile.future(requests, metadata=client.server.metadata)

    def _requests(self, upload_id: str) -> Iterator[files_pb2.UploadReleaseFileRequest]:
        yield header(upload_id, "large.bin")
        yield from frames(self._content[: self._stop], 0)
        self._go_on.wait(120)
        yield from frames(self._content, self._stop)
        yield finish(self._content)

    def go_on(self) -> None:
        self._go_on.set()


def wait_until_committed(client: Client, upload_id: str, least: int) -> int:
    deadline = time.monotonic() + 120
    while (safe := client.committed(upload_id)) < least:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return safe


def test_what_one_server_took_in_the_other_hands_out_and_knows(pair: tuple[Client, Client]) -> None:
    one, other = pair
    content = random.Random(1).randbytes(9 * MIB + 5)
    first = one.send(iter([header(str(uuid.uuid4()), "a.bin"), *frames(content, 0), finish(content)]))

    assert other.download(first.file.name) == content
    again = other.send(iter([header(str(uuid.uuid4()), "a.bin"), *frames(content, 0), finish(content)]))
    assert (again.created, again.file) == (False, first.file)


def test_an_upload_that_one_server_began_goes_on_with_the_other(pair: tuple[Client, Client]) -> None:
    one, other = pair
    content, upload_id = random.Random(2).randbytes(20 * MIB), str(uuid.uuid4())
    cut = Held(one, upload_id, content, stop=12 * MIB)
    wait_until_committed(other, upload_id, 8 * MIB)
    cut.call.cancel()
    cut.go_on()
    safe = wait_until_committed(other, upload_id, 10 * MIB)  # what was left is committed when the stream ends

    answer = other.send(iter([header(upload_id, "large.bin"), *frames(content, safe), finish(content)]))

    assert one.download(answer.file.name) == other.download(answer.file.name) == content


def test_a_stream_to_one_server_takes_over_from_that_to_the_other(pair: tuple[Client, Client]) -> None:
    one, other = pair
    content, upload_id = random.Random(3).randbytes(20 * MIB), str(uuid.uuid4())
    slow = Held(one, upload_id, content, stop=12 * MIB)
    safe = wait_until_committed(other, upload_id, 8 * MIB)

    quick = other.send(iter([header(upload_id, "large.bin"), *frames(content, safe), finish(content)]))
    slow.go_on()

    with raises_reason("UPLOAD_TAKEN_OVER", "ABORTED"):
        slow.call.result(120)
    assert one.download(quick.file.name) == content
    state = uploads_pb2_grpc.UploadServiceStub(one.channel).GetUpload(
        uploads_pb2.GetUploadRequest(name=f"organizations/acme/uploads/{upload_id}"), metadata=one.server.metadata
    )
    assert state.upload.file == quick.file
