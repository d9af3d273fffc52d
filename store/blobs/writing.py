"""Taking in one content: cut, hashed, and written to packs as far as the organization does not have it yet."""

from __future__ import annotations

import hashlib
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, NamedTuple, Self

import xxhash

from store.blobs.chunking import Cutter, FixedCutter
from store.blobs.intake import Intake
from store.blobs.packs import PackStore, PackWriter
from store.errors import FileTooLarge

INLINE_BYTES: Final = 16 * 2**10
"""Content of at most so many bytes lies in its row."""

PACK_BYTES: Final = 256 * 2**20
"""A pack takes no further chunk once it has so many bytes."""

_RECORD: Final = struct.Struct(">32sIiQ8s")
_KNOWN: Final = -1  # in place of a pack: the organization has the chunk already


class ChunkRecord(NamedTuple):
    """A chunk of a received content; pack is None when the organization had it, or it came earlier in this content."""

    sha256: bytes
    size_bytes: int
    pack: PackWriter | None
    pack_offset: int
    checksum: bytes


@dataclass(slots=True)
class Received:
    """A content that came in whole. Its packs are sealed, and nobody's until they are published."""

    sha256: bytes
    size_bytes: int
    inline_data: bytes | None = None
    packs: list[PackWriter] = field(default_factory=list)
    _records: bytearray = field(default_factory=bytearray)

    def chunks(self) -> Iterator[ChunkRecord]:
        """The chunks in order; none when the content is inline."""
        return map(self.chunk_at, range(self.chunk_count))

    def chunk_at(self, index: int) -> ChunkRecord:
        """The chunk at this place, counted from 0."""
        sha256, size, pack, offset, checksum = _RECORD.unpack_from(self._records, index * _RECORD.size)
        return ChunkRecord(sha256, size, None if pack == _KNOWN else self.packs[pack], offset, checksum)

    @property
    def chunk_count(self) -> int:
        """How many chunks it has, repeated ones counted each time."""
        return len(self._records) // _RECORD.size


class _Chunk(NamedTuple):
    data: memoryview
    sha256: bytes
    checksum: bytes
    known: bool


class ContentWriter:
    """Takes the bytes of one content; a context manager that leaves nothing behind unless `keep` was called.

    Memory: at most 4 blocks of 2 MiB, and some 200 bytes for each chunk. `known` answers which of some digests the
    organization has as live chunks. At most as many writers get beyond 16 KiB at once as `slots` lets in.
    """

    def __init__(
        self,
        packs: PackStore,
        executor: Executor,
        slots: threading.Semaphore,
        *,
        known: Callable[[Sequence[bytes]], frozenset[bytes]],
        max_bytes: int,
        pack_bytes: int = PACK_BYTES,
    ) -> None:
        self._packs, self._executor, self._slots = packs, executor, slots
        self._known = known
        self._max_bytes, self._pack_bytes = max_bytes, pack_bytes
        self._small = bytearray()
        self._whole = hashlib.sha256()
        self._cutter: Cutter = FixedCutter()
        self._seen: set[bytes] = set()
        self._intake: Intake[list[_Chunk]] | None = None
        self._received = Received(b"", 0)
        self._kept = False
        self.size_bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        """Takes all of `data`. Raises FileTooLarge, StorageFull, ReadOnly, BlobsDown, DatabaseBusy, DatabaseDown."""
        self.size_bytes += len(data)
        if self.size_bytes > self._max_bytes:
            raise FileTooLarge(self._max_bytes)
        if self._intake is not None:
            self._intake.feed(data)
        elif self.size_bytes <= INLINE_BYTES:
            self._small += data
        else:
            self._intake = self._start()
            self._intake.feed(bytes(self._small))
            self._intake.feed(data)

    def finish(self) -> Received:
        """Ends the content: every byte is hashed and on stable storage, under a name that does not last."""
        received = self._received
        if self._intake is None:
            self._whole.update(self._small)
            received.inline_data = bytes(self._small)
        else:
            self._intake.end()
            self._release()
            if received.packs:
                received.packs[-1].seal()
        received.sha256, received.size_bytes = self._whole.digest(), self.size_bytes
        return received

    def keep(self) -> None:
        """What was received stays: its packs are published."""
        self._kept = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._intake is not None:
            self._intake.abort()
            self._release()
        if not self._kept:
            for pack in self._received.packs:
                pack.discard()

    def _start(self) -> Intake[list[_Chunk]]:
        self._slots.acquire()
        try:
            return Intake(self._executor, hash_whole=self._whole.update, cut=self._cut, store=self._store)
        except BaseException:  # the executor was shut down
            self._slots.release()
            raise

    def _release(self) -> None:
        self._intake = None
        self._slots.release()

    def _cut(self, block: memoryview, last: bool) -> list[_Chunk]:
        cut = [(data, hashlib.sha256(data).digest()) for data in self._cutter.cut(block, last=last)]
        stored = self._known([sha256 for _, sha256 in cut]) if cut else frozenset()
        chunks = []
        for data, sha256 in cut:
            known = sha256 in stored or sha256 in self._seen
            self._seen.add(sha256)
            chunks.append(_Chunk(data, sha256, b"" if known else xxhash.xxh3_64_digest(data), known))
        return chunks

    def _store(self, chunks: list[_Chunk]) -> None:
        received = self._received
        for chunk in chunks:
            if chunk.known:
                where, offset = _KNOWN, 0
            else:
                offset = self._pack().write(chunk.data)
                where = len(received.packs) - 1
            received._records += _RECORD.pack(chunk.sha256, len(chunk.data), where, offset, chunk.checksum)

    def _pack(self) -> PackWriter:
        packs = self._received.packs
        if packs and packs[-1].size_bytes < self._pack_bytes:
            return packs[-1]
        if packs:
            packs[-1].seal()
        packs.append(self._packs.create())
        return packs[-1]
