"""Where the candidates of a page come from: the index of the list's order, or what a query names that fewer have.

By date a page walks the sparsest of the indexes that hold releases in the order of their ids, as far as they have been
looked at. In any order releases that an index has few of are read at once. The figures are measured; see
docs/decisions/0020-finding-releases.md, Access paths.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from heapq import nlargest, nsmallest
from typing import Any, Final

from store.database import Query, Reader, query_shape
from store.database.batches import batches, filled, holes
from store.releases.models import Release
from store.search.bounds import Span, bounds_of
from store.search.filters import Scope
from store.search.orders import FIRST_ID, LAST_ID, NEWEST_FIRST, SORTS, Direction, Place, ReleaseSort
from store.search.paths import AccessPath, paths_of
from store.search.walks import Bounds, Candidates, IndexWalk, Tested, Tests, Untested

FEW: Final = 2_000
"""Releases that are read at once, whatever the order."""
MANY: Final = 30_000
"""Releases that are read at once by date, where a walk finds little; only their ids are."""
QUITE_MANY: Final = 8_000
"""Releases that are read at once in another order, where a walk finds little; their values are looked up."""
PATIENCE: Final = 3_000
"""How many releases a walk looks at before it counts as finding little."""
MOST_PROBED: Final = 4
"""How many paths are looked at before one is chosen."""
AHEAD: Final = 256
"""How far ordered paths are looked ahead to see which is the sparsest."""
MOST_AHEAD: Final = 16
"""The releases of so many projects and statuses are looked ahead at as one path; more of them are not sparse."""


def candidates_of(reader: Reader, scope: Scope, direction: Direction) -> Candidates:
    """What a page walks to find the releases of a scope that asks for more than projects and statuses.

    All that the scope finds is among them, in the order of the list, in this direction.
    """
    return ChosenReleases(scope, direction, paths_of(reader, scope))


class PathWalk(Untested):
    """The releases of an ordered path by date, whosesoever they are."""

    def __init__(self, path: AccessPath, direction: Direction, span: Span) -> None:
        self._path = path
        self._span = span
        self._falling = direction.falling

    def after(self, reader: Reader, start: Place | None, limit: int) -> Sequence[Place]:
        """See `Candidates.after`."""
        behind = None if start is None else start[0]
        ids = self._path.next_ids(reader, behind, limit, span=self._span, falling=self._falling)
        return [(release_id,) for release_id in ids]


class KnownReleases(Untested):
    """Releases whose ids are known, in the order of a list."""

    def __init__(self, reader: Reader, ids: Collection[bytes], direction: Direction) -> None:
        self._direction = direction
        self._ids = ids
        by_date = direction.column is None
        self._places = None if by_date else direction.sorted(_valued(reader, sorted(ids), direction.order.sort))

    def after(self, reader: Reader, start: Place | None, limit: int) -> Sequence[Place]:  # noqa: ARG002 - they are known
        """See `Candidates.after`."""
        if self._places is None:
            return [(each,) for each in self._ids_after(None if start is None else start[0], limit)]
        at = 0
        if start is not None:
            at = bisect_left(self._places, True, key=lambda place: self._direction.is_beyond(place, start))
        return self._places[at : at + limit]

    def _ids_after(self, start: bytes | None, limit: int) -> Sequence[bytes]:
        """By date. A page takes some hundreds: to pick those from many takes a fifth of sorting all of them."""
        if self._direction.falling:
            return nlargest(limit, self._ids if start is None else [each for each in self._ids if each < start])
        return nsmallest(limit, self._ids if start is None else [each for each in self._ids if each > start])


class ChosenReleases:
    """What is best walked for a page, chosen where it begins; and once that has found little, chosen again.

    Whatever is chosen, the releases that the scope finds come in the same order, so that a walk goes on where another
    one stood.
    """

    is_certain = False

    def __init__(self, scope: Scope, direction: Direction, paths: Sequence[AccessPath]) -> None:
        self._scope = scope
        self._direction = direction
        bounds = bounds_of(scope)
        column = "id" if direction.column is None else direction.column.name
        self._ids = bounds.get("id", Span())
        walked = bounds.get(column)
        self._index = IndexWalk(scope, direction, None if walked is None else _bounds(walked, direction))
        # What the bounds of the walk serve need not be sought.
        self._paths = [path for path in paths if path.key != column]
        self._source: Candidates | None = None
        self._reserve: list[AccessPath] = []
        self._looked_at = 0
        self._at_once = self._first_at_once = 0

    @property
    def is_within(self) -> bool:
        """See `Candidates.is_within`: of those that `after` told last."""
        return self._source is not None and self._source.is_within

    def after(self, reader: Reader, start: Place | None, limit: int) -> Sequence[Place]:
        """See `Candidates.after`."""
        found = self._chosen(reader, start).after(reader, start, limit)
        self._looked_at += len(found)
        return found

    def tested_after(self, reader: Reader, start: Place | None, limit: int, tests: Tests) -> Tested:
        """See `Candidates.tested_after`."""
        before, source = self._source, self._chosen(reader, start)
        # What was chosen anew finds more than what came before, of which more and more was looked at.
        self._at_once = limit if before is None else self._first_at_once if source is not before else 2 * self._at_once
        if before is None:
            self._first_at_once = limit
        tested = source.tested_after(reader, start, min(limit, self._at_once), tests)
        self._looked_at += len(tested.places)
        return tested

    def _chosen(self, reader: Reader, start: Place | None) -> Candidates:
        if self._source is None:
            choose = self._by_date if self._direction.column is None else self._by_value
            self._source = choose(reader, start)
        elif self._reserve and self._looked_at >= PATIENCE:
            most = MANY if self._direction.column is None else QUITE_MANY
            self._source = self._known(reader, self._reserve, most) or self._source
            self._reserve = []
        return self._source

    def _by_date(self, reader: Reader, start: Place | None) -> Candidates:
        ordered = [path for path in self._paths if path.is_ordered][:MOST_PROBED]
        others = [path for path in self._paths if not path.is_ordered][:MOST_PROBED]
        walks: list[Candidates] = [PathWalk(path, self._direction, self._ids) for path in ordered]
        projects = self._scope.projects
        if not projects.everything and len(projects.ids) * len(self._scope.statuses) <= MOST_AHEAD:
            walks.append(self._index)
        if not others and len(walks) == 1:
            return walks[0]
        self._reserve = others
        ahead = [(walk.after(reader, start, AHEAD), walk) for walk in walks]
        ending = [(len(places), index) for index, (places, _) in enumerate(ahead) if len(places) < AHEAD]
        if ending:
            return ahead[min(ending)[1]][1]
        known = self._known(reader, others, FEW)
        if known is not None:
            return known
        if not ahead:
            return self._index
        # The one that came farthest has fewest on the way.
        farthest, walk = ahead[0]
        for places, other in ahead[1:]:
            if self._direction.is_beyond(places[-1], farthest[-1]):
                farthest, walk = places, other
        return walk

    def _by_value(self, reader: Reader, start: Place | None) -> Candidates:  # noqa: ARG002 - as in the other order
        self._reserve = self._paths[:MOST_PROBED]
        return self._known(reader, self._reserve, FEW) or self._index

    def _known(self, reader: Reader, paths: Sequence[AccessPath], most: int) -> KnownReleases | None:
        """The releases of the path that has fewest of them, if any has at most so many rows."""
        fewest: set[bytes] | None = None
        for path in paths:
            ids, complete = path.some_ids(reader, most)
            if complete and (fewest is None or len(ids) < len(fewest)):
                fewest = ids
                most = min(most, len(ids))
        if fewest is None:
            return None
        if self._ids != Span():
            within = _bounds(self._ids, Direction(NEWEST_FIRST))
            fewest = {each for each in fewest if within.first <= each <= within.last}  # type: ignore[operator]
        return KnownReleases(reader, fewest, self._direction)


def _bounds(span: Span, direction: Direction) -> Bounds:
    column = direction.column
    first, last = (FIRST_ID, LAST_ID) if column is None else (column.first, column.last)
    return Bounds(first if span.first is None else span.first, last if span.last is None else span.last)


def _valued(reader: Reader, ids: Sequence[bytes], sort: ReleaseSort) -> list[Place]:
    """The places of releases in an order, by their ids."""
    found: list[Place] = []
    for batch in batches(ids):
        found += reader.rows(_values_of_many(sort, len(batch)), **filled(batch))
    return found


@query_shape
def _values_of_many(sort: ReleaseSort, count: int) -> Query[tuple[Any, ...]]:
    column = SORTS[sort]
    assert column is not None
    value = getattr(Release, column.name)
    return Query(Release.select(value, Release.id).where(Release.id.in_(holes(Release.id, count))))
