"""Finding organizations and projects by the slugs they have or had, as a caller may see them."""

from __future__ import annotations

from store.access.access import Access
from store.access.projects import (
    ProjectRow,
    ProjectSlugText,
    QualifiedSlug,
    accessible_projects,
    projects_named,
)
from store.database import Query, Reader, hole
from store.errors import OrganizationNotFound, ProjectNotFound
from store.organizations.models import Organization, OrganizationSlug, Project, ProjectSlug
from store.organizations.rows import (
    ORGANIZATION_COLUMNS,
    PROJECT_COLUMNS,
    OrganizationRow,
    ProjectDetails,
    organization_row,
    project_details,
)

_ORGANIZATION_BY_SLUG = Query(
    OrganizationSlug.select(*ORGANIZATION_COLUMNS)
    .join(Organization, on=(Organization.id == OrganizationSlug.organization_id))
    .where(OrganizationSlug.slug == hole(OrganizationSlug.slug), Organization.delete_time.is_null()),
    row=organization_row,
)
# For a caller of one organization another's rows are not read: neither answer nor time tells that it is there.
_OWN_ORGANIZATION_BY_SLUG = Query(
    OrganizationSlug.select(*ORGANIZATION_COLUMNS)
    .join(Organization, on=(Organization.id == OrganizationSlug.organization_id))
    .where(
        OrganizationSlug.slug == hole(OrganizationSlug.slug),
        OrganizationSlug.organization_id == hole(OrganizationSlug.organization_id),
        Organization.delete_time.is_null(),
    ),
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
    if access.organization_id is None:
        found = reader.row(_ORGANIZATION_BY_SLUG, slug=slug)
    else:
        found = reader.row(_OWN_ORGANIZATION_BY_SLUG, slug=slug, organization_id=access.organization_id)
    if found is None:
        raise OrganizationNotFound(slug)
    return found


def organization_of(reader: Reader, organization_id: bytes) -> OrganizationRow:
    """The organization with this id, which a row of the caller's refers to: it exists."""
    found = reader.row(_ORGANIZATION_BY_ID, id=organization_id)
    if found is None:
        raise LookupError(f"no organization {organization_id.hex()}")
    return found


def find_named_project(
    reader: Reader, access: Access, organization: OrganizationRow, name: ProjectSlugText
) -> ProjectRow:
    """The project that is named so in a call about something else. Raises `ProjectNotFound` as `find_project` does."""
    found = projects_named(reader, organization.id, [name]).get(name)
    if found is None or not accessible_projects(access, organization).allows(found.id):
        asked = name if isinstance(name, QualifiedSlug) else QualifiedSlug(organization.slug, name)
        raise ProjectNotFound(asked.organization, asked.slug)
    return found


def find_project(reader: Reader, access: Access, organization: OrganizationRow, slug: str) -> ProjectDetails:
    """The project of the organization that has this slug, or once had it.

    Raises `ProjectNotFound` when there is none or when the caller has no access to it: both alike.
    """
    found = reader.row(_PROJECT_BY_SLUG, organization_id=organization.id, slug=slug)
    if found is None or not accessible_projects(access, organization).allows(found.id):
        raise ProjectNotFound(organization.slug, slug)
    return found
