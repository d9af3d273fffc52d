"""Putting a file into a release, from whichever door its content came (behaviour.md, Files)."""

from __future__ import annotations

from typing import Final

from store.access import Access
from store.access.projects import ProjectSlugText, QualifiedSlug, slugs_within
from store.blobs.claims import touch_content
from store.blobs.contents import ContentRow
from store.crashpoints import crashpoint
from store.database import Query, Reader, Statement, Transaction, hole, holes_for, new_id
from store.errors import FileExists, ProjectNotInRelease
from store.files.lookup import file_by_id, file_by_key
from store.files.models import NO_DIST, NO_PROJECT, ReleaseFile
from store.files.rows import FileDraft, FileRow, UploadDraft
from store.organizations.models import ProjectSlug
from store.quotas.charges import charge
from store.releases.activities import record_of_release
from store.releases.models import Release, ReleaseProject
from store.releases.rows import ReleaseRow
from store.text import folded_key

_PROJECT: Final = Query(
    ProjectSlug.select(ProjectSlug.project_id)
    .join(ReleaseProject, on=(ReleaseProject.project_id == ProjectSlug.project_id))
    .where(
        ProjectSlug.organization_id == hole(ProjectSlug.organization_id),
        ProjectSlug.slug == hole(ProjectSlug.slug),
        ReleaseProject.release_id == hole(ReleaseProject.release_id),
    )
)
_INSERT: Final = Statement(
    ReleaseFile.insert(
        holes_for(
            ReleaseFile.id,
            ReleaseFile.organization_id,
            ReleaseFile.release_id,
            ReleaseFile.file_name,
            ReleaseFile.project_id,
            ReleaseFile.dist,
            ReleaseFile.headers,
            ReleaseFile.content_id,
            ReleaseFile.kind,
            ReleaseFile.folded_name,
            ReleaseFile.create_time,
        )
    )
)
_DELETE: Final = Statement(ReleaseFile.delete().where(ReleaseFile.id == hole(ReleaseFile.id)))
_COUNT: Final = Statement(
    Release.update({Release.file_count: Release.file_count + hole(Release.file_count, "added")}).where(
        Release.id == hole(Release.id)
    )
)


def file_project(reader: Reader, release: ReleaseRow, name: ProjectSlugText | None) -> bytes:
    """The id of the release's project that the file is to belong to; NO_PROJECT when none is named.

    Raises ProjectNotInRelease. The caller may access all projects of the release: whoever writes there must.
    """
    if name is None:
        return NO_PROJECT
    organization_id = release.organization_id
    slug = slugs_within(reader, organization_id, [name]).get(name)
    found = (
        None
        if slug is None
        else reader.row(_PROJECT, organization_id=organization_id, slug=slug, release_id=release.id)
    )
    if found is None:
        asked = name if isinstance(name, QualifiedSlug) else QualifiedSlug(release.organization_slug, name)
        raise ProjectNotInRelease(asked.organization, asked.slug)
    project_id: bytes = found[0]
    return project_id


def standing_file(
    reader: Reader, release: ReleaseRow, draft: FileDraft, *, project_id: bytes, sha256: bytes
) -> FileRow | None:
    """The file that stands under the draft's key, which it is or is to replace.

    Raises FileExists when it has other content than this SHA-256 and the draft does not say replace.
    """
    file = file_by_key(reader, release, file_name=draft.file_name, project_id=project_id, dist=draft.dist or NO_DIST)
    if file is not None and file.sha256 != sha256 and not draft.replace:
        raise FileExists(file.file_name, file.sha256.hex())
    return file


def check_announced(reader: Reader, release: ReleaseRow, draft: UploadDraft, *, project_id: bytes) -> FileRow | None:
    """The file that stands under the draft's key before its bytes have come.

    Raises FileExists when the size or the SHA-256 that the draft announces is not that of this file, and the draft does
    not say replace: the bytes need not travel. `place_file` looks again.
    """
    file = file_by_key(reader, release, file_name=draft.file_name, project_id=project_id, dist=draft.dist or NO_DIST)
    if file is None or draft.replace:
        return file
    if draft.size_bytes not in (None, file.size_bytes) or draft.sha256 not in (None, file.sha256):
        raise FileExists(file.file_name, file.sha256.hex())
    return file


def place_file(
    tx: Transaction, access: Access, release: ReleaseRow, draft: FileDraft, *, project_id: bytes, content: ContentRow
) -> tuple[FileRow, bool]:
    """The file with this content under the draft's key, and whether it is new.

    The same content is the same file, whatever else the draft says. A file that takes another's place is a new one
    with a new uid: whoever reads on in the old one never gets bytes of both. Its content is the collector's, later.

    The release is locked (`writable_release`), project_id comes from `file_project`, and nothing can remove the content
    before this transaction ends: it was made or claimed in it. Raises FileExists.
    """
    standing = standing_file(tx, release, draft, project_id=project_id, sha256=content.sha256)
    if standing is not None:
        if standing.sha256 == content.sha256:
            return standing, False
        tx.run(_DELETE, id=standing.id)
        touch_content(tx, standing.content_id)
        crashpoint("file.old_one_out_of_rows")
    file_id = new_id()
    tx.run(
        _INSERT,
        id=file_id,
        organization_id=release.organization_id,
        release_id=release.id,
        file_name=draft.file_name,
        project_id=project_id,
        dist=draft.dist or NO_DIST,
        headers=dict(sorted(draft.headers.items())),
        content_id=content.id,
        kind=draft.kind,
        folded_name=folded_key(draft.file_name),
        create_time=tx.now,
    )
    if standing is None:
        tx.run(_COUNT, id=release.id, added=1)
        charge(tx, release.organization_id, file_count=1)
    created = file_by_id(tx, release, file_id)
    assert created is not None, "it was inserted just now, and its content exists"
    if standing is not None:
        _record_replaced(tx, access, release, standing, created)
    return created, True


def remove_file(tx: Transaction, release: ReleaseRow, file: FileRow) -> None:
    """The release, which is locked, has this file no longer. Its content is the collector's, a grace time from now:
    downloads under way go on."""
    tx.run(_DELETE, id=file.id)
    touch_content(tx, file.content_id)
    tx.run(_COUNT, id=release.id, added=-1)
    charge(tx, release.organization_id, file_count=-1)
    crashpoint("file.out_of_rows")


def _record_replaced(tx: Transaction, access: Access, release: ReleaseRow, before: FileRow, after: FileRow) -> None:
    projects = (after.project_id,) if after.project_id != NO_PROJECT else release.project_ids
    record_of_release(
        tx,
        access,
        release,
        "file_replaced",
        project_ids=projects,
        file_name=after.file_name,
        dist=after.dist,
        sha256=[before.sha256.hex(), after.sha256.hex()],
    )
