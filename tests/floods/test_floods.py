"""What no client should do: the server goes on, refuses with codes of its own, and keeps its memory and threads."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from releaseregistry.v1 import commits_pb2, files_pb2, organizations_pb2, releases_pb2

from bench.machine import Process
from server.transport import most_connections
from tests.floods.floods import (
    FRAME_FLOODS,
    PROVOCATIONS,
    bomb,
    flood,
    good_call,
    idle_uploads,
    provoked_resets,
    rapid_resets,
    slow_connections,
)
from tests.floods.wire import DOWNLOAD, HEALTH, UPLOAD, WHO_AM_I, Cut, Wire, connected
from tests.rpc.sending import RELEASE, content_of, frames, header
from tests.server_process import SERVER, ServerProcess, Stubs

MORE_BYTES = 64 * 2**20
OK, RESOURCE_EXHAUSTED, UNAVAILABLE = 0, 8, 14
LIST_COMMITS = "/releaseregistry.v1.ReleaseService/ListCommits"
FEW_DESCRIPTORS = ("sh", "-c", f'ulimit -n 128 && exec "{SERVER}" "$0"')


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    settings = {"RELEASES_SILENCE_SECONDS": "5", "RELEASES_STREAM_SLOTS": "8", "RELEASES_CALL_SLOTS": "16"}
    with ServerProcess(tmp_path_factory.mktemp("floods"), environment=settings) as running:
        assert good_call(running.address, running.token) == OK
        yield running


@pytest.fixture
def bounded(process: ServerProcess) -> Iterator[ServerProcess]:
    """The server, which answers a good call afterwards, with about the memory and at most the threads of before."""
    kernel = Process(process.pid)
    before, most = kernel.resident_bytes(), threads_of(process) + 16 + 8 + 2
    yield process
    assert good_call(process.address, process.token) == OK
    assert kernel.resident_bytes() - before < MORE_BYTES
    assert threads_of(process) <= most


@pytest.fixture(scope="module")
def stubs(process: ServerProcess) -> Iterator[Stubs]:
    """Of the server, which has an organization, a project and a release."""
    with grpc.insecure_channel(process.address) as channel:
        stubs, metadata = Stubs(channel), process.metadata
        acme = organizations_pb2.Organization(slug="acme")
        made = organizations_pb2.CreateOrganizationRequest(organization=acme)
        stubs.organizations.CreateOrganization(made, metadata=metadata)
        web = organizations_pb2.Project(slug="web")
        project = organizations_pb2.CreateProjectRequest(parent="organizations/acme", project=web)
        stubs.organizations.CreateProject(project, metadata=metadata)
        release = releases_pb2.Release(version="app@1.0.0", projects=["organizations/acme/projects/web"])
        created = releases_pb2.CreateReleaseRequest(parent="organizations/acme", release=release)
        stubs.releases.CreateRelease(created, metadata=metadata)
        yield stubs


def threads_of(process: ServerProcess) -> int:
    return len(list(Path(f"/proc/{process.pid}/task").iterdir()))


@pytest.mark.parametrize("kind", FRAME_FLOODS)
def test_frames_over_and_over_harm_nobody(bounded: ServerProcess, kind: str) -> None:
    flood(bounded.address, bounded.token, kind, 2_000)


def test_pings_over_and_over_close_the_connection(bounded: ServerProcess) -> None:
    assert flood(bounded.address, bounded.token, "ping", 500)


@pytest.mark.parametrize("kind", PROVOCATIONS)
def test_streams_that_the_server_is_made_to_reset_harm_nobody(bounded: ServerProcess, kind: str) -> None:
    provoked_resets(bounded.address, bounded.token, kind, 1_000)


def test_streams_that_are_reset_at_once_harm_nobody(bounded: ServerProcess) -> None:
    rapid_resets(bounded.address, bounded.token, 2_000)


@pytest.mark.parametrize(
    "headers",
    [
        [("x-big", "v" * 17_000)],
        [("x-big", "v" * 9_000)],
        [(f"x-{number:04}", "v" * 14) for number in range(1_000)],
        [("x-again", "v" * 3_500)] * 500,
    ],
    ids=["one of 17 KB", "one of 9 KB", "a thousand of 20 bytes", "one, indexed 500 times"],
)
def test_headers_beyond_the_limit_are_refused(bounded: ServerProcess, headers: list[tuple[str, str]]) -> None:
    stream, was_cut = bomb(bounded.address, bounded.token, headers)
    assert stream.status == RESOURCE_EXHAUSTED or was_cut


def test_headers_up_to_the_limit_are_taken(bounded: ServerProcess) -> None:
    stream, _ = bomb(bounded.address, bounded.token, [("x-big", "v" * 7_000)])
    assert stream.status == OK


def test_a_message_that_unpacks_to_more_than_a_message_may_be_is_refused_unread(bounded: ServerProcess) -> None:
    kernel = Process(bounded.pid)
    before = kernel.resident_bytes()
    kernel.forget_peak()
    with grpc.insecure_channel(bounded.address) as channel:
        call: Any = channel.unary_unary(WHO_AM_I)
        with pytest.raises(grpc.RpcError) as raised:
            # 128 MiB of zeros are 128 KiB on the wire.
            call(bytes(128 * 2**20), metadata=bounded.metadata, compression=grpc.Compression.Gzip, timeout=60)
    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert kernel.peak_bytes() - before < 32 * 2**20


def test_a_connection_has_the_limits_that_are_documented(bounded: ServerProcess) -> None:
    with Wire(bounded.address, token=bounded.token) as wire:
        assert wire.wait_for(lambda: bool(wire.settings))
        streams, window, metadata = (wire.settings.get(number) for number in (3, 4, 6))
        assert (streams, metadata) == (96, 8192)
        assert window is not None
        assert window <= 4 * 2**20
        assert 5 not in wire.settings, "frames of 16 KiB, as HTTP/2 has it unless something else is said"


def test_idle_streams_beyond_the_slots_are_refused_and_the_others_cut(bounded: ServerProcess) -> None:
    wires = idle_uploads(bounded.address, bounded.token, connections=3, streams=20)
    try:
        with Wire(bounded.address) as other:  # health waits for nobody
            assert other.wait_until_ended(other.open(HEALTH, b"", half_close=True)).status == OK
        assert good_call(bounded.address, bounded.token) == OK
        streams = [(wire, number) for wire in wires for number in wire.streams]
        outcomes = [wire.wait_until_ended(number).status for wire, number in streams]
        refused, cut = outcomes.count(UNAVAILABLE), outcomes.count(1)
        # A share of the eight slots; silence ends what is in them after five seconds.
        assert (refused + cut, refused >= 54) == (60, True), outcomes
    finally:
        for wire in wires:
            wire.close()


def test_a_reader_that_never_reads_is_cut_and_holds_no_more_than_its_window(
    bounded: ServerProcess, stubs: Stubs
) -> None:
    sent = frames(content_of(8 * 2**20), header())
    file = stubs.releases.UploadReleaseFile(sent, metadata=bounded.metadata, timeout=60).file
    request = files_pb2.DownloadReleaseFileRequest(name=file.name).SerializeToString()
    with Wire(bounded.address, token=bounded.token) as wire:
        # What comes is never acknowledged: the window that HTTP/2 begins with stays used up.
        stream = wire.wait_until_ended(wire.open(DOWNLOAD, request, half_close=True))
        assert stream.ended
        assert 0 < stream.received_bytes <= 65_535


@pytest.mark.usefixtures("stubs")
def test_an_uploader_that_takes_no_answer_is_cut(bounded: ServerProcess) -> None:
    sent = [frame.SerializeToString() for frame in frames(content_of(1000), header())]
    with Wire(bounded.address, token=bounded.token, window=0) as wire:
        stream = wire.wait_until_ended(wire.open(UPLOAD, *sent, half_close=True))
        assert stream.ended
        assert not stream.received_bytes


def test_a_caller_that_takes_no_large_answer_is_cut(bounded: ServerProcess, stubs: Stubs) -> None:
    commits = [commits_pb2.Commit(id=f"{number:040x}", message="m" * 2000) for number in range(100)]
    sent = commits_pb2.SetCommitsRequest(name=RELEASE, commits=commits, finish=True, commit_count=len(commits))
    stubs.releases.SetCommits(iter([sent]), metadata=bounded.metadata)
    request = commits_pb2.ListCommitsRequest(parent=RELEASE, page_size=100).SerializeToString()
    with Wire(bounded.address, token=bounded.token, window=100) as wire:
        stream = wire.wait_until_ended(wire.open(LIST_COMMITS, request, half_close=True))
        assert stream.ended
        assert stream.received_bytes == 100


def test_an_upload_that_drips_is_cut_as_a_silent_one_is(bounded: ServerProcess) -> None:
    with Wire(bounded.address, token=bounded.token) as wire:
        number = wire.open("/releaseregistry.v1.UploadService/UploadChunks")
        deadline = time.monotonic() + 60
        # Each time an empty message, well before five seconds of silence.
        while not wire.streams[number].ended and time.monotonic() < deadline:
            with suppress(Cut):
                wire.send(b"\0\0\5\0\0" + number.to_bytes(4, "big") + bytes(5))
            time.sleep(0.5)
        assert wire.streams[number].ended


def test_connections_that_stop_on_their_way_to_a_call_are_closed(bounded: ServerProcess) -> None:
    silent = slow_connections(bounded.address, bounded.token, 20)
    try:
        assert good_call(bounded.address, bounded.token) == OK
        for number, each in enumerate(silent):
            if number % 4 < 2:  # those that shook hands are no longer silent: they are idle
                each.settimeout(40)
                assert read_to_the_end(each)
    finally:
        for each in silent:
            each.close()


def read_to_the_end(connection: socket.socket) -> bool:
    with suppress(ConnectionResetError):
        while connection.recv(4096):
            pass
    return True


def test_an_old_connection_is_told_to_go_and_its_calls_end_well(tmp_path: Path) -> None:
    age = {"RELEASES_CONNECTION_AGE_SECONDS": "5", "RELEASES_SILENCE_SECONDS": "60"}
    with ServerProcess(tmp_path, environment=age) as running, Wire(running.address, token=running.token) as wire:
        number = wire.open("/grpc.health.v1.Health/Watch", b"", half_close=True)
        assert wire.wait_for(lambda: wire.goaway is not None)
        assert not wire.streams[number].ended


def test_more_connections_than_descriptors_leave_the_server_alive(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, program=FEW_DESCRIPTORS) as running:
        crowd = [connected(running.address) for _ in range(500)]
        for each in crowd:
            each.close()
        deadline = time.monotonic() + 60
        answer = None
        while answer != OK:
            assert time.monotonic() < deadline, running.output()[-2000:]
            with suppress(Cut, OSError):
                answer = good_call(running.address, running.token)
        assert len(list(Path(f"/proc/{running.pid}/fd").iterdir())) < 128


def test_a_connection_beyond_the_limit_is_closed_at_once(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, environment={"RELEASES_CONNECTIONS": "8"}) as running:
        wires = [Wire(running.address, token=running.token) for _ in range(8)]
        assert all(wire.wait_for(lambda wire=wire: bool(wire.settings)) for wire in wires[:6])  # type: ignore[misc]
        with closing(connected(running.address)) as one_more:
            one_more.settimeout(60)
            assert read_to_the_end(one_more)
        for wire in wires:
            wire.close()
        deadline = time.monotonic() + 60
        while True:
            with suppress(Cut, OSError):
                if good_call(running.address, running.token) == OK:
                    break
            assert time.monotonic() < deadline


def test_connections_never_take_more_than_half_of_the_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (128, 128))
    assert [most_connections(wanted) for wanted in (8, 64, 65, 4096)] == [8, 64, 64, 64]
    monkeypatch.setattr("resource.getrlimit", lambda _: (-1, -1))
    assert most_connections(4096) == 4096
