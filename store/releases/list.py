"""Lists of releases, newest first. A page costs the same however many releases there are and however deep it lies.

Releases of some projects are read from the (release, project) rows: one range of the index a project and status, each
no longer than the page, then merged. Releases of every project are read from the release table's own index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import product
from operator import add
from typing import Any, Final

from peewee import SQL, Select, Tuple

from store.access import Access
from store.access.projects import ProjectSet, ProjectSlugText, accessible_projects, projects_to_list
from store.database import Database, Query, Reader, hole, query_shape
from store.organizations.lookup import find_organization
from store.organizations.rows import OrganizationRow
from store.paging import PAGE_BYTES, Page, PageRequest, fitting, page_of
from store.releases.details import ReleaseDetails, details_of, wire_bytes_of
from store.releases.lookup import with_projects
from store.releases.models import Release, ReleaseProject
from store.releases.rows import RELEASE_COLUMNS, ReleaseStatus

# Index ranges merged by one query; a caller of more projects takes several. SQLite allows 500, planning 32 is cheap.
_MOST_RANGES: Final = 32
_RANGE_COUNTS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)

# How many releases of a page are read together: with all that is in them they may be large.
_BASIC_AT_ONCE: Final = 500
_FULL_AT_ONCE: Final = 64

_LATEST: Final = (2**63 - 1, b"\xff" * 16)
# By name: fields have an == of their own.
_NAMES: Final = [column.name for column in RELEASE_COLUMNS]
_ID: Final = _NAMES.index("id")
_CREATE_TIME: Final = _NAMES.index("create_time")


def list_releases(
    db: Database,
    access: Access,
    organization_slug: str,
    *,
    projects: Sequence[ProjectSlugText] = (),
    every_project: bool = False,
    statuses: Sequence[ReleaseStatus] = (),
    page: PageRequest,
    contents: bool = False,
) -> Page[ReleaseDetails]:
    """A page of releases, newest create_time first; each once, in however many of the projects it is.

    `projects`: none for those that the caller is a member of; `every_project`: all that it may access.
    `statuses`: only releases with one of these; none: open ones. `contents` reads what is in each, too. A page ends
    before it passes 1 MiB on the wire: the message of a last commit alone may take a quarter of that.

    Raises `OrganizationNotFound`, `ProjectForbidden`.
    """
    wanted = tuple(sorted(set(statuses))) or (ReleaseStatus.OPEN,)

    def read(reader: Reader) -> Page[ReleaseDetails]:
        organization = find_organization(reader, access, organization_slug)
        chosen = projects_to_list(reader, access, organization, projects, everything=every_project)
        if chosen.everything:
            found = _of_every_project(reader, organization, wanted, page)
        else:
            found = _of_projects(reader, sorted(chosen.ids), wanted, page)
        details: dict[bytes, ReleaseDetails] = {}
        allowed = accessible_projects(access, organization) if contents else None
        fits = fitting(page, _weights(reader, organization, found, details, allowed), most=PAGE_BYTES)
        shown = page_of(found[: fits.limit], fits, _key, descending=True)
        items = [details[columns[_ID]] for columns in shown.items]
        # Rows of a deleted project stay until the drain comes by; what was only its is gone already.
        there = tuple(item for item in items if chosen.allows_any(item.release.project_ids))
        return Page(there, shown.next, shown.previous)

    return db.read(read)


def _key(columns: tuple[Any, ...]) -> tuple[int, bytes]:
    return columns[_CREATE_TIME], columns[_ID]


def _weights(
    reader: Reader,
    organization: OrganizationRow,
    rows: Sequence[tuple[Any, ...]],
    details: dict[bytes, ReleaseDetails],
    allowed: ProjectSet | None,
) -> Iterator[int]:
    """The bytes of each release on the wire; puts what is known of it into `details`, as far as it is asked for.

    `allowed`: read what is in each, too, and its newest deploy if that is of one of these projects.
    """
    at_once = _BASIC_AT_ONCE if allowed is None else _FULL_AT_ONCE
    for start in range(0, len(rows), at_once):
        releases = with_projects(reader, organization, rows[start : start + at_once])
        some = (
            details_of(reader, releases, allowed)
            if allowed is not None
            else [ReleaseDetails(release, None) for release in releases]
        )
        for item in some:
            details[item.release.id] = item
            yield wire_bytes_of(item)


def _of_every_project(
    reader: Reader, organization: OrganizationRow, statuses: Sequence[ReleaseStatus], page: PageRequest
) -> list[tuple[Any, ...]]:
    ranges = {f"status{index}": int(status) for index, status in enumerate(statuses)}
    query = _organization_page(len(statuses), backward=page.backward)
    return reader.rows(query, organization_id=organization.id, **ranges, **_start(page))


def _of_projects(
    reader: Reader, project_ids: Sequence[bytes], statuses: Sequence[ReleaseStatus], page: PageRequest
) -> list[tuple[Any, ...]]:
    ranges = list(product(project_ids, (int(status) for status in statuses)))
    if len(ranges) <= _MOST_RANGES:
        return _of_ranges(reader, ranges, page) if ranges else []
    found: dict[bytes, tuple[Any, ...]] = {}
    for start in range(0, len(ranges), _MOST_RANGES):
        for columns in _of_ranges(reader, ranges[start : start + _MOST_RANGES], page):
            found[columns[_ID]] = columns
    return sorted(found.values(), key=_key, reverse=not page.backward)[: page.limit]


def _of_ranges(reader: Reader, ranges: Sequence[tuple[bytes, int]], page: PageRequest) -> list[tuple[Any, ...]]:
    """At most a page and one of the releases in at most `_MOST_RANGES` ranges, each once, in walking direction."""
    count = next(count for count in _RANGE_COUNTS if count >= len(ranges))
    params: dict[str, Any] = {}
    for index in range(count):
        # The last range fills up to a number of ranges that a query is compiled for: what it adds is there already.
        params[f"project{index}"], params[f"status{index}"] = ranges[min(index, len(ranges) - 1)]
    return reader.rows(_projects_page(count, backward=page.backward), **params, **_start(page))


def _start(page: PageRequest) -> dict[str, Any]:
    """Where the walk begins, before everything without a position, and how far it goes."""
    if page.position is None:
        create_time, release_id = _LATEST
    else:
        create_time, release_id = page.position.key  # type: ignore[assignment]
    return {"create_time": create_time, "release_id": release_id, "limit": page.limit}


@query_shape
def _projects_page(ranges: int, *, backward: bool) -> Query[tuple[Any, ...]]:
    place = Tuple(ReleaseProject.create_time, ReleaseProject.release_id)
    start = Tuple(hole(ReleaseProject.create_time), hole(ReleaseProject.release_id))
    limit = hole(ReleaseProject.commit_count, "limit")
    members = [
        ReleaseProject.select(ReleaseProject.create_time, ReleaseProject.release_id)
        .where(
            ReleaseProject.project_id == hole(ReleaseProject.project_id, f"project{index}"),
            ReleaseProject.status == hole(ReleaseProject.status, f"status{index}"),
            place > start if backward else place < start,
        )
        .order_by(*_ordered(ReleaseProject.create_time, ReleaseProject.release_id, backward=backward))
        .limit(limit)
        for index in range(ranges)
    ]
    page = members[0] if ranges == 1 else _first_of(members, limit, backward=backward)
    page = page.alias("page")
    return Query(
        Release.select(*RELEASE_COLUMNS)
        .join(page, on=(Release.id == page.c.release_id))
        .order_by(*_ordered(page.c.create_time, page.c.release_id, backward=backward))
    )


def _first_of(members: Sequence[Any], limit: Any, *, backward: bool) -> Any:
    """The first rows of all members together, each release once."""
    every = reduce(add, members).alias("every")
    return (
        Select([every], [every.c.create_time, every.c.release_id])
        .distinct()
        .order_by(*_ordered(every.c.create_time, every.c.release_id, backward=backward))
        .limit(limit)
    )


@query_shape
def _organization_page(statuses: int, *, backward: bool) -> Query[tuple[Any, ...]]:
    place = Tuple(Release.create_time, Release.id)
    start = Tuple(hole(Release.create_time), hole(Release.id, "release_id"))
    limit = hole(Release.commit_count, "limit")
    members = [
        Release.select(*RELEASE_COLUMNS)
        .where(
            Release.organization_id == hole(Release.organization_id),
            Release.status == hole(Release.status, f"status{index}"),
            Release.project_count > 0,
            place > start if backward else place < start,
        )
        .order_by(*_ordered(Release.create_time, Release.id, backward=backward))
        .limit(limit)
        for index in range(statuses)
    ]
    if statuses == 1:
        return Query(members[0])
    both = reduce(add, members)
    return Query(both.order_by(*_ordered(SQL("create_time"), SQL("id"), backward=backward)).limit(limit))


def _ordered(*columns: Any, backward: bool) -> list[Any]:
    return [column.asc() if backward else column.desc() for column in columns]
