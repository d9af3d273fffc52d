"""Reading contents: as a file object, and as a stream that reads ahead."""

from __future__ import annotations

import errno
import io
import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, Future
from operator import index
from typing import TYPE_CHECKING, Final, SupportsIndex

from store.blobs.source import RUN_BYTES, ChunkSource, Part
from store.deadlines import await_end

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FRAME_BYTES: Final = 2**20
"""The pieces of a stream: each costs four threads a turn, so the largest that a message may be cost least."""

FIRST_BYTES: Final = 256 * 2**10
"""So much is read at first where somebody may read on: the first bytes come soon, and few are read for nothing."""

FIRST_PIECE_BYTES: Final = 64 * 2**10
"""The first piece of a stream: with what is around it, just more than HTTP/2 lets through before the peer takes any."""


class ContentReader(io.BufferedIOBase):
    """A content as a binary file that is open for reading, with the whole behaviour of `open(path, "rb")`.

    It reads the chunks that it needs; whoever reads on and on gets the next ones with them, up to 2 MiB at once, which
    is the most it holds. Every byte is verified before it is given. For one thread at a time, like every such file.

    Reading raises ChunkLost where bytes are damaged or gone, BlobsDown, ContentMissing, and can be repeated.
    """

    def __init__(self, source: ChunkSource) -> None:
        self._source = source
        self._size = source.content.size_bytes
        self._position = 0
        self._parts: list[Part] = []
        self._ahead = 0
        self._ahead_from = 0

    @property
    def size_bytes(self) -> int:
        """How many bytes the content has."""
        return self._size

    def readable(self) -> bool:
        """True."""
        self._check_open()
        return True

    def seekable(self) -> bool:
        """True."""
        self._check_open()
        return True

    def tell(self) -> int:
        """The position: where the next read begins, beyond the end too."""
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves the position, to beyond the end too, and answers it. Nothing is read.

        Raises OSError (EINVAL) for a position before the beginning, ValueError for a whence of no meaning.
        """
        self._check_open()
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}
        if whence not in bases:
            raise ValueError(f"whence value {whence} unsupported")
        position = bases[whence] + index(offset)
        if position < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._position = position
        return position

    def read(self, size: SupportsIndex | None = -1, /) -> bytes:
        """The next `size` bytes, fewer only at the end; all that are left when it is None or -1."""
        self._check_open()
        wanted = _size(size)
        left = max(0, self._size - self._position)
        wanted = left if wanted is None else min(wanted, left)
        there = self._there() if wanted else memoryview(b"")
        if len(there) >= wanted:
            self._position += wanted
            return bytes(there[:wanted])
        collected = io.BytesIO()  # it gives away what it collected without another copy
        self._take(wanted, collected.write)
        return collected.getvalue()

    def read1(self, size: SupportsIndex | None = -1, /) -> bytes:
        """Some of the next bytes, at most `size`: what is there after one read at most. Empty only at the end."""
        self._check_open()
        wanted = None if size is None or index(size) < 0 else index(size)
        if wanted == 0:
            return b""
        data = bytes(self._there()[:wanted])
        self._position += len(data)
        return data

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fills the buffer with the next bytes, short only at the end; how many they were."""
        self._check_open()
        return self._fill(memoryview(buffer).cast("B"))

    def readinto1(self, buffer: WriteableBuffer, /) -> int:
        """As `readinto`, with one read at most: it may be short before the end."""
        self._check_open()
        target = memoryview(buffer).cast("B")
        if not target:
            return 0
        data = self._there()[: len(target)]
        target[: len(data)] = data
        self._position += len(data)
        return len(data)

    def peek(self, size: int = 0, /) -> bytes:
        """Some of the next bytes, without moving on; lines are found by it."""
        self._check_open()
        return bytes(self._there()[: max(size, io.DEFAULT_BUFFER_SIZE)])

    def close(self) -> None:
        """Gives back what it holds; repeating it does nothing."""
        self._parts = []
        self._source.close()
        super().close()

    def _fill(self, target: memoryview) -> int:
        rest = target

        def put(data: memoryview) -> None:
            nonlocal rest
            rest[: len(data)] = data
            rest = rest[len(data) :]

        return self._take(len(target), put)

    def _take(self, wanted: int, put: Callable[[memoryview], object]) -> int:
        before = self._position
        try:
            while (taken := self._position - before) < wanted and (data := self._there()):
                put(data[: wanted - taken])
                self._position += min(len(data), wanted - taken)
        except BaseException:
            self._position = before  # as if nothing had been read: the caller may repeat it
            raise
        return self._position - before

    def _there(self) -> memoryview:
        """The bytes from the position on that are in memory; those of one run are read first when there are none."""
        at = self._position
        if at >= self._size:
            return memoryview(b"")
        found = self._in_memory(at)
        if found is None:
            # Twice as much each time that somebody reads on where the last run ended; one chunk after a jump.
            self._ahead = min(RUN_BYTES, max(FIRST_BYTES, 2 * self._ahead)) if at == self._ahead_from else 0
            self._parts = []
            self._parts = self._source.fetch(self._source.plan(at, most=self._ahead, until=self._size))
            self._ahead_from = self._parts[-1].start + len(self._parts[-1].data)
            found = self._in_memory(at)
            assert found is not None, "a run begins with the chunk that was asked for"
        return found

    def _in_memory(self, at: int) -> memoryview | None:
        for part in self._parts:
            if part.start <= at < part.start + len(part.data):
                return part.data[at - part.start :]
        return None

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")


