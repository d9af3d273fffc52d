"""Skip scans for suggestions: the distinct values of a column, one seek of an index each, however many rows have it.

Of the releases that have a value only the newest few are asked whether they may be seen, so that a value costs the same
whoever has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, NamedTuple

import peewee

from store.commits.models import CommitAuthor, ReleaseAuthor
from store.database import Query, Reader, hole, query_shape
from store.database.batches import filled, holes
from store.organizations.models import Project
from store.releases.models import Release, ReleaseLabel, ReleaseProject

MOST_ROWS: Final = 32
"""So many releases of a value, the newest ones, are asked whether they may be seen."""

MOST_AUTHORS: Final = 8
"""So many authors of one name are asked for their releases."""

LIMITS: Final = (25, 101, 250, 1000)
"""So many places are read at once."""

_ONE: Final = peewee.SQL("1")


class Place(NamedTuple):
    """A value as it is sorted, and the text to suggest; None where no release that may be seen was found to have it."""

    place: str
    text: str | None


@dataclass(frozen=True, slots=True)
class Span:
    """Places from `first` on (or from behind it) to before `beyond`, where that is said."""

    first: str
    beyond: str | None
    behind: bool = False

    @property
    def shape(self) -> tuple[bool, bool]:
        """What a query for it is built by: whether from behind, whether to before something."""
        return self.behind, self.beyond is not None

    @property
    def params(self) -> dict[str, str]:
        """What fills the holes of that query."""
        return {"first": self.first} if self.beyond is None else {"first": self.first, "beyond": self.beyond}

    def holds(self, place: str) -> bool:
        """Whether the place is in it."""
        begun = place > self.first if self.behind else place >= self.first
        return begun and (self.beyond is None or place < self.beyond)

    def after(self, place: str) -> Span:
        """What is left of it behind a place."""
        return Span(place, self.beyond, behind=True)


def limit_of(count: int) -> int:
    """The limit of a query for so many places, one of a few: it stands in the text, for PostgreSQL makes another plan
    where it does not know how little is wanted."""
    return next(limit for limit in LIMITS if limit >= count)


def above(column: Any, shape: tuple[bool, bool]) -> Any:
    """The condition that a column is not before the span."""
    first = hole(column, "first")
    return column > first if shape[0] else column >= first


def below(column: Any, shape: tuple[bool, bool]) -> tuple[Any, ...]:
    """The condition, if any, that a column is not beyond the span."""
    return (column < hole(column, "beyond"),) if shape[1] else ()


def is_seen(releases: Any, projects: int) -> Any:
    """Whether one of the releases (a select of `release_id`, newest first) is of a project that stands, and of one of
    so many certain projects; 0: of any. A deleted release has no projects any more."""
    some = releases.limit(MOST_ROWS).alias("some")
    seen = (
        ReleaseProject.select(_ONE)
        .join(some, on=(some.c.release_id == ReleaseProject.release_id))
        .join(Project, on=(Project.id == ReleaseProject.project_id))
    )
    if projects:
        seen = seen.where(ReleaseProject.project_id.in_(holes(ReleaseProject.project_id, projects)))
    return peewee.fn.EXISTS(seen)


@dataclass(frozen=True)
class Source:
    """Values that an index holds: `column`, behind what `where` says. `text` is that to suggest for a value, NULL where
    none of its releases is seen, of so many projects."""

    name: str
    column: Any
    where: tuple[Any, ...]
    text: Callable[[Any, int], Any]


def _of_releases(name: str, column: Any) -> Source:
    where = (Release.organization_id == hole(Release.organization_id), column > "")

    def text(value: Any, projects: int) -> Any:
        having = Release.select(Release.id.alias("release_id")).where(*where, column == value)
        return peewee.Case(None, [(is_seen(having.order_by(Release.id.desc()), projects), value)])

    return Source(name, column, where, text)


def _of_labels(name: str, column: Any, *where: Any) -> Source:
    conditions = (ReleaseLabel.organization_id == hole(ReleaseLabel.organization_id), *where)

    def text(value: Any, projects: int) -> Any:
        having = ReleaseLabel.select(ReleaseLabel.release_id).where(*conditions, column == value)
        in_order = having.order_by(*[each.desc() for each in (ReleaseLabel.value, ReleaseLabel.release_id)])
        return peewee.Case(None, [(is_seen(in_order, projects), value)])

    return Source(name, column, conditions, text)


def _of_authors(name: str, folded: Any, kept: Any) -> Source:
    where = (CommitAuthor.organization_id == hole(CommitAuthor.organization_id), folded > "")

    def text(value: Any, projects: int) -> Any:
        # Several authors may be called so, each spelled in its own way: only what a release shows may be told.
        called = (
            CommitAuthor.select(CommitAuthor.id, kept.alias("kept"))
            .where(*where, folded == value)
            .order_by(CommitAuthor.id)
            .limit(MOST_AUTHORS)
            .alias("called")
        )
        theirs = ReleaseAuthor.select(ReleaseAuthor.release_id).where(ReleaseAuthor.author_id == called.c.id)
        return (
            peewee.Select([called], [called.c.kept])
            .where(is_seen(theirs.order_by(ReleaseAuthor.release_id.desc()), projects))
            .order_by(called.c.id)
            .limit(1)
        )

    return Source(name, folded, where, text)


_NAME: Final = hole(ReleaseLabel.key, "label")

PACKAGES: Final = _of_releases("packages", Release.package)
BUILDS: Final = _of_releases("builds", Release.build_code)
LABELS: Final = _of_labels("labels", ReleaseLabel.key)
LABEL_VALUES: Final = _of_labels("label values", ReleaseLabel.value, ReleaseLabel.key == _NAME)
EMAILS: Final = _of_authors("e-mails", CommitAuthor.folded_email, CommitAuthor.email)
NAMES: Final = _of_authors("names", CommitAuthor.folded_name, CommitAuthor.display_name)

_SOURCES: Final[Mapping[str, Source]] = {
    source.name: source for source in (PACKAGES, BUILDS, LABELS, LABEL_VALUES, EMAILS, NAMES)
}


def scan(
    reader: Reader,
    source: Source,
    span: Span,
    count: int,
    *,
    organization_id: bytes,
    projects: Sequence[bytes] = (),
    **params: str,
) -> list[Place]:
    """The first `count` places of the span, in their order; texts as releases of these projects show them, or of any.

    `projects`: as many as a batch has (`store.database.batches`). `params`: what else fills holes of the source.
    """
    query = scan_query(source.name, span.shape, len(projects))
    found = reader.rows(
        query, organization_id=organization_id, count=count, **span.params, **filled(projects), **params
    )
    return sorted(found, key=attrgetter("place"))


@query_shape
def scan_query(name: str, shape: tuple[bool, bool], projects: int) -> Query[Place]:
    """The query of `scan` for a source."""
    source = _SOURCES[name]
    column = source.column

    def first(beginning: Any) -> Any:
        # The beginning before what else bounds the column: SQLite seeks to the first bound that it reads.
        conditions = (beginning, *source.where, *below(column, shape))
        return column.model.select(column).where(*conditions).order_by(column).limit(1)

    found = peewee.Select(columns=[first(above(column, shape)).alias("value"), peewee.SQL("1").alias("number")]).cte(
        "found", recursive=True, columns=("value", "number")
    )
    following = peewee.Select([found], [first(column > found.c.value), found.c.number + 1]).where(
        found.c.value.is_null(False), found.c.number < hole(Release.commit_count, "count")
    )
    every = found.union_all(following)
    return Query(
        every.select_from(every.c.value, source.text(every.c.value, projects)).where(every.c.value.is_null(False)),
        row=Place,
    )


def scan_versions(reader: Reader, span: Span, count: int, *, organization_id: bytes) -> list[Place]:
    """The first `count` versions of the span, in their order, of any project."""
    query = versions_query(span.shape, limit_of(count))
    return reader.rows(query, organization_id=organization_id, **span.params)[:count]


@query_shape
def versions_query(shape: tuple[bool, bool], limit: int) -> Query[Place]:
    """The query of `scan_versions`. A release that waits for the drain is looked at, for it may lie among thousands."""
    version = Release.version
    seen = (
        ReleaseProject.select(_ONE)
        .join(Project, on=(Project.id == ReleaseProject.project_id))
        .where(ReleaseProject.release_id == Release.id)
        .offset(0)  # without it PostgreSQL may read all rows there are into a hash, and ask that
    )
    return Query(
        Release.select(version, peewee.Case(None, [(peewee.fn.EXISTS(seen), version)]))
        .where(above(version, shape), *below(version, shape), Release.organization_id == hole(Release.organization_id))
        .order_by(version)
        .limit(limit),
        row=Place,
    )
