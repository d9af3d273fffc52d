"""Deleting projects and organizations: gone at once, what hangs on them goes bit by bit (see `drain`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from store.access import Access
from store.access.models import Token
from store.activity.record import record_activity
from store.crashpoints import crashpoint
from store.database import PLAIN, Database, Query, Reader, Statement, Terms, Transaction, hole, holes_for
from store.database.terms import M
from store.errors import HasChildren, OrganizationNotFound, ProjectNotFound, RegistryError
from store.organizations.drain import drain_deleted_organizations, drain_deleted_projects
from store.organizations.lookup import find_organization, find_project
from store.organizations.models import DrainingProject, Organization, Project
from store.organizations.project_cache import ProjectCache, projects_of
from store.organizations.rows import ORGANIZATION_COLUMNS, organization_row
from store.releases.models import Release, ReleaseProject

AT_ONCE_SECONDS: Final = 1.0
"""How long a call goes on to drain what it deleted: of all but the largest, nothing is left when it answers."""

MOST_COUNTED: Final = 10_000
"""Children are counted up to here; a refusal tells of more only that they are more."""

_LOCK_PROJECT: Final = Query(Project.select(Project.id, Project.slug).where(Project.id == hole(Project.id)))
_DELETE_PROJECT: Final = Statement(Project.delete().where(Project.id == hole(Project.id)))
_QUEUE_PROJECT: Final = Statement(
    DrainingProject.insert(
        holes_for(DrainingProject.project_id, DrainingProject.organization_id, DrainingProject.delete_time)
    )
)
_RELEASES_OF_PROJECT: Final = Query(
    ReleaseProject.select(ReleaseProject.release_id)
    .where(ReleaseProject.project_id == hole(ReleaseProject.project_id))
    .limit(MOST_COUNTED + 1)
)

_LOCK_ORGANIZATION: Final = Query(
    Organization.select(*ORGANIZATION_COLUMNS).where(
        Organization.id == hole(Organization.id), Organization.delete_time.is_null()
    ),
    row=organization_row,
)
# The picture is let go of at once: the collector asks every row here before it removes a content.
_MARK_ORGANIZATION: Final = Statement(
    Organization.update(
        {Organization.delete_time: hole(Organization.delete_time), Organization.avatar_content_id: None}
    ).where(Organization.id == hole(Organization.id))
)
_REVOKE_TOKENS: Final = Statement(
    Token.update({Token.revoke_time: hole(Token.revoke_time)}).where(
        Token.organization_id == hole(Token.organization_id), Token.revoke_time.is_null()
    )
)
_PROJECTS_OF_ORGANIZATION: Final = Query(
    Project.select(Project.id).where(Project.organization_id == hole(Project.organization_id)).limit(MOST_COUNTED + 1)
)
_RELEASES_OF_ORGANIZATION: Final = Query(
    Release.select(Release.id)
    .where(Release.organization_id == hole(Release.organization_id), Release.delete_time.is_null())
    .limit(MOST_COUNTED + 1)
)


def delete_project(
    db: Database,
    access: Access,
    organization: str,
    slug: str,
    *,
    force: bool = False,
    terms: Terms[None, M] = PLAIN,
) -> M:
    """Delete a project that the caller has access to. Its slugs are never given to another.

    With `force` also one that has releases: it is taken from them, files that were its own go, and releases that had no
    other project are deleted. Raises `OrganizationNotFound`, `ProjectNotFound`, `HasChildren`.
    """
    projects = projects_of(db)
    answer = db.write(lambda tx: _delete_project(tx, access, organization, slug, force, projects), terms)
    crashpoint("project.deleted")
    if not terms.validate_only:
        _begin(drain_deleted_projects, db)
    return answer


def delete_organization(
    db: Database, access: Access, slug: str, *, force: bool = False, terms: Terms[None, M] = PLAIN
) -> M:
    """Delete an organization; its tokens end with it. Its slugs are never given to another.

    With `force` also one that has projects or releases, with all of them. Raises `OrganizationNotFound`, `HasChildren`.
    """
    projects = projects_of(db)
    answer = db.write(lambda tx: _delete_organization(tx, access, slug, force, projects), terms)
    crashpoint("organization.deleted")
    if not terms.validate_only:
        _begin(drain_deleted_organizations, db)
    return answer


def _delete_project(
    tx: Transaction, access: Access, organization: str, slug: str, force: bool, projects: ProjectCache
) -> None:
    parent = find_organization(tx, access, organization)
    project = find_project(tx, access, parent, slug)
    if tx.lock(_LOCK_PROJECT, id=project.id) is None:
        raise ProjectNotFound(parent.slug, slug)
    releases = _count(tx, _RELEASES_OF_PROJECT, project_id=project.id)
    if releases and not force:
        raise HasChildren(f"organizations/{parent.slug}/projects/{project.slug}", releases=releases)
    tx.run(_DELETE_PROJECT, id=project.id)
    tx.after_commit(lambda: projects.forget(project.id))
    tx.run(_QUEUE_PROJECT, project_id=project.id, organization_id=parent.id, delete_time=tx.now)
    record_activity(
        tx,
        access,
        organization_id=parent.id,
        project_id=None,
        kind="project_deleted",
        subject=project.slug,
        data={"project": project.slug, "releases": releases or "0"},
        happen_time=tx.now,
    )


def _delete_organization(tx: Transaction, access: Access, slug: str, force: bool, projects: ProjectCache) -> None:
    found = tx.lock(_LOCK_ORGANIZATION, id=find_organization(tx, access, slug).id)
    if found is None:
        raise OrganizationNotFound(slug)
    children = {
        "projects": _count(tx, _PROJECTS_OF_ORGANIZATION, organization_id=found.id),
        "releases": _count(tx, _RELEASES_OF_ORGANIZATION, organization_id=found.id),
    }
    if not force and any(children.values()):
        raise HasChildren(f"organizations/{found.slug}", **{what: count or "0" for what, count in children.items()})
    tx.run(_MARK_ORGANIZATION, id=found.id, delete_time=tx.now)
    tx.run(_REVOKE_TOKENS, organization_id=found.id, revoke_time=tx.now)
    tx.after_commit(lambda: projects.forget_organization(found.id))


def _count(reader: Reader, query: Query[Any], **params: Any) -> str:
    """How many rows, as text; "" for none."""
    count = len(reader.rows(query, **params))
    if count > MOST_COUNTED:
        return f"more than {MOST_COUNTED}"
    return str(count) if count else ""


def _begin(drain: Callable[..., int], db: Database) -> None:
    end = time.monotonic() + AT_ONCE_SECONDS
    with suppress(RegistryError):  # what was asked for is done; the rest is done by the next turn of the drain
        drain(db, stopped=lambda: time.monotonic() >= end)
