"""Files of content that the organization has: created, replaced, and told apart (behaviour.md, Files)."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from store.access import Access
from store.activity.models import Activity
from store.blobs.models import Chunk, Content, Pack
from store.database import Database
from store.errors import (
    ChunkLost,
    ContentUnknown,
    FileExists,
    FileNotFound,
    InvalidField,
    ProjectNotInRelease,
    ReleaseNotFound,
    ScopeMissing,
)
from store.files.create import create_file
from store.files.list import list_files
from store.files.models import ReleaseFile
from store.files.names import FileNameIssue
from store.files.rows import FileDraft, FileKind, UploadedFile
from store.organizations.models import Organization
from store.paging import PageRequest
from tests.blobs.harm import flip_bit
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.contract.shelf import Shelf, content_of

MIB = 2**20


def draft(file_name: str = "copy.js", **fields: Any) -> FileDraft:
    return FileDraft(**{"organization": "acme", "version": "app@1.0.0", "file_name": file_name, **fields})


def create(shelf: Shelf, content: bytes, draft: FileDraft, *, access: Access | None = None) -> UploadedFile:
    made: UploadedFile = create_file(shelf.db, access or shelf.acme.everybody, draft, hashlib.sha256(content).digest())
    return made


def issues(shelf: Shelf, file_name: str, *, access: Access | None = None) -> tuple[FileNameIssue, ...]:
    """What the list tells of the one file of this name."""
    page = list_files(
        shelf.db,
        access or shelf.acme.everybody,
        organization="acme",
        version="app@1.0.0",
        page=PageRequest(1000),
    )
    (file,) = [file for file in page.items if file.file_name == file_name]
    return file.name_issues


@pytest.mark.parametrize("size", [0, 1000, 3 * MIB])
def test_known_content_makes_a_file_without_a_byte(shelf: Shelf, size: int) -> None:
    content = content_of(size)
    shelf.upload(content, "first.js")

    made = create(
        shelf, content, draft(project="web", dist="linux", headers={"b": "2", "a": "1"}, kind=FileKind.DEBUG_FILE)
    )

    file = made.file
    assert made.created
    assert (file.file_name, file.project, file.dist) == ("copy.js", "web", "linux")
    assert (file.headers, file.kind, file.size_bytes) == ({"a": "1", "b": "2"}, FileKind.DEBUG_FILE, size)
    assert shelf.download(file) == content
    assert (shelf.file_count(), len(shelf.rows(Content))) == (2, 1)


def test_the_same_content_again_is_the_same_file(shelf: Shelf) -> None:
    shelf.upload(b"abc", "first.js")
    first = create(shelf, b"abc", draft(headers={"a": "1"}))

    again = create(shelf, b"abc", draft(headers={"b": "2"}, kind=FileKind.ATTACHMENT, replace=True))

    assert (again.file, again.created) == (first.file, False)
    assert shelf.file_count() == 2
    assert shelf.acme.activities("web")[-1][0] != "file_replaced"


def test_unknown_content_of_others_and_lost_content_look_alike(shelf: Shelf, database: Database) -> None:
    other = Acme(database, "web", slug="other")
    other.release("app@1.0.0", "web")
    theirs, lost = content_of(MIB, seed=1), content_of(MIB, seed=2)
    shelf.send(theirs, shelf.draft(organization="other"), access=other.everybody)
    shelf.upload(lost, "lost.js")
    shelf.db.write(lambda tx: tx.execute(Chunk.delete().where(Chunk.organization_id == shelf.acme.id)))

    for content in (theirs, lost, b"never seen"):
        with pytest.raises(ContentUnknown) as raised:
            create(shelf, content, draft())
        assert raised.value.metadata == {"sha256": hashlib.sha256(content).hexdigest()}
    assert shelf.file_count() == 1


@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_content_that_was_read_wrongly_is_asked_for_and_mended_by_its_upload(shelf: Shelf, size: int) -> None:
    content = content_of(size)
    file = shelf.upload(content).file
    if size <= 16 * 1024:
        shelf.db.write(lambda tx: tx.execute(Content.update(inline_data=b"x" * size)))
    else:
        (pack,) = shelf.rows(Pack)
        flip_bit(shelf.blobs.packs, pack.id, pack.size_bytes - 1)
    with pytest.raises(ChunkLost):
        shelf.download(file)

    with pytest.raises(ContentUnknown):
        create(shelf, content, draft())
    assert shelf.upload(content, "copy.js").created

    assert shelf.download(file) == content
    assert create(shelf, content, draft("third.js")).created


def test_creating_from_content_marks_it_as_used(shelf: Shelf, clock: ManualClock) -> None:
    shelf.upload(b"abc")
    clock.advance(seconds=3600)

    create(shelf, b"abc", draft())

    (content,) = shelf.rows(Content)
    assert content.touched_at == clock.now_us()


@pytest.mark.parametrize("access", ["nobody", "web"])
def test_only_who_may_write_the_release_creates(shelf: Shelf, access: str) -> None:
    shelf.upload(b"abc")
    caller = shelf.acme.member_of(*([] if access == "nobody" else [access]))

    with pytest.raises(ReleaseNotFound):
        create(shelf, b"abc", draft(), access=caller)


@pytest.mark.parametrize("project", ["cli", "nobody-has-this"])
def test_a_project_that_is_not_the_releases_is_refused(shelf: Shelf, project: str) -> None:
    shelf.upload(b"abc")

    with pytest.raises(ProjectNotInRelease):
        create(shelf, b"abc", draft(project=project))


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("file.file_name", {"file_name": ""}),
        ("file.file_name", {"file_name": "a\\b"}),
        ("file.dist", {"dist": "a\nb"}),
        ("file.dist", {"dist": "x" * 65}),
        ("file.headers", {"headers": {"": "x"}}),
        ("file.headers", {"headers": {"x": "a\rb"}}),
        ("file.headers", {"headers": {str(number): "" for number in range(65)}}),
    ],
)
def test_bad_fields_are_named(shelf: Shelf, field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidField) as raised:
        create(shelf, b"abc", draft(**{"file_name": "a", **fields}))

    assert raised.value.metadata == {"field": field}


def test_other_content_is_refused_unless_it_replaces(shelf: Shelf, clock: ManualClock) -> None:
    old = shelf.upload(b"old", "app.js", dist="x", headers={"a": "1"}).file
    shelf.upload(b"new", "other.js")
    clock.advance(seconds=5)

    with pytest.raises(FileExists) as raised:
        create(shelf, b"new", draft("app.js", dist="x"))
    assert raised.value.metadata == {"file_name": "app.js", "sha256": hashlib.sha256(b"old").hexdigest()}
    made = create(shelf, b"new", draft("app.js", dist="x", replace=True))

    assert made.created
    assert (made.file.id == old.id, made.file.headers, made.file.create_time) == (False, {}, clock.now_us())
    assert shelf.download(made.file) == b"new"
    with pytest.raises(FileNotFound):
        shelf.download(old)
    assert shelf.file_count() == 2
    # Its grace time begins now: whoever reads the old file can finish.
    touched = {row.sha256: row.touched_at for row in shelf.rows(Content)}
    assert touched[hashlib.sha256(b"old").digest()] == clock.now_us()


@pytest.mark.parametrize("replaces", [False, True])
def test_of_many_at_once_one_stands(shelf: Shelf, replaces: bool) -> None:
    contents = [b"%d" % number for number in range(8)]
    for content in contents:
        shelf.upload(content, f"{content.decode()}.js")

    def attempt(content: bytes) -> UploadedFile | None:
        try:
            return create(shelf, content, draft("app.js", replace=replaces))
        except FileExists:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [uploaded for uploaded in pool.map(attempt, contents) if uploaded is not None]

    assert len(made) == (8 if replaces else 1)
    assert all(uploaded.created for uploaded in made)
    (standing,) = [row for row in shelf.rows(ReleaseFile) if row.file_name == "app.js"]
    assert standing.id in {uploaded.file.id for uploaded in made}
    assert shelf.file_count() == 9


@pytest.mark.parametrize(("project", "told"), [(None, {"web", "api"}), ("web", {"web"})])
def test_replacing_is_an_activity_of_the_files_projects(shelf: Shelf, project: str | None, told: set[str]) -> None:
    shelf.upload(b"old", "app.js", project=project)
    shelf.upload(b"new", "other.js")

    create(shelf, b"new", draft("app.js", project=project, replace=True))

    rows = [row for row in shelf.rows(Activity) if row.kind == "file_replaced"]
    assert {row.project_id for row in rows} == {shelf.acme.projects[slug] for slug in told}
    digests = [hashlib.sha256(data).hexdigest() for data in (b"old", b"new")]
    for row in rows:
        assert row.data == {"version": "app@1.0.0", "file_name": "app.js", "dist": "", "sha256": digests}
        assert (row.subject, row.caller) == ("app@1.0.0", "ci")


def test_an_upload_may_replace_too(shelf: Shelf) -> None:
    old = shelf.upload(content_of(MIB), "app.js").file

    new = shelf.upload(b"new", "app.js", replace=True)

    assert new.created
    assert new.file.id != old.id
    assert shelf.names() == ["app.js"]
    assert shelf.file_count() == 1
    assert [row.kind for row in shelf.rows(Activity)].count("file_replaced") == 2


@pytest.mark.parametrize(
    ("kind", "column"),
    [(FileKind.DEBUG_FILE, Organization.debug_files_role), (FileKind.ATTACHMENT, Organization.attachments_role)],
)
def test_an_organization_may_ask_for_more_to_download_a_kind(shelf: Shelf, kind: FileKind, column: Any) -> None:
    file = shelf.upload(b"abc", kind=kind).file
    plain = shelf.upload(b"abc", "plain.js").file
    reader = Access(b"t" * 16, shelf.acme.id, frozenset({"release:read"}), all_projects=True, project_ids=frozenset())
    assert shelf.download(file, access=reader) == b"abc"

    shelf.db.write(lambda tx: tx.execute(Organization.update({column: "org:admin"})))

    with pytest.raises(ScopeMissing) as raised:
        shelf.download(file, access=reader)
    assert raised.value.metadata == {"scope": "org:admin"}
    assert shelf.download(plain, access=reader) == b"abc"
    assert shelf.download(file) == b"abc"


def test_names_that_differ_in_case_or_form_only_collide(shelf: Shelf) -> None:
    first = shelf.upload(b"1", "lib/App.js")
    assert first.file.name_issues == ()

    second = shelf.upload(b"2", "lib/app.JS")
    alone = shelf.upload(b"3", "lib/app.ts")
    same = shelf.upload(b"3", "lib/app.ts", dist="x")
    shelf.acme.release("app@2.0.0", "web")
    elsewhere = shelf.upload(b"4", "lib/APP.TS", version="app@2.0.0")

    assert second.file.name_issues == (FileNameIssue.COLLISION,)
    with shelf.open(first.file) as opened:
        assert opened.file.name_issues == (FileNameIssue.COLLISION,)
    for uploaded in (alone, same, elsewhere):
        assert uploaded.file.name_issues == ()


def test_a_collision_with_what_the_caller_cannot_see_is_not_told(shelf: Shelf) -> None:
    shelf.upload(b"1", "a", project="api")
    shelf.upload(b"2", "A", project="web")

    told = {caller: issues(shelf, "A", access=shelf.acme.member_of(*caller)) for caller in (("web",), ("web", "api"))}

    assert told == {("web",): (), ("web", "api"): (FileNameIssue.COLLISION,)}


def test_the_longest_folded_names_are_kept_and_found(shelf: Shelf) -> None:
    for name in ("\ufdfa" * 341, "\ufdfa" * 340 + "x", "日本語" * 113, "😀" * 256):
        shelf.upload(b"", name)

    assert len(shelf.rows(ReleaseFile)) == 4
    assert issues(shelf, "日本語" * 113) == (FileNameIssue.LENGTH,)
