"""What was done in an organization, newest first (behaviour.md, Activity).

Activities are walked along an index each: of the whole organization, of each project that is asked for, or of one
subject. A page passes at most `MOST_WALKED` of them: where a filter leaves few, it may hold fewer than asked for, even
none, and the next one goes on behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from typing import Any, Final

import peewee

from store.access import Access
from store.access.projects import ProjectSet, ProjectSlugText, accessible_projects, projects_to_list
from store.activity.models import Activity
from store.activity.record import SUBJECT_CHARACTERS
from store.database import Database, Query, Reader, hole, query_shape
from store.organizations.lookup import find_organization
from store.organizations.models import Project
from store.organizations.rows import OrganizationRow
from store.paging import PAGE_BYTES, Page, PageRequest, fitting, page_of, wire_bytes
from store.releases.models import Release

MOST_RANGES: Final = 32
"""Of more projects than these the walk goes along the whole organization's index."""
MOST_WALKED: Final = 10_000
"""How many activities a page looks at."""

_LATEST: Final = (2**63 - 1, b"\xff" * 16)
_EARLIEST: Final = -(2**63)
_ACTIVITY_BYTES: Final = 220
"""What an activity takes on the wire beside its texts, at most."""


@dataclass(frozen=True, slots=True)
class ActivityRow:
    """Something that was done; data is a JSON object, time in microseconds UTC. No project: to the organization."""

    id: bytes
    kind: str
    project_id: bytes | None
    project_slug: str | None
    subject: str
    data: dict[str, Any]
    token_id: bytes
    certificate: str
    caller: str
    happen_time: int

    @property
    def place(self) -> tuple[int, bytes]:
        """What activities are sorted by."""
        return self.happen_time, self.id


@dataclass(frozen=True, slots=True)
class ActivityFilter:
    """Which activities are sought: those that match every field that is not empty.

    projects: by slug. kinds: as recorded. version: of a release. start_time, end_time: happen_time from (inclusive) and
    to (exclusive), in microseconds.
    """

    projects: frozenset[ProjectSlugText] = frozenset()
    kinds: frozenset[str] = frozenset()
    version: str | None = None
    start_time: int | None = None
    end_time: int | None = None


EVERY_ACTIVITY: Final = ActivityFilter()


def list_activity(
    db: Database,
    access: Access,
    organization_slug: str,
    page: PageRequest,
    *,
    sought: ActivityFilter = EVERY_ACTIVITY,
) -> tuple[str, Page[ActivityRow]]:
    """The organization's slug, and a page of what was done in it and in projects that the caller may access, newest
    happen_time first, then newest id.

    With projects only what was done in those. A page ends before it passes 1 MiB, and before it has looked at more than
    10,000 activities.

    Raises `OrganizationNotFound`, `ProjectForbidden`.
    """

    def read(reader: Reader) -> tuple[str, Page[ActivityRow]]:
        organization = find_organization(reader, access, organization_slug)
        allowed = accessible_projects(access, organization)
        chosen = projects_to_list(reader, access, organization, sought.projects) if sought.projects else None
        walk = _walk(reader, organization, page, sought, allowed=allowed, chosen=chosen)
        return organization.slug, _page(walk, page, sought, allowed if chosen is None else chosen)

    return db.read(read)


def _page(
    walk: Iterator[ActivityRow], page: PageRequest, sought: ActivityFilter, shown: ProjectSet
) -> Page[ActivityRow]:
    rows: list[ActivityRow] = []
    wall = last = None
    for walked, row in enumerate(walk):
        if walked == MOST_WALKED:
            wall = last
            break
        last = row.place
        if _is_sought(row, sought, shown):
            rows.append(row)
            if len(rows) == page.limit:
                break
    fits = fitting(page, map(_bytes_of, rows), most=PAGE_BYTES)
    return page_of(rows[: fits.limit], fits, lambda row: row.place, descending=True, wall=wall)


