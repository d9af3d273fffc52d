"""AssembleUpload over the wire."""

from __future__ import annotations

import uuid

import pytest
from releaseregistry.v1 import uploads_pb2 as pb

from tests.rpc.fast_door import ORGANIZATION, assemble, cut, finish, missing, pages, ref, send_chunks, start
from tests.rpc.sending import MIB, content_of, digest_of, download, file_names
from tests.rpc.wire import Served, bearer, raises_reason


@pytest.fixture
def acme(server: Served) -> Served:
    return with_release(server)


@pytest.fixture
def lone(edge: Served) -> Served:
    return with_release(edge)


def with_release(server: Served) -> Served:
    server.make_organization(projects=["web", "api"])
    server.make_release(ORGANIZATION, "app@1.0.0", "web", "api")
    return server


@pytest.mark.parametrize("size", [0, 5, 16 * 1024 + 1, 3 * MIB + 1])
def test_a_file_of_chunks_is_answered_and_reads_back(acme: Served, size: int) -> None:
    content = content_of(size)
    send_chunks(acme, cut(content))
    name = start(acme, "lib.so", dist="x64")
    answer = assemble(acme, pages(name, cut(content), size=20))
    assert answer.created
    assert (answer.file.file_name, answer.file.dist, answer.file.size_bytes) == ("lib.so", "x64", size)
    assert download(acme, answer.file.name) == (answer.file, content)
    upload = acme.uploads.GetUpload(pb.GetUploadRequest(name=name), metadata=acme.operator).upload
    assert (upload.state, upload.committed_bytes, upload.file) == (pb.UPLOAD_STATE_FINISHED, size, answer.file)
    assert assemble(acme, pages(name, cut(content))) == answer, "a reply that was lost is given again"


def test_chunks_that_are_missing_are_told_and_then_sent(acme: Served) -> None:
    pieces = cut(content_of(MIB))
    send_chunks(acme, pieces[2:])
    name = start(acme)
    with raises_reason("CHUNKS_MISSING", "FAILED_PRECONDITION") as refusal:
        assemble(acme, pages(name, pieces))
    assert refusal.metadata == {"sha256": ", ".join(map(digest_of, pieces[:2])), "missing_count": "2"}
    assert missing(acme, pieces) == refusal.metadata["sha256"].split(", ")
    send_chunks(acme, pieces[:2])
    assert download(acme, assemble(acme, pages(name, pieces)).file.name)[1] == b"".join(pieces)


def test_very_many_missing_chunks_fit_into_the_details_of_an_error(lone: Served) -> None:
    with raises_reason("CHUNKS_MISSING", "FAILED_PRECONDITION") as refusal:
        assemble(lone, pages(start(lone), [b"%d" % number for number in range(12_000)]))
    assert refusal.metadata["missing_count"] == "12000"
    assert len(refusal.metadata["sha256"].split(", ")) == 40


def test_what_was_announced_must_come(lone: Served) -> None:
    send_chunks(lone, [b"a", b"b"])
    name = start(lone)
    with raises_reason("DIGEST_MISMATCH", "INVALID_ARGUMENT"):
        assemble(lone, [pb.AssembleUploadRequest(name=name, chunks=[ref(b"b"), ref(b"a")], finish=finish(b"ab"))])
    with raises_reason("SIZE_MISMATCH", "INVALID_ARGUMENT"):
        assemble(lone, [pb.AssembleUploadRequest(name=name, chunks=[ref(b"a")], finish=finish(b"ab"))])
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        wrong = pb.ChunkRef(sha256=digest_of(b"b"), size_bytes=2)
        assemble(lone, [pb.AssembleUploadRequest(name=name, chunks=[ref(b"a"), wrong], finish=finish(b"abb"))])
    assert list(refusal.violations) == ["chunks[1].size_bytes"]
    assert file_names(lone) == []


def test_messages_in_another_order_are_refused(lone: Served) -> None:
    send_chunks(lone, [b"a"])
    name = start(lone)
    whole = list(pages(name, [b"a"]))
    for requests, found in (
        ([], "end"),
        (whole[:1], "end"),
        ([*whole, pb.AssembleUploadRequest()], "a message behind finish"),
    ):
        with raises_reason("FRAME_OUT_OF_ORDER", "INVALID_ARGUMENT") as refusal:
            assemble(lone, requests)
        assert refusal.metadata["found"] == found
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT"):
        assemble(lone, [pb.AssembleUploadRequest(chunks=[ref(b"a")])])
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT"):
        assemble(lone, [whole[0], pb.AssembleUploadRequest(name=start(lone))])
    assert file_names(lone) == []
    assert assemble(lone, whole).created


def test_uploads_that_are_not_there_or_not_the_callers_look_alike(acme: Served) -> None:
    name = start(acme)
    acme.make_organization("rival")
    rival = bearer(acme.make_token("organizations/rival", "release:write", all_projects=True))
    web = bearer(acme.make_token(ORGANIZATION, "release:write", projects=["web"]))
    unknown = f"{ORGANIZATION}/uploads/{uuid.uuid4()}"
    with raises_reason("UPLOAD_NOT_FOUND", "NOT_FOUND") as missed:
        assemble(acme, pages(unknown, []), metadata=web)
    with raises_reason("UPLOAD_NOT_FOUND", "NOT_FOUND") as hidden:
        assemble(acme, pages(name, []), metadata=web)
    assert missed.message.replace(unknown, name) == hidden.message
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
        assemble(acme, pages(name, []), metadata=rival)
    with raises_reason("UPLOAD_NOT_FOUND", "NOT_FOUND"):
        assemble(acme, pages(name.replace("acme", "rival"), []), metadata=rival)
    reader = bearer(acme.make_token(ORGANIZATION, "release:read", all_projects=True))
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
        assemble(acme, pages(name, []), metadata=reader)


def test_other_content_needs_replace(lone: Served) -> None:
    send_chunks(lone, [b"a", b"b"])
    assert assemble(lone, pages(start(lone), [b"a"])).created
    with raises_reason("FILE_EXISTS", "ALREADY_EXISTS"):
        assemble(lone, pages(start(lone), [b"b"]))
    assert assemble(lone, pages(start(lone, replace=True), [b"b"])).created
    assert file_names(lone) == ["app.js"]


def test_a_cancelled_upload_is_closed(lone: Served) -> None:
    name = start(lone)
    lone.uploads.CancelUpload(pb.CancelUploadRequest(name=name), metadata=lone.operator)
    with raises_reason("UPLOAD_CLOSED", "FAILED_PRECONDITION"):
        assemble(lone, pages(name, []))
