"""Going on with an upload that was cut: what is committed stays, and the file is right to the last byte."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from store.blobs import intake, writing
from store.blobs.blobs import open_blobs
from store.blobs.models import DAMAGED, Chunk, ContentChunk, Pack
from store.errors import (
    ChunkLost,
    DigestMismatch,
    FileExists,
    OffsetMismatch,
    RequestIdReused,
    SizeMismatch,
    UploadClosed,
    UploadNotFound,
    UploadTakenOver,
)
from store.files.rows import UploadDraft, UploadedFile
from store.uploads.models import Upload, UploadChunk
from store.uploads.rows import UploadRow
from store.uploads.streams import FileUpload
from store.uploads.uploads import cancel_upload, get_upload, purge_uploads, register_upload
from tests.blobs.harm import cut_pack
from tests.clocks import START_US, ManualClock
from tests.contract.shelf import Shelf, chunk_sizes, content_of, frames_of

MIB = 2**20
CONTENT = content_of(5 * MIB)
DAY = 24 * 3600


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several groups in a file that a test can afford."""
    monkeypatch.setattr(writing, "GROUP_BYTES", MIB)


def look(shelf: Shelf, draft: UploadDraft) -> UploadRow:
    return get_upload(shelf.db, shelf.acme.everybody, organization="acme", upload_id=draft.upload_id)


def send_part(shelf: Shelf, draft: UploadDraft, stop: int, *, start: int = 0, content: bytes = CONTENT) -> int:
    """Send the bytes from `start` to `stop`, and be cut; how many are committed then."""
    with shelf.open_upload(draft) as upload:
        for at, frame in enumerate(frames_of(content[start:stop])):
            upload.write(frame, offset=None if at else start)
    return look(shelf, draft).committed_bytes


def finish(upload: FileUpload, content: bytes = CONTENT) -> UploadedFile:
    return upload.finish(size_bytes=len(content), sha256=hashlib.sha256(content).digest())


def send_rest(shelf: Shelf, draft: UploadDraft, start: int, *, content: bytes = CONTENT) -> UploadedFile:
    with shelf.open_upload(draft) as upload:
        upload.write(content[start:], offset=start)
        return finish(upload, content)


def whole_chunks(length: int, content: bytes = CONTENT) -> int:
    """Where the last chunk ends that is certain when so many bytes of the content came."""
    at = 0
    for size in chunk_sizes(content):
        if at + size >= length and (at + size > length or size < MIB):
            break
        at += size
    return at


@pytest.mark.parametrize("stop", [16 * 1024 + 1, 100_000, MIB, 2 * MIB + 1, 3 * MIB, 5 * MIB - 1, 5 * MIB])
def test_a_cut_upload_goes_on_where_its_whole_chunks_end(shelf: Shelf, stop: int) -> None:
    draft = shelf.draft()

    committed = send_part(shelf, draft, stop)

    assert committed == whole_chunks(stop)
    assert (shelf.names(), look(shelf, draft).state) == ([], "open")
    uploaded = send_rest(shelf, draft, committed)
    assert uploaded.created
    assert shelf.download(uploaded.file) == CONTENT
    assert (look(shelf, draft).state, look(shelf, draft).file) == ("finished", uploaded.file)
    assert (shelf.rows(UploadChunk), shelf.unfinished()) == ([], [])


def test_the_file_of_a_cut_upload_is_cut_as_if_it_came_at_once(shelf: Shelf) -> None:
    draft, at = shelf.draft(), 0
    for stop in (1_500_000, 1_600_000, 2_900_000, 4_800_000):
        at = send_part(shelf, draft, stop, start=at)

    send_rest(shelf, draft, at)

    pieces = sorted((row.start_offset, row.size_bytes) for row in shelf.rows(ContentChunk))
    assert [size for _, size in pieces] == chunk_sizes(CONTENT)


def test_bytes_that_are_committed_are_passed_over(shelf: Shelf) -> None:
    draft = shelf.draft()
    committed = send_part(shelf, draft, 3 * MIB)
    assert committed > 2 * MIB

    with shelf.open_upload(draft) as upload:
        for at, frame in enumerate(frames_of(CONTENT[MIB:], 100_000)):
            upload.write(frame, offset=MIB + at * 100_000)
        uploaded = finish(upload)

    assert shelf.download(uploaded.file) == CONTENT


