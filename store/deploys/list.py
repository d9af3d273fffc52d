"""Lists of deploys, newest finish_time first (behaviour.md, Deploys).

Deploys of one release are read from its own index. Those of all releases are read from the (deploy, project) rows: one
range of the index a project, or a project and environment, each no longer than the page, then merged; those of every
project from the deploys' own indexes, by environment or all together. A page costs the same however many deploys there
are and however deep it lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Final

import peewee

from store.access import Access
from store.access.projects import ProjectSet, ProjectSlugText, projects_to_list
from store.database import Database, Query, Reader, hole, query_shape
from store.deploys.current import newest_in_environment
from store.deploys.environments import environment_ids
from store.deploys.models import Deploy, DeployProject, EnvironmentProject, ReleaseEnvironment
from store.deploys.rows import DeployRow, deploy_bytes, deploys_by_id
from store.organizations.lookup import find_organization
from store.organizations.models import Project
from store.organizations.rows import OrganizationRow
from store.paging import PAGE_BYTES, Page, PageRequest, fitting, page_of, paged
from store.releases.lookup import readable_release
from store.releases.models import Release

Place = tuple[int, bytes]
"""What deploys are sorted by: finish_time and id."""

Kind = tuple[str, ...]
"""The columns that a range of an index is told by."""

# Index ranges merged by one query; more take several. SQLite allows 500, planning 32 is cheap.
MOST_RANGES: Final = 32
RANGE_COUNTS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)

_LIMIT: Final = hole(Release.deploy_count, "limit")
_LATEST: Final = (2**63 - 1, b"\xff" * 16)
_EARLIEST: Final = -(2**63)


@dataclass(frozen=True, slots=True)
class DeployFilter:
    """Which deploys are sought: those that match every field that is not empty.

    environments: by name. projects: by slug. start_time, end_time: finish_time from (inclusive) and to (exclusive), in
    microseconds. latest_only: only the newest of some project in its environment, of the release or of all; the other
    fields do not change which one that is.
    """

    environments: frozenset[str] = frozenset()
    projects: frozenset[ProjectSlugText] = frozenset()
    start_time: int | None = None
    end_time: int | None = None
    latest_only: bool = False


EVERY_DEPLOY: Final = DeployFilter()


@dataclass(frozen=True, slots=True)
class ListedDeploys:
    """A page of deploys, and the slug of their organization."""

    organization_slug: str
    page: Page[DeployRow]


@dataclass(frozen=True, slots=True)
class _Search:
    """One list call, its filter as the database knows it; no environment_ids: any."""

    organization: OrganizationRow
    release_id: bytes | None
    chosen: ProjectSet
    environment_ids: tuple[bytes, ...]
    sought: DeployFilter


def list_deploys(
    db: Database,
    access: Access,
    organization_slug: str,
    version: str | None,
    page: PageRequest,
    *,
    sought: DeployFilter = EVERY_DEPLOY,
) -> ListedDeploys:
    """A page of the deploys of a release, or of all releases (None), newest finish_time first, then newest id.

    Shown are deploys of at least one project that the caller may access. A page ends before it passes 1 MiB.

    Raises `OrganizationNotFound`, `ReleaseNotFound`, `ProjectForbidden`.
    """

    def read(reader: Reader) -> ListedDeploys:
        release = None if version is None else readable_release(reader, access, organization_slug, version)
        organization = find_organization(reader, access, organization_slug)
        chosen = projects_to_list(reader, access, organization, sought.projects, everything=not sought.projects)
        known = environment_ids(reader, organization.id, sorted(sought.environments))
        if sought.environments and not known:
            return ListedDeploys(organization.slug, Page((), None, None))
        ids = tuple(sorted(known.values()))
        search = _Search(organization, None if release is None else release.id, chosen, ids, sought)
        return ListedDeploys(organization.slug, _page(reader, search, page))

    return db.read(read)


def _page(reader: Reader, search: _Search, page: PageRequest) -> Page[DeployRow]:
    places = _latest(reader, search, page) if search.sought.latest_only else _places(reader, search, page)
    deploys = deploys_by_id(reader, [deploy_id for _, deploy_id in places])
    rows = [deploys[deploy_id] for _, deploy_id in places]
    sizes = (deploy_bytes(row, search.organization.slug) for row in rows)
    fits = fitting(page, sizes, most=PAGE_BYTES)
    shown = page_of(rows[: fits.limit], fits, lambda row: (row.finish_time, row.id), descending=True)
    # Rows of a deleted project stay until the drain comes by; what was only its is gone already.
    there = tuple(row for row in shown.items if search.chosen.allows_any(row.project_ids))
    return Page(there, shown.next, shown.previous)


def _places(reader: Reader, search: _Search, page: PageRequest) -> list[Place]:
    """The places of a page's deploys and of one more, in walking direction."""
    if search.release_id is not None:
        return list(reader.fetch(_of_release(search, search.release_id, page).tuples()))
    kind, ranges = _ranges(reader, search)
    bounds = _bounds(search, page)
    found: set[Place] = set()
    for start in range(0, len(ranges), MOST_RANGES):
        some = ranges[start : start + MOST_RANGES]
        count = next(count for count in RANGE_COUNTS if count >= len(some))
        # The last range fills up to a number of ranges that a query is compiled for: what it adds is there already.
        params = {
            f"{name}_{index}": value
            for index in range(count)
            for name, value in zip(kind, some[min(index, len(some) - 1)], strict=True)
        }
        found.update(reader.rows(_ranges_page(kind, count, backward=page.backward), **params, **bounds))
    return sorted(found, reverse=not page.backward)[: page.limit]


