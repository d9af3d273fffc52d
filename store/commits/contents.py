"""What is in releases, for their view FULL: the newest commit, the heads and the authors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from peewee import JOIN, Select, fn

from store.commits.models import Commit, CommitAuthor, ReleaseAuthor, ReleaseHead
from store.database import Query, Reader, query_shape
from store.database.batches import batches, filled, holes
from store.organizations.models import Repository
from store.releases.models import Release

SHOWN = 100
"""How many heads and how many authors of a release are shown."""


class ChangedFileRow(NamedTuple):
    """A file that a commit changed, and how: see `store.commits.drafts`."""

    path: str
    change_type: int


@dataclass(frozen=True, slots=True)
class CommitRow:
    """A commit as it is stored. repository is the name that its repository has now; time in microseconds UTC.

    author_name is as the commit says it: `AuthorRow` has the name by which its author goes now.

    changed_files is empty unless they were asked for, and may then be the first of them only: changed_file_count
    counts all.
    """

    key: str
    repository: str
    author_name: str | None
    author_email: str | None
    message: str | None
    commit_time: int | None
    changed_file_count: int
    changed_files: tuple[ChangedFileRow, ...] = ()


class HeadCommitRow(NamedTuple):
    """The newest commit of one repository in a release."""

    repository: str
    commit_key: str


class AuthorRow(NamedTuple):
    """An author of commits, by the last name that was said; none was ever said of some."""

    display_name: str | None
    email: str


@dataclass(frozen=True, slots=True)
class ReleaseContents:
    """What is in a release: its newest commit, its heads by repository and its authors by e-mail, 100 each at most."""

    last_commit: CommitRow | None
    head_commits: tuple[HeadCommitRow, ...]
    authors: tuple[AuthorRow, ...]


COMMIT_COLUMNS = (
    Commit.key,
    Repository.display_name,
    Commit.author_name,
    CommitAuthor.email,
    Commit.message,
    Commit.commit_time,
    Commit.changed_file_count,
)
"""The columns of a `CommitRow`, from commits joined by `with_details`."""


def with_details(query: Any) -> Any:
    """The query, its commits joined to their repositories and authors."""
    return query.join(Repository, on=(Repository.id == Commit.repository_id)).join(
        CommitAuthor, JOIN.LEFT_OUTER, on=(CommitAuthor.id == Commit.author_id)
    )


@query_shape
def _last_commits(size: int) -> Query[tuple[Any, ...]]:
    joined = Release.select(Release.id, *COMMIT_COLUMNS).join(Commit, on=(Commit.id == Release.last_commit_id))
    return Query(with_details(joined).where(Release.id.in_(holes(Release.id, size))))


@query_shape
def _heads(size: int) -> Query[tuple[Any, ...]]:
    return _first_of_each(
        ReleaseHead.select(ReleaseHead.release_id, Repository.display_name, Commit.key)
        .join(Repository, on=(Repository.id == ReleaseHead.repository_id))
        .join(Commit, on=(Commit.id == ReleaseHead.commit_id)),
        size,
        release_id=ReleaseHead.release_id,
        order=(Repository.display_name, ReleaseHead.repository_id),
    )


@query_shape
def _authors(size: int) -> Query[tuple[Any, ...]]:
    return _first_of_each(
        ReleaseAuthor.select(ReleaseAuthor.release_id, CommitAuthor.display_name, CommitAuthor.email).join(
            CommitAuthor, on=(CommitAuthor.id == ReleaseAuthor.author_id)
        ),
        size,
        release_id=ReleaseAuthor.release_id,
        order=(ReleaseAuthor.email,),
    )


def _first_of_each(query: Any, size: int, *, release_id: Any, order: tuple[Any, ...]) -> Query[tuple[Any, ...]]:
    """The first rows of each release: (release id, and two columns more), in order."""
    chosen = query.where(release_id.in_(holes(release_id, size)))
    if size == 1:  # the usual case, and a plain limit stops reading early on both databases
        return Query(chosen.order_by(*order).limit(SHOWN))
    place = fn.ROW_NUMBER().over(partition_by=[release_id], order_by=list(order))
    columns = [column.alias(f"column_{index}") for index, column in enumerate(query._returning)]
    numbered = chosen.select(*columns, place.alias("place")).alias("numbered")
    shown = Select([numbered], [getattr(numbered.c, f"column_{index}") for index in range(len(columns))])
    return Query(shown.where(numbered.c.place <= SHOWN).order_by(numbered.c.column_0, numbered.c.place))


def release_contents(reader: Reader, release_ids: Sequence[bytes]) -> dict[bytes, ReleaseContents]:
    """What is in each of these releases, by id; three queries for up to 500 of them.

    Heads and authors are those of the last call that set the release's commits.
    """
    contents: dict[bytes, ReleaseContents] = {}
    for batch in batches(release_ids):
        ids = filled(batch)
        last = {row[0]: CommitRow(*row[1:]) for row in reader.rows(_last_commits(len(batch)), **ids)}
        heads: dict[bytes, list[HeadCommitRow]] = {release_id: [] for release_id in batch}
        authors: dict[bytes, list[AuthorRow]] = {release_id: [] for release_id in batch}
        for release_id, repository, key in reader.rows(_heads(len(batch)), **ids):
            heads[release_id].append(HeadCommitRow(repository, key))
        for release_id, name, email in reader.rows(_authors(len(batch)), **ids):
            authors[release_id].append(AuthorRow(name, email))
        for release_id in batch:
            contents[release_id] = ReleaseContents(
                last.get(release_id), tuple(heads[release_id]), tuple(authors[release_id])
            )
    return contents
