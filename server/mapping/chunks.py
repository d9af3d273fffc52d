"""Chunks: messages of the fast door to what the store takes, and what the store answers to messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from releaseregistry.v1 import uploads_pb2 as pb

from server.mapping.files import file_message
from store.blobs.models import AS_IT_IS, ZSTD
from store.errors import FrameOutOfOrder, InvalidField
from store.files.rows import UploadedFile
from store.uploads.assemble import ChunkRef
from store.uploads.chunks import SentChunk, StoredChunks

R = TypeVar("R", pb.UploadChunksRequest, pb.AssembleUploadRequest)

_ENCODINGS: Final = {
    pb.CHUNK_ENCODING_UNSPECIFIED: AS_IT_IS,
    pb.CHUNK_ENCODING_IDENTITY: AS_IT_IS,
    pb.CHUNK_ENCODING_ZSTD: ZSTD,
}


class ChunkMessages(Generic[R]):
    """The messages of a stream that brings chunks, or lists of them: the first says what they are for, the last says
    finish, and then the stream ends.

    `first`, `messages` and `last` are used in this order, each to its end. Raises FrameOutOfOrder for another order,
    InvalidField for a later message that is for something else.
    """

    def __init__(self, requests: Iterator[R], *, field: str, finishes: Callable[[R], bool]) -> None:
        self._requests: Iterator[R] = requests
        self._field = field
        self._finishes: Callable[[R], bool] = finishes
        self._first: R | None = None
        self._last: R | None = None

    def first(self) -> str:
        """What the first message names."""
        self._first = next(self._requests, None)
        if self._first is None:
            raise FrameOutOfOrder(expected=f"a message with {self._field}", found="end")
        name: str = getattr(self._first, self._field)
        if not name:
            raise InvalidField(self._field, "is required in the stream's first message")
        return name

    def messages(self) -> Iterator[R]:
        """All of them, the last included."""
        assert self._first is not None, "first() was not called"
        name: Any = getattr(self._first, self._field)
        request: R | None = self._first
        self._first = None  # not held for as long as the stream lasts: it has up to 4 MiB
        while request is not None:
            if getattr(request, self._field) not in ("", name):
                raise InvalidField(self._field, "differs from that of the stream's first message; leave it empty")
            yield request
            if self._finishes(request):
                self._last = request
                return
            request = next(self._requests, None)
        # The client is gone, or failed in the middle of sending: both look like a stream that just ends.
        raise FrameOutOfOrder(expected="chunks or finish", found="end")

    def last(self) -> R:
        """The message that said finish, once the stream ended behind it."""
        assert self._last is not None, "messages() was not read to its end"
        if next(self._requests, None) is not None:
            raise FrameOutOfOrder(expected="end", found="a message behind finish")
        return self._last


def sought_digests(request: pb.FindMissingChunksRequest) -> list[bytes]:
    """The digests that a request asks about."""
    for index, sha256 in enumerate(request.sha256):
        if not sha256:
            raise InvalidField(f"sha256[{index}]", "is required")
    return [bytes.fromhex(sha256) for sha256 in request.sha256]


def sent_chunks(request: pb.UploadChunksRequest) -> list[SentChunk]:
    """The chunks of a message."""
    if request.chunk_count and not request.finish:
        raise InvalidField("chunk_count", "is only for the message that says finish")
    return [
        SentChunk(bytes.fromhex(chunk.sha256), chunk.size_bytes, _ENCODINGS[chunk.encoding], chunk.data)
        for chunk in request.chunks
    ]


def stored_message(stored: StoredChunks) -> pb.UploadChunksResponse:
    """What UploadChunks answers."""
    return pb.UploadChunksResponse(stored_chunk_count=stored.chunk_count, stored_bytes=stored.stored_bytes)


def missing_message(missing: Sequence[bytes]) -> pb.FindMissingChunksResponse:
    """What FindMissingChunks answers."""
    return pb.FindMissingChunksResponse(missing_sha256=[sha256.hex() for sha256 in missing])


def chunk_refs(request: pb.AssembleUploadRequest) -> list[ChunkRef]:
    """The chunks that a message lists."""
    return [ChunkRef(bytes.fromhex(chunk.sha256), chunk.size_bytes) for chunk in request.chunks]


def assembled_message(uploaded: UploadedFile) -> pb.AssembleUploadResponse:
    """What AssembleUpload answers."""
    return pb.AssembleUploadResponse(file=file_message(uploaded.file), created=uploaded.created)
