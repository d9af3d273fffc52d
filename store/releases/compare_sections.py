"""What of two releases is compared side by side: commits, changed files, authors and references.

Each is a walk of one release's rows that the other lacks, in an order that an index keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import peewee

from store.commits.changes import ChangeRow
from store.commits.contents import COMMIT_COLUMNS, AuthorRow, CommitRow, commit_rows, with_details
from store.commits.models import Commit, CommitAuthor, CommitFile, ReleaseAuthor, ReleaseCommit, ReleaseReference
from store.commits.positions import BEFORE_ALL, BEHIND_ALL
from store.database import Query, Reader, hole, query_shape
from store.organizations.models import Repository
from store.releases.compare import Section
from store.releases.models import Release

_LAST_TEXT: Final = "\U0010ffff" * 512
_MOST: Final = hole(Release.commit_count, "most")
_LIMIT: Final = hole(Release.commit_count, "limit")


def _ordered(query: Any, columns: tuple[Any, ...], *, backward: bool) -> Any:
    """The query from the place on that its parameters, called as the columns are, say."""
    places = [hole(column) for column in columns]
    place, start = (columns[0], places[0]) if len(columns) == 1 else (peewee.Tuple(*columns), peewee.Tuple(*places))
    beyond = place < start if backward else place > start
    return (
        query.where(beyond).order_by(*(column.desc() if backward else column.asc() for column in columns)).limit(_LIMIT)
    )


def _only_mine(query: Any, *, backward: bool) -> Any:
    """The query on a release's commits, for those that the other release lacks, as far as the wall."""
    others = ReleaseCommit.alias("others")
    held = others.select(peewee.SQL("1")).where(
        others.commit_id == ReleaseCommit.commit_id, others.release_id == hole(others.release_id, "other")
    )
    position, at, wall = ReleaseCommit.position, hole(ReleaseCommit.position), hole(ReleaseCommit.position, "wall")
    bounds = (position <= at, position >= wall) if backward else (position >= at, position <= wall)
    return query.where(
        ReleaseCommit.release_id == hole(ReleaseCommit.release_id, "mine"), *bounds, ~peewee.fn.EXISTS(held)
    )


@query_shape
def _commits(*, backward: bool) -> Query[tuple[Any, ...]]:
    joined = ReleaseCommit.select(ReleaseCommit.position, Commit.id, *COMMIT_COLUMNS).join(
        Commit, on=(Commit.id == ReleaseCommit.commit_id)
    )
    query = _only_mine(with_details(joined), backward=backward)
    return Query(_ordered(query, (ReleaseCommit.position,), backward=backward))


@query_shape
def _changes(*, backward: bool) -> Query[tuple[Any, ...]]:
    joined = (
        ReleaseCommit.select(
            ReleaseCommit.position, CommitFile.path, Repository.display_name, Commit.key, CommitFile.change_type
        )
        .join(Commit, on=(Commit.id == ReleaseCommit.commit_id))
        .join(Repository, on=(Repository.id == Commit.repository_id))
        .join(CommitFile, on=(CommitFile.commit_id == ReleaseCommit.commit_id))
    )
    query = _only_mine(joined, backward=backward)
    return Query(_ordered(query, (ReleaseCommit.position, CommitFile.path), backward=backward))


def _as_far_as_wall(column: Any, *, backward: bool) -> Any:
    wall = hole(column, "wall")
    return column >= wall if backward else column <= wall


def _nth(release_id: Any, column: Any, *, backward: bool) -> Query[tuple[str]]:
    """The text so many rows on from a place: an index is passed over, and no row read."""
    at = hole(column)
    query = column.model.select(column).where(
        release_id == hole(release_id, "mine"), column < at if backward else column > at
    )
    return Query(query.order_by(column.desc() if backward else column.asc()).limit(1).offset(_MOST), row=_text)


def _text(text: str) -> tuple[str]:
    return (text,)