def _is_sought(row: ActivityRow, sought: ActivityFilter, shown: ProjectSet) -> bool:
    if row.project_id is None:
        if sought.projects:
            return False
    elif row.project_slug is None or not shown.allows(row.project_id):  # a deleted project, or not the caller's
        return False
    if sought.kinds and row.kind not in sought.kinds:
        return False
    return sought.version is None or row.data.get("version") == sought.version


def _walk(
    reader: Reader,
    organization: OrganizationRow,
    page: PageRequest,
    sought: ActivityFilter,
    *,
    allowed: ProjectSet,
    chosen: ProjectSet | None,
) -> Iterator[ActivityRow]:
    """The activities along the narrowest indexes there are, in walking direction."""
    shown = allowed if chosen is None else chosen
    ranges: list[dict[str, Any]]
    of_organization = {"organization_id": organization.id}
    if sought.version is not None:
        ranges, by = [of_organization | {"subject": sought.version[:SUBJECT_CHARACTERS]}], "subject"
    elif shown.everything or len(shown.ids) > MOST_RANGES:
        ranges, by = [of_organization], "organization"
    else:
        ranges, by = [of_organization | {"project_id": project_id} for project_id in sorted(shown.ids)], "project"
    walks = [_range(reader, _along(by, backward=page.backward), key, page, sought) for key in ranges]
    if by == "project" and chosen is None:
        query = _along("no project", backward=page.backward)
        walks.append(_range(reader, query, of_organization, page, sought))
    return merge(*walks, key=lambda row: row.place, reverse=not page.backward)


def _range(
    reader: Reader, query: Query[ActivityRow], key: dict[str, Any], page: PageRequest, sought: ActivityFilter
) -> Iterator[ActivityRow]:
    """The activities of one range, read only as far as they are asked for: few at first, then more at a time."""
    place: tuple[Any, ...] = page.position.key if page.position is not None else _LATEST
    at_once = min(page.limit, 64)
    while True:
        rows = reader.rows(
            query,
            happen_time=place[0],
            id=place[1],
            start_time=_EARLIEST if sought.start_time is None else sought.start_time,
            end_time=_LATEST[0] if sought.end_time is None else sought.end_time,
            limit=at_once,
            **key,
        )
        yield from rows
        if len(rows) < at_once:
            return
        place = rows[-1].place
        at_once = min(at_once * 4, 1000)


@query_shape
def _along(by: str, *, backward: bool) -> Query[ActivityRow]:
    place = peewee.Tuple(Activity.happen_time, Activity.id)
    start = peewee.Tuple(hole(Activity.happen_time), hole(Activity.id))
    narrowed = {
        "organization": None,
        "subject": Activity.subject == hole(Activity.subject),
        "project": Activity.project_id == hole(Activity.project_id),
        "no project": Activity.project_id.is_null(),
    }[by]
    query = (
        Activity.select(
            Activity.id,
            Activity.kind,
            Activity.project_id,
            Project.slug,
            Activity.subject,
            Activity.data,
            Activity.token_id,
            Activity.certificate,
            Activity.caller,
            Activity.happen_time,
        )
        .join(Project, peewee.JOIN.LEFT_OUTER, on=(Project.id == Activity.project_id))
        .where(
            Activity.organization_id == hole(Activity.organization_id),
            place > start if backward else place < start,
            Activity.happen_time >= hole(Activity.happen_time, "start_time"),
            Activity.happen_time < hole(Activity.happen_time, "end_time"),
        )
        .order_by(*(column.asc() if backward else column.desc() for column in (Activity.happen_time, Activity.id)))
        .limit(hole(Release.commit_count, "limit"))
    )
    return Query(query if narrowed is None else query.where(narrowed), row=ActivityRow)


def _bytes_of(row: ActivityRow) -> int:
    return _ACTIVITY_BYTES + wire_bytes(row.subject, row.certificate, row.caller, str(row.data))
