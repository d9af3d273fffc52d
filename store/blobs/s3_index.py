"""The index at the end of a pack that is an object: where its chunks begin, and their checksums.

    the chunks' bytes, behind one another
    for each chunk: its length (u32), the xxh3 of its bytes (64 bit)
    how many chunks (u32), the xxh3 of all entries (64 bit), MAGIC

Numbers are big endian. Reading needs no index, the rows say it all; it tells what an object holds when they are lost,
and whether an object is whole without them.
"""

from __future__ import annotations

import struct
from typing import Final

import xxhash

from store.blobs.packs import IndexDamaged, Indexed

MAGIC: Final = b"rrpack1\n"

_ENTRY: Final = struct.Struct(">I8s")
_END: Final = struct.Struct(">I8s8s")

INDEX_END_BYTES: Final = _END.size


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


def read_index(index: bytes | memoryview, chunk_bytes: int) -> tuple[Indexed, ...]:
    """The chunks of a pack, from all that follows its `chunk_bytes`. Raises IndexDamaged."""
    index = memoryview(index)
    if len(index) < _END.size:
        raise IndexDamaged
    count, checksum, magic = _END.unpack(index[-_END.size :])
    entries = index[: -_END.size]
    if magic != MAGIC or len(entries) != count * _ENTRY.size or xxhash.xxh3_64_digest(entries) != checksum:
        raise IndexDamaged
    found, offset = [], 0
    for length, of_chunk in _ENTRY.iter_unpack(entries):
        found.append(Indexed(offset, length, of_chunk))
        offset += length
    if offset != chunk_bytes:
        raise IndexDamaged
    return tuple(found)
