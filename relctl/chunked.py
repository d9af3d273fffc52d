"""Files in chunks: cut where their content says, listed in little memory, packed where that saves."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Final, NamedTuple

import zstandard
from pyfastcdc import FastCDC
from releaseregistry.v1.uploads_pb2 import ChunkData, ChunkEncoding, Chunking

READ_BYTES: Final = 8 * 2**20
# Packing pays from this saving on: unpacking costs the server and every later reader time.
LEAST_SAVING: Final = 0.05
COMPRESSION_LEVEL: Final = 3
MAX_SKIPPED: Final = 16

_RECORD: Final = struct.Struct(">32sI")


class Chunk(NamedTuple):
    """A part of a file: its SHA-256 (32 bytes), and where it is."""

    sha256: bytes
    offset: int
    size_bytes: int


class ChunkList:
    """The chunks of one file behind one another; 36 bytes each."""

    def __init__(self) -> None:
        self._records = bytearray()

    def append(self, chunk: Chunk) -> None:
        """Add the chunk that follows in the file."""
        self._records += _RECORD.pack(chunk.sha256, chunk.size_bytes)

    def __len__(self) -> int:
        return len(self._records) // _RECORD.size

    def __iter__(self) -> Iterator[Chunk]:
        offset = 0
        for sha256, size_bytes in _RECORD.iter_unpack(self._records):
            yield Chunk(sha256, offset, size_bytes)
            offset += size_bytes


class Cutting:
    """One pass over a file: iterating reads it to its end and answers its chunks.

    Where cuts are depends on the content alone, by FastCDC in its 2020 form with normalization level 1, as Chunking in
    the protos says; so an edit changes few chunks. Afterwards `sha256` (hexadecimal) and `size_bytes` are those of the
    whole. Raises OSError when the file cannot be read.
    """

    def __init__(self, source: BinaryIO, chunking: Chunking) -> None:
        self._source = source
        self._cut = cutter(chunking)
        self._max_bytes = chunking.max_bytes
        self.sha256 = ""
        self.size_bytes = 0

    def spare(self, sha256: str) -> None:
        """Have the rest cut only: the caller knows the SHA-256 of the whole."""
        self.sha256 = sha256

    def __iter__(self) -> Iterator[Chunk]:
        whole = hashlib.sha256()
        offset = 0
        rest = b""
        # The digest of the whole grows in a thread of its own, beside those of the chunks.
        with ThreadPoolExecutor(1) as hasher:
            last = False
            while not last:
                data = self._source.read(READ_BYTES)
                last = not data
                hashed = hasher.submit(whole.update, data if not self.sha256 else b"")
                block = memoryview(rest + data)
                start = 0
                for length in self._cut(block) if block else ():
                    # A cut at the end of what is there may be one for want of bytes.
                    if start + length == len(block) and length < self._max_bytes and not last:
                        break
                    yield Chunk(hashlib.sha256(block[start : start + length]).digest(), offset + start, length)
                    start += length
                rest = bytes(block[start:])
                offset += start
                hashed.result()
        self.sha256, self.size_bytes = self.sha256 or whole.hexdigest(), offset


def cutter(chunking: Chunking) -> Callable[[memoryview], Iterator[int]]:
    """What answers the lengths of the chunks of some bytes, one after another, to their end.

    Without the compiled part of pyfastcdc, which not every system has, chunks of one size take the place of those cut
    by content: they are as right, and less of an edited file is found to be there.
    """
    average, largest = chunking.average_bytes, chunking.max_bytes
    if not FastCDC.__module__.startswith("pyfastcdc.cy"):
        return lambda data: (min(average, len(data) - start) for start in range(0, len(data), average))
    cdc = FastCDC(average, min_size=chunking.min_bytes, max_size=largest, normalized_chunking=1)
    return lambda data: (chunk.length for chunk in cdc.cut_buf(data))


class Packer:
    """Brings chunks into the form in which they travel. For one thread at a time.

    Of content that does not shrink only now and then a chunk is tried, every 17th at the least.
    """

    def __init__(self, *, compress: bool) -> None:
        self._compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL) if compress else None
        self._skipped = 0
        self._to_skip = 0

    def packed(self, chunk: Chunk, data: bytes) -> ChunkData:
        """The chunk as a message carries it: as one zstd frame where that is smaller by 5 %, else as it is."""
        message = ChunkData(sha256=chunk.sha256.hex(), size_bytes=len(data))
        if self._compressor is not None and self._skipped >= self._to_skip:
            frame = self._compressor.compress(data)
            self._skipped = 0
            if len(frame) <= len(data) * (1 - LEAST_SAVING):
                self._to_skip = 0
                message.encoding, message.data = ChunkEncoding.CHUNK_ENCODING_ZSTD, frame
                return message
            self._to_skip = min(2 * self._to_skip + 1, MAX_SKIPPED)
        else:
            self._skipped += 1
        message.encoding, message.data = ChunkEncoding.CHUNK_ENCODING_IDENTITY, data
        return message
