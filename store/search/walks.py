"""Walks of the indexes that lists are sorted by: a stretch of any order costs its own length, wherever it lies.

Releases of some projects are read from the (release, project) rows: one range of the index a project and status, each
no longer than what is asked for, then merged. Releases of every project are read from the release table's own indexes.
Both have the same columns under the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import add
from typing import Any, Final, NamedTuple, Protocol

from peewee import SQL, Case, Select, Tuple

from store.database import Query, Reader, hole, query_shape
from store.database.batches import batches, filled, holes
from store.releases.models import Release, ReleaseProject
from store.releases.rows import RELEASE_COLUMNS
from store.search.filters import Scope
from store.search.many_ranges import ManyRangesWalk, Part
from store.search.orders import FIRST_ID, LAST_ID, SORTS, Direction, Place, ReleaseSort, Value
from store.search.related import Condition

# Index ranges merged by one query. SQLite allows 500, planning 32 is cheap.
_MOST_RANGES: Final = 32
_RANGE_COUNTS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)

# By name: fields have an == of their own.
_ID: Final = [column.name for column in RELEASE_COLUMNS].index("id")


_MOST_LOOKED_UP: Final = 500
"""Releases that are looked up by their ids together."""


class Tests(Protocol):
    """Tells which releases a list holds."""

    @property
    def condition(self) -> Condition | None:
        """What must hold of a release of the list's projects and statuses, if anything."""

    def passing(self, reader: Reader, candidates: Candidates, places: Sequence[Place]) -> Sequence[Place]:
        """Those of some candidates that the list holds, in their order."""


class Candidates(Protocol):
    """Releases in the order of a list, among which are all that the list holds."""

    @property
    def is_certain(self) -> bool:
        """Whether all of them are of the list, so that none need be tested."""

    @property
    def is_within(self) -> bool:
        """Whether all of them are of the list's organization, projects and statuses."""

    def after(self, reader: Reader, start: Place | None, limit: int) -> Sequence[Place]:
        """The next ones behind a place, or from the beginning, in walking direction, each once: at most `limit`, and
        fewer only where they end."""

    def tested_after(self, reader: Reader, start: Place | None, limit: int, tests: Tests) -> Tested:
        """The next ones, as many of them as are well tested together, but at most `limit`."""


class Tested(NamedTuple):
    """Some candidates, those of them that the list holds, and whether there are no more candidates."""

    places: Sequence[Place]
    passing: Sequence[Place]
    ended: bool


