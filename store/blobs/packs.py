"""Where packs are kept: the interface that every backend fulfils.

A pack is written front to back by one stream and read at any place. Its name is its id, random and never used twice, so
nothing is ever overwritten and a late removal cannot hit new bytes. Rows mention only bytes that were synced; behind
those a pack may hold more, of a stream that is still writing or died.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Self

PACK_ID_BYTES = 16

PACK_BYTES = 256 * 2**20
"""A pack takes no further chunk once it has so many bytes, unless the backend wants smaller ones."""


class Place(NamedTuple):
    """Where bytes lie: a pack and an offset in it."""

    pack_id: bytes
    offset: int


class GrownPack(NamedTuple):
    """A pack that holds synced bytes up to size_bytes; is_new when this sync was its first."""

    id: bytes
    size_bytes: int
    is_new: bool


class StoredPack(NamedTuple):
    """A pack as the place where packs are kept lists it; modify_time is in microseconds since 1970, by that clock."""

    id: bytes
    size_bytes: int
    modify_time: int


class Indexed(NamedTuple):
    """A chunk as a pack's own index has it: where its stored bytes lie, and their xxh3."""

    offset: int
    stored_bytes: int
    checksum: bytes


class IndexDamaged(Exception):
    """A pack does not end in its index, or not in the one that was written."""


class PackSink(ABC):
    """Where one stream writes its chunks; a context manager that discards what was not synced. For a single thread.

    It begins new packs as it sees fit: when one is full, or (an object store) at each sync.
    """

    @abstractmethod
    def write(self, data: bytes | bytearray | memoryview) -> Place:
        """Takes all of `data`, copied where it must be kept, and answers where it will lie. It may not be there yet.

        Raises StorageFull, ReadOnly, BlobsDown.
        """

    @abstractmethod
    def sync(self) -> Sequence[GrownPack]:
        """Returns when all that was written is on stable storage and can be read: the packs that grew since the last.

        Raises StorageFull, ReadOnly, BlobsDown: nothing written since the last sync may then be mentioned, and the sink
        takes no more.
        """

    @abstractmethod
    def discard(self) -> None:
        """Ends the writing. What was synced stays; what was not is removed. Never raises; repeating it does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


class PackReader(ABC):
    """A pack open for reading; a context manager that closes it."""

    @abstractmethod
    def read(self, offset: int, length: int) -> bytes:
        """The bytes from `offset` on: fewer than `length` only where the pack ends or is damaged.

        Raises BlobsDown.
        """

    def index(self, chunk_bytes: int) -> Sequence[Indexed] | None:  # noqa: ARG002 - where there is one it needs them
        """What the pack itself says of its chunks, which have so many bytes together; None where packs say nothing.

        Raises IndexDamaged, BlobsDown.
        """
        return None

    @abstractmethod
    def close(self) -> None:
        """Closes it; repeating it does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PackMissing(Exception):
    """The pack is not there. Whoever reads a chunk by its row answers ChunkLost."""


class PackStore(ABC):
    """Keeps packs. Safe for several threads, and for several processes on the same place."""

    @abstractmethod
    def sink(self, *, pack_bytes: int = PACK_BYTES) -> PackSink:
        """A place for one stream to write; it makes nothing before its first byte. Never raises."""

    @abstractmethod
    def open(self, pack_id: bytes, *, first: tuple[int, int] = (0, 0)) -> PackReader:
        """The synced bytes of a pack. Raises PackMissing, BlobsDown.

        `first` is the offset and length of what will be read first: a backend beyond a network brings it along with the
        answer that the pack is there.
        """

    @abstractmethod
    def remove(self, pack_id: bytes) -> None:
        """Removes a pack to which no row refers. A pack that is not there is fine. Raises BlobsDown."""

    @abstractmethod
    def list_packs(self) -> Iterator[StoredPack]:
        """Every pack that can be opened, in no order; what comes or goes meanwhile may be listed or not.

        Neither is a proof: ask the database about a listed pack, and `open` about one that is not. Raises BlobsDown.
        """

    @property
    def full_bytes(self) -> int:
        """About how many bytes a full pack has."""
        return PACK_BYTES

    @property
    def sync_ends_packs(self) -> bool:
        """Whether a sync ends the pack that is being filled, however little it holds: syncs are then better rare."""
        return False

    @property
    @abstractmethod
    def writable(self) -> bool:
        """False once a write could not be made durable: from then on every write is ReadOnly until a restart."""

    @property
    def takes_writes(self) -> bool:
        """Whether it is writable, and was neither full nor read-only when it was last written to (`LastWrites`)."""
        return self.writable

    @abstractmethod
    def close(self) -> None:
        """Gives back what it holds."""
