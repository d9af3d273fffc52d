"""Streams that may not go on end at once and with the reason, also while their clients send nothing."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from releaseregistry.v1 import commits_pb2, files_pb2, organizations_pb2, release_service_pb2_grpc, tokens_pb2
from releaseregistry.v1 import uploads_pb2 as pb

from server.edge import messages, vigil
from server.edge.guard import Guard
from store.errors import RegistryError
from store.organizations.avatars import AvatarUpload, start_avatar
from store.uploads.models import Upload
from tests.clocks import START_US
from tests.rpc.fast_door import cut, ref, send_chunks
from tests.rpc.fast_door import finish as assembled
from tests.rpc.sending import (
    MIB,
    RELEASE,
    content_of,
    data,
    download,
    eventually,
    file_names,
    finish,
    frames,
    header,
    send,
    upload,
)
from tests.rpc.wire import Metadata, Served, bearer, raises_reason

CONTENT = content_of(3 * MIB)
# A client that takes no more than it reads: a window that grows by itself may hold the whole file.
SMALL_WINDOW = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1 << 16),
    ("grpc.max_receive_message_length", 8 << 20),
)
WAIT = 60.0


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization(projects=["web"])
    server.make_release("organizations/acme", "app@1.0.0", "web")
    return server


@pytest.fixture
def never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks after streams: they are told by whoever ends them, or not at all."""
    monkeypatch.setattr(vigil, "ASK_SECONDS", 3600.0)


@pytest.fixture
def always_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vigil, "ASK_SECONDS", 0.0)
    monkeypatch.setattr(vigil, "LOOK_SECONDS", 0.01)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a call was ended by another thread."""
    was_ended, end = threading.Event(), Guard.end

    def noted(guard: Guard, error: RegistryError) -> None:
        end(guard, error)
        was_ended.set()

    monkeypatch.setattr(Guard, "end", noted)
    return was_ended


class Stalled:
    """A stream whose client sends some messages and then, until it is let go, nothing."""

    def __init__(self, method: Any, requests: list[Any], metadata: Metadata) -> None:
        self._more = threading.Event()
        self._rest: list[Any] = []

        def sent() -> Iterator[Any]:
            yield from requests
            self._more.wait(WAIT)
            yield from self._rest

        self.call = method.future(sent(), metadata=metadata, timeout=WAIT)

    def go_on(self, *requests: Any) -> None:
        self._rest = list(requests)
        self._more.set()


def stalled_upload(server: Served, first: files_pb2.UploadReleaseFileRequest, metadata: Metadata) -> Stalled:
    """A stream that has the upload's turn by now, with two thirds of the content."""
    before = fence_of(server, first)
    requests = [first, data(CONTENT[:MIB], 0), data(CONTENT[MIB : 2 * MIB])]
    stalled = Stalled(server.releases.UploadReleaseFile, requests, metadata)
    assert eventually(lambda: fence_of(server, first) > before)
    return stalled


def stalled_assembly(server: Served, first: files_pb2.UploadReleaseFileRequest, metadata: Metadata) -> Stalled:
    pieces = cut(CONTENT)
    send_chunks(server, pieces)
    server.uploads.StartUpload(pb.StartUploadRequest(header=first.header), metadata=metadata)
    before = fence_of(server, first)
    name = f"organizations/acme/uploads/{first.header.upload_id}"
    requests = [pb.AssembleUploadRequest(name=name, chunks=map(ref, pieces[:5]))]
    stalled = Stalled(server.uploads.AssembleUpload, requests, metadata)
    assert eventually(lambda: fence_of(server, first) > before)
    return stalled


def stalled_chunks(server: Served, metadata: Metadata) -> Stalled:
    return Stalled(server.uploads.UploadChunks, [pb.UploadChunksRequest(parent="organizations/acme")], metadata)


def stalled_commits(server: Served, metadata: Metadata) -> Stalled:
    return Stalled(server.releases.SetCommits, [commits_pb2.SetCommitsRequest(name=RELEASE)], metadata)


def fence_of(server: Served, first: files_pb2.UploadReleaseFileRequest) -> int:
    upload_id = uuid.UUID(first.header.upload_id).bytes
    rows = server.database.read(lambda reader: reader.fetch(Upload.select().where(Upload.id == upload_id)))
    return rows[0].fence if rows else 0


