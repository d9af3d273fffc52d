"""Uploads: what the store answers to messages of the contract."""

from __future__ import annotations

from typing import Final

from releaseregistry.v1 import uploads_pb2 as pb

from server.mapping.files import file_message
from server.mapping.times import to_timestamp
from server.names import upload_name
from store.blobs.blobs import Blobs
from store.blobs.chunking import AVERAGE_CHUNK_BYTES, MAX_CHUNK_BYTES, MIN_CHUNK_BYTES
from store.uploads.models import CANCELLED, FINISHED, OPEN
from store.uploads.rows import KEPT_US, UploadRow

MAX_FRAME_BYTES: Final = 2**20
MAX_CHUNKS_PER_MESSAGE: Final = 10_000

_STATES: Final[dict[str, pb.UploadState]] = {
    OPEN: pb.UPLOAD_STATE_OPEN,
    FINISHED: pb.UPLOAD_STATE_FINISHED,
    CANCELLED: pb.UPLOAD_STATE_CANCELLED,
}


def upload_row_message(upload: UploadRow) -> pb.Upload:
    """An upload."""
    return pb.Upload(
        name=upload_name(upload.organization, upload.id),
        state=_STATES[upload.state],
        committed_bytes=upload.committed_bytes,
        file=None if upload.file is None else file_message(upload.file),
        create_time=to_timestamp(upload.create_time),
        expire_time=to_timestamp(upload.expire_time),
    )


def started_message(upload: UploadRow) -> pb.StartUploadResponse:
    """What StartUpload answers."""
    standing = None if upload.standing is None else file_message(upload.standing)
    return pb.StartUploadResponse(upload=upload_row_message(upload), standing_file=standing)


def limits_message(blobs: Blobs) -> pb.GetUploadLimitsResponse:
    """What GetUploadLimits answers."""
    return pb.GetUploadLimitsResponse(
        max_file_bytes=blobs.max_content_bytes,
        max_frame_bytes=MAX_FRAME_BYTES,
        max_chunk_bytes=MAX_CHUNK_BYTES,
        max_chunks_per_message=MAX_CHUNKS_PER_MESSAGE,
        chunking=pb.Chunking(min_bytes=MIN_CHUNK_BYTES, average_bytes=AVERAGE_CHUNK_BYTES, max_bytes=MAX_CHUNK_BYTES),
        encodings=[pb.CHUNK_ENCODING_IDENTITY, pb.CHUNK_ENCODING_ZSTD],
        retention_seconds=min(KEPT_US // 1_000_000, int(blobs.grace_seconds)),
    )
