"""Uploading files: what goes in comes back, once, or nothing is kept at all (behaviour.md, Files)."""

from __future__ import annotations

import hashlib
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from store.access import Access
from store.blobs.models import Chunk, Content, ContentChunk, Pack
from store.blobs.writing import Received
from store.database import Database, new_id
from store.errors import (
    BlobsDown,
    DigestMismatch,
    FileExists,
    FileTooLarge,
    InvalidField,
    OffsetMismatch,
    OrganizationNotFound,
    ProjectNotInRelease,
    ReleaseNotFound,
    RequestIdReused,
    SizeMismatch,
)
from store.files.models import ReleaseFile, Upload
from store.files.uploads import purge_uploads, start_upload
from store.releases.delete import delete_release
from store.releases.read import get_release
from tests.clocks import START_US, ManualClock
from tests.contract.acme import Acme
from tests.contract.shelf import FRAME, Shelf, content_of, frames_of

MIB = 2**20
NOTHING_KEPT = (ReleaseFile, Upload, Content, ContentChunk, Chunk, Pack)


def file_count(shelf: Shelf) -> int:
    return get_release(shelf.db, shelf.acme.everybody, "acme", "app@1.0.0").release.file_count


def assert_nothing_kept(shelf: Shelf) -> None:
    assert [model for model in NOTHING_KEPT if shelf.rows(model)] == []
    assert (shelf.packs(), shelf.unfinished(), file_count(shelf)) == ([], [], 0)


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
    assert (file_count(shelf), shelf.unfinished()) == (1, [])


@pytest.mark.parametrize("size", [1, 1000, 65_537, MIB - 1, MIB])
def test_where_frames_end_changes_nothing(shelf: Shelf, size: int) -> None:
    content = content_of(3 * MIB if size > 1 else 20_000)

    uploaded = shelf.send(content, shelf.draft(), frames=frames_of(content, size))

    assert shelf.download(uploaded.file) == content
    assert len(shelf.rows(ContentChunk)) == -(-len(content) // FRAME)


def test_small_content_lies_in_its_row(shelf: Shelf) -> None:
    shelf.upload(content_of(16 * 1024))

    assert (shelf.packs(), shelf.rows(Chunk)) == ([], [])


def test_a_pack_is_ended_when_it_is_full(shelf: Shelf) -> None:
    shelf.blobs.pack_bytes = MIB
    content = content_of(3 * MIB + 1)

    uploaded = shelf.upload(content)

    assert sorted(path.stat().st_size for path in shelf.packs()) == [1, MIB, MIB, MIB]
    assert sorted(pack.size_bytes for pack in shelf.rows(Pack)) == [1, MIB, MIB, MIB]
    assert shelf.download(uploaded.file) == content


def test_the_same_upload_again_is_answered_as_at_first(shelf: Shelf) -> None:
    draft = shelf.draft(headers={"a": "1", "b": "2"})
    first = shelf.send(content_of(MIB), draft)

    again = start_upload(shelf.db, shelf.blobs, shelf.acme.everybody, replace(draft, headers={"b": "2", "a": "1"}))

    assert again.finished == first
    assert first.created
    assert file_count(shelf) == 1


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
        start_upload(shelf.db, shelf.blobs, shelf.acme.everybody, replace(draft, **change))  # type: ignore[arg-type]

    assert raised.value.metadata == {"request_id": str(uuid.UUID(bytes=draft.upload_id))}


def test_two_streams_of_one_upload_make_one_file(shelf: Shelf) -> None:
    draft, content = shelf.draft(), content_of(MIB)
    with start_upload(shelf.db, shelf.blobs, shelf.acme.everybody, draft) as slow:
        slow.write(content, offset=0)
        first = shelf.send(content, draft)
        second = slow.finish(size_bytes=len(content), sha256=hashlib.sha256(content).digest())

    assert second == first
    assert (file_count(shelf), len(shelf.packs()), shelf.unfinished()) == (1, 1, [])


def test_two_streams_of_one_upload_with_other_bytes_do_not_get_one_answer(shelf: Shelf) -> None:
    draft, content = shelf.draft(), content_of(MIB)
    with start_upload(shelf.db, shelf.blobs, shelf.acme.everybody, draft) as slow:
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
    assert (file_count(shelf), len(shelf.packs())) == (1, 1)


@pytest.mark.parametrize("size", [10, MIB])
def test_other_content_under_the_same_key_is_refused(shelf: Shelf, size: int) -> None:
    first = shelf.upload(content_of(size))

    with pytest.raises(FileExists) as raised:
        shelf.upload(content_of(size, seed=1))

    assert raised.value.metadata == {"file_name": "app.js", "sha256": first.file.sha256.hex()}
    assert (file_count(shelf), len(shelf.rows(Content)), len(shelf.packs())) == (1, 1, len(shelf.rows(Pack)))


def test_other_content_is_refused_before_it_travels_when_its_digest_is_announced(shelf: Shelf) -> None:
    shelf.upload(b"abc")

    with pytest.raises(FileExists):
        start_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft(sha256=hashlib.sha256(b"x").digest()))


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
    assert file_count(shelf) == 4