def test_an_upload_that_lacks_nothing_but_its_end_is_finished_without_a_byte(shelf: Shelf) -> None:
    content = bytes(2 * MIB)  # zeros are cut at the largest size, so its last chunk is certain
    draft = shelf.draft()
    assert send_part(shelf, draft, 2 * MIB, content=content) == 2 * MIB

    with shelf.open_upload(draft) as upload:
        uploaded = finish(upload, content)

    assert shelf.download(uploaded.file) == content


def test_an_offset_beyond_what_is_committed_is_refused_with_it(shelf: Shelf) -> None:
    draft = shelf.draft()
    committed = send_part(shelf, draft, 2 * MIB)

    with shelf.open_upload(draft) as upload, pytest.raises(OffsetMismatch) as raised:
        upload.write(b"x", offset=committed + 1)

    assert raised.value.metadata == {"committed_bytes": str(committed)}
    assert look(shelf, draft).committed_bytes == committed


def test_committed_bytes_never_go_down(shelf: Shelf) -> None:
    draft, before = shelf.draft(), 0
    for stop in (3 * MIB, 100, 2 * MIB, 4 * MIB, 0):
        committed = send_part(shelf, draft, stop)
        assert committed >= before
        before = committed


def test_an_upload_goes_on_in_another_process(shelf: Shelf) -> None:
    draft = shelf.draft()
    committed = send_part(shelf, draft, 3 * MIB)
    other = open_blobs(shelf.db, shelf.place)
    mine, shelf.blobs = shelf.blobs, other
    try:
        assert shelf.download(send_rest(shelf, draft, committed).file) == CONTENT
    finally:
        shelf.blobs = mine
        other.close()


def test_groups_are_committed_while_the_stream_goes_on(shelf: Shelf) -> None:
    draft = shelf.draft()
    with shelf.open_upload(draft) as upload:
        upload.write(CONTENT, offset=0)
        while not look(shelf, draft).committed_bytes:
            pass
        assert look(shelf, draft).state == "open"
        assert shelf.download(finish(upload).file) == CONTENT


def test_a_group_is_committed_when_nothing_more_comes(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "GROUP_SECONDS", 0.01)
    monkeypatch.setattr(writing, "GROUP_BYTES", 2**40)
    monkeypatch.setattr(intake, "BLOCK_SECONDS", 3600.0)  # a slow machine would send half of one, and keep the rest
    draft = shelf.draft()
    with shelf.open_upload(draft) as upload:
        two_blocks = 2 * intake.BLOCK_BYTES
        upload.write(CONTENT[:two_blocks], offset=0)
        while look(shelf, draft).committed_bytes < whole_chunks(two_blocks):
            pass
        upload.write(CONTENT[two_blocks:], offset=two_blocks)
        assert shelf.download(finish(upload).file) == CONTENT


def test_a_pack_grows_with_its_stream(shelf: Shelf) -> None:
    shelf.upload(CONTENT)

    (pack,) = shelf.packs()
    (row,) = shelf.rows(Pack)
    assert pack.stat().st_size == row.size_bytes
    assert len(CONTENT) <= row.size_bytes <= len(CONTENT) + 5 * 4096  # each group begins at a page


def test_an_earlier_stream_is_ended_by_its_next_group(shelf: Shelf) -> None:
    draft = shelf.draft()
    with shelf.open_upload(draft) as slow:
        slow.write(CONTENT[:MIB], offset=0)
        with shelf.open_upload(draft) as quick:
            with pytest.raises(UploadTakenOver):
                slow.write(CONTENT[MIB:] * 8, offset=MIB)
            quick.write(CONTENT, offset=0)
            assert shelf.download(finish(quick).file) == CONTENT


def test_what_an_earlier_stream_sent_last_is_not_kept_behind_the_back_of_the_later(shelf: Shelf) -> None:
    draft = shelf.draft()
    with shelf.open_upload(draft) as slow:
        slow.write(bytes(4 * MIB), offset=0)
        with shelf.open_upload(draft) as quick:
            slow.__exit__(None, None, None)
            committed = quick.committed_bytes
            quick.write(CONTENT[committed:], offset=committed)
            if committed:  # zeros that were committed before the other came
                with pytest.raises(DigestMismatch):
                    finish(quick)
            else:
                assert shelf.download(finish(quick).file) == CONTENT