class Untested:
    """Candidates that are tested by their ids, once they are known."""

    is_certain = False
    is_within = False

    def tested_after(self: Candidates, reader: Reader, start: Place | None, limit: int, tests: Tests) -> Tested:
        """See `Candidates.tested_after`."""
        limit = min(limit, _MOST_LOOKED_UP)
        places = self.after(reader, start, limit)
        return Tested(places, tests.passing(reader, self, places), len(places) < limit)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the values of a sort lie between in all that a query finds, both ends included; by date, the ids."""

    first: Value
    last: Value


class _Asking(NamedTuple):
    """What is asked of a range: in which direction, whether it stops, whether all columns are told, and a condition of
    which is told whether it holds."""

    sort: ReleaseSort
    falling: bool
    bounded: bool
    whole: bool
    condition: Condition | None


class IndexWalk:
    """All releases of a scope's projects and statuses, in the order of a list."""

    is_certain = False
    is_within = True

    def __init__(self, scope: Scope, direction: Direction, bounds: Bounds | None = None) -> None:
        self._scope = scope
        self._direction = direction
        self._bounds = bounds
        self._testing: dict[Any, Query[tuple[Any, ...]]] = {}
        self._ranges = [] if scope.projects.everything else list(product(sorted(scope.projects.ids), scope.statuses))
        self._many: ManyRangesWalk | None = None
        if len(self._ranges) > _MOST_RANGES:
            self._many = ManyRangesWalk(self._ranges, direction, self._parts)

    def after(self, reader: Reader, start: Place | None, limit: int) -> Sequence[Place]:
        """See `Candidates.after`."""
        if self._many is not None:
            return self._many.after(reader, start, limit)
        return self._read(reader, start, limit)

    def rows_after(self, reader: Reader, start: Place | None, limit: int) -> list[tuple[Place, tuple[Any, ...]]]:
        """The same with the columns of each release, as `RELEASE_COLUMNS` names them."""
        if self._many is not None:
            places = self._many.after(reader, start, limit)
            columns = columns_of(reader, [place[-1] for place in places])
            return [(place, columns[place[-1]]) for place in places]
        width = 1 if self._direction.column is None else 2
        return [(row[:width], row[width:]) for row in self._read(reader, start, limit, whole=True)]

    def tested_after(self, reader: Reader, start: Place | None, limit: int, tests: Tests) -> Tested:
        """See `Candidates.tested_after`. Testing what is just being read takes a fifth of looking it up again."""
        if tests.condition is None:
            places = self.after(reader, start, limit)
            return Tested(places, places, len(places) < limit)
        if self._many is not None:
            limit = min(limit, _MOST_LOOKED_UP)
            places = self.after(reader, start, limit)
            return Tested(places, tests.passing(reader, self, places), len(places) < limit)
        rows = self._read(reader, start, limit, condition=tests.condition)
        return Tested([row[:-1] for row in rows], [row[:-1] for row in rows if row[-1]], len(rows) < limit)

    def _read(
        self,
        reader: Reader,
        start: Place | None,
        limit: int,
        *,
        whole: bool = False,
        condition: Condition | None = None,
    ) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for part in self._parts(start):
            rows += self._part(reader, part, limit - len(rows), whole=whole, condition=condition)
            if len(rows) == limit:
                break
        return rows

    def _part(
        self, reader: Reader, part: Part, limit: int, *, whole: bool, condition: Condition | None
    ) -> list[tuple[Any, ...]]:
        direction, scope = self._direction, self._scope
        params: dict[str, Any] = {"limit": limit, "start_id": part.start[-1]}
        if direction.column is not None:
            params["start"] = part.start[0]
        if part.stop is not None:
            params["stop"] = part.stop
        asking = _Asking(direction.order.sort, direction.falling, part.stop is not None, whole, condition)
        if scope.projects.everything:
            statuses = {f"status{index}": int(status) for index, status in enumerate(scope.statuses)}
            params["organization_id"] = scope.organization.id
            return self._rows(reader, _of_organization, len(statuses), asking, params | statuses)
        return self._merged(reader, self._ranges, params, asking)

    def _merged(
        self, reader: Reader, ranges: Sequence[tuple[bytes, int]], params: dict[str, Any], asking: _Asking
    ) -> list[tuple[Any, ...]]:
        """Of at most `_MOST_RANGES` ranges."""
        if not ranges:
            return []
        count = next(count for count in _RANGE_COUNTS if count >= len(ranges))
        places: dict[str, Any] = {}
        for index in range(count):
            # The last range fills up to a number of ranges that a query is compiled for: what it adds is there already.
            places[f"project{index}"], places[f"status{index}"] = ranges[min(index, len(ranges) - 1)]
        return self._rows(reader, _of_projects, count, asking, places | params)

    def _rows(
        self, reader: Reader, select: Callable[..., Any], count: int, asking: _Asking, params: dict[str, Any]
    ) -> list[tuple[Any, ...]]:
        shape = asking.sort, count, asking.falling, asking.bounded
        if asking.condition is None:
            return reader.rows(_compiled(select, *shape, asking.whole), **params)
        query = self._testing.get(shape)
        if query is None:
            passes = Case(None, ((asking.condition, 1),), 0)
            query = self._testing[shape] = Query(select(*shape, (), passes))
        return reader.rows_of_one(query, **params)

    def _parts(self, start: Place | None) -> Iterator[Part]:
        """The index ranges of the order from a place on, in walking direction."""
        falling, column = self._direction.falling, self._direction.column
        if column is None:
            parts: list[tuple[Any, Any]] = [(FIRST_ID, LAST_ID)]
            whole: tuple[Any, Any] = (FIRST_ID, LAST_ID)
        else:
            whole = (column.first, column.last)
            parts = [whole]
            if column.present is not None and column.missing is not None and not self._direction.order.descending:
                parts = [(column.present, column.last), (column.first, column.missing)]
                if self._direction.backward:
                    parts.reverse()
        reached = start is None
        for first, last in parts:
            if not reached:
                assert start is not None
                if column is not None and not first <= start[0] <= last:
                    continue
                reached = True
                yield from self._clipped(first, last, whole, start, falling=falling)
            else:
                yield from self._clipped(first, last, whole, None, falling=falling)

    def _clipped(
        self, first: Any, last: Any, whole: tuple[Any, Any], start: Place | None, *, falling: bool
    ) -> Iterator[Part]:
        if self._bounds is not None:
            first, last = max(first, self._bounds.first), min(last, self._bounds.last)
            if first > last:
                return
        edge: Place = (last, LAST_ID) if falling else (first, FIRST_ID)
        if self._direction.column is None:
            # Ids themselves are compared: a start lies right outside of the first of them.
            edge = (self._outside(last if falling else first),)
        if start is None or self._direction.is_beyond(edge, start):
            start = edge
        stop = first if falling else last
        yield Part(start, None if stop == whole[0 if falling else 1] else stop)

    def _outside(self, release_id: bytes) -> bytes:
        at: bytes = self._direction.before((release_id,))[0]
        return at


