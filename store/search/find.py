"""Finding the releases of a page: candidates in the order of the list, some at a time, and those of them that the
filter lets through.

Where candidates come from, the index of the order or one that the query names, changes what a page costs, never what
is on it. However little is found, a page looks at no more than `MOST_WALKED` releases, and goes on for no more than
`MOST_SECONDS`; then it ends, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, NamedTuple

import peewee

from store.database import Query, Reader, query_shape
from store.database.batches import batches, filled, holes
from store.database.dialect import Engine
from store.errors import PageTokenInvalid
from store.organizations.models import Project
from store.paging import Key, Page, PageRequest, page_of
from store.releases.models import Release, ReleaseProject
from store.search.candidates import candidates_of
from store.search.conditions import condition_of, in_scope
from store.search.filters import Scope
from store.search.orders import FIRST_ID, LAST_ID, Direction, Order, Place
from store.search.walks import Candidates, IndexWalk, Tested, columns_of

MOST_WALKED: Final = 10_000
"""How many releases a page looks at, and how many are counted."""

MOST_SECONDS: Final = 3.0
"""How long a page goes on looking: what is asked of a release may cost much, as the names of thousands of files do."""

MOST_TESTED: Final = 2_000
"""How many releases are looked at together, at most."""
_FEWEST_AT_ONCE: Final = 64


class FoundRow(NamedTuple):
    """A row of a list: its key in positions, the release's columns as `RELEASE_COLUMNS` names them, and in a flattened
    list the project that the row is of."""

    key: Key
    columns: tuple[Any, ...]
    project_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The rows of a page in walking direction, up to one more than it holds.

    `wall`: where the search ended before there were as many, if it did not come to the end. `incomplete`: because it
    had looked at all that a page may look at. `newest_first`: so the list is where the page begins, whatever its order.
    """

    rows: tuple[FoundRow, ...]
    wall: Key | None = None
    incomplete: bool = False
    newest_first: bool = False

    def page(self, request: PageRequest, *, descending: bool) -> Page[FoundRow]:
        """The page for a request of this many rows or fewer."""
        falling = descending or self.newest_first
        return page_of(self.rows[: request.limit], request, lambda row: row.key, descending=falling, wall=self.wall)


def find_releases(
    reader: Reader,
    scope: Scope,
    order: Order,
    request: PageRequest,
    *,
    flatten: bool = False,
    test: Test | None = None,
) -> Found:
    """The rows of a page: releases, or with `flatten` one for each release and project of the scope.

    `test` leaves out more than what is not of the scope. A position's key begins with the time that the scope was
    resolved for. Raises `PageTokenInvalid` for one of another shape.
    """
    direction = Direction(order, request.backward)
    test = test or Test(reader, scope)
    start = None if request.position is None else place_of(request.position.key, direction, flatten=flatten)
    if flatten:
        return _flattened(reader, scope, direction, test, start, request)
    if test.lets_all_through:
        rows = IndexWalk(scope, direction).rows_after(reader, start, request.limit)
        return Found(tuple(FoundRow((scope.now_us, *place), columns) for place, columns in rows))
    places, wall = _places(reader, candidates_of(reader, scope, direction), test, start, request.limit)
    columns = columns_of(reader, [place[-1] for place in places])
    return Found(
        tuple(FoundRow((scope.now_us, *place), columns[place[-1]]) for place in places),
        None if wall is None else (scope.now_us, *wall),
        incomplete=wall is not None,
    )


def place_of(key: Key, direction: Direction, *, flatten: bool) -> Place:
    """The place in a position's key. Raises `PageTokenInvalid` for a key of a list of another kind."""
    column = direction.column
    place = key[1:]
    kinds = [bytes] if column is None else [type(column.first), bytes]
    if flatten:
        kinds.append(bytes)
    if [type(part) for part in place] != kinds:  # minted by an older server that sorted this list otherwise
        raise PageTokenInvalid
    return place


class Test:
    """Asks of releases whether they are of a scope and meet its condition."""

    def __init__(self, reader: Reader, scope: Scope) -> None:
        self._scope = scope
        self.condition = condition_of(scope, reader.engine)

    @property
    def lets_all_through(self) -> bool:
        """Whether the scope holds all releases of its projects and statuses."""
        return self.condition is None

    def passing(self, reader: Reader, candidates: Candidates, places: Sequence[Place]) -> Sequence[Place]:
        """Those of at most `MOST_TESTED` candidates that the list holds, in their order."""
        return places if candidates.is_certain else self.met_by(reader, places, within=candidates.is_within)

    def met_by(self, reader: Reader, places: Sequence[Place], *, within: bool = False) -> Sequence[Place]:
        """The same of releases found elsewhere; `within`: of which it is known that they are of the scope's
        organization, projects and statuses."""
        conditions = [] if within else [in_scope(self._scope, reader.engine)]
        if self.condition is not None:
            conditions.append(self.condition)
        if not conditions or not places:
            return places
        ids = [place[-1] for place in places]
        query = Query(Release.select(Release.id).where(_is_one_of(ids, reader.engine), *conditions))
        found = {release_id for (release_id,) in reader.rows_of_one(query)}
        return [place for place in places if place[-1] in found]

    def kept(self, reader: Reader, places: Sequence[Place]) -> Sequence[Place]:  # noqa: ARG002 - the scope is all
        """Those of the scope's releases that are of the list: all of them."""
        return places

    def kept_rows(self, reader: Reader, rows: Sequence[Place]) -> Sequence[Place]:  # noqa: ARG002 - the scope is all
        """Those of the rows of such releases that are of a flattened list: all of them."""
        return rows


