"""Where a content is cut into chunks: at places that its bytes decide, so that an edit moves few of them."""

from __future__ import annotations

from typing import Final

from pyfastcdc import FastCDC

from store.database.failures import CannotOpen

MIN_CHUNK_BYTES: Final = 64 * 2**10
AVERAGE_CHUNK_BYTES: Final = 256 * 2**10
MAX_CHUNK_BYTES: Final = 2**20
"""No chunk is larger, whoever cut it: what is read at once, and travels in one frame."""


class Cutter:
    """Cuts one content, given block by block; the chunks do not depend on where the blocks end.

    FastCDC in its 2020 form, normalization level 1. A cut starts afresh behind each chunk, so a content that goes on
    at the end of a chunk is cut as if it had never stopped.
    """

    def __init__(self) -> None:
        self._cdc = FastCDC(
            AVERAGE_CHUNK_BYTES, min_size=MIN_CHUNK_BYTES, max_size=MAX_CHUNK_BYTES, normalized_chunking=1
        )
        self._rest = b""

    def cut(self, buffer: memoryview, start: int, *, last: bool) -> list[memoryview]:
        """The chunks that are certain now, in order: parts of `buffer`, whose bytes from `start` on are the next ones.

        What is not certain is kept (as a copy) for the next block; with `last`, nothing is. The MAX_CHUNK_BYTES before
        `start` are the cutter's to write to: there it puts what it kept, to have it in one piece.
        """
        begin = start - len(self._rest)
        buffer[begin:start] = self._rest
        rest = begin
        chunks = []
        for chunk in self._cdc.cut_buf(buffer[begin:]):
            end = rest + chunk.length
            # A cut at the end of what is there may be one for want of bytes.
            if end == len(buffer) and chunk.length < MAX_CHUNK_BYTES and not last:
                break
            chunks.append(buffer[rest:end])
            rest = end
        self._rest = bytes(buffer[rest:])
        return chunks


def check_cutting() -> None:
    """Returns when the compiled cutter is there: the other one would take a minute where this takes a second.

    Raises CannotOpen.
    """
    if not FastCDC.__module__.startswith("pyfastcdc.cy"):
        raise CannotOpen("The package pyfastcdc is installed without its compiled part; install a built wheel of it.")
