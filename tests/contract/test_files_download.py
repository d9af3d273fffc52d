"""Reading files back: the range that was asked for, verified, or an error, and never wrong bytes."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from store.access import Access
from store.blobs.chunking import Cutter
from store.blobs.local_reader import LocalPackReader
from store.blobs.models import Chunk, Content, ContentChunk, Pack
from store.database import Database, Transaction, new_id
from store.errors import BlobsDown, ChunkLost, FileNotFound, ReadOutOfRange, ReleaseNotFound
from store.files.list import list_files
from store.files.models import ReleaseFile
from store.files.rows import FileRow
from store.paging import Page, PageRequest, Position
from store.releases.delete import delete_release
from store.releases.drain import drain_deleted_releases
from tests.blobs.harm import flip_bit
from tests.contract.acme import Acme
from tests.contract.shelf import FRAME, Shelf, content_of

MIB = 2**20


def open_packs(shelf: Shelf) -> list[str]:
    """The packs that this process has open."""
    targets = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            targets.append(str(link.readlink()))
    return [target for target in targets if target.startswith(str(shelf.folder / "packs"))]


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether it holds within a minute."""
    for _ in range(12_000):
        if condition():
            return True
        time.sleep(0.005)
    return False


def spans(shelf: Shelf) -> list[ContentChunk]:
    """The chunks of the one content that has some, in order."""
    return sorted(shelf.rows(ContentChunk), key=lambda row: int(row.start_offset))


def span_at(shelf: Shelf, at: int) -> ContentChunk:
    """The chunk that holds this byte of it."""
    return [row for row in spans(shelf) if row.start_offset <= at][-1]


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
    content = content_of(8 * MIB)
    file = shelf.upload(content).file
    first, last = span_at(shelf, 3 * MIB + 7), span_at(shelf, 5 * MIB)
    read: list[tuple[int, int]] = []
    whole = LocalPackReader.read

    def counted(reader: LocalPackReader, offset: int, length: int) -> bytes:
        read.append((offset, offset + length))
        return whole(reader, offset, length)

    monkeypatch.setattr(LocalPackReader, "read", counted)
    assert shelf.download(file, offset=3 * MIB + 7, limit=2 * MIB - 6) == content[3 * MIB + 7 : 5 * MIB + 1]

    # The pack begins with the content: the chunks lie in it as they lie there. Each byte of them is read once, in runs
    # of chunks.
    starts, ends = zip(*read, strict=True)
    assert (starts[0], ends[-1]) == (first.start_offset, last.start_offset + last.size_bytes)
    assert starts[1:] == ends[:-1]
    assert 1 < len(read) < len([row for row in spans(shelf) if starts[0] <= row.start_offset < ends[-1]])


class SmallCutter(Cutter):
    """Cuts every 1,000 bytes, so that a small file has more chunks than one query reads."""

    def cut(self, buffer: memoryview, start: int, *, last: bool) -> list[memoryview]:
        return [
            chunk[at : at + 1000]
            for chunk in super().cut(buffer, start, last=last)
            for at in range(0, len(chunk), 1000)
        ]


