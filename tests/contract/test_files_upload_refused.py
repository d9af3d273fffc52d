"""Uploads that are refused or cut: why, and that nothing is left of them (behaviour.md, Files)."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from store.access import Access
from store.blobs.models import Chunk, Content, ContentChunk
from store.database import new_id
from store.errors import (
    BlobsDown,
    DigestMismatch,
    FileTooLarge,
    InvalidField,
    OffsetMismatch,
    OrganizationNotFound,
    ProjectNotInRelease,
    ReleaseNotFound,
    SizeMismatch,
)
from store.files.models import ReleaseFile
from store.releases.delete import delete_release
from store.releases.read import get_release
from store.uploads.streams import open_upload
from tests.contract.shelf import FRAME, Shelf, content_of, frames_of

MIB = 2**20


@pytest.mark.parametrize("size", [0, 100, 16 * 1024])
def test_a_small_upload_that_is_cut_leaves_nothing(shelf: Shelf, size: int) -> None:
    with open_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft()) as upload:
        for index, frame in enumerate(frames_of(content_of(size))):
            upload.write(frame, offset=None if index else 0)

    shelf.assert_nothing_kept()


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
        with open_upload(shelf.db, shelf.blobs, shelf.acme.everybody, draft) as upload:
            upload.write(content, offset=0)
            with pytest.raises(error):
                upload.finish(size_bytes=said_size, sha256=said_digest)

    shelf.assert_nothing_kept()


def test_the_first_byte_too_many_is_refused(shelf: Shelf) -> None:
    draft = shelf.draft(size_bytes=3)
    with open_upload(shelf.db, shelf.blobs, shelf.acme.everybody, draft) as upload:
        upload.write(b"abc", offset=0)
        with pytest.raises(SizeMismatch) as raised:
            upload.write(b"d", offset=3)

    assert raised.value.metadata == {"unit": "bytes", "expected": "3", "actual": "4"}


def test_too_large_a_file_is_refused_before_its_bytes_and_while_they_come(shelf: Shelf) -> None:
    shelf.blobs.max_content_bytes = 100_000
    with pytest.raises(FileTooLarge) as raised:
        open_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft(size_bytes=100_001))
    assert raised.value.metadata == {"max_bytes": "100000"}

    with pytest.raises(FileTooLarge):
        shelf.upload(content_of(100_001))
    shelf.assert_nothing_kept()
    assert shelf.upload(content_of(100_000), size_bytes=100_000).created


def test_the_first_data_says_its_offset_and_later_ones_go_on(shelf: Shelf) -> None:
    with open_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft()) as upload:
        with pytest.raises(InvalidField) as invalid:
            upload.write(b"abc", offset=None)
        assert invalid.value.metadata == {"field": "data.offset"}
    for offset in (1, 2**62):
        with open_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft()) as upload:
            with pytest.raises(OffsetMismatch) as mismatch:
                upload.write(b"abc", offset=offset)
            assert mismatch.value.metadata == {"committed_bytes": "0"}
    with open_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft()) as upload:
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
        open_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft(name))

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
        open_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft(**fields))

    assert raised.value.metadata == {"field": field}


def test_the_project_is_one_of_the_release(shelf: Shelf) -> None:
    for slug in ("cli", "missing"):
        with pytest.raises(ProjectNotInRelease) as raised:
            shelf.upload(b"abc", project=slug)
        assert raised.value.metadata == {"project": f"organizations/acme/projects/{slug}"}


def test_files_go_into_releases_all_of_whose_projects_the_caller_may_access(shelf: Shelf) -> None:
    outsider = Access(new_id(), new_id(), frozenset({"release:write"}), all_projects=True, project_ids=frozenset())

    def start(access: Access, **fields: str) -> None:  # refused before any byte travels
        open_upload(shelf.db, shelf.blobs, access, shelf.draft(**fields))

    with pytest.raises(ReleaseNotFound):
        start(shelf.acme.member_of("web"))
    with pytest.raises(ReleaseNotFound):
        start(shelf.acme.everybody, version="app@9.9.9")
    with pytest.raises(OrganizationNotFound):
        start(outsider)
    assert shelf.send(b"abc", shelf.draft(), access=shelf.acme.member_of("web", "api")).created


@pytest.mark.parametrize("anew", [False, True])
def test_a_release_deleted_meanwhile_gets_no_file(shelf: Shelf, anew: bool) -> None:
    content = content_of(MIB)
    with open_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft()) as upload:
        upload.write(content, offset=0)
        delete_release(shelf.db, shelf.acme.everybody, "acme", "app@1.0.0")
        if anew:
            shelf.acme.release("app@1.0.0", "web", "api")
        with pytest.raises(ReleaseNotFound):
            upload.finish(size_bytes=len(content), sha256=hashlib.sha256(content).digest())

    assert (shelf.rows(ReleaseFile), shelf.rows(Content), shelf.packs(), shelf.unfinished()) == ([], [], [], [])


def test_a_caller_who_loses_a_project_meanwhile_finishes_nothing(shelf: Shelf) -> None:
    caller = shelf.acme.member_of("web", "api")
    with open_upload(shelf.db, shelf.blobs, caller, shelf.draft()) as upload:
        upload.write(b"abc", offset=0)
        shelf.acme.release("app@1.0.0", "cli")
        with pytest.raises(ReleaseNotFound):
            upload.finish(size_bytes=3, sha256=hashlib.sha256(b"abc").digest())

    assert shelf.rows(ReleaseFile) == []


def test_no_connection_is_held_while_bytes_come(shelf: Shelf) -> None:
    uploads = [open_upload(shelf.db, shelf.blobs, shelf.acme.everybody, shelf.draft(f"{n}")) for n in range(20)]
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
    gone = shelf.rows(ContentChunk)[0].chunk_sha256
    with shelf.open_upload(shelf.draft("b.js")) as upload:
        upload.write(content + b"more", offset=0)
        write = shelf.db.write

        def lose_and_write(*args: Any, **options: Any) -> Any:
            write(lambda tx: tx.execute(Chunk.delete().where(Chunk.sha256 == gone)))
            return write(*args, **options)

        monkeypatch.setattr(shelf.db, "write", lose_and_write)
        with pytest.raises(BlobsDown):
            upload.finish(size_bytes=MIB + 4, sha256=hashlib.sha256(content + b"more").digest())

    assert len(shelf.rows(ReleaseFile)) == 1
