"""Where packs are kept: the interface that every backend fulfils.

A pack is written once, front to back, published whole, and read at any place. Its name is its id, random and never
used twice, so nothing is ever overwritten and a late removal cannot hit new bytes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self

PACK_ID_BYTES = 16


class PackWriter(ABC):
    """A pack being written. Its bytes are nobody's until `PackStore.publish`; `discard` removes them."""

    id: bytes
    size_bytes: int

    @abstractmethod
    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Appends all of `data` and answers the offset where it begins.

        Raises StorageFull, ReadOnly, BlobsDown.
        """

    @abstractmethod
    def seal(self) -> None:
        """Ends the writing: the bytes are on stable storage when it returns, under a name that does not last.

        Raises StorageFull, ReadOnly, BlobsDown.
        """

    @abstractmethod
    def discard(self) -> None:
        """Removes what was written and is not published. Never raises; repeating it does nothing."""


class PackReader(ABC):
    """A pack open for reading; a context manager that closes it."""

    @abstractmethod
    def read(self, offset: int, length: int) -> bytes:
        """The bytes from `offset` on: fewer than `length` only where the pack ends or is damaged.

        Raises BlobsDown.
        """

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
    def create(self) -> PackWriter:
        """A new, empty pack under a new id. Raises StorageFull, ReadOnly, BlobsDown."""

    @abstractmethod
    def publish(self, packs: Sequence[PackWriter]) -> None:
        """Makes sealed packs readable under their ids; when it returns they are there after a power cut, too.

        Raises StorageFull, ReadOnly, BlobsDown; some of them may be published then, and `remove` takes them away.
        """

    @abstractmethod
    def open(self, pack_id: bytes) -> PackReader:
        """The published pack. Raises PackMissing, BlobsDown."""

    @abstractmethod
    def remove(self, pack_id: bytes) -> None:
        """Removes a published pack to which no row refers. A pack that is not there is fine. Raises BlobsDown."""

    @property
    @abstractmethod
    def writable(self) -> bool:
        """False once a write could not be made durable: from then on every write is ReadOnly until a restart."""

    @abstractmethod
    def close(self) -> None:
        """Gives back what it holds."""
