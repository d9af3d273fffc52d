"""UploadReleaseFile over the wire."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from releaseregistry.v1 import files_pb2 as pb
from releaseregistry.v1 import releases_pb2, uploads_pb2

from tests.clocks import START_US
from tests.rpc.sending import (
    FRAME,
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
    upload,
)
from tests.rpc.wire import Served, bearer, raises_reason


@pytest.fixture
def acme(server: Served) -> Served:
    """The release `app@1.0.0` of the projects `web` and `api`, on both databases."""
    return with_release(server)


@pytest.fixture
def lone(edge: Served) -> Served:
    """The same on SQLite alone, for what has nothing to do with the database."""
    return with_release(edge)


def with_release(server: Served) -> Served:
    server.make_organization(projects=["web", "api", "cli"])
    server.make_release("organizations/acme", "app@1.0.0", "web", "api")
    return server


def left_behind(server: Served) -> list[Path]:
    """Files of packs, published or not."""
    folder = server.server.settings.data / "blobs"
    return [path for part in ("tmp", "packs") for path in (folder / part).rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [0, 5, 16 * 1024 + 1, 3 * MIB + 1])
def test_a_file_is_answered_with_all_that_was_said_of_it(acme: Served, size: int) -> None:
    content = content_of(size)
    project = "organizations/acme/projects/web"

    answer = upload(
        acme, content, "dist/app.js", project=project, dist="linux", headers={"Content-Type": "text/javascript"}
    )

    file = answer.file
    assert answer.created
    assert file.name == f"{RELEASE}/files/{uuid.UUID(file.uid)}"
    assert (file.file_name, file.project, file.dist) == ("dist/app.js", project, "linux")
    assert (dict(file.headers), file.size_bytes) == ({"Content-Type": "text/javascript"}, size)
    assert (file.sha256, file.create_time.ToMicroseconds()) == (digest_of(content), START_US)
    assert download(acme, file.name) == (file, content)
    release = acme.releases.GetRelease(releases_pb2.GetReleaseRequest(name=RELEASE), metadata=acme.operator).release
    assert release.file_count == 1


def test_what_was_not_said_is_not_set(lone: Served) -> None:
    file = upload(lone, b"abc", project="", dist="").file

    assert (file.HasField("project"), file.HasField("dist"), dict(file.headers)) == (False, False, {})


def test_frames_of_one_mebibyte_and_without_offsets_are_taken(lone: Served) -> None:
    content = content_of(3 * MIB)
    requests = [
        header(),
        data(content[:MIB], 0),
        data(content[MIB : 2 * MIB]),
        data(b""),
        data(content[2 * MIB :]),
        finish(content),
    ]

    assert download(lone, send(lone, requests).file.name)[1] == content


def test_a_frame_beyond_one_mebibyte_is_refused(lone: Served) -> None:
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        send(lone, [header(), data(bytes(MIB + 1), 0)])
    assert list(refusal.violations) == ["data.data"]


def test_repeating_a_finished_upload_answers_the_same_without_its_bytes(acme: Served) -> None:
    first, content = header(), content_of(MIB)
    answer = send(acme, frames(content, first))

    def header_alone() -> Iterator[pb.UploadReleaseFileRequest]:
        yield first
        stop.wait(60)

    stop = threading.Event()
    assert send(acme, header_alone()) == answer
    stop.set()
    assert send(acme, frames(content, first)) == answer
    with raises_reason("REQUEST_ID_REUSED", "FAILED_PRECONDITION"):
        send(acme, frames(content, header("other.js", upload_id=first.header.upload_id)))


def test_an_upload_id_in_capitals_is_the_same(lone: Served) -> None:
    first = header()
    answer = send(lone, frames(b"abc", first))
    shouted = pb.UploadReleaseFileRequest()
    shouted.CopyFrom(first)
    shouted.header.upload_id = first.header.upload_id.upper()

    assert send(lone, frames(b"abc", shouted)) == answer


def test_the_same_content_again_is_the_same_file_and_other_content_is_refused(acme: Served) -> None:
    first = upload(acme, b"abc")

    again = upload(acme, b"abc")
    with raises_reason("FILE_EXISTS", "ALREADY_EXISTS") as refusal:
        upload(acme, b"other")

    assert (again.file, again.created) == (first.file, False)
    assert refusal.metadata == {"file_name": "app.js", "sha256": digest_of(b"abc")}


CONTENT = content_of(FRAME + 1)
WHOLE = [data(CONTENT[:FRAME], 0), data(CONTENT[FRAME:], FRAME)]


@pytest.mark.parametrize(
    ("requests", "expected", "found"),
    [
        ([], "header", "end"),
        ([data(b"abc", 0)], "header", "data"),
        ([finish(b"")], "header", "finish"),
        ([pb.UploadReleaseFileRequest()], "header", "an empty message"),
        ([header()], "data or finish", "end"),
        ([header(), header()], "data or finish", "header"),
        ([header(), *WHOLE], "data or finish", "end"),
        ([header(), WHOLE[0], header()], "data or finish", "header"),
        ([header(), WHOLE[0], pb.UploadReleaseFileRequest()], "data or finish", "an empty message"),
        ([header(), *WHOLE, finish(CONTENT), data(b"abc")], "end", "data"),
        ([header(), *WHOLE, finish(CONTENT), finish(CONTENT)], "end", "finish"),
        ([header(), *WHOLE, finish(CONTENT), header()], "end", "header"),
    ],
)
def test_frames_out_of_order_store_nothing(
    lone: Served, requests: list[pb.UploadReleaseFileRequest], expected: str, found: str
) -> None:
    with raises_reason("FRAME_OUT_OF_ORDER", "INVALID_ARGUMENT") as refusal:
        send(lone, requests)

    assert refusal.metadata == {"expected": expected, "found": found}
    assert eventually(lambda: left_behind(lone) == [])
    assert file_names(lone) == []


def test_a_client_that_fails_in_the_middle_stores_nothing(lone: Served) -> None:
    def failing() -> Iterator[pb.UploadReleaseFileRequest]:
        yield header()
        yield from WHOLE
        assert eventually(lambda: left_behind(lone) != [])
        raise ConnectionError("the client's disk broke")

    with pytest.raises(grpc.RpcError):
        send(lone, failing())

    assert eventually(lambda: left_behind(lone) == [])
    assert file_names(lone) == []


def test_a_cancelled_call_makes_no_file_and_keeps_what_it_brought(lone: Served) -> None:
    sent, stop = threading.Event(), threading.Event()
    first, content = header(), content_of(8 * MIB)

    def slow() -> Iterator[pb.UploadReleaseFileRequest]:
        yield first
        for start in range(0, len(content), MIB):
            yield data(content[start : start + MIB], start)
        sent.set()
        stop.wait(60)

    call = lone.releases.UploadReleaseFile.future(slow(), metadata=lone.operator, timeout=60)
    assert sent.wait(60)
    assert eventually(lambda: left_behind(lone) != [])  # what was sent may still lie in the transport
    call.cancel()
    stop.set()

    assert eventually(lambda: lone.server.running_calls == 0)
    assert file_names(lone) == []
    kept = committed(lone, first)
    assert kept > 0
    answer = send(lone, [first, data(content[kept : kept + MIB], kept), *rest(content, kept + MIB)])
    assert download(lone, answer.file.name)[1] == content


def committed(server: Served, first: pb.UploadReleaseFileRequest) -> int:
    """How many bytes of the upload are on stable storage."""
    name = f"organizations/acme/uploads/{first.header.upload_id}"
    return server.uploads.GetUpload(
        uploads_pb2.GetUploadRequest(name=name), metadata=server.operator
    ).upload.committed_bytes


def rest(content: bytes, start: int) -> Iterator[pb.UploadReleaseFileRequest]:
    """The frames from `start` on, and the finish."""
    for at in range(start, len(content), MIB):
        yield data(content[at : at + MIB], at)
    yield finish(content)


def finish_saying(size_bytes: int, sha256: str) -> pb.UploadReleaseFileRequest:
    return pb.UploadReleaseFileRequest(finish=pb.UploadFinish(size_bytes=size_bytes, sha256=sha256))


@pytest.mark.parametrize(
    ("announced", "said"), [(None, FRAME), (None, FRAME + 2), (FRAME, FRAME + 1), (FRAME + 2, FRAME + 1)]
)
def test_a_wrong_size_stores_nothing(lone: Served, announced: int | None, said: int) -> None:
    with raises_reason("SIZE_MISMATCH", "INVALID_ARGUMENT") as refusal:
        send(lone, [header(size_bytes=announced), *WHOLE, finish_saying(said, digest_of(CONTENT))])

    wrong = said if announced is None else announced
    assert refusal.metadata == {"unit": "bytes", "expected": str(wrong), "actual": str(FRAME + 1)}
    assert refusal.message == f"{wrong} bytes were announced and {FRAME + 1} came; nothing was stored."
    assert (file_names(lone), left_behind(lone)) == ([], [])


@pytest.mark.parametrize(("announced", "said"), [(None, "0" * 64), ("0" * 64, digest_of(CONTENT))])
def test_a_wrong_digest_stores_nothing(lone: Served, announced: str | None, said: str) -> None:
    with raises_reason("DIGEST_MISMATCH", "INVALID_ARGUMENT") as refusal:
        send(lone, [header(sha256=announced), *WHOLE, finish_saying(FRAME + 1, said)])

    assert refusal.metadata == {"expected": "0" * 64, "actual": digest_of(CONTENT)}
    assert (file_names(lone), left_behind(lone)) == ([], [])


def test_too_large_a_file_is_refused_before_its_bytes(lone: Served) -> None:
    with raises_reason("FILE_TOO_LARGE", "INVALID_ARGUMENT") as refusal:
        send(lone, [header(size_bytes=10 * 2**30 + 1)])

    assert refusal.metadata == {"max_bytes": str(10 * 2**30)}


def test_too_large_a_file_is_refused_while_it_comes(lone: Served) -> None:
    lone.server.store.blobs.max_content_bytes = FRAME

    with raises_reason("FILE_TOO_LARGE", "INVALID_ARGUMENT"):
        send(lone, [header(), *WHOLE, finish(CONTENT)])


def test_data_that_begins_beyond_what_is_committed_is_refused(lone: Served) -> None:
    with raises_reason("OFFSET_MISMATCH", "OUT_OF_RANGE") as refusal:
        send(lone, [header(), data(b"abc", 1)])
    assert refusal.metadata == {"committed_bytes": "0"}
    with raises_reason("OFFSET_MISMATCH", "OUT_OF_RANGE"):
        send(lone, [header(), data(b"abc", 0), data(b"def", 4)])
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        send(lone, [header(), data(b"abc")])
    assert list(refusal.violations) == ["data.offset"]


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"file_name": "a\\b"}, "INVALID_FIELD", "header.file_name"),
        ({"file_name": ""}, "INVALID_FIELD", "header.file_name"),
        ({"file_name": "a\nb"}, "INVALID_FIELD", "header.file_name"),
        ({"file_name": "é" * 513}, "INVALID_FIELD", "header.file_name"),
        ({"dist": "x" * 65}, "INVALID_FIELD", "header.dist"),
        ({"upload_id": "1"}, "INVALID_FIELD", "header.upload_id"),
        ({"sha256": "0" * 63}, "INVALID_FIELD", "header.sha256"),
        ({"size_bytes": -1}, "INVALID_FIELD", "header.size_bytes"),
        ({"parent": "organizations/acme"}, "INVALID_NAME", "header.parent"),
        ({"project": "web"}, "INVALID_NAME", "header.project"),
    ],
)
def test_bad_headers_name_their_field(lone: Served, fields: dict[str, object], reason: str, field: str) -> None:
    with raises_reason(reason, "INVALID_ARGUMENT") as refusal:
        send(lone, [header(**{"file_name": "app.js", **fields})])  # type: ignore[arg-type]

    assert list(refusal.violations) == [field]


def test_the_project_is_one_of_the_release(acme: Served) -> None:
    acme.make_organization("umbrella", projects=["web"])
    for name in ("acme/projects/cli", "acme/projects/missing", "umbrella/projects/web", "nobody/projects/web"):
        project = f"organizations/{name}"
        with raises_reason("PROJECT_NOT_IN_RELEASE", "FAILED_PRECONDITION") as refusal:
            upload(acme, b"abc", project=project)
        assert refusal.metadata == {"project": project}


def test_who_may_not_change_the_release_does_not_find_it(acme: Served) -> None:
    half = bearer(acme.make_token("organizations/acme", "release:write", projects=["web"]))
    reader = bearer(acme.make_token("organizations/acme", "release:read", all_projects=True))

    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
        send(acme, frames(b"abc", header()), metadata=half)
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
        upload(acme, b"abc", parent="organizations/acme/releases/other")
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
        send(acme, frames(b"abc", header()), metadata=reader)


def test_a_release_deleted_while_its_file_comes_gets_none(acme: Served) -> None:
    def deleting() -> Iterator[pb.UploadReleaseFileRequest]:
        yield header()
        yield from WHOLE
        acme.releases.DeleteRelease(releases_pb2.DeleteReleaseRequest(name=RELEASE), metadata=acme.operator)
        yield finish(CONTENT)

    # The client sends ahead of the server: the server may find the release gone at the header already.
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
        send(acme, deleting())

    assert eventually(lambda: left_behind(acme) == [])