def _is_one_of(ids: list[bytes], engine: Engine) -> Any:
    """That a release is one of these."""
    if engine == "postgresql":
        return Release.id == peewee.fn.ANY(peewee.Value(ids, converter=False, unpack=False))
    return Release.id.in_(_Together(ids))


class _Together(peewee.Node):
    """Values in parentheses, bound as they are: Peewee, which looks at each, takes as long as SQLite for the rest."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._bound = values

    def __sql__(self, ctx: Any) -> Any:
        ctx._values.extend(self._bound)
        return ctx.literal(f"({', '.join('?' * len(self._bound))})")


def _places(
    reader: Reader, candidates: Candidates, test: Test, start: Place | None, limit: int
) -> tuple[list[Place], Place | None]:
    """The first places that the list holds, at most `limit`; and the last one looked at, where the search ended there
    before it had found as many or come to the end."""
    found: list[Place] = []
    size = min(max(2 * limit, _FEWEST_AT_ONCE), MOST_TESTED)
    for chunk, passing, is_last in chunks(reader, candidates, test, start, size):
        found += passing
        if len(found) >= limit:
            return found[:limit], None
        if is_last:
            return found, None
        start = chunk[-1]
    return found, start


def chunks(reader: Reader, candidates: Candidates, test: Test, start: Place | None, size: int) -> Iterator[Tested]:
    """The candidates behind a place, some at a time, `MOST_WALKED` of them at most, and none after `MOST_SECONDS`."""
    left = MOST_WALKED
    enough = monotonic() + MOST_SECONDS
    while left and (left == MOST_WALKED or monotonic() < enough):
        size = min(size, left)
        tested = candidates.tested_after(reader, start, size, test)
        yield tested._replace(passing=test.kept(reader, tested.passing))
        if tested.ended:
            return
        start = tested.places[-1]
        left -= len(tested.places)
        size = min(2 * size, MOST_TESTED)


def _flattened(
    reader: Reader, scope: Scope, direction: Direction, test: Test, start: Place | None, request: PageRequest
) -> Found:
    """Releases are found as in any list, then each becomes its rows. A position is behind one of these: the release
    that it is of comes again, for the projects that are left."""
    candidates = IndexWalk(scope, direction) if test.lets_all_through else candidates_of(reader, scope, direction)
    edge = FIRST_ID if direction.falling else LAST_ID
    first = start
    if start is not None:
        # Behind a wall the whole of its release lies behind.
        first = start[:-1] if start[-1] == edge else direction.before(start[:-1])
    # One more, for the release that may have no projects left.
    places, wall = _places(reader, candidates, test, first, request.limit + 1)
    projects = projects_of(reader, scope, [place[-1] for place in places])
    rows = [
        (*place, project_id)
        for place in places
        for project_id in sorted(projects.get(place[-1], ()), reverse=direction.falling)
    ]
    if start is not None:
        rows = [row for row in rows if direction.is_beyond(row, start)]
    rows = list(test.kept_rows(reader, rows))
    incomplete = wall is not None
    if wall is None and len(places) > request.limit and len(rows) < request.limit:
        wall = places[-1]  # releases of projects that are just being deleted have no rows
    columns = columns_of(reader, list(dict.fromkeys(row[-2] for row in rows[: request.limit])))
    return Found(
        tuple(FoundRow((scope.now_us, *row), columns[row[-2]], project_id=row[-1]) for row in rows[: request.limit]),
        None if wall is None else (scope.now_us, *wall, edge),
        incomplete=incomplete and len(rows) < request.limit,
    )


def projects_of(reader: Reader, scope: Scope, release_ids: Sequence[bytes]) -> dict[bytes, list[bytes]]:
    """The projects of the scope that each of these releases is of."""
    found: dict[bytes, list[bytes]] = {}
    for batch in batches(release_ids):
        for release_id, project_id in reader.rows(_projects_of_many(len(batch)), **filled(batch)):
            if scope.projects.allows(project_id):
                found.setdefault(release_id, []).append(project_id)
    return found


@query_shape
def _projects_of_many(count: int) -> Query[tuple[bytes, bytes]]:
    return Query(
        ReleaseProject.select(ReleaseProject.release_id, ReleaseProject.project_id)
        .join(Project, on=(Project.id == ReleaseProject.project_id))
        .where(ReleaseProject.release_id.in_(holes(ReleaseProject.release_id, count)))
    )