def columns_of(reader: Reader, release_ids: Sequence[bytes]) -> dict[bytes, tuple[Any, ...]]:
    """The columns of releases by id, as `RELEASE_COLUMNS` names them."""
    found: dict[bytes, tuple[Any, ...]] = {}
    for batch in batches(release_ids):
        found.update((columns[_ID], columns) for columns in reader.rows(_columns_of_many(len(batch)), **filled(batch)))
    return found


@query_shape
def _columns_of_many(count: int) -> Query[tuple[Any, ...]]:
    return Query(Release.select(*RELEASE_COLUMNS).where(Release.id.in_(holes(Release.id, count))))


def _ordered(*columns: Any, falling: bool) -> list[Any]:
    return [column.desc() if falling else column.asc() for column in columns]


_LIMIT: Final = hole(ReleaseProject.commit_count, "limit")


def _range(query: Any, column: Any, id_column: Any, *, falling: bool, bounded: bool) -> Any:
    """The query from its start on, in its order, as far as its stop and its limit."""
    if column is None:
        place, start = id_column, hole(id_column, "start_id")
    else:
        place, start = Tuple(column, id_column), Tuple(hole(column, "start"), hole(id_column, "start_id"))
    query = query.where(place < start if falling else place > start)
    if bounded:
        limiting = id_column if column is None else column
        stop = hole(limiting, "stop")
        query = query.where(limiting >= stop if falling else limiting <= stop)
    columns = (id_column,) if column is None else (column, id_column)
    return query.order_by(*_ordered(*columns, falling=falling)).limit(_LIMIT)


def _column(model: Any, sort: ReleaseSort) -> Any:
    column = SORTS[sort]
    return None if column is None else getattr(model, column.name)


@query_shape
def _compiled(
    select: Callable[..., Any], sort: ReleaseSort, count: int, falling: bool, bounded: bool, whole: bool
) -> Query[tuple[Any, ...]]:
    return Query(select(sort, count, falling, bounded, RELEASE_COLUMNS if whole else ()))


def _of_projects(
    sort: ReleaseSort, ranges: int, falling: bool, bounded: bool, more: Sequence[Any], passes: Any = None
) -> Any:
    """The places of so many ranges, and more of each release, or whether it passes."""
    column = _column(ReleaseProject, sort)
    told = [ReleaseProject.release_id] if column is None else [column.alias("value"), ReleaseProject.release_id]
    members = [
        _range(
            ReleaseProject.select(*told).where(
                ReleaseProject.project_id == hole(ReleaseProject.project_id, f"project{index}"),
                ReleaseProject.status == hole(ReleaseProject.status, f"status{index}"),
            ),
            column,
            ReleaseProject.release_id,
            falling=falling,
            bounded=bounded,
        )
        for index in range(ranges)
    ]
    names = ["release_id"] if column is None else ["value", "release_id"]
    page = members[0] if ranges == 1 else _first_of(members, names, falling=falling)
    if not more and passes is None:
        return page
    page = page.alias("page")
    places = [getattr(page.c, name) for name in names]
    if passes is not None:
        # Of each release by itself: to join some, PostgreSQL would rather read the whole of a table that is not large.
        of_one = Release.select(passes).where(Release.id == page.c.release_id)
        return Select([page], [*places, of_one.alias("passes")]).order_by(*_ordered(*places, falling=falling))
    return (
        Release.select(*places, *more)
        .join(page, on=(Release.id == page.c.release_id))
        .order_by(*_ordered(*places, falling=falling))
    )


def _first_of(members: Sequence[Any], names: Sequence[str], *, falling: bool) -> Any:
    """The first rows of all members together, each release once."""
    every = reduce(add, members).alias("every")
    places = [getattr(every.c, name) for name in names]
    return Select([every], places).distinct().order_by(*_ordered(*places, falling=falling)).limit(_LIMIT)


def _of_organization(
    sort: ReleaseSort, statuses: int, falling: bool, bounded: bool, more: Sequence[Any], passes: Any = None
) -> Any:
    """The places of so many statuses, and more of each release, or whether it passes."""
    column = _column(Release, sort)
    # A name of its own: among the columns of a release is its version, too.
    told = [Release.id.alias("place_id")] if column is None else [column.alias("place"), Release.id.alias("place_id")]
    members = [
        _range(
            Release.select(*told, *more, *([] if passes is None else [passes.alias("passes")])).where(
                Release.organization_id == hole(Release.organization_id),
                Release.status == hole(Release.status, f"status{index}"),
                Release.project_count > 0,
            ),
            column,
            Release.id,
            falling=falling,
            bounded=bounded,
        )
        for index in range(statuses)
    ]
    if statuses == 1:
        return members[0]
    names = [SQL("place_id")] if column is None else [SQL("place"), SQL("place_id")]
    return reduce(add, members).order_by(*_ordered(*names, falling=falling)).limit(_LIMIT)
