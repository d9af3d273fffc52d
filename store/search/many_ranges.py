"""Merging many ranges of an index: what callers of more projects than one query reads walk.

Each range is read a little at a time, and what was read waits here until all others have been read as far. So a walk
reads about as many rows as it passes, however many ranges it merges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, Final, NamedTuple

from peewee import SQL, Tuple

from store.database import Query, Reader, hole, query_shape
from store.releases.models import ReleaseProject
from store.search.orders import SORTS, Direction, Place, ReleaseSort, Value

_COUNTS: Final = (1, 2, 4, 8, 16, 32)
"""So many ranges are read by one query."""
_FEWEST: Final = 8
_MOST: Final = 256
"""Rows that are read of a range together: few at first, then twice as many each time."""


class Part(NamedTuple):
    """Part of an order: from `start`, exclusive, to the value `stop`, if that is not where the index ends."""

    start: Place
    stop: Value | None


@dataclass(slots=True)
class _Reading:
    """How far a range has been read."""

    project_id: bytes
    status: int
    at: Place
    size: int
    waiting: list[Place] = field(default_factory=list)
    ended: bool = False


class _MergedPart:
    """The places of one part of an order in many (project, status) ranges, merged, each once."""

    def __init__(self, ranges: Sequence[tuple[bytes, int]], direction: Direction, part: Part) -> None:
        self._direction = direction
        self._stop = part.stop
        self._readings = [_Reading(project_id, status, part.start, _FEWEST) for project_id, status in ranges]
        self._merged: list[Place] = []

    def take(self, reader: Reader, limit: int) -> list[Place]:
        """The next places in walking direction: at most `limit`, and fewer only where they end."""
        while len(self._merged) < limit and self._readings:
            self._go_on(reader)
        taken, self._merged = self._merged[:limit], self._merged[limit:]
        return taken

    def _go_on(self, reader: Reader) -> None:
        """Read on in the ranges of which little waits, and merge what all have been read as far as."""
        short = [each for each in self._readings if not each.ended and 2 * len(each.waiting) < each.size]
        short.sort(key=lambda each: each.size)  # of those that are read together each is read as far
        while short:
            count = max(count for count in _COUNTS if count <= len(short))
            self._read(reader, short[:count])
            del short[:count]
        reached = [each.at for each in self._readings if not each.ended]
        frontier = self._direction.sorted(reached)[0] if reached else None
        ready: set[Place] = set()
        for each in self._readings:
            count = len(each.waiting) if frontier is None else self._as_far_as(each.waiting, frontier)
            ready.update(each.waiting[:count])
            del each.waiting[:count]
        self._readings = [each for each in self._readings if each.waiting or not each.ended]
        self._merged += self._direction.sorted(ready)

    def _as_far_as(self, places: Sequence[Place], frontier: Place) -> int:
        """How many of these are not beyond the frontier."""
        rank, falling = self._direction.rank, self._direction.falling
        end = rank(frontier)
        if falling:
            return sum(rank(place) >= end for place in places)
        return sum(rank(place) <= end for place in places)

    def _read(self, reader: Reader, readings: Sequence[_Reading]) -> None:
        size = max(each.size for each in readings)
        params: dict[str, Any] = {"limit": size}
        for number, each in enumerate(readings):
            params |= {f"project{number}": each.project_id, f"status{number}": each.status}
            params[f"start_id{number}"] = each.at[-1]
            if len(each.at) > 1:
                params[f"start{number}"] = each.at[0]
        if self._stop is not None:
            params["stop"] = self._stop
        direction = self._direction
        query = _next_of(direction.order.sort, len(readings), direction.falling, self._stop is not None)
        found: list[list[Place]] = [[] for _ in readings]
        for number, *place in reader.rows(query, **params):
            found[number].append(tuple(place))
        for each, places in zip(readings, found, strict=True):
            each.waiting += direction.sorted(places)
            each.ended = len(places) < size
            each.size = min(2 * size, _MOST)
            if places:
                each.at = each.waiting[-1]


class ManyRangesWalk:
    """The places of an order in many ranges. Who goes on where the last call ended finds what was read already."""

    def __init__(
        self,
        ranges: Sequence[tuple[bytes, int]],
        direction: Direction,
        parts: Callable[[Place | None], Iterable[Part]],
    ) -> None:
        self._ranges = ranges
        self._direction = direction
        self._parts = parts
        self._left: list[_MergedPart] = []
        self._stands: Place | None = None

    def after(self, reader: Reader, start: Place | None, limit: int) -> list[Place]:
        """The next places behind a place, or from the beginning, each once: at most `limit`, and fewer only where they
        end."""
        if start is None or start != self._stands:
            self._left = [_MergedPart(self._ranges, self._direction, part) for part in self._parts(start)]
        places: list[Place] = []
        while self._left and len(places) < limit:
            places += self._left[0].take(reader, limit - len(places))
            if len(places) < limit:
                del self._left[0]
        self._stands = places[-1] if places else start
        return places


@query_shape
def _next_of(sort: ReleaseSort, count: int, falling: bool, bounded: bool) -> Query[tuple[Any, ...]]:
    """The next rows of so many ranges, each with the number of its range, the value and the release's id."""
    column = SORTS[sort]
    value = None if column is None else getattr(ReleaseProject, column.name)
    columns = (ReleaseProject.release_id,) if value is None else (value, ReleaseProject.release_id)
    limit = hole(ReleaseProject.commit_count, "limit")
    members = []
    for number in range(count):
        start_id = hole(ReleaseProject.release_id, f"start_id{number}")
        if value is None:
            beyond = columns[0] < start_id if falling else columns[0] > start_id
        else:
            place, start = Tuple(*columns), Tuple(hole(value, f"start{number}"), start_id)
            beyond = place < start if falling else place > start
        member = ReleaseProject.select(SQL(str(number)).alias("number"), *columns).where(
            ReleaseProject.project_id == hole(ReleaseProject.project_id, f"project{number}"),
            ReleaseProject.status == hole(ReleaseProject.status, f"status{number}"),
            beyond,
        )
        if bounded:
            stop = hole(columns[0], "stop")
            member = member.where(columns[0] >= stop if falling else columns[0] <= stop)
        order = [each.desc() if falling else each.asc() for each in columns]
        members.append(member.order_by(*order).limit(limit))
    return Query(reduce(add, members))
