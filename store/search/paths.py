"""Access paths: what of a query an index serves, as the ids of releases among which are all that the query finds.

A path never decides what a list holds: each release that it has is tested by the whole condition. So a path may have
releases of other projects, too, or such as are not found; it only may lack none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final

from store.commits.models import Commit, CommitAuthor
from store.database import Query, Reader, hole, query_shape
from store.deploys.models import Environment
from store.organizations.models import Project, ProjectSlug, Repository
from store.search import ranges
from store.search.bounds import Span, bound_of, bounds_of, conjuncts, text_span, time_span
from store.search.filters import Scope
from store.search.language import (
    KEYS,
    Ago,
    And,
    Comparison,
    Expression,
    Has,
    In,
    Key,
    Latest,
    Moment,
    Operator,
    Or,
    Prefix,
    Text,
    Value,
    VersionPoint,
    VersionPrefix,
    Wildcard,
)
from store.search.orders import FIRST_ID, LAST_ID, beside
from store.search.ranges import LIMIT, SORTED, IndexRange, ReleaseIndex, next_ids, some_ids
from store.text import folded_key

MOST_RANGES: Final = 512
"""More ranges than these are no path: reading them would cost more than it spares."""

_RANKS: Final[Mapping[str, int]] = MappingProxyType(
    {
        each: rank
        for rank, group in enumerate(
            (
                ("latest", Key.RELEASE, Key.COMMIT),
                (Key.REFERENCE, Key.BUILD, Key.LABEL, Key.AUTHOR, Key.OWNER, Key.REF),
                (Key.PACKAGE, Key.VERSION, Key.REPOSITORY, Key.DEPLOYED, Key.ENVIRONMENT, Key.PROJECT),
            )
        )
        for each in group
    }
)


@dataclass(frozen=True, slots=True)
class AccessPath:
    """The releases that stand in any of some index ranges, and those of `ids`.

    `key` says of what it is: the key of a query, `latest`, or the column of a sort.
    """

    key: str
    ranges: tuple[IndexRange, ...]
    ids: frozenset[bytes] = frozenset()

    @property
    def is_ordered(self) -> bool:
        """Whether its releases can be read in the order of their ids."""
        return not self.ids and all(each.is_ordered for each in self.ranges)

    @property
    def rank(self) -> tuple[int, bool]:
        """Where it stands among paths of which nothing else is known: lower is expected to have fewer releases."""
        return _rank(self.key), not self.is_ordered

    def some_ids(self, reader: Reader, limit: int) -> tuple[set[bytes], bool]:
        """Releases of it, from at most `limit` rows of its indexes, and whether those are all."""
        found, complete = some_ids(reader, self.ranges, limit)
        return found | self.ids, complete

    def next_ids(self, reader: Reader, start: bytes | None, limit: int, *, span: Span, falling: bool) -> list[bytes]:
        """Of an ordered one the releases behind `start`, or from the beginning, in the order of their ids, as far as
        these lie in the span; at most `limit`, and fewer only where they end."""
        edge, stop = (span.last, span.first) if falling else (span.first, span.last)
        outmost, innermost = (LAST_ID, FIRST_ID) if falling else (FIRST_ID, LAST_ID)
        begin = outmost if edge is None else beside(edge, 1 if falling else -1)
        if start is not None:
            begin = min(begin, start) if falling else max(begin, start)
        return next_ids(reader, self.ranges, begin, innermost if stop is None else stop, limit, falling=falling)


def paths_of(reader: Reader, scope: Scope) -> tuple[AccessPath, ...]:
    """What indexes serve of all that a scope asks for beside its projects and statuses, the most promising first.

    Each has all releases that the scope finds.
    """
    finder = _Finder(reader, scope)
    # A condition that bounds a column is served by the path of that column's bounds, together with the others.
    found = [finder.path(each, beside_bounds=True) for each in conjuncts(scope.expression)]
    found += [finder.bounded(column, span) for column, span in bounds_of(scope).items()]
    if scope.environment_ids is not None:
        found.append(AccessPath(Key.ENVIRONMENT, _each(ranges.ENVIRONMENTS, sorted(scope.environment_ids))))
    usable = [path for path in found if path is not None and len(path.ranges) <= MOST_RANGES]
    return tuple(sorted(usable, key=attrgetter("rank")))


def _rank(key: str) -> int:
    return _RANKS.get(key, len(_RANKS))


class _Finder:
    """Finds the path of a condition, looking up what it names."""

    def __init__(self, reader: Reader, scope: Scope) -> None:
        self._reader = reader
        self._scope = scope
        self._organization_id = scope.organization.id

    def path(self, condition: Expression, *, beside_bounds: bool = False) -> AccessPath | None:
        """The path of a condition, None where no index serves it, or, `beside_bounds`, where its bounds do."""
        match condition:
            case Or(conditions):
                return self._together(self.path(each) for each in conditions)
            case And(conditions):
                paths = [path for each in conditions if (path := self.path(each)) is not None]
                return min(paths, key=attrgetter("rank"), default=None)
            case In(key, values, name):
                return self._together(self.path(Comparison(key, Operator.EQUAL, value, name)) for value in values)
            case Comparison(key, Operator.EQUAL, Latest(), _):
                return AccessPath("latest", (), self._scope.latest)
            case Comparison(key, operator, value, name):
                found = self._compared(key, operator, value, name)
            case Has(key, name):
                found = self._having(key, name)
            case _:
                return None
        if found is not None:
            return AccessPath(key, found)
        bound = None if beside_bounds else bound_of(condition, now_us=self._scope.now_us)
        return None if bound is None else self.bounded(*bound)

    def bounded(self, column: str, span: Span) -> AccessPath:
        """Where releases of the scope's statuses have values of that sort's column that lie in the span."""
        if column == "version":
            # Whatever the status: of most versions there is one, of which it is asked.
            return AccessPath(Key.RELEASE, _spanned(ranges.VERSIONS, (self._organization_id,), span))
        found = [
            each
            for status in self._scope.statuses
            for each in _spanned(SORTED[column], (self._organization_id, status), span)
        ]
        return AccessPath(column, tuple(found))

    def _together(self, paths: Iterable[AccessPath | None]) -> AccessPath | None:
        """All of them as one, called like the one that promises least; None where one is missing."""
        key: str | None = None
        found: dict[IndexRange, None] = {}
        ids: set[bytes] = set()
        for path in paths:
            if path is None or len(found) > MOST_RANGES:
                return None
            key = path.key if key is None else max(key, path.key, key=_rank)
            found.update(dict.fromkeys(path.ranges))
            ids |= path.ids
        return None if key is None else AccessPath(key, tuple(found), frozenset(ids))

    def _compared(self, key: Key, operator: Operator, value: Value, name: str) -> tuple[IndexRange, ...] | None:
        match value:
            case VersionPoint(package=package) | VersionPrefix(package=package):
                return None if package is None else self._texts(Key.PACKAGE, package, "")
            case Moment() | Ago() if key is Key.DEPLOYED:
                return self._deployed(time_span(operator, value, now_us=self._scope.now_us), name)
            case Text() | Wildcard() | Prefix():
                return self._texts(key, value, name)
            case _:
                return None

    def _texts(self, key: Key, value: Value, name: str) -> tuple[IndexRange, ...] | None:
        organization = (self._organization_id,)
        if isinstance(value, Text) and KEYS[key].folded:
            value = Text(folded_key(value.text))  # as it is kept
        span = text_span(value)
        if span is None:
            return None
        match key:
            case Key.PACKAGE | Key.BUILD | Key.REF | Key.OWNER if span.first:  # empty ones are not in the index
                return _spanned(_FILLED[key], organization, span)
            case Key.LABEL if name:
                return _spanned(ranges.LABELS, (*organization, name), span)
            case Key.REFERENCE:
                return _spanned(ranges.REFERENCES, organization, span)
            case Key.AUTHOR if span.first:
                by_email, by_name = (self._named(column, span) for column in _AUTHORS)
                return None if by_email is None or by_name is None else _each(ranges.AUTHORS, {*by_email, *by_name})
            case Key.COMMIT | Key.REPOSITORY | Key.ENVIRONMENT:
                column, index = _NAMED[key]
                ids = self._named(column, span)
                return None if ids is None else _each(index, ids)
            case Key.PROJECT:
                return self._projects(span)
            case _:
                return None

    def _having(self, key: Key, name: str) -> tuple[IndexRange, ...] | None:
        organization = (self._organization_id,)
        match key:
            case Key.LABEL:
                return (IndexRange(ranges.LABELS, (*organization, name) if name else organization),)
            case Key.BUILD | Key.REF | Key.OWNER:
                return (IndexRange(_FILLED[key], organization),)
            case Key.REFERENCE:
                return (IndexRange(ranges.REFERENCES, organization),)
            case Key.DEPLOYED if name:
                ids = self._named(Environment.display_name, Span(name, name))
                return None if ids is None else _each(ranges.ENVIRONMENTS, ids)
            case _:
                return None

    def _deployed(self, span: Span, name: str) -> tuple[IndexRange, ...] | None:
        if not name:
            return _spanned(ranges.DEPLOYS, (self._organization_id,), span)
        environments = self._named(Environment.display_name, Span(name, name))
        if environments is None:
            return None
        return tuple(each for id_ in environments for each in _spanned(ranges.DEPLOYS_THERE, (id_,), span))

    def _projects(self, span: Span) -> tuple[IndexRange, ...] | None:
        # In full, also by a slug that it had.
        is_whole = span.first == span.last
        projects = self._named(ProjectSlug.slug if is_whole else Project.slug, span)
        if projects is None:
            return None
        return tuple(
            IndexRange(ranges.PROJECTS, (project_id, status))
            for project_id in projects
            if self._scope.projects.allows(project_id)
            for status in self._scope.statuses
        )

    def _named(self, column: Any, span: Span) -> list[bytes] | None:
        """The ids of what of the organization has such a text in the column; None where they are too many."""
        params = {name: bound for name, bound in (("first", span.first), ("last", span.last)) if bound is not None}
        query = _ids_by_text(column.model, column.name, ends="last" in params)
        found = self._reader.rows(query, organization_id=self._organization_id, limit=MOST_RANGES + 1, **params)
        return None if len(found) > MOST_RANGES else [id_ for (id_,) in found]


_FILLED: Final[Mapping[Key, ReleaseIndex]] = MappingProxyType(
    {
        Key.PACKAGE: ranges.PACKAGES,
        Key.BUILD: ranges.BUILD_CODES,
        Key.REF: ranges.REFS,
        Key.OWNER: ranges.OWNERS,
    }
)
_AUTHORS: Final = (CommitAuthor.folded_email, CommitAuthor.folded_name)
_NAMED: Final[Mapping[Key, tuple[Any, ReleaseIndex]]] = MappingProxyType(
    {
        Key.COMMIT: (Commit.key, ranges.COMMITS),
        Key.REPOSITORY: (Repository.display_name, ranges.HEADS),
        Key.ENVIRONMENT: (Environment.display_name, ranges.ENVIRONMENTS),
    }
)


@query_shape
def _ids_by_text(model: type[Any], column: str, *, ends: bool) -> Query[tuple[bytes]]:
    place = getattr(model, column)
    told = model.project_id if model is ProjectSlug else model.id
    query = model.select(told).where(
        model.organization_id == hole(model.organization_id), place >= hole(place, "first")
    )
    return Query((query.where(place <= hole(place, "last")) if ends else query).limit(LIMIT))


def _spanned(index: ReleaseIndex, fixed: tuple[Any, ...], span: Span) -> tuple[IndexRange, ...]:
    """Where the next column lies in the span."""
    if span.is_empty:
        return ()
    if span.first is not None and span.first == span.last:
        return (IndexRange(index, (*fixed, span.first)),)
    return (IndexRange(index, fixed, span.first, span.last),)


def _each(index: ReleaseIndex, values: Iterable[bytes]) -> tuple[IndexRange, ...]:
    return tuple(IndexRange(index, (value,)) for value in sorted(set(values)))
