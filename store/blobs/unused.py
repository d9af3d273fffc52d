"""What nothing refers to: contents without a file, chunks without a content or an upload, packs without a chunk.

Each is asked twice: by a walk that finds what may be removed, a page at a time, and inside the transaction that removes
it, in a second statement after the rows are locked. One statement would decide by what it saw before it waited for the
lock, and removed chunks under a concurrent reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

import peewee

from store.blobs.models import LIVE, Chunk, Content, ContentChunk, Pack
from store.crashpoints import crashpoint
from store.database import Database, Query, Statement, Transaction, hole, query_shape
from store.database.batches import batches, filled, holes
from store.files.models import ReleaseFile
from store.organizations.models import Organization
from store.quotas.charges import charge
from store.uploads.models import UploadChunk

CONTENT_REFERENCES: Final = (ReleaseFile.content_id, Organization.avatar_content_id)
"""Every column that keeps a content. ContentChunk.content_id is no reference but a part of the content."""

PAGE_ROWS: Final = 2000
_FIRST_ID, _LAST_ID = b"\0" * 16, b"\xff" * 16
_LAST_SHA256 = b"\xff" * 32


class UnusedContent(NamedTuple):
    """A content that no file refers to."""

    id: bytes
    size_bytes: int
    inline_bytes: int
    touched_at: int


class UnusedChunk(NamedTuple):
    """A chunk that no content and no upload refers to."""

    organization_id: bytes
    sha256: bytes
    pack_id: bytes
    live_bytes: int


class PackUse(NamedTuple):
    """A pack, how many chunks lie in it, and how many bytes those that are live have."""

    id: bytes
    organization_id: bytes
    size_bytes: int
    state: str
    touched_at: int
    chunk_count: int
    live_bytes: int


class FoundPack(NamedTuple):
    """A pack's row."""

    id: bytes
    organization_id: bytes
    size_bytes: int
    state: str
    touched_at: int


def _no_reference(content_id: Any) -> Any:
    """That nothing refers to a content."""
    references = [
        peewee.fn.EXISTS(column.model.select(peewee.SQL("1")).where(column == content_id))
        for column in CONTENT_REFERENCES
    ]
    none = ~references[0]
    for reference in references[1:]:
        none &= ~reference
    return none


def _no_upload(chunk: Any) -> Any:
    """That no open upload has a chunk."""
    return ~peewee.fn.EXISTS(
        UploadChunk.select(peewee.SQL("1")).where(
            UploadChunk.organization_id == chunk.organization_id, UploadChunk.chunk_sha256 == chunk.sha256
        )
    )


def _no_content(chunk: Any) -> Any:
    """That no content has a chunk."""
    return ~peewee.fn.EXISTS(
        ContentChunk.select(peewee.SQL("1")).where(
            ContentChunk.organization_id == chunk.organization_id, ContentChunk.chunk_sha256 == chunk.sha256
        )
    )


def _no_lasting_content(chunk: Any) -> Any:
    """That every content with a chunk is about to be removed itself."""
    return ~peewee.fn.EXISTS(
        ContentChunk.select(peewee.SQL("1"))
        .join(Content, peewee.JOIN.LEFT_OUTER, on=(Content.id == ContentChunk.content_id))
        .where(
            ContentChunk.organization_id == chunk.organization_id,
            ContentChunk.chunk_sha256 == chunk.sha256,
            Content.id.is_null()
            | (Content.touched_at > hole(Content.touched_at, "cutoff"))
            | ~_no_reference(Content.id),
        )
    )


_INLINE_BYTES: Final[Any] = peewee.fn.COALESCE(peewee.fn.LENGTH(Content.inline_data), 0)
_LIVE_BYTES: Final[Any] = peewee.Case(None, ((Chunk.state == LIVE, Chunk.stored_bytes),), 0)

