"""Ranges of indexes in which the ids of releases stand, one by one or merged: what access paths are made of.

An index whose columns are all fixed has its releases in the order of their ids, which is that of their age.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from heapq import merge
from itertools import islice
from operator import add
from types import MappingProxyType
from typing import Any, Final

from peewee import SQL, Select

from store.commits.models import ReleaseAuthor, ReleaseCommit, ReleaseHead, ReleaseReference
from store.database import Query, Reader, hole, query_shape
from store.deploys.models import Deploy, ReleaseEnvironment
from store.releases.models import Release, ReleaseLabel, ReleaseProject

MOST_MERGED: Final = 32
"""Ranges read by one query. SQLite allows 500, planning 32 is cheap."""
_FEWEST: Final = 64
"""Rows that are read at least."""
_COUNTS: Final = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True, eq=False)
class ReleaseIndex:
    """An index with these columns first; where it `ends_in_id`, the release's id is the next and last.

    `only`: what holds of the rows that it has, if not all: queries say it word for word, for databases do not conclude
    it from a parameter.
    """

    columns: tuple[Any, ...]
    release_id: Any
    ends_in_id: bool = True
    only: Any = None


def _filled(column: Any) -> ReleaseIndex:
    return ReleaseIndex((Release.organization_id, column), Release.id, only=column > "")


def _sorted(column: Any) -> ReleaseIndex:
    return ReleaseIndex((Release.organization_id, Release.status, column), Release.id)


PROJECTS: Final = ReleaseIndex((ReleaseProject.project_id, ReleaseProject.status), ReleaseProject.release_id)
VERSIONS: Final = ReleaseIndex((Release.organization_id, Release.version), Release.id, ends_in_id=False)
PACKAGES: Final = _filled(Release.package)
BUILD_CODES: Final = _filled(Release.build_code)
REFS: Final = _filled(Release.ref)
OWNERS: Final = _filled(Release.folded_owner)
SORTED: Final[Mapping[str, ReleaseIndex]] = MappingProxyType(
    {
        column.name: _sorted(column)
        for column in (
            Release.id,
            Release.sort_time,
            Release.version_key,
            Release.build_key,
            Release.version,
            Release.commit_count,
            Release.deploy_count,
        )
    }
)
"""The indexes of lists by the name of the column; by date, of the id itself."""
LABELS: Final = ReleaseIndex(
    (ReleaseLabel.organization_id, ReleaseLabel.key, ReleaseLabel.value), ReleaseLabel.release_id
)
AUTHORS: Final = ReleaseIndex((ReleaseAuthor.author_id,), ReleaseAuthor.release_id)
COMMITS: Final = ReleaseIndex((ReleaseCommit.commit_id,), ReleaseCommit.release_id)
HEADS: Final = ReleaseIndex((ReleaseHead.repository_id,), ReleaseHead.release_id)
REFERENCES: Final = ReleaseIndex(
    (ReleaseReference.organization_id, ReleaseReference.folded_reference), ReleaseReference.release_id
)
ENVIRONMENTS: Final = ReleaseIndex((ReleaseEnvironment.environment_id,), ReleaseEnvironment.release_id)
DEPLOYS: Final = ReleaseIndex((Deploy.organization_id, Deploy.finish_time), Deploy.release_id, ends_in_id=False)
DEPLOYS_THERE: Final = ReleaseIndex((Deploy.environment_id, Deploy.finish_time), Deploy.release_id, ends_in_id=False)


@dataclass(frozen=True, slots=True)
class IndexRange:
    """The rows of an index whose first columns have these values, and whose next lies between the first and the last,
    both included, None where it is open. A release may stand there several times."""

    index: ReleaseIndex
    fixed: tuple[Any, ...]
    first: Any = None
    last: Any = None

    @property
    def is_ordered(self) -> bool:
        """Whether its releases are in the order of their ids."""
        return self.index.ends_in_id and len(self.fixed) == len(self.index.columns)

    @property
    def shape(self) -> tuple[ReleaseIndex, int, bool, bool]:
        """What ranges that one query reads have in common."""
        return self.index, len(self.fixed), self.first is not None, self.last is not None


def some_ids(reader: Reader, ranges: Sequence[IndexRange], limit: int) -> tuple[set[bytes], bool]:
    """Releases that stand in any of the ranges, from at most `limit` rows of them, and whether those are all."""
    found: set[bytes] = set()
    left = limit
    for batch in _batches(ranges):
        query = _some_of(*batch[0].shape, len(batch))
        rows = reader.rows(query, **_values(batch), limit=left + 1)
        found.update(release_id for (release_id,) in rows[:left])
        if len(rows) > left:
            return found, False
        left -= len(rows)
    return found, True


def next_ids(
    reader: Reader, ranges: Sequence[IndexRange], start: bytes, stop: bytes, limit: int, *, falling: bool
) -> list[bytes]:
    """The releases that stand in any of the ranges, each of which is ordered, behind `start` and as far as `stop`,
    itself included: in the order of their ids, each once; at most `limit`, and fewer only where they end."""
    found: list[bytes] = []
    while len(found) < limit:
        # Where releases stand several times each, as many again take several readings.
        wanted = max(limit - len(found), _FEWEST)
        lists = []
        for batch in _batches(ranges):
            query = _next_of(batch[0].index, len(batch), falling=falling)
            rows = reader.rows(query, **_values(batch), start=start, stop=stop, limit=wanted)
            lists.append([release_id for (release_id,) in rows])
        some = list(islice(merge(*lists, reverse=falling), wanted))
        found += dict.fromkeys(some)
        if len(some) < wanted:
            break
        start = some[-1]
    return found[:limit]


def _batches(ranges: Sequence[IndexRange]) -> Iterator[list[IndexRange]]:
    """The ranges of one shape together, so many that a query is compiled for."""
    groups: dict[Any, list[IndexRange]] = {}
    for each in ranges:
        groups.setdefault(each.shape, []).append(each)
    for group in groups.values():
        at = 0
        while at < len(group):
            count = max(count for count in _COUNTS if count <= len(group) - at)
            yield group[at : at + count]
            at += count


def _values(ranges: Sequence[IndexRange]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for number, each in enumerate(ranges):
        values.update((f"fixed{place}_{number}", value) for place, value in enumerate(each.fixed))
        if each.first is not None:
            values[f"first_{number}"] = each.first
        if each.last is not None:
            values[f"last_{number}"] = each.last
    return values


LIMIT: Final = hole(ReleaseProject.commit_count, "limit")


def _rows_of(index: ReleaseIndex, fixed: int, number: int) -> Any:
    model = index.release_id.model
    equal = [column == hole(column, f"fixed{place}_{number}") for place, column in enumerate(index.columns[:fixed])]
    return model.select(index.release_id.alias("id")).where(*equal)


def _only(query: Any, index: ReleaseIndex) -> Any:
    """The query of the rows that the index has; said last, for SQLite seeks by the first lower bound that it reads."""
    return query if index.only is None else query.where(index.only)


@query_shape
def _some_of(index: ReleaseIndex, fixed: int, first: bool, last: bool, count: int) -> Query[tuple[bytes]]:
    # The order is that of the index: without it PostgreSQL may read the table from its beginning instead, in hope that
    # enough of what is sought comes early.
    order = [*index.columns[fixed:], *([index.release_id] if index.ends_in_id else [])]
    members = []
    for number in range(count):
        member = _rows_of(index, fixed, number)
        if first:
            member = member.where(index.columns[fixed] >= hole(index.columns[fixed], f"first_{number}"))
        if last:
            member = member.where(index.columns[fixed] <= hole(index.columns[fixed], f"last_{number}"))
        member = _only(member, index)
        members.append((member.order_by(*order) if order else member).limit(LIMIT))
    if count == 1:
        return Query(members[0])
    every = reduce(add, members).alias("every")
    return Query(Select([every], [every.c.id]).limit(LIMIT))


@query_shape
def _next_of(index: ReleaseIndex, count: int, *, falling: bool) -> Query[tuple[bytes]]:
    place = index.release_id
    start, stop = hole(place, "start"), hole(place, "stop")
    members = [
        _only(_rows_of(index, len(index.columns), number), index)
        .where(place < start if falling else place > start, place >= stop if falling else place <= stop)
        .order_by(place.desc() if falling else place.asc())
        .limit(LIMIT)
        for number in range(count)
    ]
    if count == 1:
        return Query(members[0])
    together = SQL("id")
    return Query(reduce(add, members).order_by(together.desc() if falling else together.asc()).limit(LIMIT))
