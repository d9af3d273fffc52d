"""Where contents are cut: the same wherever blocks end and wherever a stream was cut."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyfastcdc import FastCDC

from store.blobs import chunking
from store.blobs.chunking import AVERAGE_CHUNK_BYTES, MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, Cutter, check_cutting
from store.database import CannotOpen

MIB = 2**20


def whole(content: bytes) -> list[int]:
    """The sizes when the content is cut in one piece."""
    cdc = FastCDC(256 * 1024, min_size=64 * 1024, max_size=MIB, normalized_chunking=1)
    return [chunk.length for chunk in cdc.cut_buf(content)]


def cut(content: bytes, ends: list[int]) -> list[bytes]:
    """The chunks when blocks end at these places."""
    cutter, chunks = Cutter(), []
    places = [0, *ends, len(content)]
    for index, (start, end) in enumerate(itertools.pairwise(places)):
        buffer = memoryview(bytearray(MAX_CHUNK_BYTES + end - start))
        buffer[MAX_CHUNK_BYTES:] = content[start:end]
        last = index == len(places) - 2
        chunks += [bytes(chunk) for chunk in cutter.cut(buffer, MAX_CHUNK_BYTES, last=last)]
    return chunks


def contents(size: int, seed: int) -> bytes:
    """Random bytes, with stretches of zeros in some, which are cut at the largest size."""
    chosen = random.Random(seed)
    if seed % 3:
        return chosen.randbytes(size)
    return b"".join(chosen.choice((bytes(300_000), chosen.randbytes(300_000))) for _ in range(size // 300_000 + 1))[
        :size
    ]


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(0, 4 * MIB),
    seed=st.integers(0, 1000),
    places=st.lists(st.floats(0, 1), max_size=12),
    beside=st.lists(st.integers(-2, 2), max_size=4),
)
def test_chunks_do_not_depend_on_where_blocks_end(size: int, seed: int, places: list[float], beside: list[int]) -> None:
    content = contents(size, seed)
    sizes = whole(content)
    # Anywhere, and beside the places where chunks end and where they must.
    cuts = [sum(sizes[: index + 1]) for index in range(len(sizes))] + [MAX_CHUNK_BYTES, MIN_CHUNK_BYTES]
    near = [at + off for at, off in zip(random.Random(seed).sample(cuts, len(cuts)), beside, strict=False)]
    ends = sorted(min(max(end, 0), size) for end in [*(int(place * size) for place in places), *near])

    chunks = cut(content, ends)

    assert b"".join(chunks) == content
    assert [len(chunk) for chunk in chunks] == sizes


def test_chunks_of_a_content_that_goes_on_behind_a_chunk_are_the_same() -> None:
    content = contents(5 * MIB, 1)
    sizes = whole(content)

    for index in range(len(sizes)):
        assert whole(content[sum(sizes[:index]) :]) == sizes[index:]


def test_chunks_keep_their_limits_and_come_near_the_average() -> None:
    sizes = whole(contents(32 * MIB, 1))

    assert max(sizes) <= MAX_CHUNK_BYTES
    assert min(sizes[:-1]) >= MIN_CHUNK_BYTES
    assert AVERAGE_CHUNK_BYTES * 0.8 < sum(sizes) / len(sizes) < AVERAGE_CHUNK_BYTES * 1.6


def test_an_edit_moves_few_chunks() -> None:
    content = contents(16 * MIB, 1)
    edited = content[: 3 * MIB] + b"a few more bytes" + content[3 * MIB :]

    before, after = set(cut(content, [])), cut(edited, [])

    assert sum(len(chunk) for chunk in after if chunk not in before) <= 3 * MIB


def test_a_cutter_without_its_compiled_part_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_cutting()

    class Slow:
        __module__ = "pyfastcdc.py.fastcdc"

    monkeypatch.setattr(chunking, "FastCDC", Slow)
    with pytest.raises(CannotOpen, match="compiled"):
        check_cutting()
