"""The fast door over the wire: chunks, and files that are made of them."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import zstandard
from releaseregistry.v1 import files_pb2
from releaseregistry.v1 import uploads_pb2 as pb

from tests.rpc.sending import RELEASE, digest_of
from tests.rpc.wire import Metadata, Served

ORGANIZATION = "organizations/acme"


def cut(content: bytes, size: int = 64 * 1024) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


def plain(data: bytes) -> pb.ChunkData:
    return pb.ChunkData(sha256=digest_of(data), size_bytes=len(data), data=data)


def packed(data: bytes) -> pb.ChunkData:
    frame = zstandard.ZstdCompressor().compress(data)
    return pb.ChunkData(sha256=digest_of(data), size_bytes=len(data), encoding=pb.CHUNK_ENCODING_ZSTD, data=frame)


def ref(data: bytes) -> pb.ChunkRef:
    return pb.ChunkRef(sha256=digest_of(data), size_bytes=len(data))


def messages(
    chunks: Sequence[pb.ChunkData], *, parent: str = ORGANIZATION, size: int = 8, count: int | None = None
) -> Iterator[pb.UploadChunksRequest]:
    """The stream of a good client."""
    yield pb.UploadChunksRequest(parent=parent, chunks=chunks[:size])
    for start in range(size, len(chunks), size):
        yield pb.UploadChunksRequest(chunks=chunks[start : start + size])
    yield pb.UploadChunksRequest(finish=True, chunk_count=len(chunks) if count is None else count)


def send(
    server: Served, requests: Iterable[pb.UploadChunksRequest], *, metadata: Metadata | None = None
) -> pb.UploadChunksResponse:
    return server.uploads.UploadChunks(iter(requests), metadata=metadata or server.operator, timeout=60)


def send_chunks(server: Served, pieces: Iterable[bytes], **options: Any) -> pb.UploadChunksResponse:
    return send(server, messages([plain(piece) for piece in pieces], **options))


def missing(
    server: Served, pieces: Iterable[bytes], *, parent: str = ORGANIZATION, metadata: Metadata | None = None
) -> list[str]:
    request = pb.FindMissingChunksRequest(parent=parent, sha256=[digest_of(piece) for piece in pieces])
    return list(server.uploads.FindMissingChunks(request, metadata=metadata or server.operator).missing_sha256)


def start(server: Served, file_name: str = "app.js", *, metadata: Metadata | None = None, **fields: Any) -> str:
    """The name of a new upload."""
    header = {"upload_id": str(uuid.uuid4()), "parent": RELEASE, **fields}
    request = pb.StartUploadRequest(header=files_pb2.UploadHeader(file_name=file_name, **header))
    return server.uploads.StartUpload(request, metadata=metadata or server.operator).upload.name


def finish(content: bytes) -> files_pb2.UploadFinish:
    return files_pb2.UploadFinish(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def pages(name: str, pieces: Sequence[bytes], *, size: int = 10_000) -> Iterator[pb.AssembleUploadRequest]:
    """The list of a good client."""
    yield pb.AssembleUploadRequest(name=name, chunks=[ref(piece) for piece in pieces[:size]])
    for begin in range(size, len(pieces), size):
        yield pb.AssembleUploadRequest(chunks=[ref(piece) for piece in pieces[begin : begin + size]])
    yield pb.AssembleUploadRequest(finish=finish(b"".join(pieces)))


def assemble(
    server: Served, requests: Iterable[pb.AssembleUploadRequest], *, metadata: Metadata | None = None
) -> pb.AssembleUploadResponse:
    return server.uploads.AssembleUpload(iter(requests), metadata=metadata or server.operator, timeout=60)