def test_pages_of_chunk_rows_join_without_a_seam(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.blobs.writing.Cutter", SmallCutter)
    content = content_of(MIB + 300 * 1024)
    file = shelf.upload(content).file

    assert len(shelf.rows(ContentChunk)) > 1300
    assert shelf.download(file) == content
    assert shelf.download(file, offset=600_000, limit=600_000) == content[600_000:1_200_000]


def test_a_flipped_bit_ends_in_chunk_lost_after_the_right_bytes(shelf: Shelf) -> None:
    content = content_of(3 * MIB)
    file = shelf.upload(content).file
    damaged = span_at(shelf, 2 * MIB)
    (pack,) = shelf.rows(Pack)
    flip_bit(shelf.blobs.packs, pack.id, 2 * MIB)

    got: list[bytes] = []
    with shelf.open(file) as opened:
        with pytest.raises(ChunkLost) as raised:
            got.extend(opened.data)

    assert b"".join(got) == content[: damaged.start_offset]
    assert raised.value.metadata == {"sha256": damaged.chunk_sha256.hex()}
    with pytest.raises(ChunkLost):
        shelf.download(file, offset=damaged.start_offset, limit=1)
    behind = damaged.start_offset + damaged.size_bytes
    assert shelf.download(file, offset=behind) == content[behind:]


def test_a_chunk_that_moves_to_another_pack_is_read_from_there(shelf: Shelf) -> None:
    content = content_of(24 * MIB)
    file = shelf.upload(content).file
    pack = only_pack(shelf)

    with shelf.open(file) as opened:
        got = next(opened.data)
        moved = new_id()
        target = pack.parent.parent / moved.hex()[-2:] / moved.hex()
        assert pack.parent.name == pack.name[-2:]
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(b"in front" + pack.read_bytes())
        change = Chunk.update(pack_id=moved, pack_offset=Chunk.pack_offset + 8)
        shelf.db.write(lambda tx: tx.execute(change))
        os.truncate(pack, 0)
        got += b"".join(opened.data)

    assert got == content


class HardCutter(Cutter):
    """Cuts chunks once more, so that the same content is another list of chunks."""

    def cut(self, buffer: memoryview, start: int, *, last: bool) -> list[memoryview]:
        return [part for chunk in super().cut(buffer, start, last=last) for part in (chunk[:100], chunk[100:])]


@pytest.mark.parametrize("collected", [True, False])
def test_content_that_is_cut_elsewhere_while_it_is_read_is_read_on(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, collected: bool
) -> None:
    content = content_of(24 * MIB)
    file = shelf.upload(content).file
    before, old = {row.sha256 for row in shelf.rows(Chunk)}, only_pack(shelf)
    monkeypatch.setattr("store.blobs.writing.Cutter", HardCutter)

    with shelf.open(file) as opened:
        got = next(opened.data)
        shelf.upload(content, "again.js")
        assert not before & {row.chunk_sha256 for row in shelf.rows(ContentChunk)}
        if collected:
            shelf.db.write(lambda tx: tx.execute(Chunk.delete().where(Chunk.sha256.in_(before))))
            os.truncate(old, 0)
        got += b"".join(opened.data)

    assert got == content


def test_a_file_that_was_deleted_and_collected_meanwhile_is_not_found(shelf: Shelf) -> None:
    file = shelf.upload(content_of(24 * MIB)).file

    with shelf.open(file) as opened:
        next(opened.data)
        for rows in (ReleaseFile, Content, ContentChunk, Chunk):
            shelf.db.write(partial(Transaction.execute, query=rows.delete()))
        only_pack(shelf).write_bytes(b"")
        with pytest.raises(FileNotFound):
            list(opened.data)


def cut_off(path: Path) -> None:
    os.truncate(path, 3 * MIB - 1)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def swap_chunks(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[MIB : 2 * MIB] + content[:MIB] + content[2 * MIB :])


@pytest.mark.parametrize("damage", [cut_off, empty, swap_chunks, Path.unlink])
def test_a_damaged_or_missing_pack_is_chunk_lost(shelf: Shelf, damage: Callable[[Path], object]) -> None:
    file = shelf.upload(content_of(3 * MIB)).file
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
        ContentChunk.delete().where(ContentChunk.start_offset > 2 * MIB),
        ContentChunk.delete().where(ContentChunk.start_offset == 0),
        ContentChunk.delete().where(ContentChunk.start_offset > 0, ContentChunk.start_offset < 2 * MIB),
        ContentChunk.delete(),
        ContentChunk.update(size_bytes=ContentChunk.size_bytes - 1).where(ContentChunk.start_offset == 0),
        Content.delete(),
    ],
)
def test_rows_that_do_not_fit_are_chunk_lost(shelf: Shelf, change: Any) -> None:
    file = shelf.upload(content_of(3 * MIB)).file
    with shelf.open(file) as opened:
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

    with shelf.open(file) as opened:
        with monkeypatch.context() as patched:
            patched.setattr("store.blobs.local.os.open", refuse)
            with pytest.raises(BlobsDown):
                list(opened.data)


def test_a_reader_who_stops_gives_the_file_back(shelf: Shelf) -> None:
    file = shelf.upload(content_of(24 * MIB)).file
    packs = len(open_packs(shelf))

    with shelf.open(file) as opened:
        next(opened.data)
        assert len(open_packs(shelf)) == packs + 1

    assert eventually(lambda: len(open_packs(shelf)) == packs)