@query_shape
def _nth_author(*, backward: bool) -> Query[tuple[str]]:
    return _nth(ReleaseAuthor.release_id, ReleaseAuthor.email, backward=backward)


@query_shape
def _nth_reference(*, backward: bool) -> Query[tuple[str]]:
    return _nth(ReleaseReference.release_id, ReleaseReference.reference, backward=backward)


@query_shape
def _authors(*, backward: bool) -> Query[tuple[Any, ...]]:
    others = ReleaseAuthor.alias("others")
    held = others.select(peewee.SQL("1")).where(
        others.release_id == hole(others.release_id, "other"), others.email == ReleaseAuthor.email
    )
    query = (
        ReleaseAuthor.select(ReleaseAuthor.email, CommitAuthor.display_name)
        .join(CommitAuthor, on=(CommitAuthor.id == ReleaseAuthor.author_id))
        .where(ReleaseAuthor.release_id == hole(ReleaseAuthor.release_id, "mine"), ~peewee.fn.EXISTS(held))
        .where(_as_far_as_wall(ReleaseAuthor.email, backward=backward))
    )
    return Query(_ordered(query, (ReleaseAuthor.email,), backward=backward))


@query_shape
def _references(*, backward: bool) -> Query[tuple[Any, ...]]:
    others, theirs = ReleaseReference.alias("others"), ReleaseCommit.alias("theirs")
    held = (
        others.select(peewee.SQL("1"))
        .join(theirs, on=((theirs.release_id == others.release_id) & (theirs.commit_id == others.commit_id)))
        .where(others.release_id == hole(others.release_id, "other"), others.reference == ReleaseReference.reference)
    )
    query = (
        ReleaseReference.select(ReleaseReference.reference)
        .join(
            ReleaseCommit,
            on=(
                (ReleaseCommit.release_id == ReleaseReference.release_id)
                & (ReleaseCommit.commit_id == ReleaseReference.commit_id)
            ),
        )
        .where(ReleaseReference.release_id == hole(ReleaseReference.release_id, "mine"), ~peewee.fn.EXISTS(held))
        .where(_as_far_as_wall(ReleaseReference.reference, backward=backward))
        .group_by(ReleaseReference.reference)
    )
    return Query(_ordered(query, (ReleaseReference.reference,), backward=backward))


def _told_commits(reader: Reader, rows: Sequence[tuple[Any, ...]]) -> list[CommitRow]:
    return commit_rows(reader, [row[1:] for row in rows])


def _told_changes(_: Reader, rows: Sequence[tuple[Any, ...]]) -> list[ChangeRow]:
    return [
        ChangeRow(position, repository, commit_key, path, change_type)
        for position, path, repository, commit_key, change_type in rows
    ]


def _told_authors(_: Reader, rows: Sequence[tuple[Any, ...]]) -> list[AuthorRow]:
    return [AuthorRow(display_name, email) for email, display_name in rows]


def _told_references(_: Reader, rows: Sequence[tuple[Any, ...]]) -> list[str]:
    return [reference for (reference,) in rows]


COMMITS: Final = Section(_commits, ("position",), (BEFORE_ALL,), (BEHIND_ALL,), _told_commits)
"""Commits, by repository and id: `CommitRow`, newest first."""
CHANGES: Final = Section(
    _changes,
    ("position", "path"),
    (BEFORE_ALL, ""),
    (BEHIND_ALL, _LAST_TEXT),
    _told_changes,
)
"""The files changed by the commits that only one release has: `ChangeRow`, newest commit first, then by path."""
AUTHORS: Final = Section(_authors, ("email",), ("",), (_LAST_TEXT,), _told_authors, _nth_author)
"""Authors, by e-mail: `AuthorRow`."""
REFERENCES: Final = Section(_references, ("reference",), ("",), (_LAST_TEXT,), _told_references, _nth_reference)
"""References, by text: `str`."""