def stream_content(source: ChunkSource, executor: Executor, *, offset: int, stop: int) -> Generator[bytes, None, None]:
    """The content's bytes from `offset` to `stop` in pieces of at most 1 MiB, each verified before it is given.

    While one run is given out, the next is read by a thread of the executor: from when the first piece was taken, which
    is a small one, so that who takes nothing makes it hold little. Closing the generator closes the source. Raises
    ChunkLost where bytes are damaged or gone, BlobsDown, ContentMissing.
    """
    # Never a local variable of its own: what it raised would hold this frame, and the frame what it raised.
    reading: list[Future[list[Part]]] = []
    try:
        end, ahead, is_taken = offset, FIRST_BYTES, False
        pieces: deque[memoryview] = deque()
        if offset < stop:
            parts = source.fetch(source.plan(offset, most=ahead, until=stop))
            end = _lay_out(parts, offset, stop, pieces, first=FIRST_PIECE_BYTES)
            del parts
        while True:
            if is_taken and end < stop and not reading:
                ahead = min(RUN_BYTES, 2 * ahead)
                reading.append(executor.submit(source.fetch, source.plan(end, most=ahead, until=stop)))
            if pieces:
                # No name for the piece, nor for what it was cut from: nothing is kept while somebody takes the last.
                yield bytes(pieces.popleft())
                is_taken = True
            elif reading:
                await_end(reading[-1])
                end = _lay_out(reading.pop().result(), end, stop, pieces)
            else:
                return
    finally:
        _close_after(reading, source.close)


def _lay_out(
    parts: Sequence[Part], start: int, stop: int, pieces: deque[memoryview], *, first: int = FRAME_BYTES
) -> int:
    """Adds what the parts have between two offsets, in pieces as they are given out, the first of at most `first`
    bytes; where the parts end."""
    for part in parts:
        begin, last = max(0, start - part.start), min(stop - part.start, len(part.data))
        while begin < last:
            end = min(begin + first, last)
            pieces.append(part.data[begin:end])
            begin, first = end, FRAME_BYTES
    return parts[-1].start + len(parts[-1].data)


def _close_after(reading: Sequence[Future[list[Part]]], close: Callable[[], None]) -> None:
    """Calls `close` as soon as nobody reads any more, without waiting for it."""
    if all(future.cancel() for future in reading):
        close()
    else:
        reading[0].add_done_callback(lambda _: close())


def _size(size: SupportsIndex | None) -> int | None:
    """The size that a read asks for; None: all."""
    wanted = -1 if size is None else index(size)
    if wanted < -1:
        raise ValueError("read length must be non-negative or -1")
    return None if wanted == -1 else wanted
