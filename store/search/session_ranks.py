"""Releases in projects by what sessions say of them: read as a whole for each page, for each session changes it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from store.database import CountField, Query, Reader, TimeField, hole, query_shape
from store.database.batches import batches, filled, holes
from store.errors import InvalidField
from store.health.models import HealthSeries
from store.health.rollups import read_sums, read_users
from store.health.sketches import Users
from store.health.windows import Window, window_of
from store.organizations.models import Project
from store.releases.models import Release
from store.search.filters import Scope
from store.search.health_orders import SHARES, HealthOrder, HealthSort
from store.search.orders import Place

MOST_SERIES: Final = 10_000
"""So many versions, each counted once for each environment, may have had sessions in what is sorted by them."""
MOST_SERIES_OF_USERS: Final = 2_000
"""So many where users are counted, for which their sketches are merged."""

_WHOLE: Final = 10**15
"""A share as a whole number, so that it stands in a position as it was compared."""
_OF_USERS: Final = frozenset((HealthSort.USERS, HealthSort.USERS_24H, HealthSort.CRASH_FREE_USERS))


class _Series(NamedTuple):
    id: bytes
    project_id: bytes
    version: str
    release_id: bytes | None


_Pair: TypeAlias = tuple[bytes, bytes]


class SessionRanks:
    """All releases of a scope's projects that have sessions, or users, in a window, in the order of what is counted."""

    def __init__(self, values: Mapping[_Pair, int], *, falling: bool) -> None:
        """`values`: by release and project."""
        self._values = values
        self._falling = falling
        self._places = sorted((value, *pair) for pair, value in values.items())

    def after(self, _reader: Reader, start: Place | None, limit: int) -> Sequence[Place]:
        """The next places behind one, or from the beginning, in walking direction."""
        if self._falling:
            end = len(self._places) if start is None else bisect_left(self._places, start)
            return self._places[max(end - limit, 0) : end][::-1]
        begin = 0 if start is None else bisect_right(self._places, start)
        return self._places[begin : begin + limit]

    def valued(self, _reader: Reader, places: Collection[Place]) -> Collection[Place]:
        """Those of some pairs of release and project that have a value."""
        return {place for place in places if place in self._values}


def session_ranks(reader: Reader, scope: Scope, order: HealthOrder, *, falling: bool) -> SessionRanks:
    """What the scope's releases come to in their projects and environments, for a walk of this direction.

    Raises `InvalidField` where so many had sessions that they are not sorted within a call.
    """
    period = window_of(order.counted_in, scope.now_us)
    window = Window(period.start_us, period.end_us, period.end_us - period.start_us)
    of_users = order.sort in _OF_USERS
    series = _series_in(reader, scope, window, MOST_SERIES_OF_USERS if of_users else MOST_SERIES)
    pairs = _pairs_of(reader, scope, series)
    counts = _users(reader, pairs, window, order.sort) if of_users else _sessions(reader, pairs, window)
    shares = order.sort in SHARES
    told = {pair: _share(*counted) if shares else counted[0] for pair, counted in counts.items() if counted[0]}
    return SessionRanks(told, falling=falling)


def _share(whole: int, part: int) -> int:
    # Of two estimates the part may come out larger than the whole.
    return _WHOLE * max(whole - part, 0) // whole


def _sessions(reader: Reader, pairs: Mapping[bytes, _Pair], window: Window) -> dict[_Pair, tuple[int, int]]:
    """Sessions, and those that crashed."""
    found: dict[_Pair, tuple[int, int]] = {}
    for series_id, sessions, crashed in read_sums(reader, list(pairs), window):
        before = found.get(pairs[series_id], (0, 0))
        found[pairs[series_id]] = before[0] + sessions, before[1] + crashed
    return found


def _users(
    reader: Reader, pairs: Mapping[bytes, _Pair], window: Window, sort: HealthSort
) -> dict[_Pair, tuple[int, int]]:
    """Users, and where their share is asked for, those that saw a crash."""
    users: dict[_Pair, tuple[Users, Users]] = {}
    for series_id, *sketches in read_users(reader, list(pairs), window, crashed=sort in SHARES):
        merged = users.setdefault(pairs[series_id], (Users.of(None), Users.of(None)))
        for each, sketch in zip(merged, sketches, strict=False):
            each.merge(sketch)
    return {pair: (every.estimate(), crashed.estimate()) for pair, (every, crashed) in users.items()}


def _pairs_of(reader: Reader, scope: Scope, series: Sequence[_Series]) -> dict[bytes, _Pair]:
    """Release and project of each series, by its id, where there is such a release."""
    # Until it is linked, a release is known by its version alone.
    versions = sorted({row.version for row in series if row.release_id is None})
    ids: dict[str, bytes] = {}
    for batch in batches(versions):
        ids.update(reader.rows(_by_version(len(batch)), organization_id=scope.organization.id, **filled(batch)))
    found = {row.id: (row.release_id or ids.get(row.version), row.project_id) for row in series}
    return {id_: (release_id, project_id) for id_, (release_id, project_id) in found.items() if release_id is not None}


def _series_in(reader: Reader, scope: Scope, window: Window, most: int) -> list[_Series]:
    """The series of the scope of which a session may lie in the window."""
    places = next(batches(scope.environments), ())
    there = {f"there_{index}": environment for index, environment in enumerate(places)}
    everything = scope.projects.everything
    groups: list[dict[str, Any]] = (
        [{"organization_id": scope.organization.id}]
        if everything
        else [filled(batch) for batch in batches(sorted(scope.projects.ids))]
    )
    found: list[_Series] = []
    for group in groups:
        query = _series(0 if everything else len(group), len(places))
        span = {"since": window.start_us, "until": window.end_us}
        found += reader.rows(query, **group, **there, **span, limit=most + 1 - len(found))
        if len(found) > most:
            raise InvalidField(
                "sort",
                f"finds more than {most:,} releases with sessions; ask for fewer projects or environments, or for a"
                " shorter period",
            )
    return found


@query_shape
def _series(projects: int, environments: int) -> Query[_Series]:
    """Of so many projects; of all of the organization where that is 0."""
    row = HealthSeries
    query = row.select(row.id, row.project_id, row.version, row.release_id)
    if projects:
        query = query.where(row.project_id.in_(holes(row.project_id, projects)))
    else:
        of_organization = Project.organization_id == hole(Project.organization_id)
        query = query.join(Project, on=(Project.id == row.project_id)).where(of_organization)
    query = query.where(
        row.last_time >= hole(TimeField(), "since"), row.first_time < hole(TimeField(), "until"), row.version != ""
    )
    if environments:
        there = [hole(row.environment, f"there_{index}") for index in range(environments)]
        query = query.where(row.environment.in_(there))
    return Query(query.limit(hole(CountField(), "limit")), row=_Series)


@query_shape
def _by_version(count: int) -> Query[tuple[str, bytes]]:
    return Query(
        Release.select(Release.version, Release.id).where(
            Release.organization_id == hole(Release.organization_id), Release.version.in_(holes(Release.version, count))
        )
    )
