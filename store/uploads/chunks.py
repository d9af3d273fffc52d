"""Chunks on their own, without a file: which of them an organization lacks, and taking them in.

Any number of streams bring chunks at the same time, in any order; each writes to packs of its own. A chunk is known by
its organization and its SHA-256, which is computed here: nobody gets a chunk by naming its digest, and what other
organizations have is never looked at (behaviour.md, Chunks).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import xxhash

from store.access import Access
from store.blobs.blobs import Blobs
from store.blobs.chunking import MAX_CHUNK_BYTES
from store.blobs.keeping import ChunkPlace, Group, StoredChunk, keep_chunks, live_chunks, touch_chunks
from store.blobs.models import AS_IT_IS, LIVE, ZSTD, Chunk
from store.blobs.packs import PackMissing, PackReader, PackSink, Place
from store.blobs.zstd import FrameRefused, Unpacker
from store.crashpoints import crashpoint
from store.database import Database, Query, Reader, Transaction, hole, query_shape
from store.database.batches import batches, filled, holes
from store.errors import (
    BlobsDown,
    DatabaseBusy,
    DeadlinePassed,
    DigestMismatch,
    InvalidField,
    QuotaExceeded,
    SizeMismatch,
    StorageFull,
)
from store.metrics import CHUNK_DAMAGE, CHUNKS, KNOWN_BYTES, RECEIVED_BYTES
from store.organizations.lookup import find_organization
from store.organizations.rows import OrganizationRow
from store.quotas.usage import check_room, default_quota

log = logging.getLogger(__name__)

GROUP_BYTES: Final = 32 * 2**20
GROUP_CHUNKS: Final = 1000
"""Chunks get their rows when so many bytes, or chunks, came since the last did."""

TOUCHED_AT_ONCE: Final = 2500
"""So many chunks are marked as used in one write."""

# After these the rows are certainly not there, so nothing refers to the bytes.
_NOTHING_KEPT: Final = (BlobsDown, DatabaseBusy, DeadlinePassed, QuotaExceeded, StorageFull)

SUSPICIOUS_RATIO: Final = 1000
"""Chunks that unpack to more than so many times their size are taken; a stream of such is noted in the log, once."""


class SentChunk(NamedTuple):
    """A chunk as it came: data holds size_bytes bytes with this SHA-256, encoded as `encoding` says."""

    sha256: bytes
    size_bytes: int
    encoding: int
    data: bytes


class StoredChunks(NamedTuple):
    """What a stream of chunks brought: how many were new, and how many bytes were stored for them."""

    chunk_count: int
    stored_bytes: int


@query_shape
def _live(count: int) -> Query[tuple[Any, ...]]:
    return Query(
        Chunk.select(Chunk.sha256).where(
            Chunk.organization_id == hole(Chunk.organization_id),
            Chunk.sha256.in_(holes(Chunk.sha256, count)),
            Chunk.state == LIVE,
        )
    )


def missing_chunks(database: Database, access: Access, organization: str, digests: Sequence[bytes]) -> list[bytes]:
    """Those of the digests that are no chunks of the organization: each once, in the order given.

    The others are kept for another grace time: that they are there is told by the transaction that marks them so.
    Raises OrganizationNotFound.
    """
    found = database.read(lambda reader: find_organization(reader, access, organization))
    distinct = list(dict.fromkeys(digests))
    held: set[bytes] = set()
    for start in range(0, len(distinct), TOUCHED_AT_ONCE):
        part = list(live_chunks(database, found.id, distinct[start : start + TOUCHED_AT_ONCE]))
        if part:  # what is not there needs no write
            held |= database.write(partial(held_chunks, organization_id=found.id, digests=part))
    return [sha256 for sha256 in distinct if sha256 not in held]


def held_chunks(tx: Transaction, organization_id: bytes, digests: Sequence[bytes]) -> frozenset[bytes]:
    """Those of the digests, which are distinct, that are live chunks of the organization; marked as used just now."""
    if touch_chunks(tx, organization_id, digests) == len(digests):
        return frozenset(digests)
    return _live_of(tx, organization_id, digests)  # some were the collector's; what is there now was touched


class ChunkIntake:
    """Takes one stream of chunks; a context manager. What was not committed when it ends is nobody's.

    Memory: one unpacked chunk, a pack's stage of 1 MiB, and some 300 bytes for each chunk of a group.
    """

    def __init__(self, database: Database, blobs: Blobs, organization_id: bytes) -> None:
        self._database, self._blobs, self._organization_id = database, blobs, organization_id
        self._unpacker = Unpacker()
        self._suspicious = False
        self._sink: PackSink | None = None
        self._group = Group()
        self._group_bytes = 0
        self._new: set[bytes] = set()  # written in this group: no row tells of them yet
        self._count = 0
        self._stored = StoredChunks(0, 0)

    def take(self, chunks: Sequence[SentChunk]) -> None:
        """Takes some chunks, at most a thousand.

        Raises InvalidField (the path begins with `chunks`), SizeMismatch or DigestMismatch for a chunk that is not what
        it says, QuotaExceeded, StorageFull, ReadOnly, BlobsDown, DatabaseBusy, DatabaseDown.
        """
        if not chunks:
            return
        known = live_chunks(self._database, self._organization_id, [chunk.sha256 for chunk in chunks])
        with ExitStack() as stack:
            packs = _OpenPack(self._blobs, stack)
            # One after another: a thousand small frames may unpack to a thousand large chunks.
            for index, chunk in enumerate(chunks):
                data = self._checked(chunk, f"chunks[{index}]")
                self._group.chunks.append(self._taken(chunk, data, known.get(chunk.sha256), packs))
        self._count += len(chunks)
        if self._group_bytes >= GROUP_BYTES or len(self._group.chunks) >= GROUP_CHUNKS:
            self._commit()

    def finish(self, *, chunk_count: int) -> StoredChunks:
        """Returns when all chunks are on stable storage with their rows; chunk_count is how many the sender counted.

        Raises SizeMismatch, and what `take` raises.
        """
        if chunk_count != self._count:
            raise SizeMismatch(unit="chunks", expected=chunk_count, actual=self._count)
        self._commit()
        return self._stored

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sink is not None:
            self._sink.discard()

    def _checked(self, chunk: SentChunk, path: str) -> bytes:
        """The bytes of the chunk, which are those that it announces."""
        if not 1 <= chunk.size_bytes <= MAX_CHUNK_BYTES:
            raise InvalidField(f"{path}.size_bytes", f"is {chunk.size_bytes}, and a chunk has 1 to {MAX_CHUNK_BYTES}")
        data = chunk.data
        if chunk.encoding == ZSTD:
            try:
                data = self._unpacker.unpacked(chunk.data, chunk.size_bytes)
            except FrameRefused as problem:
                raise InvalidField(f"{path}.data", str(problem)) from None
            if len(data) > SUSPICIOUS_RATIO * len(chunk.data) and not self._suspicious:
                self._suspicious = True
                fields = {"sent_bytes": len(chunk.data), "unpacked_bytes": len(data)}
                log.warning("a stream brings chunks of a thousand times their packed size", extra={"fields": fields})
        elif len(data) != chunk.size_bytes:
            raise SizeMismatch(unit="bytes", expected=chunk.size_bytes, actual=len(data))
        sha256 = hashlib.sha256(data).digest()
        if sha256 != chunk.sha256:
            raise DigestMismatch(expected=chunk.sha256.hex(), actual=sha256.hex())
        return data

    def _taken(self, chunk: SentChunk, plain: bytes, known: ChunkPlace | None, packs: _OpenPack) -> StoredChunk:
        RECEIVED_BYTES.inc(chunk.size_bytes)
        if chunk.sha256 in self._new or (known is not None and packs.has(known)):
            CHUNKS.labels("known").inc()
            KNOWN_BYTES.inc(chunk.size_bytes)
            return StoredChunk(0, chunk.sha256, chunk.size_bytes)
        CHUNKS.labels("stored" if known is None else "mended").inc()
        # A frame that is no smaller than what is in it helps nobody.
        encoding, stored = (ZSTD, chunk.data) if len(chunk.data) < len(plain) else (AS_IT_IS, plain)
        if self._sink is None:
            self._sink = self._blobs.packs.sink(pack_bytes=self._blobs.pack_bytes)
        place = self._sink.write(stored)
        self._new.add(chunk.sha256)
        self._group_bytes += len(stored)
        checksum = xxhash.xxh3_64_digest(stored)
        taken = StoredChunk(0, chunk.sha256, chunk.size_bytes, place, checksum, len(stored), encoding)
        if known is None:
            return taken
        damaged = Place(known.pack_id, known.pack_offset)
        return taken._replace(replaces=damaged, replaced_bytes=known.stored_bytes)

    def _commit(self) -> None:
        group = self._group
        if not group.chunks:
            return
        if self._sink is not None:
            group.packs = self._sink.sync()
        crashpoint("chunks.synced")
        try:
            self._database.write(partial(_keep, organization_id=self._organization_id, group=group))
        except _NOTHING_KEPT:
            self._blobs.withdraw(group)
            raise
        crashpoint("chunks.committed")
        stored = self._stored
        self._stored = StoredChunks(stored.chunk_count + len(self._new), stored.stored_bytes + self._group_bytes)
        self._group, self._group_bytes = Group(), 0
        self._new.clear()


def receive_chunks(database: Database, blobs: Blobs, access: Access, organization: str) -> ChunkIntake:
    """Takes chunks of the organization. Raises OrganizationNotFound, QuotaExceeded when it may store nothing more."""

    def look(reader: Reader) -> OrganizationRow:
        found = find_organization(reader, access, organization)
        check_room(reader, found, default_quota(database), adds_file=False)
        return found

    found = database.read(look)
    return ChunkIntake(database, blobs, found.id)


class _OpenPack:
    """Reads stored chunks, one pack open at a time: chunks of a file lie behind one another."""

    def __init__(self, blobs: Blobs, stack: ExitStack) -> None:
        self._blobs, self._stack = blobs, stack
        self._id: bytes | None = None
        self._reader: PackReader | None = None

    def has(self, chunk: ChunkPlace) -> bool:
        """Whether the bytes are there, as they were stored: a row alone is not trusted. Raises BlobsDown."""
        try:
            if self._reader is None or self._id != chunk.pack_id:
                self._stack.close()
                self._id, self._reader = chunk.pack_id, None
                first = (chunk.pack_offset, chunk.stored_bytes)
                self._reader = self._stack.enter_context(self._blobs.packs.open(chunk.pack_id, first=first))
            stored = self._reader.read(chunk.pack_offset, chunk.stored_bytes)
        except PackMissing:
            stored = b""
        sound = len(stored) == chunk.stored_bytes and xxhash.xxh3_64_digest(stored) == chunk.checksum
        if not sound:
            CHUNK_DAMAGE.labels("upload", "damaged" if stored else "lost").inc()
            log.error("stored bytes are damaged, and mended now", extra={"fields": {"sha256": chunk.sha256.hex()}})
        return sound


def _live_of(reader: Reader, organization_id: bytes, digests: Sequence[bytes]) -> frozenset[bytes]:
    found: set[bytes] = set()
    for batch in batches(digests):
        rows = reader.rows(_live(len(batch)), organization_id=organization_id, **filled(batch))
        found.update(sha256 for (sha256,) in rows)
    return frozenset(found)


def _keep(tx: Transaction, *, organization_id: bytes, group: Group) -> None:
    keep_chunks(tx, organization_id, group)
    crashpoint("chunks.in_rows")
