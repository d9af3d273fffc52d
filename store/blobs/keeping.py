"""Rows of chunks and contents: what was received becomes something that may be referred to.

Whoever refers to chunks marks them as used (`touched_at`) in the transaction that makes the reference, where they are
live, in the order of their keys, and counts them: a chunk that the collector was faster with is missing, and the
reference is not made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import peewee
import xxhash

from store.blobs.contents import ContentRow
from store.blobs.models import AS_IT_IS, LIVE, Chunk, Content, ContentChunk, Pack
from store.blobs.packs import GrownPack, Place
from store.database import Database, Query, Statement, Transaction, hole, holes_for, new_id, query_shape
from store.database.batches import batches, filled, holes
from store.errors import BlobsDown
from store.quotas.charges import charge

MANY_ROWS: Final = 2000
"""More rows than this take the database longer than an ordinary write may."""

_ROWS_AT_ONCE: Final = 1000


class ChunkPlace(NamedTuple):
    """Where the row of a live chunk says that its bytes are. checksum is the xxh3 of the stored bytes."""

    sha256: bytes
    size_bytes: int
    pack_id: bytes
    pack_offset: int
    stored_bytes: int
    encoding: int
    checksum: bytes


class StoredChunk(NamedTuple):
    """A chunk that came in. Its content has it at start_offset.

    place is where its bytes were written, and None when the organization had them already, or they came earlier in the
    same group. replaces is the place that the chunk's row names, where its bytes were found damaged, and replaced_bytes
    how many were stored there.
    """

    start_offset: int
    sha256: bytes
    size_bytes: int
    place: Place | None = None
    checksum: bytes = b""
    stored_bytes: int = 0
    encoding: int = AS_IT_IS
    replaces: Place | None = None
    replaced_bytes: int = 0


@dataclass(slots=True)
class Group:
    """Chunks of one content behind one another, and the packs that grew by them; all on stable storage."""

    packs: Sequence[GrownPack] = ()
    chunks: list[StoredChunk] = field(default_factory=list)

    @property
    def end(self) -> int:
        """Where in its content the last chunk ends; 0 when there is none."""
        return self.chunks[-1].start_offset + self.chunks[-1].size_bytes if self.chunks else 0


@dataclass(frozen=True, slots=True)
class Received:
    """A content that came in whole, on stable storage: in inline_data, or in chunks.

    group holds the chunks that were not committed on the way: all of them, unless the writer commits.
    """

    sha256: bytes
    size_bytes: int
    inline_data: bytes | None = None
    group: Group = field(default_factory=Group)


_GROW_PACK: Final = Statement(
    Pack.insert(
        {
            **holes_for(Pack.id, Pack.organization_id, Pack.size_bytes, Pack.create_time),
            Pack.state: LIVE,
            Pack.touched_at: hole(Pack.create_time),
        }
    ).on_conflict(
        conflict_target=[Pack.id],
        update={Pack.size_bytes: peewee.EXCLUDED.size_bytes, Pack.touched_at: peewee.EXCLUDED.touched_at},
        where=(Pack.state == LIVE),
    )
)
_PLACE_COLUMNS: Final = (
    Chunk.sha256,
    Chunk.size_bytes,
    Chunk.pack_id,
    Chunk.pack_offset,
    Chunk.stored_bytes,
    Chunk.encoding,
    Chunk.checksum,
)
_MOVED: Final = ("pack_id", "pack_offset", "stored_bytes", "encoding", "checksum", "state", "touched_at")
_PUT_CHUNK: Final = Statement(
    Chunk.insert(
        {
            **holes_for(Chunk.organization_id, *_PLACE_COLUMNS, Chunk.touched_at),
            Chunk.state: LIVE,
        }
        # One that is live stays where it is, and is locked by this all the same.
    ).on_conflict(
        conflict_target=[Chunk.organization_id, Chunk.sha256],
        update={getattr(Chunk, name): getattr(peewee.EXCLUDED, name) for name in _MOVED},
        where=(Chunk.state != LIVE),
    )
)
_MEND_CHUNK: Final = Statement(
    Chunk.update(
        holes_for(
            Chunk.pack_id, Chunk.pack_offset, Chunk.stored_bytes, Chunk.encoding, Chunk.checksum, Chunk.touched_at
        )
    ).where(
        Chunk.organization_id == hole(Chunk.organization_id),
        Chunk.sha256 == hole(Chunk.sha256),
        Chunk.state == LIVE,
        Chunk.pack_id == hole(Chunk.pack_id, "damaged_pack_id"),
        Chunk.pack_offset == hole(Chunk.pack_offset, "damaged_pack_offset"),
    )
)
_INSERT_CONTENT: Final = Statement(
    Content.insert(
        {
            **holes_for(
                Content.id,
                Content.organization_id,
                Content.sha256,
                Content.size_bytes,
                Content.inline_data,
                Content.checksum,
                Content.create_time,
            ),
            Content.touched_at: hole(Content.create_time),
        }
    ).on_conflict(action="nothing", conflict_target=[Content.organization_id, Content.sha256])
)
_FIND: Final = Query(
    Content.select(
        Content.id,
        Content.organization_id,
        Content.sha256,
        Content.size_bytes,
        Content.inline_data,
        Content.checksum,
    ).where(Content.organization_id == hole(Content.organization_id), Content.sha256 == hole(Content.sha256))
)
_TOUCH_CONTENT: Final = Statement(
    Content.update({Content.touched_at: hole(Content.touched_at)}).where(Content.id == hole(Content.id))
)
_MEND_CONTENT: Final = Statement(
    Content.update(holes_for(Content.inline_data, Content.checksum)).where(Content.id == hole(Content.id))
)
_DROP_MANIFEST: Final = Statement(ContentChunk.delete().where(ContentChunk.content_id == hole(ContentChunk.content_id)))
_MANIFEST: Final = Query(
    ContentChunk.select(ContentChunk.start_offset, ContentChunk.chunk_sha256)
    .where(ContentChunk.content_id == hole(ContentChunk.content_id))
    .order_by(ContentChunk.start_offset)
)
_INSERT_CONTENT_CHUNK: Final = Statement(
    ContentChunk.insert(
        holes_for(
            ContentChunk.content_id,
            ContentChunk.organization_id,
            ContentChunk.start_offset,
            ContentChunk.chunk_sha256,
            ContentChunk.size_bytes,
        )
    )
)


@query_shape
def _live_chunks(count: int) -> Query[ChunkPlace]:
    return Query(
        Chunk.select(*_PLACE_COLUMNS).where(
            Chunk.organization_id == hole(Chunk.organization_id),
            Chunk.sha256.in_(holes(Chunk.sha256, count)),
            Chunk.state == LIVE,
        ),
        row=ChunkPlace,
    )


@query_shape
def _touch_chunks(count: int) -> Statement:
    return Statement(
        Chunk.update({Chunk.touched_at: hole(Chunk.touched_at)}).where(
            Chunk.organization_id == hole(Chunk.organization_id),
            Chunk.sha256.in_(holes(Chunk.sha256, count)),
            Chunk.state == LIVE,
        )
    )


def live_chunks(database: Database, organization_id: bytes, digests: Sequence[bytes]) -> dict[bytes, ChunkPlace]:
    """Those of the digests that are live chunks of the organization, right now, and where their rows say they are."""
    found: dict[bytes, ChunkPlace] = {}
    for batch in batches(digests):
        rows = database.rows(_live_chunks(len(batch)), organization_id=organization_id, **filled(batch))
        found.update({row.sha256: row for row in rows})
    return found


def touch_chunks(tx: Transaction, organization_id: bytes, digests: Sequence[bytes]) -> int:
    """Marks those of the digests that are live chunks of the organization as used now; how many they were.

    The digests are distinct.
    """
    count = 0
    for batch in batches(sorted(digests)):
        params = filled(batch)
        count += tx.run(_touch_chunks(len(batch)), organization_id=organization_id, touched_at=tx.now, **params)
    return count


def keep_chunks(tx: Transaction, organization_id: bytes, group: Group) -> None:
    """Makes rows of the group's new chunks and packs, and marks its other chunks as used: all are live from here to
    the transaction's end, and the caller refers to them. The organization is charged for the new ones.

    Raises BlobsDown when a chunk that was counted on, or a pack that grew, is the collector's by now.
    """
    for pack in group.packs:
        if not tx.run(
            _GROW_PACK, id=pack.id, organization_id=organization_id, size_bytes=pack.size_bytes, create_time=tx.now
        ):
            raise BlobsDown
    new: dict[bytes, dict[str, Any]] = {}
    stored_bytes = 0
    others: set[bytes] = set()
    for chunk in sorted(group.chunks, key=_sha256):
        if chunk.place is None:
            others.add(chunk.sha256)
            continue
        columns = {
            "organization_id": organization_id,
            "sha256": chunk.sha256,
            "pack_id": chunk.place.pack_id,
            "pack_offset": chunk.place.offset,
            "stored_bytes": chunk.stored_bytes,
            "encoding": chunk.encoding,
            "checksum": chunk.checksum,
            "touched_at": tx.now,
        }
        if chunk.replaces is not None:
            damaged_id, damaged_offset = chunk.replaces
            if tx.run(_MEND_CHUNK, damaged_pack_id=damaged_id, damaged_pack_offset=damaged_offset, **columns):
                others.add(chunk.sha256)
                stored_bytes += chunk.stored_bytes - chunk.replaced_bytes
                continue
        new[chunk.sha256] = {**columns, "size_bytes": chunk.size_bytes}
    items = [new[sha256] for sha256 in sorted(new)]
    for start in range(0, len(items), _ROWS_AT_ONCE):
        stored_bytes += _put_chunks(tx, organization_id, items[start : start + _ROWS_AT_ONCE])
    charge(tx, organization_id, stored_bytes=stored_bytes)
    others -= new.keys()
    if touch_chunks(tx, organization_id, list(others)) != len(others):
        raise BlobsDown


def _put_chunks(tx: Transaction, organization_id: bytes, items: Sequence[Mapping[str, Any]]) -> int:
    """Puts the rows, whose digests are distinct, where no live ones are; how many stored bytes are live by that."""
    if tx.run_many(_PUT_CHUNK, items) == len(items):
        return sum(item["stored_bytes"] for item in items)
    # Others were faster. A place is nobody else's: the rows that name ours are those that this transaction put.
    ours = {(item["pack_id"], item["pack_offset"]) for item in items}
    found: dict[bytes, ChunkPlace] = {}
    for batch in batches([item["sha256"] for item in items]):
        rows = tx.rows(_live_chunks(len(batch)), organization_id=organization_id, **filled(batch))
        found.update({row.sha256: row for row in rows})
    return sum(row.stored_bytes for row in found.values() if (row.pack_id, row.pack_offset) in ours)


def _sha256(chunk: StoredChunk) -> bytes:
    return chunk.sha256


class Manifest(ABC):
    """The ordered chunks of a content that is being kept; all of them are live."""

    @abstractmethod
    def is_that_of(self, tx: Transaction, content_id: bytes) -> bool:
        """Whether the content is made of the same chunks already."""

    @abstractmethod
    def give_to(self, tx: Transaction, content: ContentRow) -> None:
        """Makes it the content's, which has none."""


