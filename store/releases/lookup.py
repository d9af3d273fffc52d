"""Finding one release, for reading or for writing, within what the caller may see (behaviour.md, Access)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

from peewee import JOIN

from store.access import Access
from store.access.projects import ProjectRow, accessible_projects
from store.database import Database, Query, Reader, Transaction, hole, query_shape
from store.database.batches import batches, filled, holes
from store.errors import OrganizationNotFound, ReleaseNotFound
from store.organizations.lookup import find_organization
from store.organizations.models import Organization, OrganizationSlug, Project
from store.organizations.rows import ORGANIZATION_COLUMNS, OrganizationRow, organization_row
from store.releases.models import Release, ReleaseProject
from store.releases.rows import RELEASE_COLUMNS, ReleaseRow

# Deleted releases are told by their delete_time, too, so that no spelling of a version ever reaches one.
FIND_RELEASE: Final = Query(
    Release.select(*RELEASE_COLUMNS).where(
        Release.organization_id == hole(Release.organization_id),
        Release.version == hole(Release.version),
        Release.delete_time.is_null(),
    )
)

_BY_ID: Final = Query(Release.select(*RELEASE_COLUMNS).where(Release.id == hole(Release.id)))

_PROJECTS: Final = Query(
    ReleaseProject.select(Project.id, Project.slug)
    .join(Project, on=(Project.id == ReleaseProject.project_id))
    .where(ReleaseProject.release_id == hole(ReleaseProject.release_id))
    .order_by(Project.slug),
    row=ProjectRow,
)

# What `readable_release` asks, all at once: each round trip to PostgreSQL costs more than this query takes. A row a
# project; of an organization without that release, or a release without projects, one with NULL for what is not there.
# For a caller of one organization another's rows are not read: neither answer nor time tells what is there.
_JOINED: Final = (
    OrganizationSlug.select(*ORGANIZATION_COLUMNS, *RELEASE_COLUMNS, Project.id, Project.slug)
    .join(Organization, on=(Organization.id == OrganizationSlug.organization_id))
    .join(
        Release,
        JOIN.LEFT_OUTER,
        on=(
            (Release.organization_id == Organization.id)
            & (Release.version == hole(Release.version))
            & Release.delete_time.is_null()
        ),
    )
    .join(ReleaseProject, JOIN.LEFT_OUTER, on=(ReleaseProject.release_id == Release.id))
    .join(Project, JOIN.LEFT_OUTER, on=(Project.id == ReleaseProject.project_id))
    .where(OrganizationSlug.slug == hole(OrganizationSlug.slug), Organization.delete_time.is_null())
)
_READ_RELEASE: Final = Query(_JOINED)
_READ_OWN_RELEASE: Final = Query(
    _JOINED.where(OrganizationSlug.organization_id == hole(OrganizationSlug.organization_id))
)
_RELEASE: Final = len(ORGANIZATION_COLUMNS)
_PROJECT: Final = _RELEASE + len(RELEASE_COLUMNS)


def readable_release(reader: Reader | Database, access: Access, organization_slug: str, version: str) -> ReleaseRow:
    """The release, if the caller may access at least one of its projects.

    Raises `OrganizationNotFound`, `ReleaseNotFound`.
    """
    return release_within(reader, access, organization_slug, version)[1]


def release_within(
    reader: Reader | Database, access: Access, organization_slug: str, version: str
) -> tuple[OrganizationRow, ReleaseRow]:
    """The same, behind its organization."""
    asked = {"slug": organization_slug, "version": version}
    if access.organization_id is None:
        rows = reader.rows(_READ_RELEASE, **asked)
    else:
        rows = reader.rows(_READ_OWN_RELEASE, **asked, organization_id=access.organization_id)
    if not rows:
        raise OrganizationNotFound(organization_slug)
    organization = organization_row(*rows[0][:_RELEASE])
    columns = rows[0][_RELEASE:_PROJECT]
    if columns[0] is not None:
        projects = by_slug(ProjectRow(*row[_PROJECT:]) for row in rows if row[_PROJECT] is not None)
        if accessible_projects(access, organization).allows_any(project.id for project in projects):
            return organization, ReleaseRow(organization.slug, projects, *columns)
    raise ReleaseNotFound(organization.slug, version)


def writable_release(tx: Transaction, access: Access, organization_slug: str, version: str) -> ReleaseRow:
    """The release, locked until the transaction ends, if the caller may access all of its projects, at least one.

    Raises `OrganizationNotFound`, `ReleaseNotFound`.
    """
    organization = find_organization(tx, access, organization_slug)
    columns = tx.lock(FIND_RELEASE, organization_id=organization.id, version=version)
    if columns is not None:
        projects = attached_projects(tx, columns[0])
        if projects and not forbidden_projects(access, organization, projects):
            return ReleaseRow(organization.slug, projects, *columns)
    raise ReleaseNotFound(organization.slug, version)


def current_release(reader: Reader, release: ReleaseRow) -> ReleaseRow:
    """The same release read again, after something else of this transaction wrote counters of it."""
    columns = reader.row(FIND_RELEASE, organization_id=release.organization_id, version=release.version)
    if columns is None:
        raise ReleaseNotFound(release.organization_slug, release.version)
    return ReleaseRow(release.organization_slug, release.projects, *columns)


def release_by_id(reader: Reader, organization: OrganizationRow, release_id: bytes) -> ReleaseRow:
    """The release of this id, which the organization has."""
    return with_projects(reader, organization, reader.rows(_BY_ID, id=release_id))[0]


def attached_projects(reader: Reader, release_id: bytes) -> tuple[ProjectRow, ...]:
    """The projects of the release, by slug."""
    return tuple(reader.rows(_PROJECTS, release_id=release_id))


def forbidden_projects(
    access: Access, organization: OrganizationRow, projects: Iterable[ProjectRow]
) -> list[ProjectRow]:
    """Those of the projects that the caller may not access."""
    allowed = accessible_projects(access, organization)
    return [project for project in projects if not allowed.allows(project.id)]


def by_slug(projects: Iterable[ProjectRow]) -> tuple[ProjectRow, ...]:
    """The projects in the order in which releases name them."""
    return tuple(sorted(projects, key=attrgetter("slug")))


def with_projects(
    reader: Reader, organization: OrganizationRow, releases: Sequence[tuple[Any, ...]]
) -> list[ReleaseRow]:
    """Release rows made of columns as `RELEASE_COLUMNS` names them, in their order, with their projects."""
    projects: dict[bytes, list[ProjectRow]] = {columns[0]: [] for columns in releases}
    for batch in batches(list(projects)):
        for release_id, project_id, slug in reader.rows(_projects_of_many(len(batch)), **filled(batch)):
            projects[release_id].append(ProjectRow(project_id, slug))
    return [ReleaseRow(organization.slug, tuple(projects[columns[0]]), *columns) for columns in releases]


@query_shape
def _projects_of_many(count: int) -> Query[tuple[Any, ...]]:
    return Query(
        ReleaseProject.select(ReleaseProject.release_id, Project.id, Project.slug)
        .join(Project, on=(Project.id == ReleaseProject.project_id))
        .where(ReleaseProject.release_id.in_(holes(ReleaseProject.release_id, count)))
        .order_by(ReleaseProject.release_id, Project.slug)
    )
