"""Frames of strangers: whatever is in them, they unpack to what was announced or are refused."""

from __future__ import annotations

from contextlib import suppress

import zstandard
from hypothesis import given
from hypothesis import strategies as some

from store.blobs.zstd import FrameRefused, Unpacker

PLAIN = b"".join(b"%d and %d; " % (number, number * number) for number in range(500))
FRAME = zstandard.ZstdCompressor(level=3, write_checksum=False).compress(PLAIN)
CHECKED = zstandard.ZstdCompressor(level=3, write_checksum=True).compress(PLAIN)
STORED = zstandard.ZstdCompressor(level=1).compress(b"\0" * 2**20)


def assert_bounded(frame: bytes, size: int) -> None:
    with suppress(FrameRefused):
        assert len(Unpacker().unpacked(frame, size)) == size


@given(some.sampled_from([FRAME, CHECKED, STORED]), some.lists(some.tuples(some.integers(0), some.integers(0, 255))))
def test_a_frame_with_other_bytes_here_and_there(frame: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(frame)
    for place, byte in changes:
        changed[place % len(changed)] = byte
    for size in (len(PLAIN), 2**20, 0):
        assert_bounded(bytes(changed), size)


@given(some.sampled_from([FRAME, CHECKED, STORED]), some.integers(0), some.binary(max_size=40))
def test_a_frame_that_is_cut_and_goes_on_otherwise(frame: bytes, place: int, rest: bytes) -> None:
    assert_bounded(frame[: place % len(frame)] + rest, len(PLAIN))


@given(some.binary(max_size=200), some.integers(0, 2**20))
def test_anything_behind_a_magic_number(rest: bytes, size: int) -> None:
    assert_bounded(b"\x28\xb5\x2f\xfd" + rest, size)


def test_sound_frames_unpack() -> None:
    assert Unpacker().unpacked(FRAME, len(PLAIN)) == Unpacker().unpacked(CHECKED, len(PLAIN)) == PLAIN
