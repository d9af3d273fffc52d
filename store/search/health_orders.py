"""The orders of lists that release health gives: by sessions, by users, by crash-free shares, and by adoption.

No column holds what they sort by. Releases that have it come first, in its order; all others follow, newest first,
whichever the direction (behaviour.md, Release health).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

from store.errors import PageTokenInvalid
from store.health.windows import Period
from store.paging import Key
from store.search.orders import Place


class HealthSort(IntEnum):
    """What a list is sorted by; the numbers are those of the contract. All but ADOPTION are of a release in a project,
    and so of flattened lists alone."""

    SESSIONS = 8
    USERS = 9
    SESSIONS_24H = 10
    USERS_24H = 11
    CRASH_FREE_SESSIONS = 12
    CRASH_FREE_USERS = 13
    ADOPTION = 14


SHARES: Final = frozenset((HealthSort.CRASH_FREE_SESSIONS, HealthSort.CRASH_FREE_USERS))
"""Sorts that begin with the lowest where nothing else is said: the least stable release comes first."""


@dataclass(frozen=True, slots=True)
class HealthOrder:
    """A sort and its direction; `period` is what sessions and users are counted in, but for those of 24 hours, and for
    adoption."""

    sort: HealthSort
    descending: bool = True
    period: Period = Period.LAST_14D

    @property
    def counted_in(self) -> Period:
        """The period that is counted."""
        last_day = self.sort in (HealthSort.SESSIONS_24H, HealthSort.USERS_24H)
        return Period.LAST_24H if last_day else self.period


class Standing(NamedTuple):
    """Where a row stands in such an order: among those that have a value, or behind them; and where there.

    A place is the value, the release's id and, in a flattened list, the project's; behind, it has no value.
    """

    behind: bool
    place: Place

    def key(self, now_us: int) -> Key:
        """Its key in positions."""
        return now_us, int(self.behind), *self.place


def standing_of(key: Key, *, flatten: bool) -> Standing:
    """The standing in a position's key. Raises `PageTokenInvalid` for a key of a list of another kind."""
    kinds: list[Any] = [bytes, bytes] if flatten else [bytes]
    match key[1:]:
        case (0, int(), *ids) | (1, *ids) if [type(each) for each in ids] == kinds:
            return Standing(key[1] == 1, key[2:])
        case _:  # minted by an older server that sorted this list otherwise
            raise PageTokenInvalid
