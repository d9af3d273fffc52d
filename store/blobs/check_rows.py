"""Checking the rows of the blob store against one another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

import peewee
import xxhash

from store.blobs.models import LIVE, Chunk, Content, ContentChunk, Pack
from store.blobs.unused import CONTENT_REFERENCES, PAGE_ROWS
from store.database import Database, Query, hole
from store.uploads.models import Upload, UploadChunk

_FIRST_ID: Final = b"\0" * 16


def _dangling(column: Any) -> Query[tuple[Any, ...]]:
    """Rows whose content has no row: at most a page of them."""
    model = column.model
    return Query(
        model.select(model.id, column)
        .join(Content, peewee.JOIN.LEFT_OUTER, on=(Content.id == column))
        .where(column.is_null(False), Content.id.is_null())
        .order_by(model.id)
        .limit(PAGE_ROWS)
    )


_DANGLING: Final = tuple((column.model._meta.table_name, _dangling(column)) for column in CONTENT_REFERENCES)
_LISTS: Final = Query(
    Content.select(
        Content.id,
        Content.size_bytes,
        Content.inline_data.is_null(False),
        peewee.fn.COUNT(ContentChunk.start_offset),
        peewee.fn.MIN(ContentChunk.start_offset),
        peewee.fn.MAX(ContentChunk.start_offset + ContentChunk.size_bytes),
        peewee.fn.SUM(ContentChunk.size_bytes),
        peewee.fn.SUM(peewee.Case(None, ((Chunk.sha256.is_null(), 1),), 0)),
    )
    .join(ContentChunk, peewee.JOIN.LEFT_OUTER, on=(ContentChunk.content_id == Content.id))
    .join(
        Chunk,
        peewee.JOIN.LEFT_OUTER,
        on=(
            (Chunk.organization_id == Content.organization_id)
            & (Chunk.sha256 == ContentChunk.chunk_sha256)
            & (Chunk.size_bytes == ContentChunk.size_bytes)
            & (Chunk.state == LIVE)
            & (ContentChunk.organization_id == Content.organization_id)
        ),
    )
    .where(
        Content.id.in_(
            Content.select(Content.id).where(Content.id > hole(Content.id, "after")).order_by(Content.id).limit(500)
        )
    )
    .group_by(Content.id, Content.size_bytes, Content.inline_data.is_null(False))
    .order_by(Content.id)
)
_INLINE: Final = Query(
    Content.select(Content.id, Content.size_bytes, Content.sha256, Content.inline_data, Content.checksum)
    .where(Content.id > hole(Content.id, "after"), Content.inline_data.is_null(False))
    .order_by(Content.id)
    .limit(500)
)
_LISTED_NOWHERE: Final = Query(
    ContentChunk.select(ContentChunk.content_id, peewee.fn.COUNT(ContentChunk.start_offset))
    .join(Content, peewee.JOIN.LEFT_OUTER, on=(Content.id == ContentChunk.content_id))
    .where(Content.id.is_null())
    .group_by(ContentChunk.content_id)
    .limit(PAGE_ROWS)
)
_UPLOADED_NOWHERE: Final = Query(
    UploadChunk.select(UploadChunk.upload_id, peewee.fn.COUNT(UploadChunk.start_offset))
    .join(
        Upload,
        peewee.JOIN.LEFT_OUTER,
        on=((Upload.organization_id == UploadChunk.organization_id) & (Upload.id == UploadChunk.upload_id)),
    )
    .where(Upload.id.is_null())
    .group_by(UploadChunk.upload_id)
    .limit(PAGE_ROWS)
)
_PACKLESS: Final = Query(
    Chunk.select(Chunk.organization_id, Chunk.sha256, Chunk.pack_id)
    .join(Pack, peewee.JOIN.LEFT_OUTER, on=((Pack.id == Chunk.pack_id) & (Pack.state == LIVE)))
    .where(Chunk.state == LIVE, Pack.id.is_null() | (Pack.organization_id != Chunk.organization_id))
    .order_by(Chunk.organization_id, Chunk.sha256)
    .limit(PAGE_ROWS)
)


def bad_rows(database: Database) -> Iterator[str]:
    """What rows say that other rows do not bear out, a line each."""
    for table, query in _DANGLING:
        for row_id, content_id in database.rows(query):
            yield f"{table} {row_id.hex()}: its content {content_id.hex()} has no row"
    yield from _bad_lists(database)
    for content_id, count in database.rows(_LISTED_NOWHERE):
        yield f"content {content_id.hex()} has {count} listed chunks and no row"
    for upload_id, count in database.rows(_UPLOADED_NOWHERE):
        yield f"upload {upload_id.hex()} has {count} listed chunks and no row"
    for organization_id, sha256, pack_id in database.rows(_PACKLESS):
        yield f"chunk {sha256.hex()} of organization {organization_id.hex()}: its pack {pack_id.hex()} has no row"


def inline_contents(database: Database) -> Iterator[str | None]:
    """For each content that lies in its row, what is wrong with it; None when nothing is."""
    after = _FIRST_ID
    while rows := database.rows(_INLINE, after=after):
        for content_id, size_bytes, sha256, data, checksum in rows:
            after = content_id
            sound = (
                len(data) == size_bytes
                and xxhash.xxh3_64_digest(data) == checksum
                and hashlib.sha256(data).digest() == sha256
            )
            yield None if sound else f"content {content_id.hex()}: the bytes in its row are damaged"


def _bad_lists(database: Database) -> Iterator[str]:
    after = _FIRST_ID
    while rows := database.rows(_LISTS, after=after):
        for content_id, size_bytes, is_inline, count, first, end, total, lost in rows:
            after = content_id
            if is_inline:
                if count:
                    yield f"content {content_id.hex()} lies in its row and lists {count} chunks"
            elif (first, end, total) != (0, size_bytes, size_bytes):
                yield f"content {content_id.hex()}: its list of chunks does not make up its {size_bytes} bytes"
            elif lost:
                yield f"content {content_id.hex()}: of its chunks, {count} in all, {lost} missing"
