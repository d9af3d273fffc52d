"""One release as one of its projects has it: what is beside it there, and what there is to count."""

from __future__ import annotations

from dataclasses import dataclass, replace

from store.access import Access
from store.access.projects import ProjectRow, ProjectSet, ProjectSlugText, accessible_projects
from store.commits.changes import ChangedFileCount, changed_file_count
from store.database import Database, Reader
from store.errors import ReleaseNotFound
from store.health.in_lists import NO_HEALTH, HealthWanted, check_scope, told_in_projects
from store.health.series import session_bounds
from store.organizations.lookup import find_named_project
from store.organizations.rows import OrganizationRow
from store.releases.details import ReleaseDetails, basic_details_of, release_details
from store.releases.in_projects import InProjectRow, in_projects, with_health
from store.releases.lookup import release_within
from store.releases.rows import ReleaseRow, sort_time_of
from store.search.filters import ReleaseFilter, Scope
from store.search.neighbours import Neighbours, neighbours
from store.search.resolve import resolve


@dataclass(frozen=True, slots=True)
class ProjectView:
    """How a release stands in a project. come_time is when it was released or, if it never was, created; sessions are
    when its first and its last session there began, as far as is known; microseconds UTC."""

    in_project: InProjectRow
    beside: Neighbours
    come_time: int
    changed_files: ChangedFileCount
    sessions: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class ReleaseSeenFromProject:
    """A release, and how it stands in the project that was asked for."""

    details: ReleaseDetails
    view: ProjectView


def get_release_in_project(
    db: Database,
    access: Access,
    organization_slug: str,
    version: str,
    project: ProjectSlugText,
    wanted: ReleaseFilter,
    *,
    contents: bool = True,
    health: HealthWanted = NO_HEALTH,
) -> ReleaseSeenFromProject:
    """The release, with what is in it unless `contents` is false, and how it stands in one of its projects, with what
    is asked for of its health there.

    The releases beside it are sought among those of the project that `wanted` asks for; its own projects count for
    nothing. Looks at 10,000 releases at most for each of them, and at 50,000 changed files.

    Raises `OrganizationNotFound`; `ProjectNotFound` (also when the project is not the caller's); `ReleaseNotFound`
    (also when the release is not of the project); `QueryInvalid`; `ScopeMissing` where what sessions say is told, and
    the caller lacks health:read.
    """
    check_scope(access, health)

    def read(reader: Reader) -> ReleaseSeenFromProject:
        organization, release = release_within(reader, access, organization_slug, version)
        found = find_named_project(reader, access, organization, project)
        if found.id not in release.project_ids:
            raise ReleaseNotFound(organization.slug, version)
        scope = resolve(
            reader, access, organization_slug, replace(wanted, projects=(project,)), now_us=db.clock.now_us()
        )
        in_project = _in_project(reader, release, scope, health)
        pair = found.id, release.version
        view = ProjectView(
            in_project,
            neighbours(reader, scope, release.id),
            sort_time_of(release),
            changed_file_count(reader, release.id) if release.commit_count else ChangedFileCount(0, is_least=False),
            session_bounds(reader, (pair,), scope.environments).get(pair),
        )
        details = _details(reader, access, organization, release, found, contents=contents)
        if not health.nothing:
            details = replace(details, in_projects=(in_project,))
        return ReleaseSeenFromProject(details, view)

    return db.read(read)


def _in_project(reader: Reader, release: ReleaseRow, scope: Scope, health: HealthWanted) -> InProjectRow:
    rows = in_projects(reader, (release,), scope.projects)[release.id]
    if not health.nothing:
        told = told_in_projects(
            reader,
            (release,),
            scope.projects,
            health,
            environments=scope.environments,
            environment_ids=scope.environment_ids,
            now_us=scope.now_us,
        )
        rows = with_health(rows, release.id, told)
    return rows[0]


def _details(
    reader: Reader,
    access: Access,
    organization: OrganizationRow,
    release: ReleaseRow,
    project: ProjectRow,
    *,
    contents: bool,
) -> ReleaseDetails:
    if not contents:
        return basic_details_of(reader, (release,))[0]
    shown = ProjectSet(everything=False, ids=frozenset([project.id]))
    return release_details(reader, release, accessible_projects(access, organization), shown=shown)