def test_content_is_kept_once_in_an_organization(shelf: Shelf) -> None:
    content = content_of(MIB)
    shelf.acme.release("app@2.0.0", "web")

    shelf.upload(content)
    shelf.upload(content, "copy.js", version="app@2.0.0")
    shelf.upload(content + b"more", "longer.js")

    assert len(shelf.rows(Content)) == 2
    assert len(shelf.rows(Chunk)) == 5
    assert sorted(path.stat().st_size for path in shelf.packs()) == [4, MIB]


def test_a_chunk_that_repeats_within_a_file_is_written_once(shelf: Shelf) -> None:
    content = bytes(9 * MIB) + b"end"

    uploaded = shelf.upload(content)

    assert [path.stat().st_size for path in shelf.packs()] == [FRAME + 3]
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
    assert (file_count(shelf), len(shelf.rows(Content)), len(shelf.rows(Chunk))) == (16, 1, 12)
    assert sorted(path.name for path in shelf.packs()) == sorted(pack.id.hex() for pack in shelf.rows(Pack))


def test_parallel_uploads_of_one_name_make_one_file(shelf: Shelf) -> None:
    content = content_of(20_000)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shelf.upload(content), range(16)))

    assert len({answer.file.id for answer in answers}) == 1
    assert [answer.created for answer in answers].count(True) == 1
    assert file_count(shelf) == 1


@pytest.mark.parametrize("size", [0, 100, 5 * MIB])
def test_an_upload_that_is_cut_leaves_nothing(shelf: Shelf, size: int) -> None:
    with start_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft()) as upload:
        for index, frame in enumerate(frames_of(content_of(size))):
            upload.write(frame, offset=None if index else 0)

    assert_nothing_kept(shelf)


@pytest.mark.parametrize("size", [100, 5 * MIB])
def test_a_wrong_size_or_digest_leaves_nothing(shelf: Shelf, size: int) -> None:
    content = content_of(size)
    digest = hashlib.sha256(content).digest()
    wrong = hashlib.sha256(b"other").digest()

    for draft, said_size, said_digest, error in [
        (shelf.draft(), size + 1, digest, SizeMismatch),
        (shelf.draft(), size - 1, digest, SizeMismatch),
        (shelf.draft(size_bytes=size + 1), size, digest, SizeMismatch),
        (shelf.draft(), size, wrong, DigestMismatch),
        (shelf.draft(sha256=wrong), size, digest, DigestMismatch),
    ]:
        with start_upload(shelf.db, shelf.blobs, shelf.acme.everybody, draft) as upload:
            upload.write(content, offset=0)
            with pytest.raises(error):
                upload.finish(size_bytes=said_size, sha256=said_digest)

    assert_nothing_kept(shelf)


def test_the_first_byte_too_many_is_refused(shelf: Shelf) -> None:
    draft = shelf.draft(size_bytes=3)
    with start_upload(shelf.db, shelf.blobs, shelf.acme.everybody, draft) as upload:
        upload.write(b"abc", offset=0)
        with pytest.raises(SizeMismatch) as raised:
            upload.write(b"d", offset=3)

    assert raised.value.metadata == {"expected": "3", "actual": "4"}


def test_too_large_a_file_is_refused_before_its_bytes_and_while_they_come(shelf: Shelf) -> None:
    shelf.blobs.max_content_bytes = 100_000
    with pytest.raises(FileTooLarge) as raised:
        start_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft(size_bytes=100_001))
    assert raised.value.metadata == {"max_bytes": "100000"}

    with pytest.raises(FileTooLarge):
        shelf.upload(content_of(100_001))
    assert_nothing_kept(shelf)
    assert shelf.upload(content_of(100_000), size_bytes=100_000).created


def test_the_first_data_says_its_offset_and_later_ones_go_on(shelf: Shelf) -> None:
    with start_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft()) as upload:
        with pytest.raises(InvalidField) as invalid:
            upload.write(b"abc", offset=None)
        assert invalid.value.metadata == {"field": "data.offset"}
    for offset in (1, 2**62):
        with start_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft()) as upload:
            with pytest.raises(OffsetMismatch) as mismatch:
                upload.write(b"abc", offset=offset)
            assert mismatch.value.metadata == {"committed_bytes": "0"}
    with start_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft()) as upload:
        upload.write(b"abc", offset=0)
        upload.write(b"d", offset=3)
        upload.write(b"e", offset=None)
        for offset in (0, 4, 6):
            with pytest.raises(OffsetMismatch):
                upload.write(b"f", offset=offset)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "line\nbreak",
        "nul\0",
        "a/tab\tb",
        "dir/back\\slash",
        "back\\slash",
        "C:\\dir/app.js",
        "\x7f",
        "x\u2028y",
        "é" * 512 + "x",
    ],
)
def test_names_that_are_refused(shelf: Shelf, name: str) -> None:
    with pytest.raises(InvalidField) as raised:
        start_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft(name))

    assert raised.value.metadata == {"field": "header.file_name"}


