"""The orders of lists of releases.

Each sort is a column that both `Release` and `ReleaseProject` have, with an index of its own in either. Those of
release health have no column, and are in `store.search.health_orders`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from store.releases.version import FIRST_SEMVER_KEY, NO_BUILD_KEY, NO_SEMVER_KEY

Value: TypeAlias = int | bytes | str
Place: TypeAlias = tuple[Any, ...]
"""Where a release stands in an order: the value of the sort and the release's id; by date, just the id."""

FIRST_ID: Final = b"\x00" * 16
LAST_ID: Final = b"\xff" * 16
"""Ids below and above all that there are."""

_FIRST_NUMBER, _LAST_NUMBER = -(2**63), 2**63 - 1
_FIRST_KEY, _LAST_KEY = b"", b"\xff" * 9
_FIRST_TEXT, _LAST_TEXT = "", "\U0010ffff" * 201


class ReleaseSort(IntEnum):
    """What a list is sorted by. Releases that are alike in it are sorted by age, in the same direction."""

    DATE = 1
    RELEASED = 2
    VERSION = 3
    BUILD = 4
    NAME = 5
    COMMITS = 6
    DEPLOYS = 7


@dataclass(frozen=True, slots=True)
class Order:
    """A sort and its direction."""

    sort: ReleaseSort
    descending: bool = True


NEWEST_FIRST: Final = Order(ReleaseSort.DATE)


@dataclass(frozen=True, slots=True)
class SortColumn:
    """What a sort reads: a column, and values not above and not below any of it.

    `missing`: the value that says that a release has none, and `present`: the lowest that there is else. The one is
    below the other, and yet comes last in either direction.
    """

    name: str
    first: Value
    last: Value
    missing: Value | None = None
    present: Value | None = None

    def is_missing(self, value: Any) -> bool:
        """Whether a release of this value comes last, whichever the direction."""
        return self.present is not None and value < self.present


SORTS: Final[Mapping[ReleaseSort, SortColumn | None]] = MappingProxyType(
    {
        # A release's id is made of its create_time: the id that every order ends in is all there is to this one.
        ReleaseSort.DATE: None,
        ReleaseSort.RELEASED: SortColumn("sort_time", _FIRST_NUMBER, _LAST_NUMBER),
        ReleaseSort.VERSION: SortColumn("version_key", _FIRST_KEY, _LAST_KEY, NO_SEMVER_KEY, FIRST_SEMVER_KEY),
        ReleaseSort.BUILD: SortColumn("build_key", _FIRST_NUMBER, _LAST_NUMBER, NO_BUILD_KEY, NO_BUILD_KEY + 1),
        ReleaseSort.NAME: SortColumn("version", _FIRST_TEXT, _LAST_TEXT),
        ReleaseSort.COMMITS: SortColumn("commit_count", _FIRST_NUMBER, _LAST_NUMBER),
        ReleaseSort.DEPLOYS: SortColumn("deploy_count", _FIRST_NUMBER, _LAST_NUMBER),
    }
)


@dataclass(frozen=True, slots=True)
class Direction:
    """An order as a page walks it: forward, or against the list to the page before."""

    order: Order
    backward: bool = False

    @property
    def falling(self) -> bool:
        """Whether ids, and values that are there, come from the highest on."""
        return self.order.descending != self.backward

    @property
    def column(self) -> SortColumn | None:
        """What is read beside the id; None by date."""
        return SORTS[self.order.sort]

    def rank(self, place: Place) -> tuple[Any, ...]:
        """What places compare by in a list: a later one is larger, in one that falls it is smaller."""
        column = self.column
        missing = column is not None and not self.order.descending and column.is_missing(place[0])
        return missing, *place

    def sorted(self, places: Iterable[Place]) -> list[Place]:
        """The places in walking direction."""
        return sorted(places, key=self.rank, reverse=self.falling)

    def is_beyond(self, place: Place, start: Place) -> bool:
        """Whether the first place comes behind the second."""
        first, second = self.rank(place), self.rank(start)
        return first < second if self.falling else first > second

    def before(self, place: Place) -> Place:
        """The place right before this one, so that a walk from there begins with it."""
        *front, release_id = place
        return *front, beside(release_id, 1 if self.falling else -1)


def beside(release_id: bytes, step: int) -> bytes:
    """The id right above (1) or right below (-1) this one, if there is one: else itself."""
    return min(max(int.from_bytes(release_id, "big") + step, 0), 2**128 - 1).to_bytes(16, "big")
