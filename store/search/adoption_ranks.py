"""Releases by when they were adopted in an environment: ranges of the index by that time, one a project, merged."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add, attrgetter
from typing import Any, Final

from peewee import Tuple

from store.database import CountField, Query, Reader, hole, query_shape
from store.database.batches import batches, filled, holes
from store.deploys.models import EnvironmentProject, ReleaseEnvironment
from store.organizations.models import Project
from store.search.filters import Scope
from store.search.orders import FIRST_ID, LAST_ID, Place, beside

_COUNTS: Final = (1, 2, 4, 8, 16, 32)
"""So many ranges are read by one query."""
_FEWEST: Final = 8
_MOST: Final = 64
"""Rows that are read of a range together: few at first, then twice as many each time."""
_MOST_TOGETHER: Final = 2_000
"""Rows of which it is asked together whether they are the first of their releases."""
_NOWHERE: Final = FIRST_ID
_EDGES: Final = {True: (2**63 - 1, LAST_ID), False: (-(2**63), FIRST_ID)}
"""Where a walk begins, whether it falls or not."""


class AdoptionRanks:
    """The releases that were ever adopted in the one environment of a scope, from its projects, by when.

    Flattened, the pairs of release and project; else releases by the first of their projects' times, for that one stays
    when others come. Who goes on where the last call ended finds what was read already.
    """

    def __init__(self, reader: Reader, scope: Scope, *, flatten: bool, falling: bool) -> None:
        self._flatten = flatten
        self._falling = falling
        # Of an environment that is not there nothing is found.
        self._environment_id = next(iter(scope.environment_ids or ()), _NOWHERE)
        there = reader.rows(_PROJECTS_THERE, environment_id=self._environment_id)
        self._projects = sorted(project_id for (project_id,) in there if scope.projects.allows(project_id))
        self._rows = _MergedRows(self._environment_id, (), falling=falling)
        self._found: list[Place] = []
        self._last = self._stands = _NOT_BEGUN

    def after(self, reader: Reader, start: Place | None, limit: int) -> Sequence[Place]:
        """The next places behind one, or from the beginning, in walking direction: at most `limit`, and fewer only
        where they end."""
        if start != self._stands:
            readings = [_Reading(id_, self._start(start, id_), _FEWEST) for id_ in self._projects]
            self._rows = _MergedRows(self._environment_id, readings, falling=self._falling)
            self._found, self._last = [], start
        wanted = max(limit, _MOST)
        while len(self._found) < limit:
            # Where releases are there several times each, as many again take several readings.
            rows = self._rows.take(reader, wanted)
            self._found += rows if self._flatten else self._first_of(reader, rows)
            if len(rows) < wanted:
                break
            wanted = min(2 * wanted, _MOST_TOGETHER)
        places, self._found = self._found[:limit], self._found[limit:]
        self._stands = places[-1] if places else start
        return places

    def valued(self, reader: Reader, places: Collection[Place]) -> Collection[Place]:
        """Those of some releases, or pairs of release and project, that were ever adopted."""
        adopted = self._adopted(reader, sorted({place[0] for place in places}))
        if self._flatten:
            return {(release_id, project_id) for _, release_id, project_id in adopted}
        return {(release_id,) for _, release_id, _ in adopted}

    def _first_of(self, reader: Reader, rows: Sequence[Place]) -> Iterator[Place]:
        """Time and release of those of the next rows that are the first of their releases."""
        first: dict[bytes, int] = {}
        for time, release_id, _ in self._adopted(reader, sorted({row[1] for row in rows})):
            first[release_id] = min(first.get(release_id, time), time)
        for time, release_id, _ in rows:
            # Those of a release whose time is the same in several projects come together.
            if first[release_id] == time and (time, release_id) != self._last:
                self._last = time, release_id
                yield self._last

    def _adopted(self, reader: Reader, release_ids: Sequence[bytes]) -> list[Place]:
        projects = set(self._projects)
        found: list[Place] = []
        for batch in batches(release_ids):
            rows = reader.rows(_adopted_of(len(batch)), environment_id=self._environment_id, **filled(batch))
            found += [row for row in rows if row[2] in projects]
        return found

    def _start(self, start: Place | None, project_id: bytes) -> Place:
        """The place behind which a project's range goes on."""
        if start is None:
            return _EDGES[self._falling]
        time, release_id, *project = start
        if project and (project_id < project[0] if self._falling else project_id > project[0]):
            # The release itself, from this project, is still to come.
            return time, beside(release_id, 1 if self._falling else -1)
        return time, release_id


