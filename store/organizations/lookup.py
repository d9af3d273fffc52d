"""Finding organizations and projects by the slugs they have or had, as a caller may see them."""

from __future__ import annotations

from dataclasses import dataclass

from store.access.access import Access
from store.access.projects import accessible_projects
from store.database import Query, Reader, hole
from store.errors import OrganizationNotFound, ProjectNotFound
from store.organizations.models import Organization, OrganizationSlug, Project, ProjectSlug


@dataclass(frozen=True, slots=True)
class OrganizationRow:
    """What every operation needs of an organization; display_name is the slug when nobody gave one. Times in
    microseconds UTC. debug_files_role and attachments_role are scopes, "" when nobody chose one."""

    id: bytes
    slug: str
    display_name: str
    open_membership: bool
    create_time: int
    update_time: int
    debug_files_role: str
    attachments_role: str


@dataclass(frozen=True, slots=True)
class ProjectDetails:
    """A project as stored; display_name is the slug when nobody gave one. Times in microseconds UTC."""

    id: bytes
    organization_id: bytes
    slug: str
    display_name: str
    platform: str
    create_time: int
    update_time: int


def organization_row(
    uid: bytes,
    slug: str,
    display_name: str,
    open_membership: bool,
    create_time: int,
    update_time: int,
    debug_files_role: str,
    attachments_role: str,
) -> OrganizationRow:
    """The row of an organization from its columns as stored, in the order of `ORGANIZATION_COLUMNS`."""
    return OrganizationRow(
        uid,
        slug,
        display_name or slug,
        open_membership,
        create_time,
        update_time,
        debug_files_role,
        attachments_role,
    )


def project_details(
    uid: bytes, organization_id: bytes, slug: str, display_name: str, platform: str, create_time: int, update_time: int
) -> ProjectDetails:
    """The details of a project from its columns as stored, in the order of `PROJECT_COLUMNS`."""
    return ProjectDetails(uid, organization_id, slug, display_name or slug, platform, create_time, update_time)


ORGANIZATION_COLUMNS = (
    Organization.id,
    Organization.slug,
    Organization.display_name,
    Organization.open_membership,
    Organization.create_time,
    Organization.update_time,
    Organization.debug_files_role,
    Organization.attachments_role,
)
PROJECT_COLUMNS = (
    Project.id,
    Project.organization_id,
    Project.slug,
    Project.display_name,
    Project.platform,
    Project.create_time,
    Project.update_time,
)

_ORGANIZATION_BY_SLUG = Query(
    OrganizationSlug.select(*ORGANIZATION_COLUMNS)
    .join(Organization, on=(Organization.id == OrganizationSlug.organization_id))
    .where(OrganizationSlug.slug == hole(OrganizationSlug.slug), Organization.delete_time.is_null()),
    row=organization_row,
)
_ORGANIZATION_BY_ID = Query(
    Organization.select(*ORGANIZATION_COLUMNS).where(Organization.id == hole(Organization.id)), row=organization_row
)
_PROJECT_BY_SLUG = Query(
    ProjectSlug.select(*PROJECT_COLUMNS)
    .join(Project, on=(Project.id == ProjectSlug.project_id))
    .where(
        ProjectSlug.organization_id == hole(ProjectSlug.organization_id),
        ProjectSlug.slug == hole(ProjectSlug.slug),
    ),
    row=project_details,
)


def find_organization(reader: Reader, access: Access, slug: str) -> OrganizationRow:
    """The organization that has this slug, or once had it.

    Raises `OrganizationNotFound` when there is none or when the caller's token belongs to another: both alike.
    """
    found = reader.row(_ORGANIZATION_BY_SLUG, slug=slug)
    if found is None or not access.reaches(found.id):
        raise OrganizationNotFound(slug)
    return found


def organization_of(reader: Reader, organization_id: bytes) -> OrganizationRow:
    """The organization with this id, which a row of the caller's refers to: it exists."""
    found = reader.row(_ORGANIZATION_BY_ID, id=organization_id)
    if found is None:
        raise LookupError(f"no organization {organization_id.hex()}")
    return found


def find_project(reader: Reader, access: Access, organization: OrganizationRow, slug: str) -> ProjectDetails:
    """The project of the organization that has this slug, or once had it.

    Raises `ProjectNotFound` when there is none or when the caller has no access to it: both alike.
    """
    found = reader.row(_PROJECT_BY_SLUG, organization_id=organization.id, slug=slug)
    if found is None or not accessible_projects(access, organization).allows(found.id):
        raise ProjectNotFound(organization.slug, slug)
    return found
