"""The values that certain releases have, for suggestions to callers of some projects.

What such a caller is told comes from the newest releases of its projects, so that neither the answer nor the time it
takes says anything about others. Nothing but the ids of releases, and of their authors, is asked for in a way that an
index serves: PostgreSQL would else walk an index of values, through those of everybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from store.commits.models import CommitAuthor, ReleaseAuthor
from store.database import Query, Reader, hole, query_shape
from store.database.batches import batches, filled, holes
from store.releases.models import Release, ReleaseLabel
from store.search.filters import Scope
from store.search.orders import NEWEST_FIRST, Direction
from store.search.suggestions.value_scans import BUILDS, LABEL_VALUES, LABELS, PACKAGES, Place, Source, Span
from store.search.walks import IndexWalk

MOST_RELEASES: Final = 2000
"""So many releases of a caller's projects, the newest ones, are read for their values."""

MOST_AUTHORS: Final = 20_000
"""No more releases are read for their authors than have so many together, each counted for itself."""


@dataclass(frozen=True, slots=True)
class Held:
    """Values that releases have, by place, and whether these are all that the projects' releases have."""

    places: Sequence[Place]
    whole: bool


def newest_releases(reader: Reader, scope: Scope) -> tuple[list[bytes], bool]:
    """The newest releases of the scope's projects, at most MOST_RELEASES, and whether these are all."""
    found = IndexWalk(scope, Direction(NEWEST_FIRST)).after(reader, None, MOST_RELEASES + 1)
    return [release_id for (release_id,) in found[:MOST_RELEASES]], len(found) <= MOST_RELEASES


def values_held(reader: Reader, scope: Scope, source: Source, span: Span, **params: str) -> Held:
    """The values of a source of releases or of labels, within the span; `params` is what else fills its holes."""
    release_ids, whole = newest_releases(reader, scope)
    values: set[str] = set()
    for batch in batches(release_ids):
        found = reader.rows(held_query(source.name, len(batch)), **filled(batch), **params)
        values.update(value for (value,) in found if value and span.holds(value))
    return Held([Place(value, value) for value in sorted(values)], whole)


def authors_held(reader: Reader, scope: Scope, span: Span) -> Held:
    """E-mails and names of authors within the span. Of several that differ in the spelling alone, that of the oldest
    author."""
    release_ids, whole = newest_releases(reader, scope)
    few = _without_crowds(reader, release_ids)
    author_ids: set[bytes] = set()
    for batch in batches(few):
        author_ids.update(author_id for (author_id,) in reader.rows(authors_of(len(batch)), **filled(batch)))
    texts: dict[str, str] = {}
    for batch in batches(sorted(author_ids)):
        for place, email, folded_name, name in reader.rows(authors_by_id(len(batch)), **filled(batch)):
            for folded, kept in ((place, email), (folded_name, name)):
                if kept and span.holds(folded):
                    texts.setdefault(folded, kept)
    return Held([Place(place, texts[place]) for place in sorted(texts)], whole and len(few) == len(release_ids))


def _without_crowds(reader: Reader, release_ids: Sequence[bytes]) -> Sequence[bytes]:
    """The first of the releases that have at most MOST_AUTHORS authors together; the first in any case."""
    counts: dict[bytes, int] = {}
    for batch in batches(release_ids):
        counts.update(reader.rows(author_counts(len(batch)), **filled(batch)))
    left = MOST_AUTHORS
    for index, release_id in enumerate(release_ids):
        left -= counts.get(release_id, 0)
        if left < 0 and index:
            return release_ids[:index]
    return release_ids


@query_shape
def held_query(name: str, releases: int) -> Query[tuple[str | None]]:
    """The query of `values_held` for so many releases."""
    column, release_id, *where = _READ[name]
    return Query(column.model.select(column).where(release_id.in_(holes(release_id, releases)), *where).distinct())


# Of each source what is read, the release's id there, and what else must hold.
_READ: Final[Mapping[str, tuple[Any, ...]]] = {
    PACKAGES.name: (Release.package, Release.id),
    BUILDS.name: (Release.build_code, Release.id),
    LABELS.name: (ReleaseLabel.key, ReleaseLabel.release_id),
    LABEL_VALUES.name: (
        ReleaseLabel.value,
        ReleaseLabel.release_id,
        ReleaseLabel.key.concat("") == hole(ReleaseLabel.key, "label"),
    ),
}


@query_shape
def author_counts(releases: int) -> Query[tuple[bytes, int]]:
    """How many authors so many releases have."""
    return Query(Release.select(Release.id, Release.author_count).where(Release.id.in_(holes(Release.id, releases))))


@query_shape
def authors_of(releases: int) -> Query[tuple[bytes]]:
    """The authors of so many releases."""
    release_id = ReleaseAuthor.release_id
    query = ReleaseAuthor.select(ReleaseAuthor.author_id).where(release_id.in_(holes(release_id, releases)))
    return Query(query.distinct())


@query_shape
def authors_by_id(authors: int) -> Query[tuple[Any, ...]]:
    """How so many authors are called, folded and as it is kept, the oldest first."""
    return Query(
        CommitAuthor.select(
            CommitAuthor.folded_email, CommitAuthor.email, CommitAuthor.folded_name, CommitAuthor.display_name
        )
        .where(CommitAuthor.id.in_(holes(CommitAuthor.id, authors)))
        .order_by(CommitAuthor.id)
    )