@pytest.mark.parametrize(
    "name",
    ["file", "~/static/app.js?x=1#y", "../../etc/passwd", "é" * 512, " ", "日本語.txt", "a//b/"],
)
def test_names_are_data_and_come_back_as_they_are(shelf: Shelf, name: str) -> None:
    file = shelf.upload(b"abc", name).file

    assert (file.file_name, shelf.names()) == (name, [name])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"dist": "x" * 65}, "header.dist"),
        ({"dist": "a\nb"}, "header.dist"),
        ({"headers": {str(number): "" for number in range(65)}}, "header.headers"),
        ({"headers": {"": "x"}}, "header.headers"),
        ({"headers": {"x" * 129: ""}}, "header.headers"),
        ({"headers": {"x": "y" * 1025}}, "header.headers"),
        ({"headers": {"x": "a\r\nb"}}, "header.headers"),
    ],
)
def test_other_fields_that_are_refused(shelf: Shelf, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as raised:
        start_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft(**fields))

    assert raised.value.metadata == {"field": field}


def test_the_project_is_one_of_the_release(shelf: Shelf) -> None:
    for slug in ("cli", "missing"):
        with pytest.raises(ProjectNotInRelease) as raised:
            shelf.upload(b"abc", project=slug)
        assert raised.value.metadata == {"project": f"organizations/acme/projects/{slug}"}


def test_files_go_into_releases_all_of_whose_projects_the_caller_may_access(shelf: Shelf) -> None:
    outsider = Access(new_id(), new_id(), frozenset({"release:write"}), all_projects=True, project_ids=frozenset())

    with pytest.raises(ReleaseNotFound):
        shelf.send(b"abc", shelf.draft(), access=shelf.acme.member_of("web"))
    with pytest.raises(ReleaseNotFound):
        shelf.upload(b"abc", version="app@9.9.9")
    with pytest.raises(OrganizationNotFound):
        shelf.send(b"abc", shelf.draft(), access=outsider)
    assert shelf.send(b"abc", shelf.draft(), access=shelf.acme.member_of("web", "api")).created


@pytest.mark.parametrize("anew", [False, True])
def test_a_release_deleted_meanwhile_gets_no_file(shelf: Shelf, anew: bool) -> None:
    content = content_of(MIB)
    with start_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft()) as upload:
        upload.write(content, offset=0)
        delete_release(shelf.db, shelf.acme.everybody, "acme", "app@1.0.0")
        if anew:
            shelf.acme.release("app@1.0.0", "web", "api")
        with pytest.raises(ReleaseNotFound):
            upload.finish(size_bytes=len(content), sha256=hashlib.sha256(content).digest())

    assert (shelf.rows(ReleaseFile), shelf.rows(Content), shelf.packs(), shelf.unfinished()) == ([], [], [], [])


def test_a_caller_who_loses_a_project_meanwhile_finishes_nothing(shelf: Shelf) -> None:
    caller = shelf.acme.member_of("web", "api")
    with start_upload(shelf.db, shelf.blobs, caller, shelf.draft()) as upload:
        upload.write(b"abc", offset=0)
        shelf.acme.release("app@1.0.0", "cli")
        with pytest.raises(ReleaseNotFound):
            upload.finish(size_bytes=3, sha256=hashlib.sha256(b"abc").digest())

    assert shelf.rows(ReleaseFile) == []


def test_no_connection_is_held_while_bytes_come(shelf: Shelf) -> None:
    uploads = [start_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft(f"{n}")) for n in range(20)]
    for upload in uploads:
        upload.__enter__().write(content_of(FRAME), offset=0)

    assert shelf.names() == []  # on PostgreSQL there are at most eight connections

    digest = hashlib.sha256(content_of(FRAME)).digest()
    for upload in uploads:
        assert upload.finish(size_bytes=FRAME, sha256=digest).created
        upload.__exit__(None, None, None)
    assert len(shelf.names()) == 20


def test_files_change_no_other_counter_and_no_etag(shelf: Shelf) -> None:
    before = get_release(shelf.db, shelf.acme.everybody, "acme", "app@1.0.0").release

    shelf.upload(b"abc")

    after = get_release(shelf.db, shelf.acme.everybody, "acme", "app@1.0.0").release
    assert after == replace(before, file_count=1)


def test_a_chunk_that_vanished_meanwhile_is_not_referenced(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    content = content_of(MIB)
    shelf.upload(content)
    with start_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft("b.js")) as upload:
        upload.write(content + b"more", offset=0)
        publish = shelf.blobs.publish

        def publish_and_lose(received: Received) -> None:
            publish(received)
            gone = received.chunk_at(0).sha256
            shelf.db.write(lambda tx: tx.execute(Chunk.delete().where(Chunk.sha256 == gone)))

        monkeypatch.setattr(shelf.blobs, "publish", publish_and_lose)
        with pytest.raises(BlobsDown):
            upload.finish(size_bytes=MIB + 4, sha256=hashlib.sha256(content + b"more").digest())

    assert len(shelf.rows(ReleaseFile)) == 1
