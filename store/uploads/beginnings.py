"""What is committed of an upload, and how it becomes a content's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

import peewee

from store.blobs.blobs import Blobs
from store.blobs.chunk_reading import ChunkReader, lost
from store.blobs.contents import ContentRow
from store.blobs.keeping import Manifest
from store.blobs.models import ContentChunk
from store.database import Database, Query, Statement, Transaction, hole
from store.uploads.models import UploadChunk
from store.uploads.rows import Turn
from store.uploads.turns import look_at_turn

_PAGE_CHUNKS: Final = 500

_OF_UPLOAD: Final = (UploadChunk.organization_id == hole(UploadChunk.organization_id)) & (
    UploadChunk.upload_id == hole(UploadChunk.upload_id)
)
_CHUNKS: Final = Query(
    UploadChunk.select(UploadChunk.start_offset, UploadChunk.chunk_sha256, UploadChunk.size_bytes)
    .where(_OF_UPLOAD, UploadChunk.start_offset >= hole(UploadChunk.start_offset))
    .order_by(UploadChunk.start_offset)
    .limit(_PAGE_CHUNKS)
)
_OTHER_CHUNK: Final = Query(
    UploadChunk.select(UploadChunk.start_offset)
    .join(
        ContentChunk,
        peewee.JOIN.LEFT_OUTER,
        on=(
            (ContentChunk.content_id == hole(ContentChunk.content_id))
            & (ContentChunk.start_offset == UploadChunk.start_offset)
            & (ContentChunk.chunk_sha256 == UploadChunk.chunk_sha256)
        ),
    )
    .where(_OF_UPLOAD, ContentChunk.content_id.is_null())
    .limit(1)
)
_GIVE: Final = Statement(
    ContentChunk.insert_from(
        UploadChunk.select(
            hole(ContentChunk.content_id),
            UploadChunk.organization_id,
            UploadChunk.start_offset,
            UploadChunk.chunk_sha256,
            UploadChunk.size_bytes,
        ).where(_OF_UPLOAD),
        fields=[
            ContentChunk.content_id,
            ContentChunk.organization_id,
            ContentChunk.start_offset,
            ContentChunk.chunk_sha256,
            ContentChunk.size_bytes,
        ],
    )
)


def read_committed(database: Database, blobs: Blobs, turn: Turn, *, stop: int) -> Iterator[bytes]:
    """The bytes that the upload has committed up to `stop`, the end of a chunk; verified pieces of at most 1 MiB.

    Raises ChunkLost, BlobsDown, UploadTakenOver, UploadClosed, UploadNotFound.
    """
    at = 0
    with ChunkReader(database, blobs.packs, turn.organization_id) as reader:
        while at < stop:
            rows = database.rows(
                _CHUNKS, organization_id=turn.organization_id, upload_id=turn.upload_id, start_offset=at
            )
            if not rows:
                database.read(partial(look_at_turn, turn=turn))
                raise lost(turn.upload_id, "the chunks of an upload end early")
            rows = [row for row in rows if row[0] < stop]
            digests = [sha256 for _, sha256, _ in rows]
            for (start, sha256, size), data in zip(rows, reader.read(digests), strict=True):
                if start != at or size != len(data):
                    raise lost(sha256, "the chunks of an upload have a gap")
                yield data
                at += size


class UploadManifest(Manifest):
    """The chunks that an upload has committed."""

    def __init__(self, turn: Turn) -> None:
        self._of = {"organization_id": turn.organization_id, "upload_id": turn.upload_id}

    def is_that_of(self, tx: Transaction, content_id: bytes) -> bool:
        """No chunk of the upload is another there; both have the same size."""
        return tx.row(_OTHER_CHUNK, content_id=content_id, **self._of) is None

    def give_to(self, tx: Transaction, content: ContentRow) -> None:
        """Copies them."""
        tx.run(_GIVE, content_id=content.id, **self._of)
