"""What is in releases, for their view FULL: the newest commit, the heads and the authors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from peewee import JOIN, Select, fn

from store.commits.mentions import may_mention
from store.commits.models import Commit, CommitAuthor, ReleaseAuthor, ReleaseCommit, ReleaseHead, ReleaseReference
from store.commits.references import references_of
from store.database import Query, Reader, query_shape
from store.database.batches import batches, filled, holes
from store.organizations.models import Repository
from store.paging import wire_bytes
from store.releases.models import Release

_COMMIT_BYTES = 64
"""What a commit takes on the wire beside its texts, at most: tags, lengths, numbers and its time."""
_REFERENCE_BYTES = 4
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
    counts all. references are the issues that its message says it fixes.
    """

    key: str
    repository: str
    author_name: str | None
    author_email: str | None
    message: str | None
    commit_time: int | None
    changed_file_count: int
    changed_files: tuple[ChangedFileRow, ...] = ()
    references: tuple[str, ...] = ()


class HeadCommitRow(NamedTuple):
    """Up to which commit a release holds a repository; and from which on, where a ref said it."""

    repository: str
    commit_key: str
    previous_key: str | None = None


class AuthorRow(NamedTuple):
    """An author of commits, by the last name that was said; none was ever said of some."""

    display_name: str | None
    email: str


@dataclass(frozen=True, slots=True)
class ReleaseContents:
    """What is in a release: its newest commit, its heads by repository, its authors by e-mail and its references by
    text, 100 each at most."""

    last_commit: CommitRow | None
    head_commits: tuple[HeadCommitRow, ...]
    authors: tuple[AuthorRow, ...]
    references: tuple[str, ...] = ()


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


def commit_bytes(commit: CommitRow) -> int:
    """What a commit without changed files takes in a message, at most."""
    texts = (commit.key, commit.repository, commit.author_name, commit.author_email, commit.message)
    references = sum(_REFERENCE_BYTES + wire_bytes(reference) for reference in commit.references)
    return _COMMIT_BYTES + wire_bytes(*filter(None, texts)) + references


@query_shape
def _last_commits(size: int) -> Query[tuple[Any, ...]]:
    joined = Release.select(Release.id, Commit.id, *COMMIT_COLUMNS).join(
        Commit, on=(Commit.id == Release.last_commit_id)
    )
    return Query(with_details(joined).where(Release.id.in_(holes(Release.id, size))))


@query_shape
def _heads(size: int) -> Query[tuple[Any, ...]]:
    return _first_of_each(
        ReleaseHead.select(ReleaseHead.release_id, Repository.display_name, Commit.key, ReleaseHead.previous_key)
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


@query_shape
def _references(size: int) -> Query[tuple[Any, ...]]:
    joined = ReleaseReference.select(ReleaseReference.release_id, ReleaseReference.reference).join(
        ReleaseCommit,
        on=(
            (ReleaseCommit.release_id == ReleaseReference.release_id)
            & (ReleaseCommit.commit_id == ReleaseReference.commit_id)
        ),
    )
    # Grouped and ordered by the same, as the key is: so SQLite, too, stops reading at the limit.
    one_of_each = (ReleaseReference.release_id, ReleaseReference.reference)
    return _first_of_each(
        joined.group_by(*one_of_each), size, release_id=ReleaseReference.release_id, order=one_of_each
    )


def _first_of_each(query: Any, size: int, *, release_id: Any, order: tuple[Any, ...]) -> Query[tuple[Any, ...]]:
    """The first rows of each release, in order; the first column is its id."""
    chosen = query.where(release_id.in_(holes(release_id, size)))
    if size == 1:  # the usual case, and a plain limit stops reading early on both databases
        return Query(chosen.order_by(*order).limit(SHOWN))
    place = fn.ROW_NUMBER().over(partition_by=[release_id], order_by=list(order))
    columns = [column.alias(f"column_{index}") for index, column in enumerate(query._returning)]
    numbered = chosen.select(*columns, place.alias("place")).alias("numbered")
    shown = Select([numbered], [getattr(numbered.c, f"column_{index}") for index in range(len(columns))])
    return Query(shown.where(numbered.c.place <= SHOWN).order_by(numbered.c.column_0, numbered.c.place))


def release_contents(reader: Reader, release_ids: Sequence[bytes]) -> dict[bytes, ReleaseContents]:
    """What is in each of these releases, by id; four queries for up to 500 of them, and a fifth for references of last
    commits, if there may be any.

    Heads and authors are those of the last call that set the release's commits.
    """
    contents: dict[bytes, ReleaseContents] = {}
    for batch in batches(release_ids):
        ids = filled(batch)
        lasts = reader.rows(_last_commits(len(batch)), **ids)
        last = dict(zip((row[0] for row in lasts), commit_rows(reader, [row[1:] for row in lasts]), strict=True))
        heads: dict[bytes, list[HeadCommitRow]] = {release_id: [] for release_id in batch}
        authors: dict[bytes, list[AuthorRow]] = {release_id: [] for release_id in batch}
        references: dict[bytes, list[str]] = {release_id: [] for release_id in batch}
        for release_id, *head in reader.rows(_heads(len(batch)), **ids):
            heads[release_id].append(HeadCommitRow(*head))
        for release_id, name, email in reader.rows(_authors(len(batch)), **ids):
            authors[release_id].append(AuthorRow(name, email))
        for release_id, reference in reader.rows(_references(len(batch)), **ids):
            references[release_id].append(reference)
        for release_id in batch:
            contents[release_id] = ReleaseContents(
                last.get(release_id),
                tuple(heads[release_id]),
                tuple(authors[release_id]),
                tuple(references[release_id]),
            )
    return contents


def commit_rows(reader: Reader, rows: Sequence[tuple[Any, ...]]) -> list[CommitRow]:
    """Commits with their references, of rows that are a commit's id and its `COMMIT_COLUMNS`; one query, if any."""
    commits = [(commit_id, CommitRow(*columns)) for commit_id, *columns in rows]
    mentioning = sorted({commit_id for commit_id, commit in commits if may_mention(commit.message)})
    references = references_of(reader, mentioning)
    return [
        replace(commit, references=references[commit_id]) if commit_id in references else commit
        for commit_id, commit in commits
    ]