class ListedManifest(Manifest):
    """The chunks of a content that came in one group."""

    def __init__(self, chunks: Sequence[StoredChunk]) -> None:
        self._chunks = chunks

    def is_that_of(self, tx: Transaction, content_id: bytes) -> bool:
        """Compares all of it."""
        ours = [(chunk.start_offset, chunk.sha256) for chunk in self._chunks]
        return ours == [tuple(row) for row in tx.rows(_MANIFEST, content_id=content_id)]

    def give_to(self, tx: Transaction, content: ContentRow) -> None:
        """Inserts all of it, a thousand rows at a time: no more of them are ever in memory."""
        for start in range(0, len(self._chunks), _ROWS_AT_ONCE):
            part = self._chunks[start : start + _ROWS_AT_ONCE]
            items = [
                {
                    "content_id": content.id,
                    "organization_id": content.organization_id,
                    "start_offset": chunk.start_offset,
                    "chunk_sha256": chunk.sha256,
                    "size_bytes": chunk.size_bytes,
                }
                for chunk in part
            ]
            tx.run_many(_INSERT_CONTENT_CHUNK, items)


def keep_content(
    tx: Transaction,
    organization_id: bytes,
    *,
    sha256: bytes,
    size_bytes: int,
    inline_data: bytes | None = None,
    manifest: Manifest | None = None,
) -> ContentRow:
    """The organization's content with these bytes: a new one, or the one it has already, marked as used just now.

    Its bytes are inline_data, or the chunks of the manifest, which this transaction found live. A content that was kept
    otherwise (cut elsewhere, damaged in its row) is from now on kept so: what just came in is known to be sound.
    """
    content = ContentRow(new_id(), organization_id, sha256, size_bytes)
    checksum = None if inline_data is None else xxhash.xxh3_64_digest(inline_data)
    if tx.run(
        _INSERT_CONTENT,
        id=content.id,
        organization_id=organization_id,
        sha256=sha256,
        size_bytes=size_bytes,
        inline_data=inline_data,
        checksum=checksum,
        create_time=tx.now,
    ):
        charge(tx, organization_id, stored_bytes=len(inline_data or b""))
        if manifest is not None:
            manifest.give_to(tx, content)
        return content
    found = tx.row(_FIND, organization_id=organization_id, sha256=sha256)
    # Removed between the statements, or between the two: the bytes are there, a repetition will do.
    if found is None or not tx.run(_TOUCH_CONTENT, id=found[0], touched_at=tx.now):
        raise BlobsDown
    content = ContentRow(*found[:4])
    if (found[4], found[5]) != (inline_data, checksum) or not (manifest is None or manifest.is_that_of(tx, content.id)):
        # Read again, now that the row is locked: another upload of it may have mended it in between.
        held = tx.row(_FIND, organization_id=organization_id, sha256=sha256) or found
        charge(tx, organization_id, stored_bytes=len(inline_data or b"") - len(held[4] or b""))
        tx.run(_MEND_CONTENT, id=content.id, inline_data=inline_data, checksum=checksum)
        tx.run(_DROP_MANIFEST, content_id=content.id)
        if manifest is not None:
            manifest.give_to(tx, content)
    return content


def keep_received(tx: Transaction, organization_id: bytes, received: Received) -> ContentRow:
    """The organization's content of what a writer without `commit` received. Raises BlobsDown, as `keep_chunks`."""
    keep_chunks(tx, organization_id, received.group)
    return keep_content(
        tx,
        organization_id,
        sha256=received.sha256,
        size_bytes=received.size_bytes,
        inline_data=received.inline_data,
        manifest=None if received.inline_data is not None else ListedManifest(received.group.chunks),
    )
