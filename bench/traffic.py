"""Files up and down, as a client sends and reads them who hashes what he sends and reads."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator

from releaseregistry.v1 import files_pb2
from releaseregistry.v1.release_service_pb2_grpc import ReleaseServiceStub

from bench.machine import MIB
from bench.peers.processes import Peer
from bench.peers.product import METADATA, RELEASE


def random_blocks(mib: int) -> list[bytes]:
    """Random bytes, a MiB each; made in little time: numbers are mixed with one that is random."""
    base = int.from_bytes(os.urandom(MIB), "big")
    mask = (1 << (8 * MIB)) - 1
    return [((base * (2 * number + 1)) & mask).to_bytes(MIB, "big") for number in range(mib)]


def upload(peer: Peer, blocks: Iterable[bytes], frame: int) -> files_pb2.ReleaseFile:
    """The blocks as one file, in frames of at most so many bytes, under a new name."""
    return upload_by(peer.files, blocks, frame)


def upload_by(stub: ReleaseServiceStub, blocks: Iterable[bytes], frame: int) -> files_pb2.ReleaseFile:
    """What `upload` does, by a stub."""
    digest = hashlib.sha256()

    def frames() -> Iterator[files_pb2.UploadReleaseFileRequest]:
        header = files_pb2.UploadHeader(upload_id=str(uuid.uuid4()), parent=RELEASE, file_name=uuid.uuid4().hex)
        yield files_pb2.UploadReleaseFileRequest(header=header)
        offset = 0
        for block in blocks:
            digest.update(block)
            for start in range(0, len(block), frame):
                piece = block[start : start + frame]
                yield files_pb2.UploadReleaseFileRequest(data=files_pb2.UploadData(offset=offset, data=piece))
                offset += len(piece)
        finish = files_pb2.UploadFinish(size_bytes=offset, sha256=digest.hexdigest())
        yield files_pb2.UploadReleaseFileRequest(finish=finish)

    return stub.UploadReleaseFile(frames(), metadata=METADATA).file


def download(peer: Peer, name: str) -> str:
    """Reads a file; its SHA-256."""
    return download_by(peer.files, name)


def download_by(stub: ReleaseServiceStub, name: str) -> str:
    """What `download` does, by a stub."""
    digest = hashlib.sha256()
    for answer in stub.DownloadReleaseFile(files_pb2.DownloadReleaseFileRequest(name=name), metadata=METADATA):
        digest.update(answer.data)
    return digest.hexdigest()
