"""Where a content is cut into chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

MAX_CHUNK_BYTES = 2**20
"""No chunk is larger, whoever cut it: what is read at once, and travels in one frame."""

FIXED_CHUNK_BYTES = 256 * 2**10


class Cutter(Protocol):
    """Cuts one content, given block by block; the chunks do not depend on where the blocks end."""

    def cut(self, block: memoryview, *, last: bool) -> Iterator[memoryview]:
        """The chunks that are certain now, in order; what is not is kept (as a copy) for the next block.

        A chunk is good as long as the block is. With `last`, nothing is kept. No chunk is empty.
        """
        ...


class FixedCutter:
    """Cuts every `size` bytes."""

    def __init__(self, size: int = FIXED_CHUNK_BYTES) -> None:
        self._size = size
        self._rest = bytearray()

    def cut(self, block: memoryview, *, last: bool) -> Iterator[memoryview]:
        """The whole chunks of what came, and with `last` the rest."""
        at = 0
        if self._rest:
            at = min(self._size - len(self._rest), len(block))
            self._rest += block[:at]
            if len(self._rest) < self._size and not last:
                return
            chunk, self._rest = self._rest, bytearray()
            yield memoryview(chunk)
        while len(block) - at >= self._size:
            yield block[at : at + self._size]
            at += self._size
        if at < len(block):
            if last:
                yield block[at:]
            else:
                self._rest += block[at:]
