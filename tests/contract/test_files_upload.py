"""Uploading files: what goes in comes back, once, or nothing is kept at all (behaviour.md, Files)."""

from __future__ import annotations

import hashlib
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from store.blobs.models import Chunk, Content, ContentChunk, Pack
from store.database import Database
from store.errors import (
    FileExists,
    RequestIdReused,
    UploadTakenOver,
)
from store.uploads.models import Upload, UploadChunk
from store.uploads.streams import open_upload
from store.uploads.uploads import purge_uploads
from tests.clocks import START_US, ManualClock
from tests.contract.acme import Acme
from tests.contract.shelf import FRAME, Shelf, chunk_sizes, content_of, frames_of

MIB = 2**20


@pytest.mark.parametrize(
    "size", [0, 1, 16 * 1024, 16 * 1024 + 1, FRAME - 1, FRAME, FRAME + 1, 2 * MIB, 9 * MIB, 9 * MIB + 12345]
)
def test_a_file_comes_back_byte_for_byte(shelf: Shelf, size: int) -> None:
    content = content_of(size)

    uploaded = shelf.upload(content, headers={"Content-Type": "text/plain"}, dist="linux")

    file = uploaded.file
    assert uploaded.created
    assert (file.size_bytes, file.sha256) == (size, hashlib.sha256(content).digest())
    assert (file.file_name, file.dist, file.project) == ("app.js", "linux", None)
    assert (file.headers, file.create_time) == ({"Content-Type": "text/plain"}, START_US)
    assert shelf.download(file) == content
    assert (shelf.file_count(), shelf.unfinished()) == (1, [])


@pytest.mark.parametrize("size", [1, 1000, 65_537, MIB - 1, MIB])
def test_where_frames_end_changes_nothing(shelf: Shelf, size: int) -> None:
    content = content_of(3 * MIB if size > 1 else 20_000)

    uploaded = shelf.send(content, shelf.draft(), frames=frames_of(content, size))

    assert shelf.download(uploaded.file) == content
    rows = sorted(shelf.rows(ContentChunk), key=lambda row: row.start_offset)
    assert [row.size_bytes for row in rows] == chunk_sizes(content)


def test_small_content_lies_in_its_row(shelf: Shelf) -> None:
    shelf.upload(content_of(16 * 1024))

    assert (shelf.packs(), shelf.rows(Chunk)) == ([], [])


def test_a_pack_is_ended_when_it_is_full(shelf: Shelf) -> None:
    shelf.blobs.pack_bytes = MIB
    content = content_of(3 * MIB + 1)

    uploaded = shelf.upload(content)

    sizes = sorted(pack.size_bytes for pack in shelf.rows(Pack))
    assert sorted(path.stat().st_size for path in shelf.packs()) == sizes
    assert (sum(sizes), min(sizes[1:]) >= MIB, max(sizes) < 2 * MIB) == (len(content), True, True)
    assert shelf.download(uploaded.file) == content


def test_the_same_upload_again_is_answered_as_at_first(shelf: Shelf) -> None:
    draft = shelf.draft(headers={"a": "1", "b": "2"})
    first = shelf.send(content_of(MIB), draft)

    again = open_upload(shelf.db, shelf.blobs, shelf.acme.everybody, replace(draft, headers={"b": "2", "a": "1"}))

    assert again.finished == first
    assert first.created
    assert shelf.file_count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"file_name": "b.js"},
        {"dist": "linux"},
        {"project": "web"},
        {"headers": {"a": "1"}},
        {"size_bytes": 3},
        {"sha256": hashlib.sha256(b"abc").digest()},
    ],
)
def test_an_upload_id_is_good_for_one_header(shelf: Shelf, change: dict[str, object]) -> None:
    draft = shelf.draft()
    shelf.send(b"abc", draft)

    with pytest.raises(RequestIdReused) as raised:
        open_upload(shelf.db, shelf.blobs, shelf.acme.everybody, replace(draft, **change))  # type: ignore[arg-type]

    assert raised.value.metadata == {"request_id": str(uuid.UUID(bytes=draft.upload_id))}


def test_a_later_stream_takes_an_upload_over(shelf: Shelf) -> None:
    draft, content = shelf.draft(), content_of(5 * MIB)
    with shelf.open_upload(draft) as slow:
        slow.write(content[: 3 * MIB], offset=0)
        first = shelf.send(content, draft)
        with pytest.raises(UploadTakenOver) as raised:
            slow.finish(size_bytes=3 * MIB, sha256=hashlib.sha256(content[: 3 * MIB]).digest())

    assert raised.value.metadata == {"upload_id": str(uuid.UUID(bytes=draft.upload_id))}
    assert shelf.download(first.file) == content
    assert (shelf.file_count(), shelf.unfinished(), shelf.rows(UploadChunk)) == (1, [], [])


def test_of_two_streams_that_begin_at_once_one_wins(shelf: Shelf) -> None:
    draft, content = shelf.draft(), content_of(MIB)
    with shelf.open_upload(draft) as one, shelf.open_upload(draft) as other:
        one.write(content, offset=0)  # this makes it known
        with pytest.raises(UploadTakenOver):
            other.write(content, offset=0)
        assert one.finish(size_bytes=MIB, sha256=hashlib.sha256(content).digest()).created


def test_two_small_streams_of_one_upload_make_one_file(shelf: Shelf) -> None:
    draft = shelf.draft()
    with shelf.open_upload(draft) as slow:
        slow.write(b"abc", offset=0)
        first = shelf.send(b"abc", draft)
        second = slow.finish(size_bytes=3, sha256=hashlib.sha256(b"abc").digest())

    assert second == first
    assert shelf.file_count() == 1


