"""Files over the wire: the frames of an upload, and what a download brings."""

from __future__ import annotations

import hashlib
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from releaseregistry.v1 import files_pb2 as pb

from tests.rpc.wire import Metadata, Served

FRAME = 256 * 1024
MIB = 2**20
RELEASE = "organizations/acme/releases/app@1.0.0"


def content_of(size: int, *, seed: int = 0) -> bytes:
    """Random bytes, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def header(file_name: str = "app.js", **fields: Any) -> pb.UploadReleaseFileRequest:
    fields = {"upload_id": str(uuid.uuid4()), "parent": RELEASE, **fields}
    return pb.UploadReleaseFileRequest(header=pb.UploadHeader(file_name=file_name, **fields))


def data(content: bytes, offset: int | None = None) -> pb.UploadReleaseFileRequest:
    return pb.UploadReleaseFileRequest(data=pb.UploadData(offset=offset, data=content))


def finish(content: bytes) -> pb.UploadReleaseFileRequest:
    return pb.UploadReleaseFileRequest(finish=pb.UploadFinish(size_bytes=len(content), sha256=digest_of(content)))


def frames(
    content: bytes, first: pb.UploadReleaseFileRequest, *, size: int = FRAME
) -> Iterator[pb.UploadReleaseFileRequest]:
    """The whole upload of a good client."""
    yield first
    for start in range(0, len(content), size):
        yield data(content[start : start + size], start)
    yield finish(content)


def send(
    server: Served, requests: Iterable[pb.UploadReleaseFileRequest], *, metadata: Metadata | None = None
) -> pb.UploadReleaseFileResponse:
    return server.releases.UploadReleaseFile(iter(requests), metadata=metadata or server.operator, timeout=60)


def upload(server: Served, content: bytes, file_name: str = "app.js", **fields: Any) -> pb.UploadReleaseFileResponse:
    return send(server, frames(content, header(file_name, **fields)))


def download(
    server: Served, name: str, *, offset: int = 0, limit: int = 0, metadata: Metadata | None = None
) -> tuple[pb.ReleaseFile, bytes]:
    """The file and the bytes; fails when the messages come in another order than the contract says."""
    request = pb.DownloadReleaseFileRequest(name=name, offset=offset, limit=limit)
    answers = list(server.releases.DownloadReleaseFile(request, metadata=metadata or server.operator, timeout=60))
    assert [answer.WhichOneof("frame") for answer in answers] == ["file", *["data"] * (len(answers) - 1)]
    assert all(1 <= len(answer.data) <= MIB for answer in answers[1:])
    return answers[0].file, b"".join(answer.data for answer in answers[1:])


def file_names(server: Served, *, metadata: Metadata | None = None) -> list[str]:
    request = pb.ListReleaseFilesRequest(parent=RELEASE, page_size=1000)
    answer = server.releases.ListReleaseFiles(request, metadata=metadata or server.operator)
    return [file.file_name for file in answer.files]


def eventually(true: Callable[[], bool]) -> bool:
    """Whether it comes true within a minute: a client is told of an end before the server's handler has cleaned up."""
    deadline = time.monotonic() + 60
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()
