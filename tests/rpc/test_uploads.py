"""Uploads over the wire: StartUpload, GetUpload, CancelUpload, GetUploadLimits, and streams that go on."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from releaseregistry.v1 import files_pb2
from releaseregistry.v1 import uploads_pb2 as pb

from store.database import Database
from tests.clocks import START_US, ManualClock
from tests.rpc.sending import (
    MIB,
    RELEASE,
    content_of,
    data,
    digest_of,
    download,
    eventually,
    file_names,
    finish,
    frames,
    header,
    send,
)
from tests.rpc.serving import served
from tests.rpc.wire import Served, bearer, raises_reason

CONTENT = content_of(6 * MIB)
DAY_US = 24 * 3600 * 1_000_000


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization(projects=["web", "api"])
    server.make_release("organizations/acme", "app@1.0.0", "web", "api")
    return server


def name_of(first: files_pb2.UploadReleaseFileRequest) -> str:
    return f"organizations/acme/uploads/{uuid.UUID(first.header.upload_id)}"


def start(server: Served, first: files_pb2.UploadReleaseFileRequest) -> pb.Upload:
    return server.uploads.StartUpload(pb.StartUploadRequest(header=first.header), metadata=server.operator).upload


def get(server: Served, first: files_pb2.UploadReleaseFileRequest) -> pb.Upload:
    return server.uploads.GetUpload(pb.GetUploadRequest(name=name_of(first)), metadata=server.operator).upload


def cancel(server: Served, first: files_pb2.UploadReleaseFileRequest) -> pb.Upload:
    return server.uploads.CancelUpload(pb.CancelUploadRequest(name=name_of(first)), metadata=server.operator).upload


def parts(start: int, stop: int) -> Iterator[files_pb2.UploadReleaseFileRequest]:
    for at in range(start, stop, MIB):
        yield data(CONTENT[at : min(at + MIB, stop)], at)


def send_part(server: Served, first: files_pb2.UploadReleaseFileRequest, stop: int, *, begin: int = 0) -> int:
    """Send up to `stop` and close without a finish; how many bytes are committed then."""
    with raises_reason("FRAME_OUT_OF_ORDER", "INVALID_ARGUMENT") as refusal:
        send(server, [first, *parts(begin, stop)])
    assert refusal.metadata["found"] == "end"
    return get(server, first).committed_bytes


def test_limits_tell_how_to_cut(acme: Served) -> None:
    reader = bearer(acme.make_token("organizations/acme", "release:read"))

    limits = acme.uploads.GetUploadLimits(pb.GetUploadLimitsRequest(), metadata=reader)

    assert limits.max_file_bytes == acme.server.settings.max_file_bytes
    assert (limits.max_frame_bytes, limits.max_chunk_bytes, limits.max_chunks_per_message) == (MIB, MIB, 10_000)
    assert (limits.chunking.min_bytes, limits.chunking.average_bytes, limits.chunking.max_bytes) == (
        MIB // 16,
        MIB // 4,
        MIB,
    )
    assert list(limits.encodings) == [pb.CHUNK_ENCODING_IDENTITY, pb.CHUNK_ENCODING_ZSTD]
    assert limits.retention_seconds == 24 * 3600


@pytest.mark.parametrize(("grace_seconds", "retention_seconds"), [(7200, 7200), (48 * 3600, 24 * 3600)])
def test_limits_tell_what_is_kept_for_how_long_at_least(
    sqlite: Database, clock: ManualClock, tmp_path: Path, grace_seconds: int, retention_seconds: int
) -> None:
    with served(sqlite, clock, tmp_path, grace_seconds=grace_seconds) as running:
        limits = running.uploads.GetUploadLimits(pb.GetUploadLimitsRequest(), metadata=running.operator)

    assert limits.retention_seconds == retention_seconds


def test_an_upload_is_started_looked_at_and_finished(acme: Served) -> None:
    first = header(headers={"a": "b"}, kind=files_pb2.FILE_KIND_DEBUG_FILE)

    upload = start(acme, first)

    assert (upload.name, upload.state, upload.committed_bytes) == (name_of(first), pb.UPLOAD_STATE_OPEN, 0)
    assert (upload.create_time.ToMicroseconds(), upload.expire_time.ToMicroseconds()) == (START_US, START_US + DAY_US)
    assert not upload.HasField("file")
    assert get(acme, first) == start(acme, first) == upload
    answer = send(acme, frames(CONTENT, first))
    assert (answer.created, answer.file.kind) == (True, files_pb2.FILE_KIND_DEBUG_FILE)
    finished = get(acme, first)
    assert (finished.state, finished.committed_bytes, finished.file) == (
        pb.UPLOAD_STATE_FINISHED,
        len(CONTENT),
        answer.file,
    )
    assert start(acme, first) == finished
    with raises_reason("REQUEST_ID_REUSED", "FAILED_PRECONDITION"):
        start(acme, header("other.js", upload_id=first.header.upload_id))


def test_a_look_at_an_upload_neither_ends_nor_holds_up_its_stream(acme: Served) -> None:
    first, looked = header(), threading.Event()

    def sent() -> Iterator[files_pb2.UploadReleaseFileRequest]:
        yield from (first, *parts(0, 3 * MIB))
        assert looked.wait(60)
        yield from (*parts(3 * MIB, len(CONTENT)), finish(CONTENT))

    call = acme.releases.UploadReleaseFile.future(sent(), metadata=acme.operator, timeout=60)
    assert eventually(lambda: acme.server.running_calls == 1)
    start(acme, first)  # where the stream has not begun the upload yet, this has
    states = [get(acme, first).state for _ in range(20)]
    looked.set()

    assert call.result().created
    assert set(states) == {pb.UPLOAD_STATE_OPEN}


def test_a_stream_that_closed_early_goes_on_from_what_is_committed(acme: Served) -> None:
    first, before = header(), 0
    for stop in (3 * MIB, 5 * MIB):
        committed = send_part(acme, first, stop, begin=before)
        assert before < committed <= stop
        before = committed

    with raises_reason("OFFSET_MISMATCH", "OUT_OF_RANGE") as refusal:
        send(acme, [first, data(b"x", before + 1)])
    assert refusal.metadata == {"committed_bytes": str(before)}
    answer = send(acme, [first, *parts(before, len(CONTENT)), finish(CONTENT)])
    assert download(acme, answer.file.name)[1] == CONTENT


def test_what_is_committed_may_be_sent_again(acme: Served) -> None:
    first = header()
    assert send_part(acme, first, 5 * MIB) > 4 * MIB

    answer = send(acme, frames(CONTENT, first))

    assert download(acme, answer.file.name)[1] == CONTENT


def cancelled(call: grpc.Future[files_pb2.UploadReleaseFileResponse]) -> None:
    call.cancel()


def left_to_its_deadline(call: grpc.Future[files_pb2.UploadReleaseFileResponse]) -> None:
    with pytest.raises(grpc.RpcError):
        call.result()


@pytest.mark.parametrize("end", [cancelled, left_to_its_deadline])
def test_an_aborted_stream_makes_no_file_and_goes_on(
    acme: Served, end: Callable[[grpc.Future[files_pb2.UploadReleaseFileResponse]], None]
) -> None:
    first, sent, stop = header(), threading.Event(), threading.Event()

    def slow() -> Iterator[files_pb2.UploadReleaseFileRequest]:
        yield first
        yield from parts(0, 5 * MIB)
        sent.set()
        stop.wait(60)

    call = acme.releases.UploadReleaseFile.future(slow(), metadata=acme.operator, timeout=15)
    assert sent.wait(60)
    assert eventually(lambda: _is_known(acme, first))  # what was sent may still lie in the transport
    end(call)
    stop.set()

    assert eventually(lambda: acme.server.running_calls == 0)
    assert file_names(acme) == []
    committed = get(acme, first).committed_bytes
    answer = send(acme, [first, *parts(committed, len(CONTENT)), finish(CONTENT)])
    assert download(acme, answer.file.name)[1] == CONTENT


def test_a_client_that_fails_while_it_sends_goes_on(acme: Served) -> None:
    first = header()

    def failing() -> Iterator[files_pb2.UploadReleaseFileRequest]:
        yield first
        yield from parts(0, 5 * MIB)
        assert eventually(lambda: _is_known(acme, first))
        raise ConnectionError("the client's disk broke")

    with pytest.raises(grpc.RpcError):
        send(acme, failing())
    assert eventually(lambda: acme.server.running_calls == 0)

    assert file_names(acme) == []
    answer = send(acme, frames(CONTENT, first))
    assert download(acme, answer.file.name)[1] == CONTENT


def test_a_later_stream_takes_over_and_the_earlier_is_told(acme: Served) -> None:
    first, go_on = header(), threading.Event()

    def slow() -> Iterator[files_pb2.UploadReleaseFileRequest]:
        yield first
        yield from parts(0, 3 * MIB)
        go_on.wait(60)
        yield from parts(3 * MIB, len(CONTENT))
        yield finish(CONTENT)

    earlier = acme.releases.UploadReleaseFile.future(slow(), metadata=acme.operator, timeout=60)
    assert eventually(lambda: _is_known(acme, first))
    answer = send(acme, frames(CONTENT, first))
    go_on.set()

    with raises_reason("UPLOAD_TAKEN_OVER", "ABORTED") as refusal:
        earlier.result()
    assert refusal.metadata == {"upload_id": first.header.upload_id}
    assert refusal.retry_seconds is None  # two streams would chase each other
    assert download(acme, answer.file.name)[1] == CONTENT
    assert file_names(acme) == ["app.js"]


def test_a_cancelled_upload_is_closed_and_its_stream_ends(acme: Served) -> None:
    first, go_on = header(), threading.Event()

    def slow() -> Iterator[files_pb2.UploadReleaseFileRequest]:
        yield first
        yield from parts(0, 3 * MIB)
        go_on.wait(60)
        yield from parts(3 * MIB, len(CONTENT))
        yield finish(CONTENT)

    stream = acme.releases.UploadReleaseFile.future(slow(), metadata=acme.operator, timeout=60)
    assert eventually(lambda: _is_known(acme, first))
    assert cancel(acme, first).state == pb.UPLOAD_STATE_CANCELLED
    go_on.set()

    with raises_reason("UPLOAD_CLOSED", "FAILED_PRECONDITION") as refusal:
        stream.result()
    assert refusal.metadata == {"upload_id": first.header.upload_id, "state": "CANCELLED"}
    with raises_reason("UPLOAD_CLOSED", "FAILED_PRECONDITION"):
        send(acme, frames(CONTENT, first))
    assert cancel(acme, first) == get(acme, first)
    assert file_names(acme) == []


def test_a_finished_upload_is_not_cancelled(acme: Served) -> None:
    first = header()
    send(acme, frames(b"abc", first))

    with raises_reason("UPLOAD_CLOSED", "FAILED_PRECONDITION") as refusal:
        cancel(acme, first)

    assert refusal.metadata == {"upload_id": first.header.upload_id, "state": "FINISHED"}


def test_an_upload_that_is_not_there_or_not_yours_is_not_found(acme: Served) -> None:
    first = header()
    start(acme, first)
    half = bearer(acme.make_token("organizations/acme", "release:write", projects=["web"]))
    ask = pb.GetUploadRequest(name=name_of(first))
    told = []
    for request, metadata in [(ask, half), (pb.GetUploadRequest(name=name_of(header())), acme.operator)]:
        with raises_reason("UPLOAD_NOT_FOUND", "NOT_FOUND") as refusal:
            acme.uploads.GetUpload(request, metadata=metadata)
        assert refusal.metadata == {"name": request.name}
        told.append(refusal.message.replace(request.name, ""))
    assert told[0] == told[1]
    with raises_reason("UPLOAD_NOT_FOUND", "NOT_FOUND"):
        acme.uploads.CancelUpload(pb.CancelUploadRequest(name=name_of(first)), metadata=half)
    with raises_reason("INVALID_NAME", "INVALID_ARGUMENT"):
        acme.uploads.GetUpload(pb.GetUploadRequest(name="organizations/acme/uploads/1"), metadata=acme.operator)
    acme.clock.advance(seconds=24 * 3600)
    with raises_reason("UPLOAD_NOT_FOUND", "NOT_FOUND"):
        get(acme, first)


def test_bad_headers_are_refused_at_the_start(acme: Served) -> None:
    with raises_reason("FILE_TOO_LARGE", "INVALID_ARGUMENT"):
        start(acme, header(size_bytes=2**62))
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
        start(acme, header(parent=f"{RELEASE}.9"))
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        start(acme, header("a\\b"))
    assert list(refusal.violations) == ["header.file_name"]
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT"):
        acme.uploads.StartUpload(pb.StartUploadRequest(), metadata=acme.operator)


def test_a_file_is_replaced_only_when_that_was_asked_for(acme: Served) -> None:
    old = send(acme, frames(b"old", header())).file

    with raises_reason("FILE_EXISTS", "ALREADY_EXISTS"):
        send(acme, frames(CONTENT, header()))
    answer = send(acme, frames(CONTENT, header(replace=True)))

    assert (answer.created, file_names(acme)) == (True, ["app.js"])
    assert answer.file.uid != old.uid
    assert download(acme, answer.file.name)[1] == CONTENT


def test_a_file_that_stands_in_the_way_is_told_at_the_start(acme: Served) -> None:
    standing = send(acme, frames(CONTENT, header())).file

    for announced in ({"size_bytes": len(CONTENT) + 1}, {"sha256": digest_of(b"other")}):
        for attempt in (start, lambda server, first: send(server, [first])):
            with raises_reason("FILE_EXISTS", "ALREADY_EXISTS") as refusal:
                attempt(acme, header(**announced))
            assert refusal.metadata == {"file_name": "app.js", "sha256": standing.sha256}
    for fields in ({}, {"size_bytes": len(CONTENT)}, {"sha256": standing.sha256}, {"size_bytes": 1, "replace": True}):
        request = pb.StartUploadRequest(header=header(**fields).header)
        for _ in range(2):
            answer = acme.uploads.StartUpload(request, metadata=acme.operator)
            assert (answer.upload.state, answer.standing_file) == (pb.UPLOAD_STATE_OPEN, standing)
    request = pb.StartUploadRequest(header=header("other.js", size_bytes=1).header)
    assert not acme.uploads.StartUpload(request, metadata=acme.operator).HasField("standing_file")


def test_a_finished_upload_tells_its_file_and_none_that_stands_in_its_way(acme: Served) -> None:
    first = header(size_bytes=3)
    send(acme, frames(b"abc", first))

    answer = acme.uploads.StartUpload(pb.StartUploadRequest(header=first.header), metadata=acme.operator)

    assert answer.upload.state == pb.UPLOAD_STATE_FINISHED
    assert not answer.HasField("standing_file")


def _is_known(server: Served, first: files_pb2.UploadReleaseFileRequest) -> bool:
    try:
        get(server, first)
    except grpc.RpcError:
        return False
    return True
