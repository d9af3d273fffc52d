"""Claiming contents that an organization has already, and letting go of them, beside the collector."""

from __future__ import annotations

from typing import Final

import peewee
import xxhash

from store.blobs.contents import ContentRow
from store.blobs.models import LIVE, Chunk, Content, ContentChunk
from store.database import Query, Reader, Statement, Transaction, hole

_FIND: Final = Query(
    Content.select(Content.id, Content.organization_id, Content.sha256, Content.size_bytes).where(
        Content.organization_id == hole(Content.organization_id), Content.sha256 == hole(Content.sha256)
    ),
    row=ContentRow,
)
_INLINE: Final = Query(Content.select(Content.inline_data, Content.checksum).where(Content.id == hole(Content.id)))
_TOUCH: Final = Statement(
    Content.update({Content.touched_at: hole(Content.touched_at)}).where(Content.id == hole(Content.id))
)
_LOST_CHUNK: Final = Query(
    ContentChunk.select(ContentChunk.start_offset)
    .join(
        Chunk,
        peewee.JOIN.LEFT_OUTER,
        on=(
            (Chunk.organization_id == hole(Chunk.organization_id))
            & (Chunk.sha256 == ContentChunk.chunk_sha256)
            & (Chunk.state == LIVE)
        ),
    )
    .where(ContentChunk.content_id == hole(ContentChunk.content_id), Chunk.sha256.is_null())
    .limit(1)
)


def claim_content(tx: Transaction, organization_id: bytes, sha256: bytes) -> ContentRow | None:
    """The organization's content with this SHA-256, marked as used just now: the collector leaves it alone until this
    transaction has ended, and finds the reference to it afterwards. None when there is none, or its bytes are known to
    be damaged or gone: uploading it mends that.

    The chunks need no mark: what a content refers to is not collected.
    """
    content = tx.row(_FIND, organization_id=organization_id, sha256=sha256)
    if content is None or not touch_content(tx, content.id):
        return None
    return content if _is_whole(tx, content) else None


def touch_content(tx: Transaction, content_id: bytes) -> bool:
    """Whether the content is there still; its grace time begins anew."""
    return tx.run(_TOUCH, id=content_id, touched_at=tx.now) == 1


def _is_whole(reader: Reader, content: ContentRow) -> bool:
    """Whether its bytes are there, as far as rows tell; chunks that were read wrongly count as missing."""
    found = reader.row(_INLINE, id=content.id)
    data, checksum = (None, None) if found is None else found
    if data is not None:
        return len(data) == content.size_bytes and xxhash.xxh3_64_digest(data) == checksum
    return reader.row(_LOST_CHUNK, organization_id=content.organization_id, content_id=content.id) is None
