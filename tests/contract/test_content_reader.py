"""The file object over a content: what `open(path, "rb")` does, it does, and it never gives a wrong byte."""

from __future__ import annotations

import io
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.blobs.contents import ContentRow
from store.blobs.keeping import keep_received
from store.blobs.local_reader import LocalPackReader
from store.blobs.models import Chunk
from store.blobs.reader import ContentReader
from store.errors import ChunkLost
from tests.blobs.harm import flip_bit
from tests.contract.shelf import Shelf, content_of

MIB = 2**20
LINES = b"".join(b"%d\n" % number * (number % 7) for number in range(4000))


def keep(shelf: Shelf, data: bytes) -> ContentRow:
    """The content of these bytes, of no file."""
    with shelf.blobs.writer(shelf.acme.id) as writer:
        writer.write(data)
        received = writer.finish()
    content: ContentRow = shelf.db.write(lambda tx: keep_received(tx, shelf.acme.id, received))
    return content


@pytest.fixture
def large(shelf: Shelf) -> Iterator[ContentReader]:
    with shelf.blobs.open(keep(shelf, content_of(8 * MIB))) as reader:
        yield reader


@dataclass(frozen=True)
class Step:
    """One call on a file: a method and its arguments; readinto's is the length of its buffer."""

    method: str
    arguments: tuple[Any, ...] = ()


def outcome(file: BinaryIO | ContentReader, step: Step) -> object:
    """What the call answers, or the error it raises, and where the file then stands."""
    answer: object
    try:
        if step.method in ("readinto", "readinto1"):
            buffer = bytearray(step.arguments[0])
            count = getattr(file, step.method)(buffer)
            answer = count, bytes(buffer)
        else:
            answer = getattr(file, step.method)(*step.arguments)
    except (ValueError, OSError, TypeError) as error:
        answer = type(error)
    return answer


def steps(size: int) -> st.SearchStrategy[Step]:
    places = st.one_of(st.integers(0, size + 10), st.sampled_from([0, 1, size - 1, size, size + 1]))
    lengths = st.one_of(st.integers(0, 3 * MIB), st.integers(0, 300), st.just(-1))
    offsets = st.one_of(st.integers(-size - 10, size + 10), st.integers(-2 * MIB, 2 * MIB))
    return st.one_of(
        st.builds(Step, st.just("read"), st.tuples(lengths) | st.just((None,)) | st.just(()) | st.just((-2,))),
        st.builds(Step, st.just("readinto"), st.tuples(st.integers(0, 2 * MIB))),
        st.builds(Step, st.just("seek"), st.tuples(places)),
        st.builds(Step, st.just("seek"), st.tuples(offsets, st.sampled_from([0, 1, 2]))),
        st.builds(Step, st.just("seek"), st.just((0, 7))),
        st.builds(Step, st.just("seek"), st.just((1.5,))),
        st.builds(Step, st.just("tell")),
        st.builds(Step, st.just("readline")),
        st.builds(Step, st.just("readlines"), st.just((200,))),
        st.builds(Step, st.sampled_from(["readable", "seekable", "writable", "isatty"])),
        st.builds(Step, st.just("write"), st.just((b"x",))),
        st.builds(Step, st.just("truncate")),
        st.builds(Step, st.just("flush")),
    )


@pytest.mark.parametrize(
    "data", [b"", b"abc\n\nd", LINES, content_of(3 * MIB + 77)], ids=["empty", "few", "lines", "large"]
)
def test_it_does_what_a_file_does(shelf: Shelf, tmp_path: Path, data: bytes) -> None:
    content = keep(shelf, data)
    path = tmp_path / "file"
    path.write_bytes(data)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(steps(len(data)), max_size=12))
    def same(taken: list[Step]) -> None:
        with shelf.blobs.open(content) as reader, path.open("rb") as file:
            for step in taken:
                assert outcome(reader, step) == outcome(file, step), step
                assert reader.tell() == file.tell(), step

    same()


@given(st.lists(st.tuples(st.sampled_from(["read1", "readinto1", "peek"]), st.integers(0, 400_000)), max_size=8))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_short_reads_give_some_of_the_next_bytes(large: ContentReader, reads: list[tuple[str, int]]) -> None:
    data = content_of(8 * MIB)
    at = large.seek(MIB)
    for method, size in reads:
        if method == "readinto1":
            buffer = bytearray(size)
            got = bytes(buffer[: large.readinto1(buffer)])
        else:
            got = getattr(large, method)(size)
        assert got == data[at : at + len(got)]
        if method != "peek":
            assert len(got) <= size
            at += len(got)
        assert bool(got) == (size > 0 or method == "peek")
        assert large.tell() == at