def test_a_wrong_end_makes_the_upload_begin_anew(shelf: Shelf) -> None:
    for wrong, error in [(CONTENT[:-1], SizeMismatch), (CONTENT[:-1] + b"x", DigestMismatch)]:
        draft = shelf.draft()
        committed = send_part(shelf, draft, 3 * MIB)
        with shelf.open_upload(draft) as upload:
            upload.write(CONTENT[committed:], offset=committed)
            with pytest.raises(error):
                finish(upload, wrong)

        with pytest.raises(UploadNotFound):
            look(shelf, draft)
        assert shelf.rows(UploadChunk) == []
    assert shelf.download(shelf.send(CONTENT, draft).file) == CONTENT


def test_a_stream_of_before_keeps_nothing_in_an_upload_that_began_anew(shelf: Shelf) -> None:
    draft = shelf.draft()
    with shelf.open_upload(draft) as earlier:
        for at, frame in enumerate(frames_of(CONTENT[: 3 * MIB])):
            earlier.write(frame, offset=None if at else 0)
        with shelf.open_upload(draft) as later, pytest.raises(DigestMismatch):
            later.finish(size_bytes=later.committed_bytes, sha256=hashlib.sha256(b"something else").digest())
        committed = send_part(shelf, draft, 2 * MIB)
        # The earlier stream stores beside its sender: it may have looked for its turn while there was no upload.
        with pytest.raises((UploadTakenOver, UploadNotFound)):
            earlier.finish(size_bytes=3 * MIB, sha256=hashlib.sha256(CONTENT[: 3 * MIB]).digest())
    assert look(shelf, draft).committed_bytes == committed
    with shelf.open_upload(draft) as upload:
        upload.write(CONTENT[committed:], offset=committed)
        file = finish(upload).file
    assert shelf.download(file) == CONTENT


def test_a_file_in_the_way_is_found_at_the_end(shelf: Shelf) -> None:
    draft = shelf.draft()
    committed = send_part(shelf, draft, 3 * MIB)
    shelf.upload(b"in the way")

    with pytest.raises(FileExists):
        send_rest(shelf, draft, committed)

    again = replace(draft, upload_id=shelf.draft().upload_id, replace=True)
    assert shelf.download(shelf.send(CONTENT, again).file) == CONTENT
    assert shelf.file_count() == 1


def test_another_header_is_refused_while_the_upload_is_open(shelf: Shelf) -> None:
    draft = shelf.draft()
    send_part(shelf, draft, MIB)

    with pytest.raises(RequestIdReused):
        shelf.open_upload(replace(draft, file_name="other.js"))
    with pytest.raises(RequestIdReused):
        register_upload(shelf.db, shelf.blobs, shelf.acme.everybody, replace(draft, dist="x"))


def test_a_registered_upload_is_there_before_its_bytes(shelf: Shelf) -> None:
    draft = shelf.draft(headers={"a": "b"}, dist="linux", size_bytes=3)

    first = register_upload(shelf.db, shelf.blobs, shelf.acme.everybody, draft)

    assert first == look(shelf, draft)
    assert first == register_upload(shelf.db, shelf.blobs, shelf.acme.everybody, draft)
    assert (first.organization, first.state, first.committed_bytes, first.file) == ("acme", "open", 0, None)
    assert (first.create_time, first.expire_time) == (START_US, START_US + DAY * 1_000_000)
    uploaded = shelf.send(b"abc", draft)
    assert register_upload(shelf.db, shelf.blobs, shelf.acme.everybody, draft).file == uploaded.file


def test_a_cancelled_upload_is_closed(shelf: Shelf) -> None:
    draft = shelf.draft()
    committed = send_part(shelf, draft, 3 * MIB)
    cancel: dict[str, Any] = {"organization": "acme", "upload_id": draft.upload_id}

    with shelf.open_upload(draft) as upload:
        upload.write(CONTENT[committed : committed + 10], offset=committed)
        row = cancel_upload(shelf.db, shelf.acme.everybody, **cancel)
        with pytest.raises(UploadClosed) as raised:
            finish(upload, CONTENT[: committed + 10])

    assert raised.value.metadata["state"] == "CANCELLED"
    assert (row.state, row.committed_bytes, shelf.rows(UploadChunk)) == ("cancelled", committed, [])
    assert cancel_upload(shelf.db, shelf.acme.everybody, **cancel) == row
    with pytest.raises(UploadClosed):
        shelf.open_upload(draft)
    assert shelf.names() == []


