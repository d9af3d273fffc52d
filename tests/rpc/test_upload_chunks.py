"""UploadChunks over the wire."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from releaseregistry.v1 import uploads_pb2 as pb

from store.blobs.models import Chunk
from tests.rpc.fast_door import ORGANIZATION, cut, messages, missing, packed, plain, send, send_chunks
from tests.rpc.sending import MIB, content_of, digest_of, eventually
from tests.rpc.wire import Served, bearer, raises_reason


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization()
    return server


@pytest.fixture
def lone(edge: Served) -> Served:
    edge.make_organization()
    return edge


def test_chunks_are_there_when_the_call_is_answered(acme: Served) -> None:
    pieces = cut(content_of(3 * MIB))
    assert send_chunks(acme, pieces) == pb.UploadChunksResponse(stored_chunk_count=48, stored_bytes=3 * MIB)
    assert send_chunks(acme, pieces) == pb.UploadChunksResponse()
    assert missing(acme, pieces) == []


def test_frames_are_stored_as_they_came(acme: Served) -> None:
    chunks = [packed(bytes([number]) * 100_000) for number in range(5)]
    stored = send(acme, messages(chunks))
    assert (stored.stored_chunk_count, stored.stored_bytes) == (5, sum(len(chunk.data) for chunk in chunks))


def test_one_message_is_enough(lone: Served) -> None:
    request = pb.UploadChunksRequest(parent=ORGANIZATION, chunks=[plain(b"a")], finish=True, chunk_count=1)
    assert send(lone, [request]).stored_chunk_count == 1
    assert send(lone, [pb.UploadChunksRequest(parent=ORGANIZATION, finish=True)]) == pb.UploadChunksResponse()


def test_four_streams_side_by_side(acme: Served) -> None:
    pieces = cut(content_of(8 * MIB))
    shares = [random.Random(seed).sample(pieces, k=len(pieces) // 2) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda share: send_chunks(acme, share), shares))
    sent = {piece for share in shares for piece in share}
    assert missing(acme, pieces) == [digest_of(piece) for piece in pieces if piece not in sent]


@pytest.mark.parametrize(
    ("requests", "expected", "found"),
    [
        ([], "a message with parent", "end"),
        ([pb.UploadChunksRequest(parent=ORGANIZATION, chunks=[plain(b"a")])], "chunks or finish", "end"),
        (
            [*messages([plain(b"a")]), pb.UploadChunksRequest(chunks=[plain(b"b")])],
            "end",
            "a message behind finish",
        ),
    ],
)
def test_messages_in_another_order_are_refused(
    lone: Served, requests: list[pb.UploadChunksRequest], expected: str, found: str
) -> None:
    with raises_reason("FRAME_OUT_OF_ORDER", "INVALID_ARGUMENT") as refusal:
        send(lone, requests)
    assert refusal.metadata == {"expected": expected, "found": found}
    assert missing(lone, [b"a"]) == [digest_of(b"a")]


def test_fields_in_the_wrong_message_are_refused(lone: Served) -> None:
    for requests, field in (
        ([pb.UploadChunksRequest(chunks=[plain(b"a")])], "parent"),
        ([pb.UploadChunksRequest(parent=ORGANIZATION), pb.UploadChunksRequest(parent=ORGANIZATION + "2")], "parent"),
        ([pb.UploadChunksRequest(parent=ORGANIZATION, chunk_count=1)], "chunk_count"),
    ):
        with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
            send(lone, requests)
        assert list(refusal.violations) == [field]
    repeated = pb.UploadChunksRequest(parent=ORGANIZATION, finish=True)
    assert send(lone, [pb.UploadChunksRequest(parent=ORGANIZATION), repeated]) == pb.UploadChunksResponse()
    with raises_reason("INVALID_NAME", "INVALID_ARGUMENT"):
        send(lone, messages([plain(b"a")], parent="acme"))


def test_another_count_than_came_is_refused(lone: Served) -> None:
    with raises_reason("SIZE_MISMATCH", "INVALID_ARGUMENT") as refusal:
        send(lone, messages([plain(b"a"), plain(b"b")], count=3))
    assert refusal.metadata == {"expected": "3", "actual": "2", "unit": "chunks"}


def test_chunks_that_are_not_what_they_say_are_refused(lone: Served) -> None:
    with raises_reason("DIGEST_MISMATCH", "INVALID_ARGUMENT") as refusal:
        send(lone, messages([pb.ChunkData(sha256=digest_of(b"a"), size_bytes=1, data=b"b")]))
    assert refusal.metadata == {"expected": digest_of(b"a"), "actual": digest_of(b"b")}
    with raises_reason("SIZE_MISMATCH", "INVALID_ARGUMENT"):
        send(lone, messages([pb.ChunkData(sha256=digest_of(b"a"), size_bytes=2, data=b"a")]))
    bad = packed(b"a" * 100)
    bad.data += b"!"
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        send(lone, messages([plain(b"a"), bad]))
    assert list(refusal.violations) == ["chunks[1].data"]
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        send(lone, messages([plain(b"")]))
    assert list(refusal.violations) == ["chunks[0].size_bytes"]
    assert missing(lone, [b"a"]) == [digest_of(b"a")]


def test_who_may_send(lone: Served) -> None:
    lone.make_organization("rival")
    reader = bearer(lone.make_token(ORGANIZATION, "release:read", all_projects=True))
    rival = bearer(lone.make_token("organizations/rival", "release:write", all_projects=True))
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
        send(lone, messages([plain(b"a")]), metadata=reader)
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
        send(lone, messages([plain(b"a")]), metadata=rival)


def test_a_client_that_vanishes_leaves_nothing(lone: Served) -> None:
    gone = threading.Event()
    folder = lone.server.settings.data / "blobs" / "tmp"

    def requests() -> Iterator[pb.UploadChunksRequest]:
        yield pb.UploadChunksRequest(parent=ORGANIZATION, chunks=[plain(content_of(200_000))])
        gone.wait(60)
        yield pb.UploadChunksRequest(chunks=[plain(b"a")])

    def written() -> bool:
        return any(path.is_file() for path in folder.iterdir())

    running = lone.uploads.UploadChunks.future(requests(), metadata=lone.operator)
    assert eventually(written)
    running.cancel()
    gone.set()
    with pytest.raises(grpc.FutureCancelledError):
        running.result(timeout=60)
    assert eventually(lambda: not written() and lone.server.running_calls == 0)
    assert lone.database.read(lambda reader: reader.fetch(Chunk.select())) == []
