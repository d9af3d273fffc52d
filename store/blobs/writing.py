"""Taking in one content: cut, hashed, and written to packs as far as the organization does not have it yet."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NamedTuple, Self

import xxhash

from store.blobs.chunking import Cutter
from store.blobs.intake import HEADROOM_BYTES, Intake, Stages
from store.blobs.keeping import ChunkPlace, Group, Received, StoredChunk
from store.blobs.models import AS_IT_IS
from store.blobs.packs import PACK_BYTES, PackMissing, PackReader, PackSink, PackStore, Place
from store.errors import FileTooLarge
from store.metrics import CHUNK_DAMAGE, CHUNKS, KNOWN_BYTES

log = logging.getLogger(__name__)

INLINE_BYTES: Final = 16 * 2**10
"""Content of at most so many bytes lies in its row."""

GROUP_BYTES: Final = 32 * 2**20
GROUP_SECONDS: Final = 1.0
"""A group of chunks is complete when it has so many bytes, or when its first chunk came so long ago."""

RARE_SECONDS: Final = 15.0
RARE_GROUPS: Final = 8
"""Where a sync ends the pack, a group is complete when the pack is full. A slow stream has so long to fill it, and one
of which little is new so many times the bytes: half a MiB a second still makes objects of the full size."""

SMALL_BLOCK_BYTES: Final = 2**20
"""What blocks have where a pack lies in memory until it is stored: three of them come in meanwhile."""

Known = Callable[[Sequence[bytes]], Mapping[bytes, ChunkPlace]]
"""Those of some digests that are live chunks of the organization, and where they are."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is already there of a content that goes on coming in: how many bytes, the end of a chunk, and the way to
    read them."""

    size_bytes: int
    read: Callable[[], Iterator[bytes]]


class _Chunk(NamedTuple):
    data: memoryview
    sha256: bytes
    checksum: bytes
    known: ChunkPlace | None


class ContentWriter(Stages[list[_Chunk]]):
    """Takes the bytes of one content; a context manager that ends what is still running.

    With `commit`, what came in is handed over on the way: whenever a group of chunks is complete and on stable storage,
    on a thread of the writer's; what it raises comes out of the next `write` or `finish`. Without, all chunks are in
    what `finish` answers.

    Memory: 3 blocks of 2.5 MiB, of which some stays untouched, and a pack's stage of 1 MiB, or an object of 9 MiB; and
    some 300 bytes for each chunk of a group. At most as many writers get beyond 16 KiB at once as
    `slots` lets in.
    """

    def __init__(
        self,
        packs: PackStore,
        executor: Executor,
        slots: threading.Semaphore,
        *,
        known: Known,
        max_bytes: int,
        pack_bytes: int = PACK_BYTES,
        beginning: Beginning | None = None,
        commit: Callable[[Group], None] | None = None,
    ) -> None:
        self._packs, self._executor, self._slots = packs, executor, slots
        self._known, self._commit = known, commit
        self._max_bytes, self._pack_bytes = max_bytes, pack_bytes
        self._beginning = beginning
        self._small = bytearray()
        self._whole = hashlib.sha256()
        self._cutter = Cutter()
        self._intake: Intake[list[_Chunk]] | None = None
        self._sink: PackSink | None = None
        self._readers: dict[bytes, PackReader] = {}
        self._group = Group()
        self._group_bytes = 0
        self._written_bytes = 0  # of the group: those that were not there yet
        self._group_begun = 0.0
        self._new: set[bytes] = set()  # written in this group: no row tells of them yet
        self.size_bytes = 0 if beginning is None else beginning.size_bytes
        self._stored_bytes = self.size_bytes
        self._given_up = False  # then nobody asks for the digest of the whole

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
        """Ends the content: every byte is hashed and on stable storage, and committed up to the last group.

        Raises what `write` raises, and ChunkLost when a beginning was damaged.
        """
        if self._intake is None and self._beginning is not None:
            self._intake = self._start()
        if self._intake is None:
            self._whole.update(self._small)
            return Received(self._whole.digest(), self.size_bytes, bytes(self._small))
        self._intake.end()
        self._release()
        if self._sink is not None:
            self._group.packs = self._sink.sync()
        return Received(self._whole.digest(), self.size_bytes, group=self._group)

    def stop(self) -> None:
        """Ends the content before its end: what is certain of it is committed. Raises what `write` raises."""
        if self._intake is not None:
            self._given_up = True
            self._intake.stop()
            self._release()
            self._commit_group()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._intake is not None:
            self._given_up = True
            self._intake.abort()
            self._release()
        if self._sink is not None:
            self._sink.discard()
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()
        self._commit = None  # it knows who holds this writer, in a circle that would keep both for a while

    def _start(self) -> Intake[list[_Chunk]]:
        self._slots.acquire()
        try:
            if self._packs.sync_ends_packs:
                return Intake(self._executor, self, block_bytes=SMALL_BLOCK_BYTES)
            return Intake(self._executor, self)
        except BaseException:  # the executor was shut down
            self._slots.release()
            raise

    def _release(self) -> None:
        self._intake = None
        self._slots.release()

    # What follows runs on the threads of the intake, each method on one of them.

    def before_hashing(self) -> None:
        """Hashes what was there before."""
        if self._beginning is not None:
            for piece in self._beginning.read():
                if self._given_up:
                    return
                self._whole.update(piece)

    def hash_whole(self, data: memoryview) -> None:
        """Hashes what comes."""
        self._whole.update(data)

    def cut(self, buffer: memoryview, *, last: bool) -> list[_Chunk]:
        """Cuts, hashes each chunk, and asks which of them are known."""
        chunks = self._cutter.cut(buffer, HEADROOM_BYTES, last=last)
        digests = [hashlib.sha256(data).digest() for data in chunks]
        known = self._known(digests) if digests else {}
        return [
            _Chunk(data, sha256, b"" if sha256 in known else xxhash.xxh3_64_digest(data), known.get(sha256))
            for data, sha256 in zip(chunks, digests, strict=True)
        ]

    def store(self, pieces: list[_Chunk]) -> None:
        """Writes those chunks whose sound bytes are not there yet, and commits a group when it is complete."""
        for chunk in pieces:
            if not self._group.chunks:
                self._group_begun = time.monotonic()
            self._group.chunks.append(self._stored(chunk))
            self._stored_bytes += len(chunk.data)
            self._group_bytes += len(chunk.data)
            if self._group_is_full:
                self._commit_group()
        wait = self.wait_seconds()
        if wait is not None and wait <= 0:
            self._commit_group()

    def wait_seconds(self) -> float | None:
        """Until the group has to be committed."""
        if self._commit is None or not self._group.chunks:
            return None
        seconds = max(GROUP_SECONDS, RARE_SECONDS) if self._packs.sync_ends_packs else GROUP_SECONDS
        return self._group_begun + seconds - time.monotonic()

    def wait_is_over(self) -> None:
        """Commits the group."""
        self._commit_group()

    @property
    def _group_is_full(self) -> bool:
        if not self._packs.sync_ends_packs:
            return self._group_bytes >= GROUP_BYTES
        full = min(GROUP_BYTES, self._pack_bytes, self._packs.full_bytes)
        return self._written_bytes >= full or self._group_bytes >= GROUP_BYTES * RARE_GROUPS

    def _commit_group(self) -> None:
        if self._commit is None or not self._group.chunks:
            return
        if self._sink is not None:
            self._group.packs = self._sink.sync()
        self._commit(self._group)
        self._group = Group()
        self._group_bytes = self._written_bytes = 0
        self._new.clear()

    def _stored(self, chunk: _Chunk) -> StoredChunk:
        start, size = self._stored_bytes, len(chunk.data)
        if chunk.sha256 in self._new or (chunk.known is not None and self._is_sound(chunk.known, chunk.data)):
            CHUNKS.labels("known").inc()
            KNOWN_BYTES.inc(size)
            return StoredChunk(start, chunk.sha256, size)
        CHUNKS.labels("stored" if chunk.known is None else "mended").inc()
        if self._sink is None:
            self._sink = self._packs.sink(pack_bytes=self._pack_bytes)
        place = self._sink.write(chunk.data)
        self._new.add(chunk.sha256)
        self._written_bytes += size
        checksum = chunk.checksum or xxhash.xxh3_64_digest(chunk.data)
        stored = StoredChunk(start, chunk.sha256, size, place, checksum, size, AS_IT_IS)
        if chunk.known is None:
            return stored
        damaged = Place(chunk.known.pack_id, chunk.known.pack_offset)
        return stored._replace(replaces=damaged, replaced_bytes=chunk.known.stored_bytes)

    def _is_sound(self, known: ChunkPlace, data: memoryview) -> bool:
        """Whether the bytes that the organization is said to have are there: a row alone is not trusted."""
        reader = self._readers.get(known.pack_id)
        try:
            if reader is None:
                while self._readers:  # chunks of a content lie behind one another: one is enough
                    self._readers.popitem()[1].close()
                first = (known.pack_offset, known.stored_bytes)
                reader = self._readers[known.pack_id] = self._packs.open(known.pack_id, first=first)
            stored = reader.read(known.pack_offset, known.stored_bytes)
        except PackMissing:
            stored = b""
        if known.encoding == AS_IT_IS:
            sound = stored == data
        else:
            sound = xxhash.xxh3_64_digest(stored) == known.checksum
        if not sound:
            CHUNK_DAMAGE.labels("upload", "damaged" if stored else "lost").inc()
            log.error("stored bytes are damaged, and mended now", extra={"fields": {"sha256": known.sha256.hex()}})
        return sound