def test_files_of_projects_that_are_not_the_callers_are_not_there(shelf: Shelf) -> None:
    everyones = shelf.upload(b"1", "everyone").file
    mine = shelf.upload(b"2", "web", project="web").file
    theirs = shelf.upload(b"3", "api", project="api").file
    caller = shelf.acme.member_of("web")

    assert shelf.names(access=caller) == ["everyone", "web"]
    assert [shelf.download(file, access=caller) for file in (everyones, mine)] == [b"1", b"2"]
    for file_id in (theirs.id, new_id()):
        with pytest.raises(FileNotFound) as raised:
            shelf.download(replace(theirs, id=file_id), access=caller)
        name = f"organizations/acme/releases/app@1.0.0/files/{uuid.UUID(bytes=file_id)}"
        assert raised.value.metadata == {"name": name}
    assert shelf.names() == ["api", "everyone", "web"]


def test_a_file_is_found_under_its_own_release_only(shelf: Shelf) -> None:
    shelf.acme.release("app@2.0.0", "web")
    file = shelf.upload(b"abc").file

    with pytest.raises(FileNotFound):
        shelf.download(replace(file, version="app@2.0.0"))
    with pytest.raises(ReleaseNotFound):
        shelf.download(replace(file, version="app@3.0.0"))


def test_files_go_with_their_release(shelf: Shelf) -> None:
    file = shelf.upload(b"abc").file

    delete_release(shelf.db, shelf.acme.everybody, "acme", "app@1.0.0")
    with pytest.raises(ReleaseNotFound):
        shelf.download(file)
    shelf.acme.release("app@1.0.0", "web")
    with pytest.raises(FileNotFound):
        shelf.download(file)
    assert shelf.names() == []
    drain_deleted_releases(shelf.db)
    assert shelf.rows(ReleaseFile) == []
    assert shelf.upload(b"abcd").created


def test_open_membership_shows_the_files_of_all_projects(shelf: Shelf, database: Database) -> None:
    acme = Acme(database, "web", "api", slug="open", open_membership=True)
    acme.release("app@1.0.0", "web", "api")
    draft = shelf.draft("api.js", organization="open", project="api")
    file = shelf.send(b"abc", draft, access=acme.everybody).file

    assert shelf.download(file, access=acme.member_of("web")) == b"abc"


def test_lists_are_sorted_by_code_point_and_walk_both_ways(shelf: Shelf) -> None:
    names = ["B", "a", "b", "ä", "é", "a/b", "z", "😀", "\uffff"]
    for name in names:
        shelf.upload(b"", name)
        shelf.upload(b"", name, dist="x")
    ordered = sorted(name for name in names for _ in range(2))

    assert shelf.names() == ordered
    for size in (1, 2, 5, 18, 19):
        pages = []
        position: Position | None = None
        while True:
            page = list_page(shelf, PageRequest(size, position))
            pages.append([file.file_name for file in page.items])
            position = page.next
            if position is None:
                break
        assert [name for items in pages for name in items] == ordered
        back = [pages[-1]]
        while page.previous is not None:
            page = list_page(shelf, PageRequest(size, page.previous))
            back.insert(0, [file.file_name for file in page.items])
        assert [name for items in back for name in items] == ordered


def test_pages_show_only_what_the_caller_sees(shelf: Shelf) -> None:
    for number in range(10):
        shelf.upload(b"", f"{number}", project=("web", "api", None)[number % 3])
    caller = shelf.acme.member_of("api")

    first = list_page(shelf, PageRequest(3), access=caller)
    second = list_page(shelf, PageRequest(4, first.next), access=caller)

    assert [file.file_name for file in first.items] == ["1", "2", "4"]
    assert [file.file_name for file in second.items] == ["5", "7", "8"]
    assert second.next is None


def list_page(shelf: Shelf, request: PageRequest, *, access: Access | None = None) -> Page[FileRow]:
    return list_files(shelf.db, access or shelf.acme.everybody, organization="acme", version="app@1.0.0", page=request)