_CONTENT_EDGE: Final = Query(
    Content.select(Content.id)
    .where(Content.id > hole(Content.id, "after"))
    .order_by(Content.id)
    .limit(1)
    .offset(PAGE_ROWS - 1)
)
# A page is cut off before anything is asked of its rows: PostgreSQL would otherwise expect a third of the table, and
# join all of it for every page.
_CONTENT_PAGE: Final = (
    Content.select(Content.id, Content.size_bytes, _INLINE_BYTES.alias("inline_bytes"), Content.touched_at)
    .where(Content.id > hole(Content.id, "after"), Content.id <= hole(Content.id, "last"))
    .order_by(Content.id)
    .limit(PAGE_ROWS)
    .alias("page")
)
_UNUSED_CONTENTS: Final = Query(
    peewee.Select(
        [_CONTENT_PAGE],
        [getattr(_CONTENT_PAGE.c, name) for name in ("id", "size_bytes", "inline_bytes", "touched_at")],
    )
    .where(
        _CONTENT_PAGE.c.touched_at <= hole(Content.touched_at, "cutoff"),
        _no_reference(_CONTENT_PAGE.c.id),
    )
    .order_by(_CONTENT_PAGE.c.id),
    row=UnusedContent,
)
_CHUNK_KEY: Final[Any] = peewee.Tuple(Chunk.organization_id, Chunk.sha256)
_AFTER: Final[Any] = peewee.Tuple(hole(Chunk.organization_id, "after_organization"), hole(Chunk.sha256, "after"))
_LAST: Final[Any] = peewee.Tuple(hole(Chunk.organization_id, "last_organization"), hole(Chunk.sha256, "last"))
_CHUNK_EDGE: Final = Query(
    Chunk.select(Chunk.organization_id, Chunk.sha256)
    .where(_CHUNK_KEY > _AFTER)
    .order_by(Chunk.organization_id, Chunk.sha256)
    .limit(1)
    .offset(PAGE_ROWS - 1)
)
_CHUNK_PAGE: Final = (
    Chunk.select(Chunk.organization_id, Chunk.sha256, Chunk.pack_id, _LIVE_BYTES.alias("live_bytes"), Chunk.touched_at)
    .where(_CHUNK_KEY > _AFTER, _CHUNK_KEY <= _LAST)
    .order_by(Chunk.organization_id, Chunk.sha256)
    .limit(PAGE_ROWS)
    .alias("page")
)
_UNUSED_CHUNKS: Final = Query(
    peewee.Select(
        [_CHUNK_PAGE],
        [getattr(_CHUNK_PAGE.c, name) for name in ("organization_id", "sha256", "pack_id", "live_bytes")],
    )
    .where(
        _CHUNK_PAGE.c.touched_at <= hole(Chunk.touched_at, "cutoff"),
        _no_upload(_CHUNK_PAGE.c),
        _no_lasting_content(_CHUNK_PAGE.c),
    )
    .order_by(_CHUNK_PAGE.c.organization_id, _CHUNK_PAGE.c.sha256),
    row=UnusedChunk,
)
_PACKS: Final = Query(
    Pack.select(Pack.id, Pack.organization_id, Pack.size_bytes, Pack.state, Pack.touched_at)
    .where(Pack.id > hole(Pack.id, "after"))
    .order_by(Pack.id)
    .limit(500),
    row=FoundPack,
)
_COUNT_CONTENTS: Final = Query(Content.select(peewee.fn.COUNT(Content.id)))
_COUNT_CHUNKS: Final = Query(Chunk.select(peewee.fn.COUNT(Chunk.sha256)))


@query_shape
def _chunks_of_packs(size: int) -> Query[tuple[Any, ...]]:
    return Query(
        Chunk.select(Chunk.pack_id, peewee.fn.COUNT(Chunk.sha256), peewee.fn.SUM(_LIVE_BYTES))
        .where(Chunk.pack_id.in_(holes(Chunk.pack_id, size)))
        .group_by(Chunk.pack_id)
    )


def unused_contents(database: Database, cutoff: int) -> Iterator[list[UnusedContent]]:
    """The contents that nothing refers to, last used at `cutoff` or before: a page of keys at a time, none left out."""
    after = _FIRST_ID
    while True:
        edge = database.row(_CONTENT_EDGE, after=after)
        last = _LAST_ID if edge is None else edge[0]
        yield database.rows(_UNUSED_CONTENTS, after=after, last=last, cutoff=cutoff)
        if edge is None:
            return
        after = last


def unused_chunks(database: Database, cutoff: int) -> Iterator[list[UnusedChunk]]:
    """The chunks that no upload and no content refers to but those of `unused_contents`, in the order of their keys."""
    organization_id, after = _FIRST_ID, b""
    while True:
        edge = database.row(_CHUNK_EDGE, after_organization=organization_id, after=after)
        last_organization, last = (_LAST_ID, _LAST_SHA256) if edge is None else edge
        yield database.rows(
            _UNUSED_CHUNKS,
            after_organization=organization_id,
            after=after,
            last_organization=last_organization,
            last=last,
            cutoff=cutoff,
        )
        if edge is None:
            return
        organization_id, after = last_organization, last


