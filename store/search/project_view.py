"""One release as one of its projects has it: what is beside it there, and what there is to count."""

from __future__ import annotations

from dataclasses import dataclass, replace

from store.access import Access
from store.access.projects import ProjectRow, ProjectSet, ProjectSlugText, accessible_projects
from store.commits.changes import ChangedFileCount, changed_file_count
from store.database import Database, Reader
from store.errors import ReleaseNotFound
from store.organizations.lookup import find_named_project
from store.organizations.rows import OrganizationRow
from store.releases.details import ReleaseDetails, basic_details_of, release_details
from store.releases.in_projects import InProjectRow, in_projects
from store.releases.lookup import release_within
from store.releases.rows import ReleaseRow, sort_time_of
from store.search.filters import ReleaseFilter
from store.search.neighbours import Neighbours, neighbours
from store.search.resolve import resolve


@dataclass(frozen=True, slots=True)
class ProjectView:
    """How a release stands in a project. come_time is when it was released or, if it never was, created; microseconds
    UTC."""

    in_project: InProjectRow
    beside: Neighbours
    come_time: int
    changed_files: ChangedFileCount


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
) -> ReleaseSeenFromProject:
    """The release, with what is in it unless `contents` is false, and how it stands in one of its projects.

    The releases beside it are sought among those of the project that `wanted` asks for; its own projects count for
    nothing. Looks at 10,000 releases at most for each of them, and at 50,000 changed files.

    Raises `OrganizationNotFound`; `ProjectNotFound` (also when the project is not the caller's); `ReleaseNotFound`
    (also when the release is not of the project); `QueryInvalid`.
    """

    def read(reader: Reader) -> ReleaseSeenFromProject:
        organization, release = release_within(reader, access, organization_slug, version)
        found = find_named_project(reader, access, organization, project)
        if found.id not in release.project_ids:
            raise ReleaseNotFound(organization.slug, version)
        scope = resolve(
            reader, access, organization_slug, replace(wanted, projects=(project,)), now_us=db.clock.now_us()
        )
        view = ProjectView(
            in_projects(reader, (release,), scope.projects)[release.id][0],
            neighbours(reader, scope, release.id),
            sort_time_of(release),
            changed_file_count(reader, release.id) if release.commit_count else ChangedFileCount(0, is_least=False),
        )
        return ReleaseSeenFromProject(_details(reader, access, organization, release, found, contents=contents), view)

    return db.read(read)


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