def _bounds(search: _Search, page: PageRequest) -> dict[str, Any]:
    """Where a walk begins and ends, and how far it goes."""
    finish_time, deploy_id = page.position.key if page.position is not None else _LATEST
    return {
        "finish_time": finish_time,
        "deploy_id": deploy_id,
        "start_time": _EARLIEST if search.sought.start_time is None else search.sought.start_time,
        "end_time": _LATEST[0] if search.sought.end_time is None else search.sought.end_time,
        "limit": page.limit,
    }


def _walk(query: Any, finish_time: Any, deploy_id: Any, *, backward: bool) -> Any:
    """The query from a place on, within the times asked for, as far as the page goes."""
    place = peewee.Tuple(finish_time, deploy_id)
    start = peewee.Tuple(hole(finish_time, "finish_time"), hole(deploy_id, "deploy_id"))
    return (
        query.where(
            place > start if backward else place < start,
            finish_time >= hole(finish_time, "start_time"),
            finish_time < hole(finish_time, "end_time"),
        )
        .order_by(*_ordered(finish_time, deploy_id, backward=backward))
        .limit(_LIMIT)
    )


def _ordered(*columns: Any, backward: bool) -> list[Any]:
    return [column.asc() if backward else column.desc() for column in columns]


@query_shape
def _ranges_page(kind: Kind, ranges: int, *, backward: bool) -> Query[Place]:
    members = [_range(kind, index, backward=backward) for index in range(ranges)]
    if ranges == 1:
        return Query(members[0], row=_place)
    every = reduce(add, members).alias("every")
    columns = (every.c.finish_time, every.c.deploy_id)
    first = peewee.Select([every], columns).distinct().order_by(*_ordered(*columns, backward=backward))
    return Query(first.limit(_LIMIT), row=_place)


def _range(kind: Kind, index: int, *, backward: bool) -> Any:
    """The deploys of releases that are not deleted, within one range of an index."""
    model: Any = DeployProject if "project_id" in kind else Deploy
    deploy_id = DeployProject.deploy_id if "project_id" in kind else Deploy.id
    query = (
        model.select(model.finish_time, deploy_id.alias("deploy_id"))
        .join(Release, on=(Release.id == model.release_id))
        .where(Release.delete_time.is_null())
    )
    for name in kind:
        column = getattr(model, name)
        query = query.where(column == hole(column, f"{name}_{index}"))
    return _walk(query, model.finish_time, deploy_id, backward=backward)


def _place(finish_time: int, deploy_id: bytes) -> Place:
    return finish_time, deploy_id


def _ranges(reader: Reader, search: _Search) -> tuple[Kind, list[tuple[bytes, ...]]]:
    """The ranges to walk, and of which index they are."""
    if search.chosen.everything:
        if search.environment_ids:
            return ("environment_id",), [(environment_id,) for environment_id in search.environment_ids]
        return ("organization_id",), [(search.organization.id,)]
    if not search.environment_ids:
        return ("project_id",), [(project_id,) for project_id in sorted(search.chosen.ids)]
    pairs = EnvironmentProject.select(EnvironmentProject.project_id, EnvironmentProject.environment_id).where(
        EnvironmentProject.environment_id.in_(search.environment_ids),
        EnvironmentProject.project_id.in_(sorted(search.chosen.ids)),
    )
    return ("project_id", "environment_id"), sorted(reader.fetch(pairs.tuples()))


def _of_release(search: _Search, release_id: bytes, page: PageRequest) -> Any:
    query = _sought(Deploy.select(Deploy.finish_time, Deploy.id).where(Deploy.release_id == release_id), search)
    if not search.chosen.everything:
        of_chosen = DeployProject.select(peewee.SQL("1")).where(
            DeployProject.deploy_id == Deploy.id, DeployProject.project_id.in_(sorted(search.chosen.ids))
        )
        query = query.where(peewee.fn.EXISTS(of_chosen))
    return paged(query, page, [Deploy.finish_time, Deploy.id], descending=True)


def _sought(query: Any, search: _Search) -> Any:
    """The query on deploys, for those that the filter leaves by environment and time."""
    if search.environment_ids:
        query = query.where(Deploy.environment_id.in_(search.environment_ids))
    if search.sought.start_time is not None:
        query = query.where(Deploy.finish_time >= search.sought.start_time)
    if search.sought.end_time is not None:
        query = query.where(Deploy.finish_time < search.sought.end_time)
    return query


def _latest(reader: Reader, search: _Search, page: PageRequest) -> list[Place]:
    """The same of deploys that are the newest of a project in an environment: as many as there are such pairs."""
    latest = _latest_of_all(search) if search.release_id is None else _latest_of_release(search, search.release_id)
    query = _sought(Deploy.select(Deploy.finish_time, Deploy.id).where(Deploy.id.in_(latest)), search)
    return list(reader.fetch(paged(query, page, [Deploy.finish_time, Deploy.id], descending=True).tuples()))


def _latest_of_release(search: _Search, release_id: bytes) -> Any:
    query = ReleaseEnvironment.select(ReleaseEnvironment.last_deploy_id).where(
        ReleaseEnvironment.release_id == release_id, ReleaseEnvironment.last_deploy_id.is_null(False)
    )
    return query if search.chosen.everything else query.where(ReleaseEnvironment.project_id.in_(search.chosen.ids))


def _latest_of_all(search: _Search) -> Any:
    newest = newest_in_environment(EnvironmentProject.project_id, EnvironmentProject.environment_id)
    query = (
        EnvironmentProject.select(newest)
        .join(Project, on=(Project.id == EnvironmentProject.project_id))
        .where(Project.organization_id == search.organization.id)
    )
    return query if search.chosen.everything else query.where(EnvironmentProject.project_id.in_(search.chosen.ids))
