"""Contents: keeping what was received, and reading it back, verified."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import peewee
import xxhash

from store.blobs.models import AS_IT_IS, LIVE, Chunk, Content, ContentChunk, Pack
from store.blobs.packs import PackMissing, PackReader, PackStore
from store.blobs.writing import Received
from store.database import Database, Query, Statement, Transaction, hole, new_id, query_shape
from store.errors import BlobsDown, ChunkLost

log = logging.getLogger(__name__)

_PAGE_CHUNKS: Final = 512
_ROWS_AT_ONCE: Final = 1000

MANY_CHUNKS: Final = 2000
"""A content of more chunks takes the database longer than an ordinary write may."""


@dataclass(frozen=True, slots=True)
class ContentRow:
    """A content: whose it is, its SHA-256 and its size in bytes."""

    id: bytes
    organization_id: bytes
    sha256: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Span:
    """A chunk of a content and where it lies; what lies nowhere has no pack_id."""

    start_offset: int
    sha256: bytes
    size_bytes: int
    pack_id: bytes | None
    pack_offset: int
    stored_bytes: int
    encoding: int
    checksum: bytes


_FIND = Query(
    Content.select(Content.id, Content.organization_id, Content.sha256, Content.size_bytes).where(
        Content.organization_id == hole(Content.organization_id), Content.sha256 == hole(Content.sha256)
    ),
    row=ContentRow,
)
_INLINE = Query(Content.select(Content.inline_data, Content.checksum).where(Content.id == hole(Content.id)))
_FIRST_OFFSET = Query(
    ContentChunk.select(peewee.fn.MAX(ContentChunk.start_offset)).where(
        ContentChunk.content_id == hole(ContentChunk.content_id),
        ContentChunk.start_offset <= hole(ContentChunk.start_offset),
    )
)
_SPANS = Query(
    ContentChunk.select(
        ContentChunk.start_offset,
        ContentChunk.chunk_sha256,
        ContentChunk.size_bytes,
        Chunk.pack_id,
        Chunk.pack_offset,
        Chunk.stored_bytes,
        Chunk.encoding,
        Chunk.checksum,
    )
    .join(
        Chunk,
        peewee.JOIN.LEFT_OUTER,
        on=(
            (Chunk.organization_id == hole(Chunk.organization_id))
            & (Chunk.sha256 == ContentChunk.chunk_sha256)
            & (Chunk.state == LIVE)
        ),
    )
    .where(
        ContentChunk.content_id == hole(ContentChunk.content_id),
        ContentChunk.start_offset >= hole(ContentChunk.start_offset, "start"),
        ContentChunk.start_offset < hole(ContentChunk.start_offset, "stop"),
    )
    .order_by(ContentChunk.start_offset)
    .limit(_PAGE_CHUNKS),
    row=_Span,
)
_INSERT_CONTENT = Statement(
    Content.insert(
        {
            Content.id: hole(Content.id),
            Content.organization_id: hole(Content.organization_id),
            Content.sha256: hole(Content.sha256),
            Content.size_bytes: hole(Content.size_bytes),
            Content.inline_data: hole(Content.inline_data, nullable=True),
            Content.checksum: hole(Content.checksum, nullable=True),
            Content.create_time: hole(Content.create_time),
            Content.touched_at: hole(Content.create_time),
        }
    ).on_conflict(action="nothing", conflict_target=[Content.organization_id, Content.sha256])
)
_TOUCH_CONTENT = Statement(
    Content.update({Content.touched_at: hole(Content.touched_at)}).where(Content.id == hole(Content.id))
)
_INSERT_PACK = Statement(
    Pack.insert(
        {
            Pack.id: hole(Pack.id),
            Pack.organization_id: hole(Pack.organization_id),
            Pack.size_bytes: hole(Pack.size_bytes),
            Pack.state: LIVE,
            Pack.create_time: hole(Pack.create_time),
            Pack.touched_at: hole(Pack.create_time),
        }
    )
)
_INSERT_CHUNK = Statement(
    Chunk.insert(
        {
            Chunk.organization_id: hole(Chunk.organization_id),
            Chunk.sha256: hole(Chunk.sha256),
            Chunk.size_bytes: hole(Chunk.size_bytes),
            Chunk.pack_id: hole(Chunk.pack_id),
            Chunk.pack_offset: hole(Chunk.pack_offset),
            Chunk.stored_bytes: hole(Chunk.size_bytes),
            Chunk.encoding: AS_IT_IS,
            Chunk.checksum: hole(Chunk.checksum),
            Chunk.state: LIVE,
            Chunk.touched_at: hole(Chunk.touched_at),
        }
    ).on_conflict(action="nothing", conflict_target=[Chunk.organization_id, Chunk.sha256])
)
_INSERT_CONTENT_CHUNK = Statement(
    ContentChunk.insert(
        {
            ContentChunk.content_id: hole(ContentChunk.content_id),
            ContentChunk.start_offset: hole(ContentChunk.start_offset),
            ContentChunk.chunk_sha256: hole(ContentChunk.chunk_sha256),
            ContentChunk.size_bytes: hole(ContentChunk.size_bytes),
        }
    )
)
_OF_CONTENT = ContentChunk.select(ContentChunk.chunk_sha256).where(
    ContentChunk.content_id == hole(ContentChunk.content_id)
)
_TOUCH_CHUNKS = Statement(
    Chunk.update({Chunk.touched_at: hole(Chunk.touched_at)}).where(
        Chunk.organization_id == hole(Chunk.organization_id),
        Chunk.state == LIVE,
        Chunk.touched_at < hole(Chunk.touched_at),
        Chunk.sha256.in_(_OF_CONTENT),
    )
)
_MISSING_CHUNK = Query(
    ContentChunk.select(ContentChunk.chunk_sha256)
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


@query_shape
def _live_chunks(count: int) -> Query[tuple[Any, ...]]:
    digests = [hole(Chunk.sha256, f"sha256_{index}") for index in range(count)]
    return Query(
        Chunk.select(Chunk.sha256).where(
            Chunk.organization_id == hole(Chunk.organization_id), Chunk.sha256.in_(digests), Chunk.state == LIVE
        )
    )


def live_chunks(database: Database, organization_id: bytes, digests: Sequence[bytes]) -> frozenset[bytes]:
    """Which of the digests (at most some dozens) are live chunks of the organization, right now."""
    padded = [*digests, *[digests[-1]] * ((1 << (len(digests) - 1).bit_length()) - len(digests))]
    params = {f"sha256_{index}": sha256 for index, sha256 in enumerate(padded)}
    rows = database.rows(_live_chunks(len(padded)), organization_id=organization_id, **params)
    return frozenset(sha256 for (sha256,) in rows)


def keep_content(tx: Transaction, organization_id: bytes, received: Received) -> ContentRow:
    """The organization's content with these bytes: a new one, or the one it has already, marked as used just now.

    The packs of what was received are published. Raises BlobsDown when a chunk that was counted on is gone.
    """
    _insert_chunks(tx, organization_id, received)
    content_id = new_id()
    inline = received.inline_data
    inserted = tx.run(
        _INSERT_CONTENT,
        id=content_id,
        organization_id=organization_id,
        sha256=received.sha256,
        size_bytes=received.size_bytes,
        inline_data=inline,
        checksum=None if inline is None else xxhash.xxh3_64_digest(inline),
        create_time=tx.now,
    )
    if inserted:
        _insert_content_chunks(tx, content_id, received)
        content = ContentRow(content_id, organization_id, received.sha256, received.size_bytes)
    else:
        found = tx.row(_FIND, organization_id=organization_id, sha256=received.sha256)
        if found is None:  # removed between the two statements; the bytes are there, a repetition will do
            raise BlobsDown
        content = found
        tx.run(_TOUCH_CONTENT, id=content.id, touched_at=tx.now)
    if inline is None:
        tx.run(_TOUCH_CHUNKS, organization_id=organization_id, content_id=content.id, touched_at=tx.now)
        if tx.row(_MISSING_CHUNK, organization_id=organization_id, content_id=content.id) is not None:
            raise BlobsDown
    return content


def _insert_chunks(tx: Transaction, organization_id: bytes, received: Received) -> None:
    for pack in received.packs:
        tx.run(
            _INSERT_PACK,
            id=pack.id,
            organization_id=organization_id,
            size_bytes=pack.size_bytes,
            create_time=tx.now,
        )
    new = sorted((chunk.sha256, index) for index, chunk in enumerate(received.chunks()) if chunk.pack is not None)
    items = (
        {
            "organization_id": organization_id,
            "sha256": chunk.sha256,
            "size_bytes": chunk.size_bytes,
            "pack_id": chunk.pack.id,
            "pack_offset": chunk.pack_offset,
            "checksum": chunk.checksum,
            "touched_at": tx.now,
        }
        for chunk in (received.chunk_at(index) for _, index in new)
        if chunk.pack is not None
    )
    _run_parts(tx, _INSERT_CHUNK, items)


def _insert_content_chunks(tx: Transaction, content_id: bytes, received: Received) -> None:
    def items() -> Iterator[Mapping[str, Any]]:
        start = 0
        for chunk in received.chunks():
            yield {
                "content_id": content_id,
                "start_offset": start,
                "chunk_sha256": chunk.sha256,
                "size_bytes": chunk.size_bytes,
            }
            start += chunk.size_bytes

    _run_parts(tx, _INSERT_CONTENT_CHUNK, items())


def _run_parts(tx: Transaction, statement: Statement, items: Iterator[Mapping[str, Any]]) -> None:
    while part := list(islice(items, _ROWS_AT_ONCE)):
        tx.run_many(statement, part)


def read_content(
    database: Database, packs: PackStore, content: ContentRow, *, offset: int, limit: int | None
) -> Generator[bytes, None, None]:
    """The bytes from `offset` on, at most `limit` of them: pieces of at most 1 MiB, each verified before it is given.

    Only the chunks that the range touches are read. Between pieces no connection is held; close the iterator to give
    back its files. Raises ChunkLost where bytes are damaged or gone, BlobsDown.
    """
    stop = content.size_bytes if limit is None else min(content.size_bytes, offset + limit)
    inline = database.row(_INLINE, id=content.id)
    if inline is None:
        raise _lost(content.sha256, "the content has no row")
    data, checksum = inline
    if data is not None:
        if len(data) != content.size_bytes or xxhash.xxh3_64_digest(data) != checksum:
            raise _lost(content.sha256, "the bytes in the row are damaged")
        if offset < stop:
            yield data[offset:stop]
        return
    with ExitStack() as files:
        reader: PackReader | None = None
        open_pack: bytes | None = None
        for span in _spans(database, content, offset, stop):
            if span.pack_id is None:
                raise _lost(span.sha256, "the chunk has no row")
            if reader is None or span.pack_id != open_pack:
                files.close()
                try:
                    reader = files.enter_context(packs.open(span.pack_id))
                except PackMissing:
                    raise _lost(span.sha256, "its pack is gone") from None
                open_pack = span.pack_id
            data = reader.read(span.pack_offset, span.stored_bytes)
            if (
                span.encoding != AS_IT_IS
                or len(data) != span.size_bytes
                or xxhash.xxh3_64_digest(data) != span.checksum
            ):
                raise _lost(span.sha256, "its bytes are damaged")
            first, last = max(0, offset - span.start_offset), min(span.size_bytes, stop - span.start_offset)
            yield data if last - first == span.size_bytes else data[first:last]


def _spans(database: Database, content: ContentRow, offset: int, stop: int) -> Iterator[_Span]:
    """The chunks that hold the range, in order and without a gap; a page of rows at a time."""
    if offset >= stop:
        return
    first = database.row(_FIRST_OFFSET, content_id=content.id, start_offset=offset)
    at = first[0] if first is not None and first[0] is not None else 0
    while at < stop:
        spans = database.rows(
            _SPANS, organization_id=content.organization_id, content_id=content.id, start=at, stop=stop
        )
        if not spans:
            raise _lost(content.sha256, "its list of chunks ends early")
        for span in spans:
            if span.start_offset != at or span.size_bytes <= 0:
                raise _lost(content.sha256, "its list of chunks has a gap")
            yield span
            at += span.size_bytes


def _lost(sha256: bytes, what: str) -> ChunkLost:
    log.error("stored bytes are lost: %s", what, extra={"fields": {"sha256": sha256.hex()}})
    return ChunkLost(sha256.hex())
