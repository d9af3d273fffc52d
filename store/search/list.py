"""Lists of releases: what a filter finds, in any order. A page costs the same however many releases there are and
however deep it lies (behaviour.md, Searching and listing releases)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from store.access import Access
from store.access.projects import ProjectSet, accessible_projects
from store.database import Database, Reader
from store.errors import PageTokenInvalid, ScopeMissing
from store.health.in_lists import NO_HEALTH, READING_SCOPE, HealthWanted, check_scope, told_in_projects
from store.paging import PAGE_BYTES, Key, Page, PageRequest, Position, fitting
from store.releases.details import ReleaseDetails, basic_details_of, details_of, wire_bytes_of
from store.releases.in_projects import InProjectRow, in_projects, with_health
from store.releases.lookup import with_projects
from store.releases.rows import ReleaseRow
from store.search.filters import ReleaseFilter, Scope
from store.search.find import FoundRow, find_releases
from store.search.health_orders import HealthOrder, HealthSort
from store.search.orders import NEWEST_FIRST, Order
from store.search.ranked import find_ranked
from store.search.resolve import resolve
from store.search.total import Total, count_releases

# How many releases of a page are read together: with all that is in them they may be large.
_BASIC_AT_ONCE: Final = 500
_FULL_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class ListedReleases:
    """A page of releases. `incomplete`: it ended because so many were looked at, not because it was full. `total` is
    there where it was asked for."""

    page: Page[ReleaseDetails]
    incomplete: bool = False
    total: Total | None = None


def list_releases(
    db: Database,
    access: Access,
    organization_slug: str,
    wanted: ReleaseFilter,
    *,
    order: Order | HealthOrder = NEWEST_FIRST,
    page: PageRequest,
    contents: bool = False,
    flatten: bool = False,
    count_total: bool = False,
    health: HealthWanted = NO_HEALTH,
) -> ListedReleases:
    """A page of the releases that are wanted, each once, in however many of the projects it is; with `flatten` once a
    project, with how it fares there.

    `contents` reads what is in each, too, and `health` how healthy it is in its projects. A page ends before it passes
    1 MiB on the wire (the message of a last commit alone may take a quarter of that), and before more than 10,000
    releases were looked at for it.

    Raises `OrganizationNotFound`, `ProjectForbidden`, `QueryInvalid`, `InvalidField` (a span of time that ends before
    it begins, an order that the list is not sorted by), `PageTokenInvalid`; `ScopeMissing` where what sessions say is
    told, or sorted by, and the caller lacks health:read.
    """
    check_scope(access, health)
    if isinstance(order, HealthOrder) and order.sort is not HealthSort.ADOPTION and not access.may(READING_SCOPE):
        raise ScopeMissing(READING_SCOPE)  # page tokens hold what is sorted by
    now_us = db.clock.now_us() if page.position is None else _now_in(page.position)

    def read(reader: Reader) -> ListedReleases:
        scope = resolve(reader, access, organization_slug, wanted, now_us=now_us)
        if isinstance(order, HealthOrder):
            found = find_ranked(reader, scope, order, page, flatten=flatten)
        else:
            found = find_releases(reader, scope, order, page, flatten=flatten)
        allowed = accessible_projects(access, scope.organization)
        shown = scope.projects if wanted.projects or flatten else allowed
        telling = _Telling(reader, scope, allowed, shown, contents=contents, health=health)
        fits = fitting(page, telling.weights(found.rows), most=PAGE_BYTES)
        rows = found.page(fits, descending=order.descending)
        # Rows of a deleted project stay until the drain comes by; what was only its is gone already.
        there = (telling.told[row.key] for row in rows.items)
        items = tuple(item for item in there if _is_of(item.release, scope.projects))
        return ListedReleases(
            Page(items, rows.next, rows.previous),
            incomplete=found.incomplete and len(found.rows) <= fits.size,
            total=count_releases(reader, scope, flatten=flatten) if count_total else None,
        )

    return db.read(read)


def _is_of(release: ReleaseRow, projects: ProjectSet) -> bool:
    return bool(release.projects) and (projects.everything or projects.allows_any(release.project_ids))


def _now_in(position: Position) -> int:
    """What periods reckon from on all pages of a list: when the first one was asked for."""
    now_us = position.key[0]
    if not isinstance(now_us, int):  # minted by an older server
        raise PageTokenInvalid
    return now_us


class _Telling:
    """Makes what is told of the rows of a page: `told`, by key, as far as `weights` was asked for.

    `contents`: with what is in each release, with its newest deploy if that is of one of the `allowed` projects, and
    with how it fares in those that are `shown`. `health`: with what is asked for of its health in these.
    """

    def __init__(
        self,
        reader: Reader,
        scope: Scope,
        allowed: ProjectSet,
        shown: ProjectSet,
        *,
        contents: bool,
        health: HealthWanted,
    ) -> None:
        self.told: dict[Key, ReleaseDetails] = {}
        self._reader = reader
        self._scope = scope
        self._allowed = allowed
        self._shown = shown
        self._contents = contents
        self._health = health

    def weights(self, rows: Sequence[FoundRow]) -> Iterator[int]:
        """The bytes of each row on the wire."""
        at_once = _BASIC_AT_ONCE if self._health.nothing and not self._contents else _FULL_AT_ONCE
        for start in range(0, len(rows), at_once):
            some = rows[start : start + at_once]
            columns = {row.columns[0]: row.columns for row in some}
            releases = with_projects(self._reader, self._scope.organization, list(columns.values()))
            for row, details in zip(some, self._details(some, releases), strict=True):
                self.told[row.key] = details
                yield wire_bytes_of(details)

    def _details(self, rows: Sequence[FoundRow], releases: Sequence[ReleaseRow]) -> Iterator[ReleaseDetails]:
        if self._contents:
            told = details_of(self._reader, releases, self._allowed, shown=self._shown)
        else:
            told = basic_details_of(self._reader, releases)
        by_id = {details.release.id: details for details in told}
        flatten = rows[0].project_id is not None
        if not flatten and self._health.nothing:
            yield from told
            return
        faring = in_projects(self._reader, releases, self._shown)
        if not self._health.nothing:
            faring = self._with_health(rows, releases, faring)
        if not flatten:
            yield from (replace(details, in_projects=faring[details.release.id]) for details in told)
            return
        for row in rows:
            details = by_id[row.columns[0]]
            yield _of_project(details, row.project_id, faring[details.release.id])

    def _with_health(
        self, rows: Sequence[FoundRow], releases: Sequence[ReleaseRow], faring: Mapping[bytes, Sequence[InProjectRow]]
    ) -> dict[bytes, tuple[InProjectRow, ...]]:
        shown = self._shown
        if rows[0].project_id is not None:
            # Of one of its projects alone each row tells.
            told_of = {row.project_id for row in rows if row.project_id is not None}
            shown = ProjectSet(everything=False, ids=frozenset(told_of))
        told = told_in_projects(
            self._reader,
            releases,
            shown,
            self._health,
            environments=self._scope.environments,
            environment_ids=self._scope.environment_ids,
            now_us=self._scope.now_us,
        )
        return {release_id: with_health(some, release_id, told) for release_id, some in faring.items()}


def _of_project(details: ReleaseDetails, project_id: bytes | None, faring: Sequence[InProjectRow]) -> ReleaseDetails:
    """The release as a flattened row tells it: as if it were of this project alone."""
    projects = tuple(project for project in details.release.projects if project.id == project_id)
    return replace(
        details,
        release=replace(details.release, projects=projects),
        in_projects=tuple(row for row in faring if row.project_id == project_id),
    )
