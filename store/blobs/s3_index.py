"""The index at the end of a pack that is an object: where its chunks begin, and their checksums.

    the chunks' bytes, behind one another
    for each chunk: its length (u32), the xxh3 of its bytes (64 bit)
    how many chunks (u32), the xxh3 of all entries (64 bit), MAGIC

Numbers are big endian. Reading needs no index, the rows say it all; it tells what an object holds when they are lost,
and whether an object is whole without them.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import xxhash

MAGIC: Final = b"rrpack1\n"

_ENTRY: Final = struct.Struct(">I8s")
_END: Final = struct.Struct(">I8s8s")

INDEX_END_BYTES: Final = _END.size


class Indexed(NamedTuple):
    """A chunk of a pack: where its stored bytes lie, and their checksum."""

    offset: int
    stored_bytes: int
    checksum: bytes


class IndexDamaged(Exception):
    """The object does not end in an index, or not in the one that was written."""


class IndexWriter:
    """Takes the chunks of a pack in order."""

    def __init__(self) -> None:
        self._entries = bytearray()
        self._count = 0

    def add(self, data: bytes | bytearray | memoryview) -> None:
        """The next chunk."""
        self._entries += _ENTRY.pack(len(data), xxhash.xxh3_64_digest(data))
        self._count += 1

    def footer(self) -> bytes:
        """What goes behind the last chunk."""
        return bytes(self._entries) + _END.pack(self._count, xxhash.xxh3_64_digest(self._entries), MAGIC)


def read_index(pack: bytes | memoryview) -> tuple[Indexed, ...]:
    """The chunks of a whole pack. Raises IndexDamaged; the chunks themselves are not verified."""
    pack = memoryview(pack)
    if len(pack) < _END.size:
        raise IndexDamaged
    count, checksum, magic = _END.unpack(pack[-_END.size :])
    start = len(pack) - _END.size - count * _ENTRY.size
    if magic != MAGIC or start < 0:
        raise IndexDamaged
    entries = pack[start : len(pack) - _END.size]
    if xxhash.xxh3_64_digest(entries) != checksum:
        raise IndexDamaged
    found, offset = [], 0
    for length, of_chunk in _ENTRY.iter_unpack(entries):
        found.append(Indexed(offset, length, of_chunk))
        offset += length
    if offset != start:
        raise IndexDamaged
    return tuple(found)
