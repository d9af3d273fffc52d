"""What stands beside a release: the one created before it and the one after, and the ends of the list they are in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from store.database import Reader
from store.paging import PageRequest, Position
from store.releases.rows import RELEASE_COLUMNS, ReleaseStatus
from store.search.filters import Scope
from store.search.find import find_releases
from store.search.orders import Order, ReleaseSort

_OLDEST_FIRST: Final = Order(ReleaseSort.DATE, descending=False)
_NEWEST_FIRST: Final = Order(ReleaseSort.DATE)
_VERSION: Final = [column.name for column in RELEASE_COLUMNS].index("version")


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The versions beside a release, and the first and the last of all; None where there is none.

    `incomplete`: as many releases were looked at for one of them as for a page of a list, and there may be one.
    """

    next: str | None
    previous: str | None
    first: str | None
    last: str | None
    incomplete: bool


@dataclass(frozen=True, slots=True)
class _Seen:
    version: str | None
    incomplete: bool


def neighbours(reader: Reader, scope: Scope, release_id: bytes) -> Neighbours:
    """Beside the release, whether or not the scope holds it: the next younger release of the scope and the next older
    one, by create_time.

    The first and the last are those of the scope's projects and environments, whatever their status and whatever the
    query says.
    """
    position = Position((scope.now_us, release_id))
    everything = replace(
        scope,
        statuses=(int(ReleaseStatus.OPEN), int(ReleaseStatus.ARCHIVED)),
        expression=None,
        created=(None, None),
        released=(None, None),
    )
    younger = _nearest(reader, scope, _OLDEST_FIRST, position)
    older = _nearest(reader, scope, _NEWEST_FIRST, position)
    first = _nearest(reader, everything, _OLDEST_FIRST, None)
    last = _nearest(reader, everything, _NEWEST_FIRST, None)
    return Neighbours(
        next=younger.version,
        previous=older.version,
        first=first.version,
        last=last.version,
        incomplete=any(each.incomplete for each in (younger, older, first, last)),
    )


def _nearest(reader: Reader, scope: Scope, order: Order, position: Position | None) -> _Seen:
    """The first release of a list, from a place on."""
    # A page of none asks for just the one that would tell whether there are more.
    found = find_releases(reader, scope, order, PageRequest(0, position))
    if found.rows:
        return _Seen(found.rows[0].columns[_VERSION], incomplete=False)
    return _Seen(None, found.incomplete)
