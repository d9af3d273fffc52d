"""Reading one release, and the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from store.access import Access
from store.access.projects import accessible_projects
from store.database import Database, Query, Reader, hole
from store.deploys.current import ran_before
from store.deploys.environments import environment_ids
from store.health.in_lists import NO_HEALTH, HealthWanted, check_scope, told_in_projects
from store.releases.details import NOTHING, ReleaseDetails, basic_details_of, has_contents, release_details
from store.releases.in_projects import in_projects, never_deployed, with_health
from store.releases.lookup import release_by_id, release_within
from store.releases.models import ReleaseProject
from store.releases.rows import ReleaseRow, sort_time_of

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
    db: Database,
    access: Access,
    organization_slug: str,
    version: str,
    *,
    contents: bool = True,
    health: HealthWanted = NO_HEALTH,
    environments: Sequence[str] = (),
) -> ReleaseDetails:
    """The release; with what is in it, unless `contents` is false, and with what is asked for of its health in its
    projects, in these environments, in all where there are none.

    Raises `OrganizationNotFound`, `ReleaseNotFound` (also when none of its projects is the caller's); `ScopeMissing`
    where what sessions say is told, and the caller lacks health:read.
    """
    if not health.nothing:
        return _release_with_health(db, access, organization_slug, version, contents, health, environments)
    # A single statement needs no transaction, and many releases hold nothing; what others hold is read with them anew.
    organization, release = release_within(db, access, organization_slug, version)
    if not contents and not release.label_count:
        return ReleaseDetails(release, None)
    if not has_contents(release):
        faring = never_deployed(release.projects, accessible_projects(access, organization))
        return ReleaseDetails(release, NOTHING, in_projects=faring)

    def read(reader: Reader) -> ReleaseDetails:
        organization, release = release_within(reader, access, organization_slug, version)
        if not contents:
            return basic_details_of(reader, (release,))[0]
        return release_details(reader, release, accessible_projects(access, organization))

    return db.read(read)


def _release_with_health(
    db: Database,
    access: Access,
    organization_slug: str,
    version: str,
    contents: bool,
    health: HealthWanted,
    environments: Sequence[str],
) -> ReleaseDetails:
    check_scope(access, health)

    def read(reader: Reader) -> ReleaseDetails:
        organization, release = release_within(reader, access, organization_slug, version)
        allowed = accessible_projects(access, organization)
        if contents:
            details = release_details(reader, release, allowed)
        else:
            details = basic_details_of(reader, (release,))[0]
        told = told_in_projects(
            reader,
            (release,),
            allowed,
            health,
            environments=environments,
            environment_ids=environment_ids(reader, organization.id, environments).values() if environments else None,
            now_us=db.clock.now_us(),
        )
        faring = in_projects(reader, (release,), allowed)[release.id]
        return replace(details, in_projects=with_health(faring, release.id, told))

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
        organization, release = release_within(reader, access, organization_slug, version)
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


def _came_before(reader: Reader, release: ReleaseRow, project_ids: Sequence[bytes]) -> bytes | None:
    sort_time = sort_time_of(release)
    found: list[tuple[Any, ...]] = []
    for project_id in project_ids:
        found += reader.rows(_NEWEST_BEFORE, project_id=project_id, sort_time=sort_time)
    return max(found)[1] if found else None