@pytest.mark.usefixtures("never_asked")
@pytest.mark.parametrize("stalled", [stalled_upload, stalled_assembly])
def test_a_silent_stream_is_told_at_once_that_a_later_one_took_over(
    acme: Served, stalled: Callable[[Served, files_pb2.UploadReleaseFileRequest, Metadata], Stalled]
) -> None:
    first = header()
    earlier = stalled(acme, first, acme.operator)

    answer = send(acme, frames(CONTENT, first))

    with raises_reason("UPLOAD_TAKEN_OVER", "ABORTED") as refusal:
        earlier.call.result()
    assert refusal.metadata == {"upload_id": first.header.upload_id}
    assert eventually(lambda: acme.server.running_calls == 0)
    earlier.go_on()
    assert download(acme, answer.file.name)[1] == CONTENT
    assert file_names(acme) == ["app.js"]


@pytest.mark.usefixtures("never_asked")
def test_a_silent_stream_is_told_at_once_that_its_file_is_being_assembled(acme: Served) -> None:
    first, pieces = header(), cut(CONTENT)
    earlier = stalled_upload(acme, first, acme.operator)
    send_chunks(acme, pieces)
    name = f"organizations/acme/uploads/{first.header.upload_id}"

    lists = [pb.AssembleUploadRequest(name=name, chunks=map(ref, pieces), finish=assembled(CONTENT))]
    answer = acme.uploads.AssembleUpload(iter(lists), metadata=acme.operator)

    with raises_reason("UPLOAD_TAKEN_OVER", "ABORTED"):
        earlier.call.result()
    earlier.go_on()
    assert download(acme, answer.file.name)[1] == CONTENT


@pytest.mark.usefixtures("never_asked")
def test_a_silent_stream_is_told_at_once_that_its_upload_was_cancelled(acme: Served) -> None:
    first = header()
    stream = stalled_upload(acme, first, acme.operator)

    name = f"organizations/acme/uploads/{first.header.upload_id}"
    acme.uploads.CancelUpload(pb.CancelUploadRequest(name=name), metadata=acme.operator)

    with raises_reason("UPLOAD_CLOSED", "FAILED_PRECONDITION") as refusal:
        stream.call.result()
    assert refusal.metadata == {"upload_id": first.header.upload_id, "state": "CANCELLED"}
    stream.go_on()


@pytest.mark.usefixtures("always_asked")
@pytest.mark.parametrize("stalled", [stalled_upload, stalled_assembly])
def test_a_silent_stream_learns_that_another_server_took_over(
    acme: Served, stalled: Callable[[Served, files_pb2.UploadReleaseFileRequest, Metadata], Stalled]
) -> None:
    stream = stalled(acme, header(), acme.operator)

    acme.database.write(lambda tx: tx.execute(Upload.update({Upload.fence: Upload.fence + 1})))

    with raises_reason("UPLOAD_TAKEN_OVER", "ABORTED"):
        stream.call.result()
    stream.go_on()


def of_upload(server: Served, metadata: Metadata) -> Stalled:
    return stalled_upload(server, header(), metadata)


def of_assembly(server: Served, metadata: Metadata) -> Stalled:
    return stalled_assembly(server, header(), metadata)


@pytest.mark.usefixtures("always_asked")
@pytest.mark.parametrize("stalled", [of_upload, of_assembly, stalled_chunks, stalled_commits])
def test_a_silent_stream_ends_when_its_token_is_revoked(
    acme: Served, stalled: Callable[[Served, Metadata], Stalled]
) -> None:
    secret = acme.make_token("organizations/acme", "release:write", all_projects=True)
    stream = stalled(acme, bearer(secret))

    revoke(acme)

    with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED"):
        stream.call.result()
    stream.go_on()
    assert file_names(acme) == []


@pytest.mark.usefixtures("always_asked")
def test_a_stream_whose_token_expired_brings_no_file_however_busily_it_sends(
    acme: Served, ended: threading.Event
) -> None:
    expire_us = START_US + 3_600_000_000
    secret = acme.make_token("organizations/acme", "release:write", all_projects=True, expire_us=expire_us)
    stream = stalled_upload(acme, header(), bearer(secret))

    acme.clock.advance(seconds=3600)
    assert ended.wait(WAIT)
    stream.go_on(data(CONTENT[2 * MIB :]), finish(CONTENT))

    with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED"):
        stream.call.result()
    assert eventually(lambda: acme.server.running_calls == 0)
    assert file_names(acme) == []


