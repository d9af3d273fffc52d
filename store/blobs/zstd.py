"""Compressed chunks as clients send them: unpacked with bounded memory, or refused.

Nothing of a frame is unpacked before its header was read: it has to declare the size that was announced, which is at
most that of a chunk, and a window that is no larger than what servers and clients agreed on. So a bomb gets no more
memory than the chunk that it claims to be.
"""

from __future__ import annotations

from typing import Final

import zstandard

MAX_WINDOW_BYTES: Final = 8 * 2**20
"""The largest window that a frame may ask for."""

_MAGIC: Final = b"\x28\xb5\x2f\xfd"


class FrameRefused(Exception):
    """The bytes are no frame that is taken; the text goes on where "The data ..." began."""


class Unpacker:
    """Unpacks frames, one chunk each. For one thread at a time."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)

    def unpacked(self, frame: bytes | memoryview, size_bytes: int) -> bytes:
        """What is in the frame, `size_bytes` of them: the caller knows that so many are not too many.

        Takes exactly one frame that declares its size, has a window of at most 8 MiB and needs no dictionary. Raises
        FrameRefused.
        """
        # Frames to be skipped have other magic numbers, and no content.
        if frame[: len(_MAGIC)] != _MAGIC:
            raise FrameRefused("are no zstd frame")
        try:
            header = zstandard.get_frame_parameters(frame)
        except zstandard.ZstdError:
            raise FrameRefused("are no whole zstd frame") from None
        if header.content_size in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR):
            raise FrameRefused("are a zstd frame that does not declare its content size")
        if header.content_size != size_bytes:
            raise FrameRefused(f"are a zstd frame of {header.content_size} bytes, where {size_bytes} were announced")
        if header.window_size > MAX_WINDOW_BYTES:
            raise FrameRefused(f"are a zstd frame with a window of more than {MAX_WINDOW_BYTES} bytes")
        if header.dict_id:
            raise FrameRefused("are a zstd frame that needs a dictionary")
        try:
            data = self._zstd.decompress(frame, max_output_size=size_bytes, allow_extra_data=False)
        except zstandard.ZstdError:
            raise FrameRefused("are damaged, or not one whole zstd frame and nothing behind it") from None
        if len(data) != size_bytes:
            raise FrameRefused(f"are a zstd frame of {len(data)} bytes, where {size_bytes} were announced")
        return data
