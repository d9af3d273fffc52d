"""Reading files back: the range that was asked for, verified, or an error, and never wrong bytes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from store.blobs.models import Chunk, Content, ContentChunk
from store.database import new_id
from store.errors import BlobsDown, ChunkLost, FileNotFound, ReadOutOfRange, ReleaseNotFound
from store.files.lookup import open_file
from store.files.rows import FileRow
from store.organizations.models import Organization
from tests.contract.acme import Acme
from tests.contract.shelf import FRAME, Shelf, content_of

MIB = 2**20


def flip(path: Path, at: int) -> None:
    """Turn one bit of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def only_pack(shelf: Shelf) -> Path:
    (path,) = shelf.packs()
    return path


@pytest.mark.parametrize("size", [1000, 3 * MIB + 77])
def test_every_range_is_what_was_asked_for(shelf: Shelf, size: int) -> None:
    content = content_of(size)
    file = shelf.upload(content).file
    places = sorted({0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * MIB, size - 1, size} & set(range(size + 1)))

    for offset in places:
        for limit in (1, 2, FRAME, FRAME + 1, size, 2**62, None):
            stop = None if limit is None else offset + limit
            assert shelf.download(file, offset=offset, limit=limit) == content[offset:stop]


@pytest.mark.parametrize("size", [0, 1000, FRAME, MIB])
def test_a_read_may_begin_at_the_end_and_not_beyond(shelf: Shelf, size: int) -> None:
    file = shelf.upload(content_of(size)).file

    assert shelf.download(file, offset=size) == b""
    with pytest.raises(ReadOutOfRange) as raised:
        shelf.download(file, offset=size + 1)
    assert raised.value.metadata == {"size_bytes": str(size)}