def test_two_streams_of_one_upload_with_other_bytes_do_not_get_one_answer(shelf: Shelf) -> None:
    draft, content = shelf.draft(), content_of(MIB)
    with shelf.open_upload(draft) as slow:
        slow.write(b"x", offset=0)
        shelf.send(content, draft)
        with pytest.raises(RequestIdReused):
            slow.finish(size_bytes=1, sha256=hashlib.sha256(b"x").digest())


def test_uploads_are_forgotten_after_a_day(shelf: Shelf, clock: ManualClock) -> None:
    draft = shelf.draft()
    first = shelf.send(b"abc", draft)
    clock.advance(seconds=24 * 3600 - 1)
    assert purge_uploads(shelf.db) == 0
    assert shelf.send(b"abc", draft).created

    clock.advance(seconds=1)
    again = shelf.send(b"abc", draft)

    assert (again.file, again.created) == (first.file, False)
    clock.advance(seconds=24 * 3600)
    assert purge_uploads(shelf.db) == 1
    assert shelf.rows(Upload) == []


def test_the_same_content_under_the_same_key_is_the_same_file(shelf: Shelf) -> None:
    content = content_of(MIB)
    first = shelf.upload(content, dist="linux")

    again = shelf.upload(content, dist="linux", headers={"other": "headers"})

    assert (again.file, again.created) == (first.file, False)
    assert (shelf.file_count(), len(shelf.packs())) == (1, 1)


@pytest.mark.parametrize("size", [10, MIB])
def test_other_content_under_the_same_key_is_refused(shelf: Shelf, size: int) -> None:
    first = shelf.upload(content_of(size))

    with pytest.raises(FileExists) as raised:
        shelf.upload(content_of(size, seed=1))

    assert raised.value.metadata == {"file_name": "app.js", "sha256": first.file.sha256.hex()}
    assert (shelf.file_count(), len(shelf.rows(Content)), len(shelf.packs())) == (1, 1, len(shelf.rows(Pack)))


def test_other_content_is_refused_before_it_travels_when_its_digest_is_announced(shelf: Shelf) -> None:
    shelf.upload(b"abc")

    with pytest.raises(FileExists):
        open_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft(sha256=hashlib.sha256(b"x").digest()))


def test_file_name_project_and_dist_together_tell_files_apart(shelf: Shelf) -> None:
    keys: list[dict[str, str]] = [{}, {"dist": "linux"}, {"project": "web"}, {"project": "web", "dist": "linux"}]

    files = [shelf.upload(str(number).encode(), **key).file for number, key in enumerate(keys)]

    assert [shelf.download(file) for file in files] == [b"0", b"1", b"2", b"3"]
    assert [(file.project, file.dist) for file in files] == [
        (None, ""),
        (None, "linux"),
        ("web", ""),
        ("web", "linux"),
    ]
    assert shelf.file_count() == 4


def test_content_is_kept_once_in_an_organization(shelf: Shelf) -> None:
    content = content_of(MIB)
    shelf.acme.release("app@2.0.0", "web")

    shelf.upload(content)
    shelf.upload(content, "copy.js", version="app@2.0.0")
    shelf.upload(content + b"more", "longer.js")

    assert len(shelf.rows(Content)) == 2
    sizes = chunk_sizes(content)
    assert len(shelf.rows(Chunk)) == len(sizes) + 1  # only the last one became another
    assert sorted(path.stat().st_size for path in shelf.packs()) == [sizes[-1] + 4, MIB]


def test_a_chunk_that_repeats_within_a_file_is_written_once(shelf: Shelf) -> None:
    content = bytes(9 * MIB) + b"end"

    uploaded = shelf.upload(content)

    assert [path.stat().st_size for path in shelf.packs()] == [MIB + 3]  # zeros are cut at the largest size
    assert shelf.download(uploaded.file) == content


def test_organizations_share_nothing(shelf: Shelf, database: Database) -> None:
    other = Acme(database, "web", slug="other")
    other.release("app@1.0.0", "web")
    content = content_of(MIB)
    shelf.upload(content)

    theirs = shelf.send(content, shelf.draft(organization="other"), access=other.everybody)

    assert theirs.created
    assert (len(shelf.rows(Content)), len(shelf.packs())) == (2, 2)
    assert {chunk.organization_id for chunk in shelf.rows(Chunk)} == {shelf.acme.id, other.id}


def test_parallel_uploads_of_one_content_all_succeed(shelf: Shelf) -> None:
    content = content_of(3 * MIB)

    with ThreadPoolExecutor(8) as pool:
        files = list(pool.map(lambda number: shelf.upload(content, f"{number}.bin").file, range(16)))

    assert [shelf.download(file) == content for file in files] == [True] * 16
    assert (shelf.file_count(), len(shelf.rows(Content)), len(shelf.rows(Chunk))) == (16, 1, len(chunk_sizes(content)))
    assert sorted(path.name for path in shelf.packs()) == sorted(pack.id.hex() for pack in shelf.rows(Pack))


def test_parallel_uploads_of_one_name_make_one_file(shelf: Shelf) -> None:
    content = content_of(20_000)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shelf.upload(content), range(16)))

    assert len({answer.file.id for answer in answers}) == 1
    assert [answer.created for answer in answers].count(True) == 1
    assert shelf.file_count() == 1
