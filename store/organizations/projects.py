"""Creating, reading and changing projects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from store.access.access import Access
from store.access.projects import accessible_projects
from store.database import PLAIN, Database, Query, Reader, Statement, Terms, Transaction, hole, holes_for, new_id
from store.errors import ProjectExists, ProjectNotFound
from store.organizations.lookup import find_organization, find_project
from store.organizations.models import Project, ProjectSlug
from store.organizations.organizations import lock_organization
from store.organizations.project_cache import ProjectCache, projects_of
from store.organizations.rows import PROJECT_COLUMNS, OrganizationRow, ProjectDetails, project_details
from store.organizations.slugs import check_slug
from store.paging import Page, PageRequest, page_of, paged

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class ProjectDraft:
    """A project to create. An empty display_name means that the slug is shown."""

    slug: str
    display_name: str = ""
    platform: str = ""
    manual_releases: bool = False


@dataclass(frozen=True, slots=True)
class ProjectChanges:
    """What to change of a project; None leaves as it is, empty text clears (but never the slug)."""

    slug: str | None = None
    display_name: str | None = None
    platform: str | None = None
    manual_releases: bool | None = None


# What these verbs answer: the project, and the organization that its name begins with.
ProjectInOrganization = tuple[OrganizationRow, ProjectDetails]

_STORED_BY_ID = Query(Project.select(*PROJECT_COLUMNS).where(Project.id == hole(Project.id)), row=ProjectDetails)
_INSERT = Statement(Project.insert(holes_for(*PROJECT_COLUMNS)))
_UPDATE = Statement(
    Project.update(
        holes_for(Project.slug, Project.display_name, Project.platform, Project.manual_releases, Project.update_time)
    ).where(Project.id == hole(Project.id))
)
_CLAIM_SLUG = Statement(
    ProjectSlug.insert(holes_for(ProjectSlug.organization_id, ProjectSlug.slug, ProjectSlug.project_id)).on_conflict(
        action="nothing", conflict_target=[ProjectSlug.organization_id, ProjectSlug.slug]
    )
)
_SLUG_OWNER = Query(
    ProjectSlug.select(ProjectSlug.project_id).where(
        ProjectSlug.organization_id == hole(ProjectSlug.organization_id), ProjectSlug.slug == hole(ProjectSlug.slug)
    )
)


def create_project(
    db: Database,
    access: Access,
    organization: str,
    draft: ProjectDraft,
    terms: Terms[ProjectInOrganization, M] = PLAIN,
) -> M:
    """Create a project in the organization with this slug.

    The calling token does not become a member of it, unless it is one of all projects: what a token may reach is
    decided when it is created, never by what it does later. Raises `OrganizationNotFound`, `InvalidField` for a bad
    slug, `ProjectExists` when the slug is, or ever was, another project's; of calls at once for one slug, one succeeds.
    """
    check_slug(draft.slug, field="project.slug")
    return db.write(lambda tx: _create(tx, access, organization, draft), terms)


def get_project(db: Database, access: Access, organization: str, slug: str) -> ProjectInOrganization:
    """The project that has this slug, or once had it. Raises `OrganizationNotFound`, `ProjectNotFound`."""

    def read(reader: Reader) -> ProjectInOrganization:
        found = find_organization(reader, access, organization)
        return found, find_project(reader, access, found, slug)

    return db.read(read)


def list_projects(
    db: Database, access: Access, organization: str, request: PageRequest
) -> tuple[OrganizationRow, Page[ProjectDetails]]:
    """A page of the projects that the caller has access to, by slug. Raises `OrganizationNotFound`."""

    def read(reader: Reader) -> tuple[OrganizationRow, Page[ProjectDetails]]:
        found = find_organization(reader, access, organization)
        query = Project.select(*PROJECT_COLUMNS).where(Project.organization_id == found.id)
        accessible = accessible_projects(access, found)
        if not accessible.everything:
            query = query.where(Project.id.in_(sorted(accessible.ids)))
        rows = reader.fetch(paged(query, request, [Project.slug]).tuples())
        return found, page_of([project_details(*row) for row in rows], request, lambda row: (row.slug,))

    return db.read(read)


def update_project(
    db: Database,
    access: Access,
    organization: str,
    slug: str,
    changes: ProjectChanges,
    terms: Terms[ProjectInOrganization, M] = PLAIN,
) -> M:
    """Change a project that the caller has access to; without a change nothing is written and update_time stays.

    The old slug stays an alias for ever, and may be taken back by its owner. Raises `OrganizationNotFound`,
    `ProjectNotFound`, `InvalidField` for a bad new slug, `ProjectExists` when that is, or ever was, another's.
    """
    if changes.slug is not None:
        check_slug(changes.slug, field="project.slug")
    projects = projects_of(db)
    return db.write(lambda tx: _update(tx, access, organization, slug, changes, projects), terms)


def _create(tx: Transaction, access: Access, organization: str, draft: ProjectDraft) -> ProjectInOrganization:
    parent = lock_organization(tx, access, organization)
    project_id = new_id()
    if not tx.run(_CLAIM_SLUG, organization_id=parent.id, slug=draft.slug, project_id=project_id):
        raise ProjectExists(draft.slug)
    tx.run(
        _INSERT,
        id=project_id,
        organization_id=parent.id,
        slug=draft.slug,
        display_name=draft.display_name,
        platform=draft.platform,
        manual_releases=draft.manual_releases,
        create_time=tx.now,
        update_time=tx.now,
    )
    texts = (draft.slug, draft.display_name, draft.platform)
    return parent, project_details(project_id, parent.id, *texts, draft.manual_releases, tx.now, tx.now)


def _update(
    tx: Transaction,
    access: Access,
    organization: str,
    slug: str,
    changes: ProjectChanges,
    projects: ProjectCache,
) -> ProjectInOrganization:
    parent = find_organization(tx, access, organization)
    stored = tx.lock(_STORED_BY_ID, id=find_project(tx, access, parent, slug).id)
    if stored is None:
        raise ProjectNotFound(parent.slug, slug)
    changed = replace(
        stored,
        slug=stored.slug if changes.slug is None else changes.slug,
        display_name=stored.display_name if changes.display_name is None else changes.display_name,
        platform=stored.platform if changes.platform is None else changes.platform,
        manual_releases=stored.manual_releases if changes.manual_releases is None else changes.manual_releases,
    )
    if changed != stored:
        changed = replace(changed, update_time=tx.now)
        if changed.slug != stored.slug and not tx.run(
            _CLAIM_SLUG, organization_id=parent.id, slug=changed.slug, project_id=stored.id
        ):
            owner = tx.row(_SLUG_OWNER, organization_id=parent.id, slug=changed.slug)
            if owner is None or owner[0] != stored.id:
                raise ProjectExists(changed.slug)
        tx.run(
            _UPDATE,
            id=changed.id,
            slug=changed.slug,
            display_name=changed.display_name,
            platform=changed.platform,
            manual_releases=changed.manual_releases,
            update_time=changed.update_time,
        )
        tx.after_commit(lambda: projects.forget(stored.id))
    return parent, replace(changed, display_name=changed.display_name or changed.slug)
