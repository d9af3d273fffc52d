"""Packs of which little is used still, and small ones that are many: what is used moves to a new pack, and the old ones
go after the grace time."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

import xxhash
import zstandard

from store.blobs.models import AS_IT_IS, LIVE, ZSTD, Chunk, Pack
from store.blobs.packs import PackMissing, PackReader, PackSink, PackStore, Place
from store.blobs.unused import PackUse
from store.blobs.verifying import LIVE_CHUNKS, PackedChunk, mark_damaged, stored_bytes_of
from store.crashpoints import crashpoint
from store.database import Database, Statement, Transaction, hole
from store.errors import BlobsDown, CollectorBusy
from store.leases import Lease
from store.quotas.charges import charge

log = logging.getLogger(__name__)

WORTH_IT: Final = 0.95
"""Compressed bytes are kept when they are at most this share of the plain ones."""

_LEVEL: Final = 3
_FIRST_BYTES: Final = 2 * 2**20  # what the first answer of a bucket brings of a small pack
_LONG_ROWS: Final = 2_000

MOST_UNREADABLE: Final = 3
"""After so many packs that cannot be read, the place of the packs is taken to be down."""


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


def rewrite_packs(database: Database, packs: PackStore, lease: Lease, sources: Sequence[PackUse]) -> int:
    """Moves the live chunks of the packs, all of one organization, to a new one (or as many as it takes), compressed
    where that saves over a twentieth; out of how many packs something moved.

    Each chunk is verified first; one that is damaged stays where it is and counts as missing from then on, so that its
    next upload stores it anew. A pack that cannot be read stays as it is. Readers under way find the old packs until
    their grace time has passed. Raises CollectorBusy, StorageFull, ReadOnly, BlobsDown, DatabaseBusy, DatabaseDown.
    """
    with packs.sink() as sink:
        copy = _Copy(database, packs, lease, sink, sources[0].organization_id)
        unreadable = 0
        for source in sources:
            try:
                copy.take(source)
            except PackMissing:
                log.error("a pack is gone", extra={"fields": {"pack_id": source.id.hex()}})
            except _Unreadable as error:
                log.warning("a pack cannot be read now", extra={"fields": {"pack_id": source.id.hex()}})
                unreadable += 1
                if unreadable == MOST_UNREADABLE or len(sources) == 1:
                    raise BlobsDown from error
        return copy.switch()


class _Unreadable(Exception):
    """The pack that is being copied cannot be read; the new one can still be written."""


class _Copy:
    """Chunks of several packs, copied behind one another; `switch` makes their rows say so."""

    def __init__(
        self, database: Database, packs: PackStore, lease: Lease, sink: PackSink, organization_id: bytes
    ) -> None:
        self._database, self._packs, self._lease, self._sink = database, packs, lease, sink
        self._organization_id = organization_id
        self._announced: set[bytes] = set()
        self._moved: dict[bytes, list[_Moved]] = {}
        self._damaged: dict[bytes, list[PackedChunk]] = {}
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)

    def take(self, source: PackUse) -> None:
        """Copies what is live and sound of the pack: all, or nothing that counts. Raises PackMissing, _Unreadable."""
        moved: list[_Moved] = []
        damaged: list[PackedChunk] = []
        chunks = self._database.rows(LIVE_CHUNKS, pack_id=source.id)
        with self._opened(source, chunks) as reader:
            for chunk in chunks:
                data = _read(reader, chunk)
                if data is None:
                    damaged.append(chunk)
                else:
                    moved.append(self._written(chunk, data))
                self._lease.keep()
        if moved:
            self._moved[source.id] = moved
        if damaged:
            self._damaged[source.id] = damaged
            fields = {"pack_id": source.id.hex(), "count": len(damaged)}
            log.error("damaged chunks", extra={"fields": fields})

    def switch(self) -> int:
        """Makes the copies durable, and in one transaction theirs; out of how many packs something moved."""
        if self._moved or self._damaged:
            crashpoint("rewrite.written")
            grown = self._sink.sync() if self._moved else ()
            crashpoint("rewrite.synced")
            switch = partial(
                _switch,
                lease=self._lease,
                sizes={each.id: each.size_bytes for each in grown},
                moved=self._moved,
                damaged=self._damaged,
            )
            try:
                self._database.write(switch, long=sum(map(len, self._moved.values())) > _LONG_ROWS)
            except (CollectorBusy, BlobsDown):
                # Nothing was switched, and whoever took over may have forgotten the rows of these packs already.
                for each in grown:
                    with suppress(BlobsDown):
                        self._packs.remove(each.id)
                raise
            crashpoint("rewrite.switched")
        return len(self._moved)

    def _opened(self, source: PackUse, chunks: Sequence[PackedChunk]) -> PackReader:
        first = (chunks[0].pack_offset, min(source.live_bytes, _FIRST_BYTES)) if chunks else (0, 0)
        try:
            return self._packs.open(source.id, first=first)
        except BlobsDown as error:
            raise _Unreadable from error

    def _written(self, chunk: PackedChunk, data: bytes) -> _Moved:
        encoding = chunk.encoding
        if encoding == AS_IT_IS:
            packed = self._compressor.compress(data)
            if len(packed) <= len(data) * WORTH_IT:
                data, encoding = packed, ZSTD
        place = self._sink.write(data)
        if place.pack_id not in self._announced:
            # The row is first, so that the next collector finds what a kill leaves behind here.
            self._database.write(
                partial(_announce, lease=self._lease, pack_id=place.pack_id, organization_id=self._organization_id)
            )
            self._announced.add(place.pack_id)
            crashpoint("rewrite.announced")
        return _Moved(chunk, place, len(data), encoding, xxhash.xxh3_64_digest(data))


def _read(reader: PackReader, chunk: PackedChunk) -> bytes | None:
    try:
        return stored_bytes_of(reader, chunk)
    except BlobsDown as error:
        raise _Unreadable from error


def _charge_moved(tx: Transaction, new_packs: Iterable[bytes], moved: Mapping[bytes, Sequence[_Moved]]) -> None:
    """Charges for what was compressed: of those that still lay where they were found, which now lie in the packs."""
    packed = {
        (chunk.organization_id, chunk.sha256): (chunk.organization_id, stored_bytes - chunk.stored_bytes)
        for chunks in moved.values()
        for chunk, _, stored_bytes, *_ in chunks
        if stored_bytes != chunk.stored_bytes
    }
    if not packed:
        return
    for pack_id in sorted(new_packs):
        for chunk in tx.rows(LIVE_CHUNKS, pack_id=pack_id):
            organization_id, added = packed.get((chunk.organization_id, chunk.sha256), (chunk.organization_id, 0))
            charge(tx, organization_id, stored_bytes=added)


def _announce(tx: Transaction, *, lease: Lease, pack_id: bytes, organization_id: bytes) -> None:
    lease.guard(tx)
    tx.run(_INSERT_PACK, id=pack_id, organization_id=organization_id, size_bytes=0, create_time=tx.now)


def _switch(
    tx: Transaction,
    *,
    lease: Lease,
    sizes: Mapping[bytes, int],
    moved: Mapping[bytes, Sequence[_Moved]],
    damaged: Mapping[bytes, Sequence[PackedChunk]],
) -> None:
    lease.guard(tx)
    for pack_id, size_bytes in sorted(sizes.items()):
        if not tx.run(_GROW_PACK, id=pack_id, size_bytes=size_bytes, touched_at=tx.now):
            raise BlobsDown  # a collector that took over has removed it; nothing was switched
    moves: list[dict[str, Any]] = [
        {
            "organization_id": chunk.organization_id,
            "sha256": chunk.sha256,
            "old_pack_id": source_id,
            "old_offset": chunk.pack_offset,
            "pack_id": place.pack_id,
            "pack_offset": place.offset,
            "stored_bytes": stored_bytes,
            "encoding": encoding,
            "checksum": checksum,
        }
        for source_id, chunks in moved.items()
        for chunk, place, stored_bytes, encoding, checksum in chunks
    ]
    tx.run_many(_MOVE, sorted(moves, key=lambda each: (each["organization_id"], each["sha256"])))
    _charge_moved(tx, sizes, moved)
    for source_id in sorted(damaged):
        mark_damaged(tx, source_id, damaged[source_id])
    for source_id in sorted(moved.keys() | damaged.keys()):
        tx.run(_TOUCH_PACK, id=source_id, touched_at=tx.now)
    crashpoint("rewrite.in_rows")