@pytest.mark.usefixtures("always_asked")
def test_a_picture_on_its_way_ends_with_its_organization(acme: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def start(*arguments: Any) -> AvatarUpload:
        upload = start_avatar(*arguments)
        begun.set()
        return upload

    monkeypatch.setattr("server.servicers.organizations.start_avatar", start)
    other = acme.make_organization("other")
    secret = acme.make_token(other, "org:write", all_projects=True)
    first = organizations_pb2.UploadAvatarRequest(header=organizations_pb2.AvatarHeader(name=other))
    stream = Stalled(acme.organizations.UploadAvatar, [first], bearer(secret))
    assert begun.wait(WAIT)

    acme.organizations.DeleteOrganization(
        organizations_pb2.DeleteOrganizationRequest(name=other), metadata=acme.operator
    )

    with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED"):
        stream.call.result()
    stream.go_on()


@pytest.mark.usefixtures("always_asked")
def test_a_download_ends_when_its_token_is_revoked(acme: Served, ended: threading.Event) -> None:
    content = content_of(24 * MIB)
    file = upload(acme, content).file
    secret = acme.make_token("organizations/acme", "release:read", all_projects=True)
    request = files_pb2.DownloadReleaseFileRequest(name=file.name)
    with grpc.insecure_channel(acme.address, options=SMALL_WINDOW) as channel:
        stub = release_service_pb2_grpc.ReleaseServiceStub(channel)
        call = stub.DownloadReleaseFile(request, metadata=bearer(secret), timeout=WAIT)
        next(call)  # and then its client reads nothing, so that most of it waits at the server

        revoke(acme)
        assert ended.wait(WAIT)

        got = bytearray()
        with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED"):
            for message in call:
                got += message.data
    assert len(got) < len(content)
    assert got == content[: len(got)]


@pytest.mark.usefixtures("always_asked")
def test_a_stream_that_may_go_on_does_however_often_it_is_looked_at(acme: Served) -> None:
    asked = threading.Event()
    stream = stalled_upload(acme, header(), acme.operator)
    seen: list[str] = []

    def note(event: Any) -> None:
        seen.append(event.sql)
        if sum("upload" in sql for sql in seen) > 10:
            asked.set()

    acme.database.hooks.append(note)
    assert asked.wait(WAIT), "nobody looks whether the stream has its turn"
    acme.database.hooks.remove(note)
    stream.go_on(data(CONTENT[2 * MIB :]), finish(CONTENT))

    assert download(acme, stream.call.result().file.name)[1] == CONTENT


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(messages, "MESSAGES", 200)
    return 200


def test_a_stream_of_empty_frames_does_not_go_on_for_ever(acme: Served, few: int) -> None:
    def empty() -> Iterator[files_pb2.UploadReleaseFileRequest]:
        yield header()
        while True:
            yield data(b"", 0)

    with raises_reason("TOO_MANY_MESSAGES", "RESOURCE_EXHAUSTED") as refusal:
        send(acme, empty())
    assert few <= int(refusal.metadata["limit"]) < 2 * few
    assert refusal.retry_seconds is None


def test_a_stream_of_single_bytes_does_not_go_on_for_ever(acme: Served, few: int) -> None:
    def bytes_of(first: files_pb2.UploadReleaseFileRequest) -> Iterator[files_pb2.UploadReleaseFileRequest]:
        yield first
        yield data(b"x", 0)
        while True:
            yield data(b"x")

    with raises_reason("TOO_MANY_MESSAGES", "RESOURCE_EXHAUSTED") as refusal:
        send(acme, bytes_of(header()))
    assert few <= int(refusal.metadata["limit"]) < 2 * few


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("service", "method", "first", "more"),
    [
        ("releases", "SetCommits", commits_pb2.SetCommitsRequest(name=RELEASE), commits_pb2.SetCommitsRequest()),
        ("uploads", "UploadChunks", pb.UploadChunksRequest(parent="organizations/acme"), pb.UploadChunksRequest()),
    ],
)
def test_empty_messages_of_other_streams_do_not_go_on_for_ever_either(
    acme: Served, service: str, method: str, first: Any, more: Any
) -> None:
    def requests() -> Iterator[Any]:
        yield first
        while True:
            yield more

    with raises_reason("TOO_MANY_MESSAGES", "RESOURCE_EXHAUSTED"):
        getattr(getattr(acme, service), method)(requests(), metadata=acme.operator, timeout=WAIT)


def test_small_frames_with_something_in_them_may_be_as_many_as_they_are(acme: Served, few: int) -> None:
    content = content_of(20 * few * 60)

    answer = send(acme, frames(content, header(), size=60))

    assert download(acme, answer.file.name)[1] == content


def revoke(server: Served) -> None:
    """Revoke every token of the organization."""
    listed = server.tokens.ListTokens(
        tokens_pb2.ListTokensRequest(parent="organizations/acme"), metadata=server.operator
    )
    for token in listed.tokens:
        server.tokens.RevokeToken(tokens_pb2.RevokeTokenRequest(name=token.name), metadata=server.operator)
