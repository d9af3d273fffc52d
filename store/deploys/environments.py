"""Environments: where releases run. They come with their first deploy, or with the release of their first session, and
stay. That of sessions without one has an empty name, and is in no list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import peewee

from store.access import Access
from store.access.projects import ProjectSet, ProjectSlugText, projects_to_list
from store.database import Database, Query, Reader, Statement, Transaction, hole, new_id, query_shape
from store.database.batches import batches, filled, holes
from store.deploys.models import Environment, EnvironmentProject
from store.organizations.lookup import find_organization
from store.organizations.models import Project
from store.organizations.rows import OrganizationRow
from store.paging import Page, PageRequest, page_of, paged

MOST_RANGES: Final = 32
"""Of more projects than these the environments of the whole organization are walked."""
SHOWN_PROJECTS: Final = 100
"""How many projects of an environment are shown."""


@dataclass(frozen=True, slots=True)
class EnvironmentRow:
    """An environment as it is kept, with its first projects by slug; time in microseconds UTC."""

    id: bytes
    display_name: str
    create_time: int
    project_slugs: tuple[str, ...] = ()


_INSERT = Statement(
    Environment.insert(
        {
            Environment.id: hole(Environment.id),
            Environment.organization_id: hole(Environment.organization_id),
            Environment.display_name: hole(Environment.display_name),
            Environment.create_time: hole(Environment.create_time),
        }
    ).on_conflict(action="nothing", conflict_target=[Environment.organization_id, Environment.display_name])
)
_ADD_PROJECT = Statement(
    EnvironmentProject.insert(
        {
            EnvironmentProject.project_id: hole(EnvironmentProject.project_id),
            EnvironmentProject.display_name: hole(EnvironmentProject.display_name),
            EnvironmentProject.environment_id: hole(EnvironmentProject.environment_id),
        }
    ).on_conflict(action="nothing", conflict_target=[EnvironmentProject.project_id, EnvironmentProject.display_name])
)


@query_shape
def _by_names(size: int) -> Query[tuple[Any, ...]]:
    return Query(
        Environment.select(Environment.display_name, Environment.id).where(
            Environment.organization_id == hole(Environment.organization_id),
            Environment.display_name.in_(holes(Environment.display_name, size)),
        )
    )


@query_shape
def _projects_of(size: int) -> Query[tuple[Any, ...]]:
    return Query(
        EnvironmentProject.select(EnvironmentProject.environment_id, Project.id, Project.slug)
        .join(Project, on=(Project.id == EnvironmentProject.project_id))
        .where(EnvironmentProject.environment_id.in_(holes(EnvironmentProject.environment_id, size)))
        .order_by(EnvironmentProject.environment_id, Project.slug)
    )


def get_or_create_environments(
    tx: Transaction, organization_id: bytes, names: Iterable[str], *, project_ids: Sequence[bytes]
) -> dict[str, bytes]:
    """The ids of the environments of these names, missing ones created, all linked to these projects."""
    ordered = sorted(set(names))
    found = environment_ids(tx, organization_id, ordered)
    missing = [name for name in ordered if name not in found]
    if missing:
        tx.run_many(
            _INSERT,
            [
                {"id": new_id(), "organization_id": organization_id, "display_name": name, "create_time": tx.now}
                for name in missing
            ],
        )
        found |= environment_ids(tx, organization_id, missing)
    tx.run_many(
        _ADD_PROJECT,
        [
            {"project_id": project_id, "display_name": name, "environment_id": found[name]}
            for project_id in sorted(project_ids)
            for name in ordered
        ],
    )
    return found


def environment_ids(reader: Reader, organization_id: bytes, names: Sequence[str]) -> dict[str, bytes]:
    """The ids of those of the environments that there are, by name."""
    found: dict[str, bytes] = {}
    for batch in batches(sorted(set(names))):
        found.update(reader.rows(_by_names(len(batch)), organization_id=organization_id, **filled(batch)))
    return found


# Sessions without an environment are kept in one with an empty name.
_IS_NAMED: Final = Environment.display_name != ""


def list_environments(
    db: Database,
    access: Access,
    organization_slug: str,
    page: PageRequest,
    *,
    projects: Sequence[ProjectSlugText] = (),
) -> tuple[str, Page[EnvironmentRow]]:
    """The organization's slug, and a page of the environments to which some of the projects were deployed, or where
    they had sessions, by name; never the empty one.

    `projects`: none for all that the caller may access. Of each environment the first 100 projects that the caller may
    access are told, whichever were asked for.

    Raises `OrganizationNotFound`, `ProjectForbidden`.
    """

    def read(reader: Reader) -> tuple[str, Page[EnvironmentRow]]:
        organization = find_organization(reader, access, organization_slug)
        accessible = projects_to_list(reader, access, organization, (), everything=True)
        chosen = projects_to_list(reader, access, organization, projects) if projects else accessible
        found = page_of(_environments(reader, organization, chosen, page), page, lambda row: (row.display_name,))
        shown = _with_projects(reader, found.items, accessible)
        return organization.slug, Page(shown, found.next, found.previous)

    return db.read(read)


def _environments(
    reader: Reader, organization: OrganizationRow, chosen: ProjectSet, page: PageRequest
) -> list[EnvironmentRow]:
    columns = (Environment.id, Environment.display_name, Environment.create_time)
    if chosen.everything:
        query = Environment.select(*columns).where(_IS_NAMED, Environment.organization_id == organization.id)
        return [EnvironmentRow(*row) for row in reader.fetch(paged(query, page, [Environment.display_name]).tuples())]
    if len(chosen.ids) > MOST_RANGES:
        of_chosen = EnvironmentProject.select(peewee.SQL("1")).where(
            EnvironmentProject.environment_id == Environment.id, EnvironmentProject.project_id.in_(sorted(chosen.ids))
        )
        query = Environment.select(*columns).where(
            _IS_NAMED, Environment.organization_id == organization.id, peewee.fn.EXISTS(of_chosen)
        )
        return [EnvironmentRow(*row) for row in reader.fetch(paged(query, page, [Environment.display_name]).tuples())]
    # A range of the index a project, no longer than the page; then the first of all of them.
    found: dict[str, bytes] = {}
    for project_id in sorted(chosen.ids):
        of_project = EnvironmentProject.select(
            EnvironmentProject.display_name, EnvironmentProject.environment_id
        ).where(EnvironmentProject.project_id == project_id, EnvironmentProject.display_name != "")
        found.update(reader.fetch(paged(of_project, page, [EnvironmentProject.display_name]).tuples()))
    names = sorted(found, reverse=page.backward)[: page.limit]
    rows = reader.fetch(
        Environment.select(*columns).where(Environment.id.in_([found[name] for name in names])).tuples()
    )
    return sorted((EnvironmentRow(*row) for row in rows), key=lambda row: row.display_name, reverse=page.backward)


def _with_projects(
    reader: Reader, environments: Sequence[EnvironmentRow], accessible: ProjectSet
) -> tuple[EnvironmentRow, ...]:
    slugs: dict[bytes, list[str]] = {environment.id: [] for environment in environments}
    for batch in batches(list(slugs)):
        for environment_id, project_id, slug in reader.rows(_projects_of(len(batch)), **filled(batch)):
            if accessible.allows(project_id):
                slugs[environment_id].append(slug)
    return tuple(
        EnvironmentRow(row.id, row.display_name, row.create_time, tuple(slugs[row.id][:SHOWN_PROJECTS]))
        for row in environments
    )
