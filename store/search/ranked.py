"""Pages of lists in an order of release health: first the rows that have a value, in its order, then all others, newest
first, whichever the direction.

In either part a page looks at no more releases than one of any other list does (`store.search.find`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from time import monotonic
from typing import Any, Final, Protocol

from store.database import Reader
from store.errors import InvalidField
from store.paging import PageRequest, Position
from store.search import find
from store.search.adoption_ranks import AdoptionRanks
from store.search.filters import Scope
from store.search.find import Found, FoundRow, Test, find_releases, projects_of
from store.search.health_orders import HealthOrder, HealthSort, Standing, standing_of
from store.search.orders import NEWEST_FIRST, Place
from store.search.resolve import names_one
from store.search.session_ranks import session_ranks
from store.search.walks import columns_of

_FEWEST_AT_ONCE: Final = 64


class Ranks(Protocol):
    """The rows of a list that have a value, among others that the list does not hold."""

    def after(self, reader: Reader, start: Place | None, limit: int) -> Sequence[Place]:
        """The next ones behind a place, or from the beginning, in walking direction: at most `limit`, and fewer only
        where they end."""

    def valued(self, reader: Reader, places: Collection[Place]) -> Collection[Place]:
        """Those of some rows, told without a value, that have one."""


def find_ranked(
    reader: Reader, scope: Scope, order: HealthOrder, request: PageRequest, *, flatten: bool = False
) -> Found:
    """The rows of a page, as `find_releases` tells them.

    Raises `InvalidField` where the order asks for what the scope has not, or for too much; `PageTokenInvalid` for a
    position of another kind.
    """
    check(scope, order, flatten=flatten)
    falling = order.descending != request.backward
    ranks: Ranks
    if order.sort is HealthSort.ADOPTION:
        ranks = AdoptionRanks(reader, scope, flatten=flatten, falling=falling)
    else:
        ranks = session_ranks(reader, scope, order, falling=falling)
    at = None if request.position is None else standing_of(request.position.key, flatten=flatten)
    walk = _Walk(reader, scope, ranks, request, flatten=flatten)
    first, second = (walk.behind, walk.in_front) if request.backward else (walk.in_front, walk.behind)
    if at is not None and at.behind != request.backward:
        second(at.place)
    else:
        first(None if at is None else at.place)
        if not walk.is_over:
            second(None)
    return walk.found(newest_first=at is not None and at.behind)


def check(scope: Scope, order: HealthOrder, *, flatten: bool) -> None:
    """Raises `InvalidField` where a list is not sorted so."""
    if order.sort is HealthSort.ADOPTION:
        if not names_one(scope.environments):
            raise InvalidField(
                "sort", "by adoption needs exactly one environment in environments, and not the empty one"
            )
    elif not flatten:
        raise InvalidField("sort", "by sessions or users is of a release in a project: it needs flatten")


class _Walk:
    """Gathers the rows of a page, first of one part of the list, then of the other."""

    def __init__(self, reader: Reader, scope: Scope, ranks: Ranks, request: PageRequest, *, flatten: bool) -> None:
        self._reader = reader
        self._scope = scope
        self._ranks = ranks
        self._request = request
        self._flatten = flatten
        self._rows: list[tuple[Standing, tuple[Any, ...]]] = []
        self._wall: Standing | None = None

    @property
    def is_over(self) -> bool:
        """Whether the page is full, or as much was looked at as is for a page."""
        return self._wall is not None or not self._missing

    @property
    def _missing(self) -> int:
        return self._request.limit - len(self._rows)

    def found(self, *, newest_first: bool) -> Found:
        """What was gathered; `newest_first`: the page begins where the list has no values any more."""
        now_us = self._scope.now_us
        rows = tuple(
            FoundRow(standing.key(now_us), columns, project_id=standing.place[-1] if self._flatten else None)
            for standing, columns in self._rows
        )
        wall = None if self._wall is None else self._wall.key(now_us)
        return Found(rows, wall, incomplete=wall is not None, newest_first=newest_first)

    def in_front(self, start: Place | None) -> None:
        """Rows with a value, from a place on."""
        test = Test(self._reader, self._scope)
        left, enough = find.MOST_WALKED, monotonic() + find.MOST_SECONDS
        size = max(2 * self._missing, _FEWEST_AT_ONCE)
        found: list[Place] = []
        while True:
            size = min(size, find.MOST_TESTED, left)
            places = self._ranks.after(self._reader, start, size)
            found += self._held(test, places)
            if len(found) >= self._missing or len(places) < size:
                break
            start = places[-1]
            left -= len(places)
            if not left or monotonic() >= enough:
                self._wall = Standing(False, start)
                break
            size *= 2
        found = found[: self._missing]
        columns = columns_of(self._reader, list(dict.fromkeys(place[1] for place in found)))
        self._rows += [(Standing(False, place), columns[place[1]]) for place in found]

    def _held(self, test: Test, places: Sequence[Place]) -> list[Place]:
        """Those of some places that the list holds."""
        ids = [(release_id,) for release_id in dict.fromkeys(place[1] for place in places)]
        passing = {release_id for (release_id,) in test.met_by(self._reader, ids)}
        if not self._flatten:
            return [place for place in places if place[1] in passing]
        projects = projects_of(self._reader, self._scope, sorted(passing))
        return [place for place in places if place[2] in projects.get(place[1], ())]

    def behind(self, start: Place | None) -> None:
        """Rows without a value, from a place on."""
        # There is always a place to walk back from.
        position = None if start is None else Position((self._scope.now_us, *start), self._request.backward)
        test = _WithoutValue(self._reader, self._scope, self._ranks, flatten=self._flatten)
        request = PageRequest(self._missing - 1, position)
        found = find_releases(self._reader, self._scope, NEWEST_FIRST, request, flatten=self._flatten, test=test)
        self._rows += [(Standing(True, row.key[1:]), row.columns) for row in found.rows]
        if found.wall is not None:
            self._wall = Standing(True, found.wall[1:])


class _WithoutValue(Test):
    """Asks whether releases are of a scope and, in one of its projects at least, have no value."""

    def __init__(self, reader: Reader, scope: Scope, ranks: Ranks, *, flatten: bool) -> None:
        super().__init__(reader, scope)
        self._ranks = ranks
        self._flatten = flatten

    @property
    def lets_all_through(self) -> bool:
        """See `Test.lets_all_through`: some have a value."""
        return False

    def kept(self, reader: Reader, places: Sequence[Place]) -> Sequence[Place]:
        """See `Test.kept`."""
        if not self._flatten:
            valued = self._ranks.valued(reader, places)
            return [place for place in places if place not in valued]
        projects = projects_of(reader, self._scope, [place[0] for place in places])
        pairs = [(release_id, project_id) for release_id, some in projects.items() for project_id in some]
        valued = self._ranks.valued(reader, pairs)
        left = {pair[0] for pair in pairs if pair not in valued}
        return [place for place in places if place[0] in left]

    def kept_rows(self, reader: Reader, rows: Sequence[Place]) -> Sequence[Place]:
        """See `Test.kept_rows`."""
        valued = self._ranks.valued(reader, rows)
        return [row for row in rows if row not in valued]