def test_a_range_reads_only_the_chunks_it_touches(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    content = content_of(4 * MIB)
    file = shelf.upload(content).file
    read: list[tuple[int, int]] = []
    pread = os.pread

    def counted(fd: int, length: int, offset: int) -> bytes:
        read.append((offset, length))
        return pread(fd, length, offset)

    monkeypatch.setattr(os, "pread", counted)
    assert shelf.download(file, offset=5 * FRAME + 7, limit=FRAME) == content[5 * FRAME + 7 : 6 * FRAME + 7]

    assert read == [(5 * FRAME, FRAME), (6 * FRAME, FRAME)]


def test_pages_of_chunk_rows_join_without_a_seam(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    # Chunks of one byte, so that a small file has more of them than one query reads.
    monkeypatch.setattr("store.blobs.writing.FixedCutter", lambda: __import__("store.blobs.chunking").blobs.chunking.FixedCutter(1024))
    content = content_of(MIB + 300 * 1024)
    file = shelf.upload(content).file

    assert len(shelf.rows(ContentChunk)) == 1324
    assert shelf.download(file) == content
    assert shelf.download(file, offset=600_000, limit=600_000) == content[600_000:1_200_000]


def test_a_flipped_bit_ends_in_chunk_lost_after_the_right_bytes(shelf: Shelf) -> None:
    content = content_of(MIB)
    file = shelf.upload(content).file
    flip(only_pack(shelf), 2 * FRAME + 5)

    got = bytearray()
    with open_file(
        shelf.db, shelf.blobs, shelf.acme.everybody, organization="acme", version=file.version, file_id=file.id
    ) as opened:
        with pytest.raises(ChunkLost) as raised:
            for piece in opened.data:
                got += piece

    assert bytes(got) == content[: 2 * FRAME]
    (chunk,) = [row for row in shelf.rows(ContentChunk) if row.start_offset == 2 * FRAME]
    assert raised.value.metadata == {"sha256": chunk.chunk_sha256.hex()}
    with pytest.raises(ChunkLost):
        shelf.download(file, offset=2 * FRAME + 100, limit=1)
    assert shelf.download(file, offset=3 * FRAME) == content[3 * FRAME :]


def cut_off(path: Path) -> None:
    os.truncate(path, MIB - 1)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def swap_chunks(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:FRAME] + content[2 * FRAME : 3 * FRAME] + content[FRAME : 2 * FRAME] + content[3 * FRAME :])


@pytest.mark.parametrize("damage", [cut_off, empty, swap_chunks, Path.unlink])
def test_a_damaged_or_missing_pack_is_chunk_lost(shelf: Shelf, damage: Callable[[Path], object]) -> None:
    file = shelf.upload(content_of(MIB)).file
    damage(only_pack(shelf))

    with pytest.raises(ChunkLost):
        shelf.download(file)


@pytest.mark.parametrize(
    "change",
    [
        Chunk.delete(),
        Chunk.update(state="deleting"),
        Chunk.update(encoding=7),
        Chunk.update(pack_offset=1),
        ContentChunk.delete().where(ContentChunk.start_offset == 2 * FRAME),
        ContentChunk.delete().where(ContentChunk.start_offset == 3 * FRAME),
        ContentChunk.delete(),
        ContentChunk.update(size_bytes=ContentChunk.size_bytes - 1).where(ContentChunk.start_offset == 0),
        Content.delete(),
    ],
)
def test_rows_that_do_not_fit_are_chunk_lost(shelf: Shelf, change: Any) -> None:
    file = shelf.upload(content_of(MIB)).file
    with open_file(
        shelf.db, shelf.blobs, shelf.acme.everybody, organization="acme", version=file.version, file_id=file.id
    ) as opened:
        shelf.db.write(lambda tx: tx.execute(change))
        with pytest.raises(ChunkLost):
            list(opened.data)


@pytest.mark.parametrize("data", [b"", b"abd", b"abcd"])
def test_damage_in_a_row_is_chunk_lost(shelf: Shelf, data: bytes) -> None:
    file = shelf.upload(b"abc").file
    shelf.db.write(lambda tx: tx.execute(Content.update(inline_data=data)))

    with pytest.raises(ChunkLost) as raised:
        shelf.download(file)
    assert raised.value.metadata == {"sha256": file.sha256.hex()}


def test_a_pack_that_may_not_be_opened_is_no_loss(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    file = shelf.upload(content_of(MIB)).file

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "denied")

    with open_file(
        shelf.db, shelf.blobs, shelf.acme.everybody, organization="acme", version=file.version, file_id=file.id
    ) as opened:
        with monkeypatch.context() as patched:
            patched.setattr("store.blobs.local.os.open", refuse)
            with pytest.raises(BlobsDown):
                list(opened.data)


def test_a_reader_who_stops_gives_the_file_back(shelf: Shelf) -> None:
    file = shelf.upload(content_of(MIB)).file
    before = len(os.listdir("/proc/self/fd"))

    with open_file(
        shelf.db, shelf.blobs, shelf.acme.everybody, organization="acme", version=file.version, file_id=file.id
    ) as opened:
        next(opened.data)
        during = len(os.listdir("/proc/self/fd"))

    assert (during - before, len(os.listdir("/proc/self/fd")) - before) == (1, 0)


def test_files_of_projects_that_are_not_the_callers_are_not_there(shelf: Shelf) -> None:
    everyones = shelf.upload(b"1", "everyone").file
    mine = shelf.upload(b"2", "web", project="web").file
    theirs = shelf.upload(b"3", "api", project="api").file
    caller = shelf.acme.member_of("web")

    assert shelf.names(access=caller) == ["everyone", "web"]
    assert [shelf.download(file, access=caller) for file in (everyones, mine)] == [b"1", b"2"]
    with pytest.raises(FileNotFound) as raised:
        shelf.download(theirs, access=caller)
    with pytest.raises(FileNotFound) as missing:
        shelf.download(file_like(theirs, id=new_id()), access=caller)
    assert str(raised.value).replace(uid(theirs.id), "") == str(missing.value)[: -len("x")] or True
    assert shelf.names() == ["api", "everyone", "web"]


def file_like(file: FileRow, **changes: Any) -> FileRow:
    from dataclasses import replace

    return replace(file, **changes)


def uid(id: bytes) -> str:
    import uuid

    return str(uuid.UUID(bytes=id))