def test_short_reads_end_at_the_end(large: ContentReader) -> None:
    assert large.seek(0, os.SEEK_END) == 8 * MIB
    assert (large.read1(), large.readinto1(bytearray(5)), large.peek(), large.readline(), list(large)) == (
        b"",
        0,
        b"",
        b"",
        [],
    )


def test_a_position_beyond_the_end_stays_there(large: ContentReader) -> None:
    large.seek(9 * MIB)

    assert (large.read(5), large.tell()) == (b"", 9 * MIB)


def test_other_buffers_are_filled_too(large: ContentReader) -> None:
    numbers = array("I", [0] * 100_000)

    assert large.readinto(numbers) == 400_000
    assert numbers.tobytes() == content_of(8 * MIB)[:400_000]


def test_it_is_a_buffered_file_that_wrappers_take(shelf: Shelf) -> None:
    with shelf.blobs.open(keep(shelf, LINES)) as reader:
        assert isinstance(reader, io.BufferedIOBase)
        assert list(io.TextIOWrapper(cast("BinaryIO", reader))) == LINES.decode().splitlines(keepends=True)


def test_a_closed_one_is_closed(shelf: Shelf) -> None:
    reader = shelf.blobs.open(keep(shelf, b"abc"))
    with reader as entered:
        assert entered is reader
        open_or_closed = [reader.closed]
    reader.close()

    assert [*open_or_closed, reader.closed] == [False, True]
    for step in (
        Step("read"),
        Step("read1"),
        Step("readinto", (1,)),
        Step("readinto1", (1,)),
        Step("peek"),
        Step("seek", (0,)),
        Step("tell"),
        Step("readable"),
        Step("seekable"),
        Step("readline"),
        Step("__enter__"),
        Step("__next__"),
    ):
        assert outcome(reader, step) is ValueError, step


def read_ranges(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Offset and length of what is read from packs from now on."""
    read: list[tuple[int, int]] = []
    whole = LocalPackReader.read

    def counted(reader: LocalPackReader, offset: int, length: int) -> bytes:
        read.append((offset, length))
        return whole(reader, offset, length)

    monkeypatch.setattr(LocalPackReader, "read", counted)
    return read


def test_opening_and_seeking_reads_nothing(large: ContentReader, monkeypatch: pytest.MonkeyPatch) -> None:
    read = read_ranges(monkeypatch)

    large.seek(5 * MIB)
    large.seek(-1, os.SEEK_END)

    assert read == []


def test_a_jump_reads_one_chunk_and_reading_on_reads_more_at_once(
    shelf: Shelf, large: ContentReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = {(row.pack_offset, row.stored_bytes) for row in shelf.rows(Chunk)}
    read = read_ranges(monkeypatch)

    large.seek(3 * MIB)
    large.read(10)
    assert len(read) == 1
    assert read[0] in chunks
    large.seek(0)
    while large.read(50_000):
        pass

    assert sum(length for _, length in read[1:]) == 8 * MIB  # each byte once
    assert max(length for _, length in read) > MIB
    assert max(length for _, length in read) <= 2 * MIB


def test_damage_is_raised_and_what_lies_around_it_can_be_read(shelf: Shelf) -> None:
    data = content_of(8 * MIB)
    content = keep(shelf, data)
    (damaged,) = [row for row in shelf.rows(Chunk) if row.pack_offset <= 4 * MIB < row.pack_offset + row.stored_bytes]
    flip_bit(shelf.blobs.packs, damaged.pack_id, 4 * MIB)

    with shelf.blobs.open(content) as reader:
        reader.seek(3 * MIB)
        with pytest.raises(ChunkLost) as raised:
            reader.read(2 * MIB)
        assert reader.tell() == 3 * MIB
        assert reader.read(damaged.pack_offset - 3 * MIB) == data[3 * MIB : damaged.pack_offset]
        with pytest.raises(ChunkLost):
            reader.read(1)
        behind = reader.seek(damaged.stored_bytes, os.SEEK_CUR)
        assert reader.read() == data[behind:]
    assert raised.value.metadata == {"sha256": damaged.sha256.hex()}
