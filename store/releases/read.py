"""Reading one release, and the one before it."""

from __future__ import annotations

from typing import Any, Final

from store.access import Access
from store.access.projects import accessible_projects
from store.database import Database, Query, Reader, hole
from store.organizations.lookup import find_organization
from store.releases.details import ReleaseDetails, release_details
from store.releases.lookup import readable_release, with_projects
from store.releases.models import Release, ReleaseProject
from store.releases.rows import RELEASE_COLUMNS, ReleaseRow

_NEWEST_BEFORE: Final = Query(
    ReleaseProject.select(ReleaseProject.sort_time, ReleaseProject.release_id)
    .where(
        ReleaseProject.project_id == hole(ReleaseProject.project_id),
        ReleaseProject.commit_count > 0,
        ReleaseProject.sort_time < hole(ReleaseProject.sort_time),
    )
    .order_by(ReleaseProject.sort_time.desc(), ReleaseProject.release_id.desc())
    .limit(1)
)

_BY_ID: Final = Query(Release.select(*RELEASE_COLUMNS).where(Release.id == hole(Release.id)))


def get_release(
    db: Database, access: Access, organization_slug: str, version: str, *, contents: bool = True
) -> ReleaseDetails:
    """The release; with what is in it, unless `contents` is false.

    Raises `OrganizationNotFound`, `ReleaseNotFound` (also when none of its projects is the caller's).
    """

    def read(reader: Reader) -> ReleaseDetails:
        release = readable_release(reader, access, organization_slug, version)
        return release_details(reader, release) if contents else ReleaseDetails(release, None)

    return db.read(read)


def get_previous_release(db: Database, access: Access, organization_slug: str, version: str) -> ReleaseDetails | None:
    """The release with commits that came last before this one, among the releases of those of this one's projects
    that the caller may access; None when there is none.

    A release came when it was released or, if it never was, when it was created; what came at the same microsecond is
    not before. Archived releases count: their commits were released all the same.

    Raises `OrganizationNotFound`, `ReleaseNotFound`.
    """

    def read(reader: Reader) -> ReleaseDetails | None:
        release = readable_release(reader, access, organization_slug, version)
        previous = _previous(reader, access, release)
        return None if previous is None else release_details(reader, previous)

    return db.read(read)


def _previous(reader: Reader, access: Access, release: ReleaseRow) -> ReleaseRow | None:
    organization = find_organization(reader, access, release.organization_slug)
    allowed = accessible_projects(access, organization)
    sort_time = release.create_time if release.release_time is None else release.release_time
    found: list[tuple[Any, ...]] = []
    for project_id in release.project_ids:
        if allowed.allows(project_id):
            found += reader.rows(_NEWEST_BEFORE, project_id=project_id, sort_time=sort_time)
    if not found:
        return None
    _, release_id = max(found)
    return with_projects(reader, organization, reader.rows(_BY_ID, id=release_id))[0]
