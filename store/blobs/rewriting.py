"""Packs of which little is used still: what is used moves to a new pack, and the old one goes after the grace time."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import partial
from typing import Final, NamedTuple

import xxhash
import zstandard

from store.blobs.lease import Lease
from store.blobs.models import AS_IT_IS, LIVE, ZSTD, Chunk, Pack
from store.blobs.packs import PackMissing, PackStore, Place
from store.blobs.unused import PackUse
from store.blobs.verifying import LIVE_CHUNKS, PackedChunk, mark_damaged, stored_bytes_of
from store.database import Database, Statement, Transaction, hole
from store.errors import BlobsDown

log = logging.getLogger(__name__)

WORTH_IT: Final = 0.95
"""Compressed bytes are kept when they are at most this share of the plain ones."""

_LEVEL: Final = 3
_LONG_ROWS: Final = 2_000


class _Moved(NamedTuple):
    chunk: PackedChunk
    place: Place
    stored_bytes: int
    encoding: int
    checksum: bytes


_INSERT_PACK: Final = Statement(
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
_GROW_PACK: Final = Statement(
    Pack.update({Pack.size_bytes: hole(Pack.size_bytes), Pack.touched_at: hole(Pack.touched_at)}).where(
        Pack.id == hole(Pack.id), Pack.state == LIVE
    )
)
_TOUCH_PACK: Final = Statement(
    Pack.update({Pack.touched_at: hole(Pack.touched_at)}).where(Pack.id == hole(Pack.id), Pack.state == LIVE)
)
_MOVE: Final = Statement(
    Chunk.update(
        {
            Chunk.pack_id: hole(Chunk.pack_id),
            Chunk.pack_offset: hole(Chunk.pack_offset),
            Chunk.stored_bytes: hole(Chunk.stored_bytes),
            Chunk.encoding: hole(Chunk.encoding),
            Chunk.checksum: hole(Chunk.checksum),
        }
    ).where(
        Chunk.organization_id == hole(Chunk.organization_id),
        Chunk.sha256 == hole(Chunk.sha256),
        Chunk.pack_id == hole(Chunk.pack_id, "old_pack_id"),
        Chunk.pack_offset == hole(Chunk.pack_offset, "old_offset"),
        Chunk.state == LIVE,
    )
)


def rewrite_pack(database: Database, packs: PackStore, lease: Lease, pack: PackUse) -> bool:
    """Moves the live chunks of the pack to a new one, compressed where that saves over a twentieth; whether it did.

    Each is verified first; one that is damaged stays where it is and counts as missing from then on, so that its next
    upload stores it anew. Readers under way find the old pack until its grace time has passed.
    Raises CollectorBusy, StorageFull, ReadOnly, BlobsDown, DatabaseBusy, DatabaseDown.
    """
    chunks = database.rows(LIVE_CHUNKS, pack_id=pack.id)
    moved: list[_Moved] = []
    damaged: list[PackedChunk] = []
    known: set[bytes] = set()
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
    with ExitStack() as stack:
        try:
            reader = stack.enter_context(packs.open(pack.id))
        except PackMissing:
            log.error("a pack is gone", extra={"fields": {"pack_id": pack.id.hex()}})
            return False
        sink = stack.enter_context(packs.sink())
        for chunk in chunks:
            data = stored_bytes_of(reader, chunk)
            if data is None:
                damaged.append(chunk)
                continue
            encoding = chunk.encoding
            if encoding == AS_IT_IS:
                packed = compressor.compress(data)
                if len(packed) <= len(data) * WORTH_IT:
                    data, encoding = packed, ZSTD
            place = sink.write(data)
            if place.pack_id not in known:
                # The row is first, so that the next collector finds what a kill leaves behind here.
                database.write(partial(_announce, lease=lease, pack_id=place.pack_id, of=pack))
                known.add(place.pack_id)
            moved.append(_Moved(chunk, place, len(data), encoding, xxhash.xxh3_64_digest(data)))
            lease.keep()
        grown = sink.sync() if moved else ()
        sizes = {each.id: each.size_bytes for each in grown}
        database.write(
            partial(_switch, lease=lease, pack=pack, sizes=sizes, moved=moved, damaged=damaged),
            long=len(moved) > _LONG_ROWS,
        )
    if damaged:
        log.error("damaged chunks", extra={"fields": {"pack_id": pack.id.hex(), "count": len(damaged)}})
    return bool(moved)


def _announce(tx: Transaction, *, lease: Lease, pack_id: bytes, of: PackUse) -> None:
    lease.guard(tx)
    tx.run(_INSERT_PACK, id=pack_id, organization_id=of.organization_id, size_bytes=0, create_time=tx.now)


def _switch(
    tx: Transaction,
    *,
    lease: Lease,
    pack: PackUse,
    sizes: dict[bytes, int],
    moved: list[_Moved],
    damaged: list[PackedChunk],
) -> None:
    lease.guard(tx)
    for pack_id, size_bytes in sorted(sizes.items()):
        if not tx.run(_GROW_PACK, id=pack_id, size_bytes=size_bytes, touched_at=tx.now):
            raise BlobsDown  # a collector that took over has removed it; nothing was switched
    moves = sorted(
        (
            {
                "organization_id": chunk.organization_id,
                "sha256": chunk.sha256,
                "old_pack_id": pack.id,
                "old_offset": chunk.pack_offset,
                "pack_id": place.pack_id,
                "pack_offset": place.offset,
                "stored_bytes": stored_bytes,
                "encoding": encoding,
                "checksum": checksum,
            }
            for chunk, place, stored_bytes, encoding, checksum in moved
        ),
        key=lambda each: (each["organization_id"], each["sha256"]),
    )
    tx.run_many(_MOVE, moves)
    mark_damaged(tx, pack.id, damaged)
    tx.run(_TOUCH_PACK, id=pack.id, touched_at=tx.now)
