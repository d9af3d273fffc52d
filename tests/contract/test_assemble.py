"""Making files of chunks (behaviour.md, Files)."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path

import pytest

from store.activity.models import Activity
from store.blobs.models import DAMAGED, Chunk, Content, ContentChunk
from store.database import Database
from store.errors import (
    ChunksMissing,
    DigestMismatch,
    FileExists,
    FileTooLarge,
    InvalidField,
    OrganizationNotFound,
    SizeMismatch,
    UploadNotFound,
)
from store.files.models import ReleaseFile
from store.uploads import assemble as assemble_module
from store.uploads.assemble import ChunkRef, start_assembly
from store.uploads.models import FINISHED, OPEN
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.contract.chunks import Sender, cut, digest, packed, plain, refs
from tests.contract.shelf import Shelf, content_of

MIB = 2**20


def test_a_file_of_chunks_reads_back(sender: Sender) -> None:
    content = content_of(3 * MIB + 12_345)
    pieces = cut(content)
    sender.send_plain(reversed(pieces))
    upload_id = sender.start("lib.so", dist="x64", headers={"a": "b"})
    made = sender.assemble(pieces, upload_id=upload_id)
    assert made.created
    assert (made.file.file_name, made.file.dist, made.file.headers) == ("lib.so", "x64", {"a": "b"})
    assert (made.file.size_bytes, made.file.sha256) == (len(content), digest(content))
    assert sender.shelf.download(made.file) == content
    assert sender.shelf.download(made.file, offset=MIB + 1, limit=70_000) == content[MIB + 1 :][:70_000]
    assert sender.state_of(upload_id) == (FINISHED, len(content))
    assert sender.shelf.file_count() == 1


def test_a_list_comes_in_pages_and_names_a_chunk_several_times(sender: Sender) -> None:
    one, two = content_of(50_000, seed=1), content_of(20_000, seed=2)
    pieces = [one, two, two, one, one, two, one]
    sender.send_plain([one, two])
    assert sender.shelf.download(sender.assemble(pieces, page=3).file) == b"".join(pieces)


def test_chunks_that_came_as_frames_read_back(sender: Sender) -> None:
    pieces = [bytes([number]) * 100_000 for number in range(20)] + cut(content_of(200_000))
    sender.send([packed(piece) if index % 3 else plain(piece) for index, piece in enumerate(pieces)])
    made = sender.assemble(pieces)
    assert sender.shelf.download(made.file) == b"".join(pieces)
    assert sender.shelf.download(made.file, offset=150_000, limit=5) == b"\1" * 5


@pytest.mark.parametrize("pieces", [[], [b"x"], [b"abc", b"def"], cut(b"\7" * 16 * 1024, 1000)])
def test_a_small_file_lies_in_its_row(sender: Sender, pieces: list[bytes]) -> None:
    sender.send_plain(pieces)
    made = sender.assemble(pieces)
    assert sender.shelf.download(made.file) == b"".join(pieces)
    (content,) = sender.shelf.rows(Content)
    assert content.inline_data == b"".join(pieces)
    assert sender.shelf.rows(ContentChunk) == []


def test_a_file_of_which_chunks_are_missing_names_them_in_order(sender: Sender) -> None:
    pieces = cut(content_of(MIB))
    sender.send_plain(pieces[4:])
    upload_id = sender.start()
    with pytest.raises(ChunksMissing) as refused:
        sender.assemble(pieces, upload_id=upload_id, page=3)
    expected = ", ".join(digest(piece).hex() for piece in pieces[:4])
    assert refused.value.metadata == {"sha256": expected, "missing_count": "4"}
    assert (sender.shelf.rows(ReleaseFile), sender.shelf.rows(Content)) == ([], [])
    assert sender.state_of(upload_id) == (OPEN, 0)
    sender.send_plain(pieces[:4])
    assert sender.shelf.download(sender.assemble(pieces, upload_id=upload_id).file) == b"".join(pieces)


def test_a_long_list_of_missing_chunks_is_cut_and_counted(sender: Sender) -> None:
    pieces = [b"%d" % number for number in range(5000)]
    with pytest.raises(ChunksMissing) as refused:
        sender.assemble([*pieces, *pieces], page=2000)
    assert refused.value.metadata["missing_count"] == "5000"
    assert refused.value.metadata["sha256"].split(", ") == [digest(piece).hex() for piece in pieces[:40]]


def test_more_missing_chunks_than_are_worth_counting_end_the_list(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assemble_module, "MANY_MISSING", 10)
    assembly = sender.assembly(sender.start())
    with pytest.raises(ChunksMissing):
        assembly.add(refs(b"%d" % number for number in range(11)))


def test_chunks_of_another_organization_are_missing(sender: Sender, database: Database) -> None:
    pieces = cut(content_of(MIB))
    sender.send_plain(pieces)
    shelf = sender.shelf
    rival = Acme(database, "web", slug="rival")
    rival.release("app@1.0.0", "web")
    shelf.acme, acme = rival, shelf.acme
    with pytest.raises(ChunksMissing) as refused:
        Sender(shelf).assemble(pieces)
    assert refused.value.metadata["missing_count"] == str(len(pieces))
    shelf.acme = acme
    upload_id = sender.start()
    with pytest.raises(OrganizationNotFound):
        start_assembly(database, shelf.blobs, rival.everybody, organization="acme", upload_id=upload_id)
    with pytest.raises(UploadNotFound):
        start_assembly(database, shelf.blobs, rival.everybody, organization="rival", upload_id=upload_id)


def test_a_damaged_chunk_is_missing_from_then_on_and_mended_when_it_comes_again(sender: Sender) -> None:
    pieces = cut(content_of(MIB))
    sender.send_plain(pieces)
    sender.damage(pieces[5])
    with pytest.raises(ChunksMissing) as refused:
        sender.assemble(pieces)
    assert refused.value.metadata == {"sha256": digest(pieces[5]).hex(), "missing_count": "1"}
    assert sender.row(pieces[5]).state == DAMAGED
    assert sender.missing(pieces) == [digest(pieces[5])]
    sender.send_plain([pieces[5]])
    assert sender.shelf.download(sender.assemble(pieces).file) == b"".join(pieces)


def test_a_damaged_frame_is_missing(sender: Sender) -> None:
    piece = b"text " * 10_000
    sender.send([packed(piece)])
    sender.damage(piece)
    with pytest.raises(ChunksMissing):
        sender.assemble([piece])
    sender.send([packed(piece)])
    assert sender.shelf.download(sender.assemble([piece]).file) == piece


def test_chunks_whose_pack_is_gone_are_missing(sender: Sender) -> None:
    pieces = cut(content_of(MIB))
    sender.send_plain(pieces[:8])
    (pack,) = sender.shelf.packs()
    sender.send_plain(pieces[8:])
    pack.unlink()
    with pytest.raises(ChunksMissing) as refused:
        sender.assemble(pieces)
    assert digest(pieces[0]).hex() in refused.value.metadata["sha256"]
    assert sender.missing(pieces) == [digest(piece) for piece in pieces[:8]]


def test_a_chunk_that_was_moved_meanwhile_is_read_from_its_new_place(sender: Sender) -> None:
    pieces = cut(content_of(MIB))
    sender.send_plain(pieces)
    (old,) = sender.shelf.packs()
    upload_id = sender.start()
    assembly = sender.assembly(upload_id)
    places = assembly._places([digest(piece) for piece in pieces])
    old.unlink()
    sender.send_plain(pieces)  # to a new pack
    assembly._places = lambda digests: places  # type: ignore[method-assign]
    assembly.add(refs(pieces))
    content = b"".join(pieces)
    made = assembly.finish(size_bytes=len(content), sha256=digest(content))
    assert sender.shelf.download(made.file) == content


def test_a_chunk_that_is_removed_behind_its_page_is_missing_in_the_end(sender: Sender) -> None:
    pieces = cut(content_of(MIB))
    sender.send_plain(pieces)
    content = b"".join(pieces)
    assembly = sender.assembly(sender.start())
    assembly.add(refs(pieces))
    gone = Chunk.delete().where(Chunk.sha256 == digest(pieces[7]))
    sender.shelf.db.write(lambda tx: tx.execute(gone))
    with pytest.raises(ChunksMissing) as refused:
        assembly.finish(size_bytes=len(content), sha256=digest(content))
    assert refused.value.metadata == {"sha256": digest(pieces[7]).hex(), "missing_count": "1"}
    assert (sender.shelf.rows(ReleaseFile), sender.shelf.rows(Content)) == ([], [])


def test_assembling_keeps_the_chunks_for_another_grace_time(sender: Sender, clock: ManualClock) -> None:
    pieces = cut(content_of(200_000))
    sender.send_plain(pieces)
    clock.advance(seconds=1000)
    assembly = sender.assembly(sender.start())
    assembly.add(refs(pieces))
    assert {sender.row(piece).touched_at for piece in pieces} == {clock.now_us()}
    clock.advance(seconds=1000)
    content = b"".join(pieces)
    assembly.finish(size_bytes=len(content), sha256=digest(content))
    assert {sender.row(piece).touched_at for piece in pieces} == {clock.now_us()}


def test_a_file_that_is_not_what_was_announced_is_not_made(sender: Sender) -> None:
    pieces = cut(content_of(MIB))
    sender.send_plain(pieces)
    upload_id = sender.start()
    with pytest.raises(DigestMismatch):
        sender.assemble(pieces[::-1], upload_id=upload_id, sha256=digest(b"".join(pieces)))
    with pytest.raises(SizeMismatch):
        sender.assemble(pieces, upload_id=upload_id, size_bytes=MIB - 1)
    with pytest.raises(SizeMismatch):
        sender.assemble(pieces[1:], upload_id=sender.start(size_bytes=MIB))
    with pytest.raises(SizeMismatch):
        sender.assemble(pieces, upload_id=sender.start(size_bytes=MIB - 1))
    with pytest.raises(DigestMismatch):
        sender.assemble(pieces, upload_id=sender.start(sha256=digest(b"other")))
    assert sender.shelf.rows(ReleaseFile) == []
    assert sender.assemble(pieces, upload_id=upload_id).created, "it may be tried again"


@pytest.mark.parametrize("size", [0, -1, 999, 1001, MIB + 1])
def test_a_chunk_of_another_size_than_listed_is_refused(sender: Sender, size: int) -> None:
    piece = content_of(1000)
    sender.send_plain([piece])
    assembly = sender.assembly(sender.start())
    with pytest.raises(InvalidField) as refused:
        assembly.add([ChunkRef(digest(piece), 1000), ChunkRef(digest(piece), size)])
    assert refused.value.metadata["field"] == "chunks[1].size_bytes"


def test_too_large_a_file_is_refused_by_its_list(shelf: Shelf, tmp_path: Path) -> None:
    small = Shelf(shelf.acme, tmp_path / "small", max_content_bytes=100_000)
    sender = Sender(small)
    assembly = sender.assembly(sender.start())
    with pytest.raises(FileTooLarge):
        assembly.add([ChunkRef(digest(b"a"), 60_000), ChunkRef(digest(b"b"), 60_000)])
    assembly = sender.assembly(sender.start())
    with pytest.raises(InvalidField):
        assembly.add([ChunkRef(digest(b"a"), 1)] * 7)
    small.blobs.close()


def test_a_finished_upload_answers_its_file_without_a_list(sender: Sender) -> None:
    pieces = cut(content_of(MIB))
    sender.send_plain(pieces)
    upload_id = sender.start()
    made = sender.assemble(pieces, upload_id=upload_id)
    assert sender.assemble([b"nothing of it"], upload_id=upload_id) == made
    assert len(sender.shelf.rows(ReleaseFile)) == 1


def test_the_same_content_is_the_same_file_and_other_content_only_a_replacement(sender: Sender) -> None:
    pieces = cut(content_of(MIB))
    sender.send_plain([*pieces, b"other"])
    first = sender.assemble(pieces)
    again = sender.assemble(pieces)
    assert (again.file.id, again.created) == (first.file.id, False)
    with pytest.raises(FileExists):
        sender.assemble([b"other"])
    replaced = sender.assemble([b"other"], upload_id=sender.start(replace=True))
    assert (replaced.created, replaced.file.size_bytes) == (True, 5)
    assert sender.shelf.file_count() == 1
    kinds = [row.kind for row in sender.shelf.rows(Activity)]
    assert kinds.count("file_replaced") == 2, "one for each project"


def test_content_that_came_by_the_other_door_is_not_stored_again(sender: Sender) -> None:
    content = content_of(3 * MIB)
    streamed = sender.shelf.upload(content, "streamed.bin")
    pieces = cut(content)
    sender.send_plain(pieces)
    made = sender.assemble(pieces)
    assert made.file.content_id == streamed.file.content_id
    assert sender.shelf.download(made.file) == sender.shelf.download(streamed.file) == content
    assert len(sender.shelf.rows(Content)) == 1


def test_an_assembly_mends_a_content_whose_chunks_are_lost(sender: Sender) -> None:
    content = content_of(3 * MIB)
    streamed = sender.shelf.upload(content, "streamed.bin")
    for pack in sender.shelf.packs():
        pack.unlink()
    sender.send_plain(cut(content))
    sender.assemble(cut(content))
    assert sender.shelf.download(streamed.file) == content


def test_a_caller_who_is_gone_ends_the_reading(sender: Sender) -> None:
    class Gone(Exception):
        pass

    def check() -> None:
        raise Gone

    pieces = cut(content_of(MIB))
    sender.send_plain(pieces)
    assembly = start_assembly(
        sender.shelf.db,
        sender.shelf.blobs,
        sender.access,
        organization="acme",
        upload_id=sender.start(),
        check=check,
    )
    with pytest.raises(Gone):
        assembly.add(refs(pieces))


def test_a_file_of_bombs_is_made_and_read_with_the_memory_of_a_few_chunks(sender: Sender) -> None:
    """Frames of 50 bytes are neighbours in the pack: read by packed size, hundreds would be unpacked at once."""
    pieces = [number.to_bytes(4, "big") * (MIB // 4) for number in range(100)]
    chunks = [packed(piece) for piece in pieces]
    listed = refs(pieces)
    sender.send(chunks)
    whole = hashlib.sha256()
    for piece in pieces:
        whole.update(piece)
    del pieces
    assembly = sender.assembly(sender.start())
    tracemalloc.start()
    try:
        assembly.add(listed)
        made = assembly.finish(size_bytes=100 * MIB, sha256=whole.digest())
        with sender.shelf.open(made.file) as opened:
            assert sum(map(len, opened.data)) == 100 * MIB
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * MIB


def test_a_list_of_chunks_keeps_their_order_and_places() -> None:
    chunks = assemble_module.ChunkList()
    for number in range(5):
        chunks.append(hashlib.sha256(bytes([number % 2])).digest(), number + 1)
    assert [(chunk.start_offset, chunk.size_bytes) for chunk in chunks] == [(0, 1), (1, 2), (3, 3), (6, 4), (10, 5)]
    assert list(chunks) == [chunks[index] for index in range(5)] == chunks[:] == [*chunks[:2], *chunks[2:]]
    assert chunks[-1].start_offset == 10
    assert chunks.distinct() == sorted({chunk.sha256 for chunk in chunks})
