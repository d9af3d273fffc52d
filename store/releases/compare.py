"""What two releases do not have alike, page by page (behaviour.md, Comparing releases).

A comparison first walks what only the compared release has, then what only its base has. The walks pass at most
`MOST_WALKED` rows a page: where the releases are much alike, a page may hold fewer differences than asked for,
even none, and the next one goes on behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple, TypeAlias

from store.access import Access
from store.commits.changes import ChangeRow
from store.commits.contents import AuthorRow, CommitRow, commit_bytes
from store.commits.positions import first_position
from store.database import Database, Query, Reader
from store.errors import InvalidField
from store.paging import PAGE_BYTES, Page, PageRequest, fitting, page_of, wire_bytes
from store.releases.lookup import readable_release
from store.releases.rows import ReleaseRow

MOST_WALKED: Final = 10_000
"""How many commits, authors or references a page looks at."""

_AT_ONCE: Final = 100
"""How many rows are read together at first, then twice as many each time: a commit's message alone may be large."""
_ITEM_BYTES: Final = 120
"""What a difference takes on the wire beside its texts, at most."""

Subject: TypeAlias = CommitRow | ChangeRow | AuthorRow | str


class Side(IntEnum):
    """Which of two releases has something. The numbers are those of the contract."""

    ADDED = 1
    REMOVED = 2
    CHANGED = 3


class Difference(NamedTuple):
    """Something that one of two releases has: on which side, where in that side's walk, and what."""

    side: Side
    place: tuple[Any, ...]
    subject: Subject

    @property
    def key(self) -> tuple[Any, ...]:
        """What differences are sorted by."""
        return int(self.side), *self.place


@dataclass(frozen=True, slots=True)
class ComparedReleases:
    """The release that is compared and its base, each by a slug of its organization and its version."""

    organization_slug: str
    version: str
    base_organization_slug: str
    base_version: str

    def find(self, reader: Reader, access: Access) -> tuple[ReleaseRow, ReleaseRow]:
        """Both. Slugs may differ and still be one organization's.

        Raises `OrganizationNotFound`, `ReleaseNotFound`, `InvalidField` for a base of another organization.
        """
        release = readable_release(reader, access, self.organization_slug, self.version)
        base = readable_release(reader, access, self.base_organization_slug, self.base_version)
        if base.organization_id != release.organization_id:
            raise InvalidField("base", "must be a release of the same organization")
        return release, base


@dataclass(frozen=True, slots=True)
class Section:
    """A part of releases that is compared: the walk of what one release has and another lacks.

    `query(backward)` takes the ids of both, the place to begin at and a limit; its rows begin with the place's columns.
    `subjects` makes what is told of some rows. The walk ends at a `wall`: a position for one by commits, else the text
    that `nth(backward)` finds so many rows on.
    """

    query: Callable[..., Query[tuple[Any, ...]]]
    names: tuple[str, ...]
    before_all: tuple[Any, ...]
    behind_all: tuple[Any, ...]
    subjects: Callable[[Reader, Sequence[tuple[Any, ...]]], Sequence[Subject]]
    nth: Callable[..., Query[tuple[str]]] | None = None


def compare_releases(
    db: Database,
    access: Access,
    compared: ComparedReleases,
    section: Section,
    page: PageRequest,
) -> Page[Difference]:
    """A page of what only the release has, then of what only the base has, each in the section's own order.

    A page ends before it passes 1 MiB, and before it has looked at more than 10,000 commits, authors or references.

    Raises `OrganizationNotFound` and `ReleaseNotFound` for either, `InvalidField` for a base of another organization.
    """

    def read(reader: Reader) -> Page[Difference]:
        release, base = compared.find(reader, access)
        return _page(reader, section, {Side.ADDED: (release, base), Side.REMOVED: (base, release)}, page)

    return db.read(read)


def _page(
    reader: Reader, section: Section, sides: dict[Side, tuple[ReleaseRow, ReleaseRow]], page: PageRequest
) -> Page[Difference]:
    if page.position is None:
        begin, place = Side.ADDED, section.before_all
    else:
        begin, place = Side(int(page.position.key[0])), page.position.key[1:]
    rows: list[Difference] = []
    wall: tuple[Any, ...] | None = None
    budget, room = MOST_WALKED, PAGE_BYTES
    order = [Side.REMOVED, Side.ADDED] if page.backward else [Side.ADDED, Side.REMOVED]
    for side in order[order.index(begin) :]:
        mine, other = sides[side]
        if side != begin:
            place = section.behind_all if page.backward else section.before_all
        params, stopped, walked = _bounds(reader, section, mine, place, budget, backward=page.backward)
        params |= {"mine": mine.id, "other": other.id}
        budget -= walked
        for found in _walk(reader, section, side, params, page.limit - len(rows), backward=page.backward):
            rows.append(found)
            room -= _bytes_of(found)
            if room < 0 and len(rows) > 1:  # the page ends before this one: what follows need not be read
                break
        if (room < 0 and len(rows) > 1) or len(rows) == page.limit:
            break
        if stopped is not None:
            wall = (int(side), *stopped)
            break
    fits = fitting(page, map(_bytes_of, rows), most=PAGE_BYTES)
    return page_of(rows[: fits.limit], fits, lambda row: row.key, wall=wall)


def _bounds(
    reader: Reader, section: Section, mine: ReleaseRow, place: tuple[Any, ...], budget: int, *, backward: bool
) -> tuple[dict[str, Any], tuple[Any, ...] | None, int]:
    """Where the walk of one side begins and ends, as parameters; the place where it is stopped before the side's end,
    if it is; and how many rows that is at most."""
    params: dict[str, Any] = dict(zip(section.names, place, strict=True))
    if section.nth is not None:
        most = max(budget // 2, 1)  # as much is left for the other side
        found = reader.row(section.nth(backward=backward), mine=mine.id, most=most - 1, **params)
        if found is None:
            return params | {"wall": (section.before_all if backward else section.behind_all)[0]}, None, most
        return params | {"wall": found[0]}, found, most
    first = first_position(reader, mine.id)
    last = first + mine.commit_count - 1
    at = min(max(int(place[0]), first - 1), last + 1)
    wall = max(at - budget, first) if backward else min(at + budget, last)
    stopped: tuple[Any, ...] | None = None
    if backward and wall > first:
        stopped = (wall, *section.before_all[1:])
    elif not backward and wall < last:
        stopped = (wall, *section.behind_all[1:])
    return params | {"wall": wall}, stopped, abs(wall - at)


def _walk(
    reader: Reader, section: Section, side: Side, params: dict[str, Any], limit: int, *, backward: bool
) -> Iterator[Difference]:
    """At most so many differences of one side, read only as far as they are asked for."""
    width = len(section.names)
    at_once = _AT_ONCE
    while limit:
        at_once = min(at_once, limit)
        rows = reader.rows(section.query(backward=backward), limit=at_once, **params)
        for row, subject in zip(rows, section.subjects(reader, rows), strict=True):
            yield Difference(side, row[:width], subject)
        if len(rows) < at_once:
            return
        params = params | dict(zip(section.names, rows[-1], strict=False))
        limit -= at_once
        at_once *= 2


def _bytes_of(row: Difference) -> int:
    match row.subject:
        case CommitRow() as commit:
            return _ITEM_BYTES + commit_bytes(commit)
        case ChangeRow(_, repository, commit_key, path):
            return _ITEM_BYTES + wire_bytes(repository, commit_key, path)
        case AuthorRow(display_name, email):
            return _ITEM_BYTES + wire_bytes(display_name or "", email)
        case text:
            return _ITEM_BYTES + wire_bytes(text)
