"""From the stored bytes of a chunk to the bytes of the chunk, as far as they are what its row says."""

from __future__ import annotations

from typing import Protocol, TypeVar

import xxhash

from store.blobs.models import AS_IT_IS, ZSTD
from store.blobs.zstd import FrameRefused, Unpacker

Bytes = TypeVar("Bytes", bytes, memoryview)


class StoredRow(Protocol):
    """What any row of a chunk says of its bytes. checksum is the xxh3 of the stored ones."""

    @property
    def size_bytes(self) -> int:
        """How long the chunk is."""

    @property
    def stored_bytes(self) -> int:
        """How many bytes of it lie in a pack."""

    @property
    def encoding(self) -> int:
        """How they are stored."""

    @property
    def checksum(self) -> bytes:
        """The checksum of the stored ones."""


class NotSound(Exception):
    """The stored bytes of a chunk are not what its row says; the text goes on where "The chunk ..." began."""


def check_stored(stored: bytes | memoryview, row: StoredRow) -> None:
    """Returns when the stored bytes are all there and have their checksum. Raises NotSound."""
    if len(stored) != row.stored_bytes:
        raise NotSound("ends early")
    if xxhash.xxh3_64_digest(stored) != row.checksum:
        raise NotSound("does not have its checksum")


def unpacked(stored: Bytes, row: StoredRow) -> bytes | Bytes:
    """The bytes of the chunk out of its stored ones, which were checked: as many as the row says, and no more memory
    than for them. Raises NotSound."""
    data: bytes | Bytes = stored
    if row.encoding == ZSTD:
        try:
            data = Unpacker().unpacked(stored, row.size_bytes)
        except FrameRefused:
            raise NotSound("cannot be unpacked") from None
    elif row.encoding != AS_IT_IS:
        raise NotSound("has an encoding that this version does not know")
    if len(data) != row.size_bytes:
        raise NotSound("has another size")
    return data