def test_a_finished_upload_cannot_be_cancelled(shelf: Shelf) -> None:
    draft = shelf.draft()
    shelf.send(b"abc", draft)

    with pytest.raises(UploadClosed) as raised:
        cancel_upload(shelf.db, shelf.acme.everybody, organization="acme", upload_id=draft.upload_id)

    assert raised.value.metadata["state"] == "FINISHED"


def test_uploads_are_seen_by_who_may_write_to_their_release(shelf: Shelf) -> None:
    draft = shelf.draft()
    send_part(shelf, draft, MIB)
    which: dict[str, Any] = {"organization": "acme", "upload_id": draft.upload_id}

    for act in (get_upload, cancel_upload):
        with pytest.raises(UploadNotFound) as raised:
            act(shelf.db, shelf.acme.member_of("web"), **which)
        assert raised.value.metadata["name"].startswith("organizations/acme/uploads/")
        with pytest.raises(UploadNotFound):
            act(shelf.db, shelf.acme.everybody, organization="acme", upload_id=shelf.draft().upload_id)
    assert get_upload(shelf.db, shelf.acme.member_of("web", "api"), **which).state == "open"


def test_an_upload_ends_a_day_after_its_last_byte(shelf: Shelf, clock: ManualClock) -> None:
    draft = shelf.draft()
    send_part(shelf, draft, 2 * MIB)
    clock.advance(seconds=DAY - 1)
    committed = send_part(shelf, draft, 4 * MIB)
    clock.advance(seconds=DAY - 1)
    assert (purge_uploads(shelf.db), look(shelf, draft).committed_bytes) == (0, committed)

    clock.advance(seconds=1)
    with pytest.raises(UploadNotFound):
        look(shelf, draft)
    assert shelf.rows(UploadChunk)
    assert purge_uploads(shelf.db) == 1
    assert (shelf.rows(Upload), shelf.rows(UploadChunk)) == ([], [])
    assert send_part(shelf, draft, 100_000) < committed


def test_an_upload_that_ended_begins_anew_even_before_it_is_purged(shelf: Shelf, clock: ManualClock) -> None:
    draft = shelf.draft()
    send_part(shelf, draft, 4 * MIB)
    clock.advance(seconds=DAY)

    with shelf.open_upload(draft) as upload:
        assert upload.committed_bytes == 0
        upload.write(CONTENT, offset=0)
        assert shelf.download(finish(upload).file) == CONTENT


def test_damage_to_what_was_committed_makes_the_upload_begin_anew(shelf: Shelf) -> None:
    draft = shelf.draft()
    committed = send_part(shelf, draft, 3 * MIB)
    shelf.flip_byte_of(shelf.rows(Chunk)[0])

    with pytest.raises(ChunkLost):
        send_rest(shelf, draft, committed)

    with pytest.raises(UploadNotFound):
        look(shelf, draft)
    assert shelf.download(shelf.send(CONTENT, draft).file) == CONTENT


@pytest.mark.parametrize("harm", ["flip", "cut", "gone", "noted"])
def test_damaged_chunks_are_mended_when_their_content_comes_again(shelf: Shelf, harm: str) -> None:
    first = shelf.upload(CONTENT).file
    if harm == "flip":
        shelf.flip_byte_of(shelf.rows(Chunk)[0])
    elif harm == "cut":
        cut_pack(shelf.blobs.packs, shelf.rows(Pack)[0].id, MIB // 2)
    elif harm == "noted":
        shelf.db.write(lambda tx: tx.execute(Chunk.update({Chunk.state: DAMAGED})))
    else:
        shelf.blobs.packs.remove(shelf.rows(Pack)[0].id)
    with pytest.raises(ChunkLost):
        shelf.download(first)

    again = shelf.upload(CONTENT)

    assert (again.created, again.file) == (False, first)
    assert shelf.download(first) == CONTENT


def test_a_damaged_small_file_is_mended_when_it_comes_again(shelf: Shelf) -> None:
    first = shelf.upload(b"abc").file
    shelf.damage_inline()
    with pytest.raises(ChunkLost):
        shelf.download(first)

    shelf.upload(b"abc")

    assert shelf.download(first) == b"abc"


def test_a_content_whose_list_of_chunks_is_damaged_is_mended_when_it_comes_again(shelf: Shelf) -> None:
    first = shelf.upload(CONTENT).file
    shelf.lose_a_content_chunk()
    with pytest.raises(ChunkLost):
        shelf.download(first)

    shelf.upload(CONTENT)

    assert shelf.download(first) == CONTENT
