"""Renaming files, changing their headers and deleting them (behaviour.md, Files)."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest

from store.access import Access
from store.blobs.models import Content
from store.database import Terms, new_id
from store.errors import FileExists, FileNotFound, InvalidField, ReleaseNotFound
from store.files.change import FileChanges, delete_file, update_file
from store.files.lookup import get_file
from store.files.models import ReleaseFile
from store.files.names import FileNameIssue
from store.files.rows import FileRow
from store.releases.delete import delete_release
from store.releases.drain import drain_deleted_releases
from store.text import folded_key
from tests.clocks import ManualClock
from tests.contract.shelf import Shelf, content_of

MIB = 2**20


def change(shelf: Shelf, file: FileRow, *, access: Access | None = None, **fields: Any) -> FileRow:
    """Change just these fields."""
    changed: FileRow = update_file(
        shelf.db,
        access or shelf.acme.everybody,
        organization=file.organization,
        version=file.version,
        file_id=file.id,
        changes=FileChanges(frozenset(fields), **fields),
    )
    return changed


def delete(
    shelf: Shelf, file: FileRow, *, access: Access | None = None, terms: Terms[None, None] | None = None
) -> None:
    delete_file(
        shelf.db,
        access or shelf.acme.everybody,
        organization=file.organization,
        version=file.version,
        file_id=file.id,
        terms=terms or Terms(),
    )


def stored(shelf: Shelf, file: FileRow, *, access: Access | None = None) -> FileRow:
    return get_file(
        shelf.db,
        access or shelf.acme.everybody,
        organization=file.organization,
        version=file.version,
        file_id=file.id,
    )


def test_a_file_is_renamed_and_stays_itself(shelf: Shelf) -> None:
    file = shelf.upload(content_of(MIB), "App.js", project="web", dist="x", headers={"a": "1"}).file

    renamed = change(shelf, file, file_name="Bpp.js")

    assert renamed == replace(file, file_name="Bpp.js") == stored(shelf, file)
    assert shelf.download(renamed) == content_of(MIB)
    (row,) = shelf.rows(ReleaseFile)
    assert row.folded_name == folded_key("Bpp.js")


def test_headers_are_replaced_as_a_whole_and_cleared(shelf: Shelf) -> None:
    file = shelf.upload(b"abc", headers={"a": "1", "b": "2"}).file

    assert change(shelf, file, headers={"c": "3"}).headers == {"c": "3"}
    assert change(shelf, file, headers={}).headers == {}
    assert stored(shelf, file) == replace(file, headers={})


def test_nothing_named_changes_nothing(shelf: Shelf) -> None:
    file = shelf.upload(b"abc", headers={"a": "1"}).file

    assert change(shelf, file) == file
    assert change(shelf, file, file_name=file.file_name) == file


def test_a_name_that_another_file_has_is_refused_whatever_is_in_it(shelf: Shelf) -> None:
    file = shelf.upload(b"abc", "a").file
    shelf.upload(b"abc", "b")
    shelf.upload(b"abc", "c", dist="x")

    with pytest.raises(FileExists) as raised:
        change(shelf, file, file_name="b")
    assert raised.value.metadata == {"file_name": "b", "sha256": file.sha256.hex()}
    assert change(shelf, file, file_name="c").file_name == "c"


def test_a_renamed_file_collides_by_its_new_name(shelf: Shelf) -> None:
    file, other = shelf.upload(b"abc", "a").file, shelf.upload(b"abc", "b").file

    assert change(shelf, file, file_name="B").name_issues == (FileNameIssue.COLLISION,)
    assert stored(shelf, other).name_issues == (FileNameIssue.COLLISION,)
    assert change(shelf, file, file_name="c").name_issues == ()
    assert stored(shelf, other).name_issues == ()


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("file.file_name", {"file_name": ""}),
        ("file.file_name", {"file_name": "a\nb"}),
        ("file.file_name", {"file_name": "x" * 1025}),
        ("file.headers", {"headers": {"a": "x" * 1025}}),
    ],
)
def test_bad_fields_are_named(shelf: Shelf, field: str, fields: dict[str, Any]) -> None:
    file = shelf.upload(b"abc").file

    with pytest.raises(InvalidField) as raised:
        change(shelf, file, **fields)

    assert raised.value.metadata == {"field": field}
    assert stored(shelf, file) == file


def test_a_deleted_file_is_gone_and_its_name_is_free(shelf: Shelf, clock: ManualClock) -> None:
    file = shelf.upload(b"abc").file
    shelf.upload(b"abc", "other")
    clock.advance(seconds=60)

    delete(shelf, file)

    assert (shelf.names(), shelf.file_count()) == (["other"], 1)
    for again in (delete, stored, change):
        with pytest.raises(FileNotFound):
            again(shelf, file)
    # Its grace time begins now: whoever reads it can finish.
    assert [row.touched_at for row in shelf.rows(Content)] == [clock.now_us()]
    assert shelf.upload(b"new").created


def test_the_contents_of_a_deleted_release_have_their_grace_time(shelf: Shelf, clock: ManualClock) -> None:
    for name in ("a", "b"):
        shelf.upload(name.encode(), name)
    clock.advance(seconds=60)
    delete_release(shelf.db, shelf.acme.everybody, "acme", "app@1.0.0")
    clock.advance(seconds=60)

    drain_deleted_releases(shelf.db)

    assert shelf.rows(ReleaseFile) == []
    assert [row.touched_at for row in shelf.rows(Content)] == [clock.now_us()] * 2


def test_a_download_goes_on_when_its_file_is_deleted(shelf: Shelf) -> None:
    content = content_of(12 * MIB)
    file = shelf.upload(content).file

    with shelf.open(file) as opened:
        got = next(opened.data)
        delete(shelf, file)
        assert got + b"".join(opened.data) == content


def test_a_validated_deletion_deletes_nothing(shelf: Shelf) -> None:
    file = shelf.upload(b"abc").file

    delete(shelf, file, terms=Terms(validate_only=True))

    assert stored(shelf, file) == file
    assert shelf.file_count() == 1


def test_what_is_not_the_callers_to_write_looks_as_if_it_were_not_there(shelf: Shelf) -> None:
    file = shelf.upload(b"abc", project="web").file
    shelf.acme.release("app@2.0.0", "web")
    web = shelf.acme.member_of("web")

    for attempt in (delete, change):
        with pytest.raises(ReleaseNotFound):
            attempt(shelf, file, access=web)
        with pytest.raises(FileNotFound) as raised:
            attempt(shelf, replace(file, version="app@2.0.0"), access=web)
        name = f"organizations/acme/releases/app@2.0.0/files/{uuid.UUID(bytes=file.id)}"
        assert raised.value.metadata == {"name": name}
        with pytest.raises(FileNotFound):
            attempt(shelf, replace(file, id=new_id()))
    assert stored(shelf, file, access=web) == file
    with pytest.raises(FileNotFound):
        stored(shelf, shelf.upload(b"abc", project="api").file, access=web)
