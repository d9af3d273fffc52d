"""Commits and their changed files, got or created by (repository, key)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

from peewee import fn

from store.commits.mentions import may_mention
from store.commits.models import Commit, CommitFile
from store.commits.prepare import PreparedCommit
from store.commits.references import change_references, insert_references
from store.database import Query, Reader, Statement, Transaction, hole, holes_for, new_id, query_shape
from store.database.batches import SIZES, batches, filled, holes

FILES_AT_ONCE = 20_000
"""Of how many stored files at most the paths are read together."""


class WrittenCommit(NamedTuple):
    """A commit as it is stored now: its id, and its author's and its time, which an earlier call may have said.

    moved tells that this call said another time of a commit that was there.
    """

    id: bytes
    author_id: bytes | None
    commit_time: int | None
    moved: bool = False


class _Stored(NamedTuple):
    key: str
    id: bytes
    author_id: bytes | None
    author_name: str | None
    message: str | None
    commit_time: int | None
    changed_file_count: int


class _Known(NamedTuple):
    """A commit of the call that is stored already; differs when the call says something else of it, moved when it says
    another time, fixes_others when its message may come to other references."""

    place: int
    commit: PreparedCommit
    id: bytes
    author_id: bytes | None
    commit_time: int | None
    changed_file_count: int
    differs: bool
    moved: bool
    fixes_others: bool


_COLUMNS = (
    Commit.id,
    Commit.organization_id,
    Commit.repository_id,
    Commit.key,
    Commit.author_id,
    Commit.author_name,
    Commit.message,
    Commit.commit_time,
    Commit.changed_file_count,
)
_NAMES = tuple(column.name for column in _COLUMNS)
_INSERT = Statement(Commit.insert(holes_for(*_COLUMNS)))
# What the call does not say (NULL) stays as it is.
_UPDATE = Statement(
    Commit.update(
        {
            Commit.author_id: fn.COALESCE(hole(Commit.author_id, nullable=True), Commit.author_id),
            Commit.author_name: fn.COALESCE(hole(Commit.author_name, nullable=True), Commit.author_name),
            Commit.message: fn.COALESCE(hole(Commit.message, nullable=True), Commit.message),
            Commit.commit_time: fn.COALESCE(hole(Commit.commit_time, nullable=True), Commit.commit_time),
            Commit.changed_file_count: hole(Commit.changed_file_count),
        }
    ).where(Commit.id == hole(Commit.id))
)
_INSERT_FILE = Statement(CommitFile.insert(holes_for(CommitFile.commit_id, CommitFile.path, CommitFile.change_type)))


@query_shape
def _by_key(size: int) -> Query[_Stored]:
    return Query(
        Commit.select(
            Commit.key,
            Commit.id,
            Commit.author_id,
            Commit.author_name,
            Commit.message,
            Commit.commit_time,
            Commit.changed_file_count,
        ).where(
            Commit.repository_id == hole(Commit.repository_id),
            Commit.key.in_(holes(Commit.key, size)),
        ),
        row=_Stored,
    )


@query_shape
def _files_of(size: int) -> Query[tuple[Any, ...]]:
    return Query(
        CommitFile.select(CommitFile.commit_id, CommitFile.path).where(
            CommitFile.commit_id.in_(holes(CommitFile.commit_id, size))
        )
    )


@query_shape
def _files_among(size: int) -> Query[tuple[Any, ...]]:
    return Query(
        CommitFile.select(CommitFile.commit_id, CommitFile.path).where(
            CommitFile.commit_id == hole(CommitFile.commit_id),
            CommitFile.path.in_(holes(CommitFile.path, size)),
        )
    )


def write_commits(
    tx: Transaction,
    organization_id: bytes,
    commits: Sequence[PreparedCommit],
    *,
    repositories: Mapping[str, bytes],
    authors: Mapping[str, bytes],
) -> list[WrittenCommit]:
    """Have these distinct commits stored with at least these files; what is stored of each, in the order given.

    Of a commit that is there, only what the call says otherwise is changed, and the type of a file that is there
    stays. The repositories are locked: so what is looked up here still holds when it is written.
    """
    places: dict[str, dict[str, int]] = {repository: {} for repository in repositories}
    for place, commit in enumerate(commits):
        places[commit.repository][commit.key] = place
    known = [
        _compared(of_key[row.key], commits[of_key[row.key]], row, authors)
        for repository, of_key in places.items()
        for batch in batches(list(of_key))
        for row in tx.rows(_by_key(len(batch)), repository_id=repositories[repository], **filled(batch))
    ]
    known_places = {row.place for row in known}
    # By key, so that ids ascend with keys: each index of commits and of files then grows in one direction.
    new_places = [of_key[key] for of_key in places.values() for key in sorted(of_key)]
    if known_places:
        new_places = [place for place in new_places if place not in known_places]
    new = [commits[place] for place in new_places]
    new_ids = [new_id() for _ in new]
    author_of: dict[str | None, bytes | None] = {None: None}
    author_of.update(authors)
    new_authors = [author_of[commit.author_email] for commit in new]
    tx.run_columns(
        _INSERT,
        {
            "id": new_ids,
            "organization_id": [organization_id] * len(new),
            "repository_id": [repositories[commit.repository] for commit in new],
            "key": [commit.key for commit in new],
            "author_id": new_authors,
            "author_name": [commit.author_name for commit in new],
            "message": [commit.message for commit in new],
            "commit_time": [commit.commit_time for commit in new],
            "changed_file_count": [len(commit.files) for commit in new],
        },
    )
    missing = _missing_files(tx, known)
    tx.run_many(
        _UPDATE,
        [
            {
                "id": row.id,
                "author_id": author_of[row.commit.author_email],
                "author_name": row.commit.author_name,
                "message": row.commit.message,
                "commit_time": row.commit.commit_time,
                "changed_file_count": row.changed_file_count + len(missing.get(row.id, ())),
            }
            for row in known
            if row.differs or missing.get(row.id)
        ],
    )
    insert_references(tx, zip(new_ids, (commit.references for commit in new), strict=True))
    change_references(tx, organization_id, {row.id: row.commit.references for row in known if row.fixes_others})
    _insert_files(tx, [*new_ids, *missing], [*(commit.files for commit in new), *missing.values()])

    written = {row.place: WrittenCommit(row.id, row.author_id, row.commit_time, row.moved) for row in known}
    times = [commit.commit_time for commit in new]
    written.update(zip(new_places, map(WrittenCommit, new_ids, new_authors, times), strict=True))
    return [written[place] for place in range(len(commits))]


def _insert_files(tx: Transaction, commit_ids: Sequence[bytes], files: Sequence[Mapping[str, int]]) -> None:
    """Insert the files of each commit, path to change type; a call brings a million."""
    counts = map(len, files)
    tx.run_columns(
        _INSERT_FILE,
        {
            "commit_id": list(chain.from_iterable(map(repeat, commit_ids, counts))),
            "path": list(chain.from_iterable(files)),
            "change_type": list(chain.from_iterable(of_commit.values() for of_commit in files)),
        },
    )


def _compared(place: int, commit: PreparedCommit, row: _Stored, authors: Mapping[str, bytes]) -> _Known:
    author_id = row.author_id if commit.author_email is None else authors[commit.author_email]
    commit_time = row.commit_time if commit.commit_time is None else commit.commit_time
    reworded = commit.message is not None and commit.message != row.message
    moved = commit_time != row.commit_time
    differs = (
        reworded
        or moved
        or author_id != row.author_id
        or (commit.author_name is not None and commit.author_name != row.author_name)
    )
    fixes_others = reworded and (bool(commit.references) or may_mention(row.message))
    return _Known(place, commit, row.id, author_id, commit_time, row.changed_file_count, differs, moved, fixes_others)


def _missing_files(reader: Reader, known: Sequence[_Known]) -> dict[bytes, dict[str, int]]:
    """By commit id, the files of the call that are not stored yet."""
    missing = {row.id: dict(row.commit.files) for row in known if row.commit.files}
    some: list[bytes] = []
    their_files = 0
    for row in known:
        if not row.commit.files or not row.changed_file_count:
            continue
        if row.changed_file_count > FILES_AT_ONCE:
            for paths in batches(list(missing[row.id])):
                _strike(missing, reader.rows(_files_among(len(paths)), commit_id=row.id, **filled(paths)))
            continue
        if len(some) == SIZES[-1] or their_files + row.changed_file_count > FILES_AT_ONCE:
            _strike_files_of(reader, some, missing)
            some, their_files = [], 0
        some.append(row.id)
        their_files += row.changed_file_count
    _strike_files_of(reader, some, missing)
    return missing


def _strike_files_of(reader: Reader, commit_ids: Sequence[bytes], missing: dict[bytes, dict[str, int]]) -> None:
    for batch in batches(commit_ids):
        _strike(missing, reader.rows(_files_of(len(batch)), **filled(batch)))


def _strike(missing: dict[bytes, dict[str, int]], stored: Sequence[tuple[Any, ...]]) -> None:
    for commit_id, path in stored:
        missing[commit_id].pop(path, None)
