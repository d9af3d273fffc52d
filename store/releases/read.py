"""Reading one release, and the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from store.access import Access
from store.access.projects import EVERY_PROJECT, ProjectSet, accessible_projects, member_projects
from store.database import Database, Query, Reader, hole
from store.deploys.current import ran_before
from store.deploys.environments import environment_ids
from store.organizations.lookup import find_organization
from store.releases.details import NOTHING, ReleaseDetails, has_contents, release_details
from store.releases.lookup import readable_release, release_by_id
from store.releases.models import ReleaseProject
from store.releases.rows import ReleaseRow

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


def get_release(
    db: Database, access: Access, organization_slug: str, version: str, *, contents: bool = True
) -> ReleaseDetails:
    """The release; with what is in it, unless `contents` is false.

    Raises `OrganizationNotFound`, `ReleaseNotFound` (also when none of its projects is the caller's).
    """
    # A single statement needs no transaction, and many releases hold nothing; what others hold is read with them anew.
    release = readable_release(db, access, organization_slug, version)
    if not contents:
        return ReleaseDetails(release, None)
    if not has_contents(release):
        return ReleaseDetails(release, NOTHING)

    def read(reader: Reader) -> ReleaseDetails:
        release = readable_release(reader, access, organization_slug, version)
        return release_details(reader, release, _shown_deploys(reader, access, release))

    return db.read(read)


def get_previous_release(
    db: Database, access: Access, organization_slug: str, version: str, *, environment: str | None = None
) -> ReleaseDetails | None:
    """The release with commits that came last before this one, among the releases of those of this one's projects
    that the caller may access; None when there is none.

    With an environment: the other release of these projects that was deployed there last before this one's newest
    deploy there; when this one was never deployed there, the one that runs there now.

    A release came when it was released or, if it never was, when it was created; what came at the same microsecond is
    not before. Archived releases count: their commits were released all the same.

    Raises `OrganizationNotFound`, `ReleaseNotFound`.
    """

    def read(reader: Reader) -> ReleaseDetails | None:
        release = readable_release(reader, access, organization_slug, version)
        organization = find_organization(reader, access, release.organization_slug)
        allowed = accessible_projects(access, organization)
        project_ids = [project_id for project_id in release.project_ids if allowed.allows(project_id)]
        if environment is None:
            previous_id = _came_before(reader, release, project_ids)
        else:
            environment_id = environment_ids(reader, organization.id, [environment]).get(environment)
            previous_id = (
                None if environment_id is None else ran_before(reader, release.id, project_ids, environment_id)
            )
        if previous_id is None:
            return None
        return release_details(reader, release_by_id(reader, organization, previous_id), allowed)

    return db.read(read)


def _shown_deploys(reader: Reader, access: Access, release: ReleaseRow) -> ProjectSet:
    """The projects of which a deploy is shown to the caller; looked up only where that can make a difference."""
    if release.last_deploy_id is None or member_projects(access).everything:
        return EVERY_PROJECT
    return accessible_projects(access, find_organization(reader, access, release.organization_slug))


def _came_before(reader: Reader, release: ReleaseRow, project_ids: Sequence[bytes]) -> bytes | None:
    sort_time = release.create_time if release.release_time is None else release.release_time
    found: list[tuple[Any, ...]] = []
    for project_id in project_ids:
        found += reader.rows(_NEWEST_BEFORE, project_id=project_id, sort_time=sort_time)
    return max(found)[1] if found else None