_NOT_BEGUN: Final[Place | None] = ()
"""Where a walk stands that has no place yet; no place is so."""


@dataclass(slots=True)
class _Reading:
    """How far the range of a project has been read: behind a time and a release."""

    project_id: bytes
    at: Place
    size: int
    waiting: list[Place] = field(default_factory=list)
    ended: bool = False


class _MergedRows:
    """The rows of the index in the ranges of many projects, merged: time, release and project.

    What was read of a range waits until all others have been read as far: about as many rows are read as are taken.
    """

    def __init__(self, environment_id: bytes, readings: Sequence[_Reading], *, falling: bool) -> None:
        self._environment_id = environment_id
        self._readings = list(readings)
        self._falling = falling
        self._merged: list[Place] = []

    def take(self, reader: Reader, limit: int) -> list[Place]:
        """The next rows in walking direction: at most `limit`, and fewer only where they end."""
        while len(self._merged) < limit and self._readings:
            self._go_on(reader)
        taken, self._merged = self._merged[:limit], self._merged[limit:]
        return taken

    def _go_on(self, reader: Reader) -> None:
        """Read on in the ranges of which little waits, and merge what all have been read as far as."""
        short = [each for each in self._readings if not each.ended and 2 * len(each.waiting) < each.size]
        short.sort(key=attrgetter("size"))  # of those that are read together each is read as far
        while short:
            count = max(count for count in _COUNTS if count <= len(short))
            self._read(reader, short[:count])
            del short[:count]
        reached = [each.waiting[-1] for each in self._readings if not each.ended]
        frontier = (max(reached) if self._falling else min(reached)) if reached else None
        ready: list[Place] = []
        for each in self._readings:
            count = len(each.waiting) if frontier is None else self._as_far_as(each.waiting, frontier)
            ready += each.waiting[:count]
            del each.waiting[:count]
        self._readings = [each for each in self._readings if each.waiting or not each.ended]
        self._merged += sorted(ready, reverse=self._falling)

    def _as_far_as(self, rows: Sequence[Place], frontier: Place) -> int:
        """How many of these are not beyond the frontier."""
        return sum(row >= frontier if self._falling else row <= frontier for row in rows)

    def _read(self, reader: Reader, readings: Sequence[_Reading]) -> None:
        size = max(each.size for each in readings)
        params: dict[str, Any] = {"limit": size}
        for index, each in enumerate(readings):
            params |= {f"project_{index}": each.project_id, f"time_{index}": each.at[0], f"start_{index}": each.at[1]}
        found: dict[bytes, list[Place]] = {each.project_id: [] for each in readings}
        query = _next_of(len(readings), falling=self._falling)
        for row in reader.rows(query, environment_id=self._environment_id, **params):
            found[row[2]].append(row)
        for each in readings:
            rows = sorted(found[each.project_id], reverse=self._falling)
            each.waiting += rows
            each.ended = len(rows) < size
            each.size = min(2 * size, _MOST)
            if rows:
                each.at = rows[-1][:2]


_PROJECTS_THERE: Final = Query(
    EnvironmentProject.select(EnvironmentProject.project_id)
    .join(Project, on=(Project.id == EnvironmentProject.project_id))
    .where(EnvironmentProject.environment_id == hole(EnvironmentProject.environment_id))
)


@query_shape
def _next_of(count: int, *, falling: bool) -> Query[Any]:
    """The next rows of the ranges of so many projects, each range by itself."""
    row = ReleaseEnvironment
    limit = hole(CountField(), "limit")
    members = []
    for index in range(count):
        place = Tuple(row.adopted_time, row.release_id)
        start = Tuple(hole(row.adopted_time, f"time_{index}"), hole(row.release_id, f"start_{index}"))
        members.append(
            row.select(row.adopted_time, row.release_id, row.project_id)
            .where(
                row.project_id == hole(row.project_id, f"project_{index}"),
                row.environment_id == hole(row.environment_id),
                row.adopted_time.is_null(False),
                place < start if falling else place > start,
            )
            .order_by(*(each.desc() if falling else each.asc() for each in (row.adopted_time, row.release_id)))
            .limit(limit)
        )
    return Query(reduce(add, members))


@query_shape
def _adopted_of(count: int) -> Query[Any]:
    row = ReleaseEnvironment
    return Query(
        row.select(row.adopted_time, row.release_id, row.project_id).where(
            row.release_id.in_(holes(row.release_id, count)),
            row.environment_id == hole(row.environment_id),
            row.adopted_time.is_null(False),
        )
    )