def packs_in_use(database: Database) -> Iterator[PackUse]:
    """Every pack that has a row, with what lies in it."""
    after = _FIRST_ID
    while packs := database.rows(_PACKS, after=after):
        chunks: dict[bytes, tuple[int, int]] = {}
        for batch in batches([pack.id for pack in packs]):
            rows = database.rows(_chunks_of_packs(len(batch)), **filled(batch))
            chunks.update({pack_id: (count, int(live)) for pack_id, count, live in rows})
        for pack in packs:
            yield PackUse(*pack, *chunks.get(pack.id, (0, 0)))
        after = packs[-1].id


def total_counts(database: Database) -> tuple[int, int]:
    """How many contents and how many chunks there are."""
    contents, chunks = database.row(_COUNT_CONTENTS), database.row(_COUNT_CHUNKS)
    assert contents is not None
    assert chunks is not None
    return contents[0], chunks[0]


# --- Removing --------------------------------------------------------------------------------------------------------


@query_shape
def _lock_contents(size: int) -> Query[tuple[Any, ...]]:
    ids = Content.id.in_(holes(Content.id, size))
    return Query(Content.select(Content.id).where(ids).order_by(Content.id))


@query_shape
def _still_unused_contents(size: int) -> Query[tuple[Any, ...]]:
    return Query(
        Content.select(Content.id, Content.organization_id, _INLINE_BYTES).where(
            Content.id.in_(holes(Content.id, size)),
            Content.touched_at <= hole(Content.touched_at, "cutoff"),
            _no_reference(Content.id),
        )
    )


@query_shape
def _delete_contents(size: int) -> tuple[Statement, Statement]:
    return (
        Statement(ContentChunk.delete().where(ContentChunk.content_id.in_(holes(ContentChunk.content_id, size)))),
        Statement(Content.delete().where(Content.id.in_(holes(Content.id, size)))),
    )


@query_shape
def _lock_chunks(size: int) -> Query[tuple[Any, ...]]:
    return Query(
        Chunk.select(Chunk.sha256)
        .where(
            Chunk.organization_id == hole(Chunk.organization_id),
            Chunk.sha256.in_(holes(Chunk.sha256, size)),
        )
        .order_by(Chunk.organization_id, Chunk.sha256)
    )


@query_shape
def _still_unused_chunks(size: int) -> Query[tuple[Any, ...]]:
    return Query(
        Chunk.select(Chunk.sha256, _LIVE_BYTES).where(
            Chunk.organization_id == hole(Chunk.organization_id),
            Chunk.sha256.in_(holes(Chunk.sha256, size)),
            Chunk.touched_at <= hole(Chunk.touched_at, "cutoff"),
            _no_upload(Chunk),
            _no_content(Chunk),
        )
    )


@query_shape
def _delete_chunks(size: int) -> Statement:
    return Statement(
        Chunk.delete().where(
            Chunk.organization_id == hole(Chunk.organization_id), Chunk.sha256.in_(holes(Chunk.sha256, size))
        )
    )


def remove_contents(tx: Transaction, ids: Sequence[bytes], cutoff: int) -> tuple[int, int]:
    """Removes those of the contents that are unused still, lists of chunks included; how many, and their bytes that
    lay in rows."""
    count, inline = 0, 0
    for batch in batches(ids):
        tx.lock(_lock_contents(len(batch)), **filled(batch))
        rows = tx.rows(_still_unused_contents(len(batch)), cutoff=cutoff, **filled(batch))
        for gone in batches([row[0] for row in rows]):
            for statement in _delete_contents(len(gone)):
                tx.run(statement, **filled(gone))
                crashpoint("collect.contents_out_of_rows")
        count += len(rows)
        inline += sum(row[2] for row in rows)
        for _, organization_id, inline_bytes in rows:
            charge(tx, organization_id, stored_bytes=-inline_bytes)
    return count, inline


def remove_chunks(tx: Transaction, keys: Sequence[tuple[bytes, bytes]], cutoff: int) -> int:
    """Removes those of the chunks (organization and SHA-256, in their order) that are unused still; how many."""
    count = 0
    for organization_id, group in groupby(keys, key=_organization):
        for batch in batches([sha256 for _, sha256 in group]):
            # Whoever refers to a chunk changes its row first, and finds it gone once this transaction has ended.
            tx.lock(_lock_chunks(len(batch)), organization_id=organization_id, **filled(batch))
            crashpoint("collect.chunks_locked")
            of = {"organization_id": organization_id}
            rows = tx.rows(_still_unused_chunks(len(batch)), cutoff=cutoff, **of, **filled(batch))
            for gone in batches([sha256 for sha256, _ in rows]):
                count += tx.run(_delete_chunks(len(gone)), **of, **filled(gone))
            charge(tx, organization_id, stored_bytes=-sum(live_bytes for _, live_bytes in rows))
    return count


def _organization(key: tuple[bytes, bytes]) -> bytes:
    return key[0]
