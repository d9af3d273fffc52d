"""Commits and their changed files, got or created by (repository, key)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from peewee import fn

from store.commits.batches import SIZES, batches, filled, holes
from store.commits.models import Commit, CommitFile
from store.commits.prepare import PreparedCommit
from store.database import Query, Reader, Statement, Transaction, hole, new_id, query_shape

FILES_AT_ONCE = 20_000
"""Of how many stored files at most the paths are read together."""


class WrittenCommit(NamedTuple):
    """A commit as it is stored now: its id, and its author's, which an earlier call may have said."""

    id: bytes
    author_id: bytes | None


class _Stored(NamedTuple):
    key: str
    id: bytes
    author_id: bytes | None
    message: str | None
    commit_time: int | None
    changed_file_count: int


class _Known(NamedTuple):
    """A commit of the call that is stored already; differs when the call says something else of it."""

    place: int
    commit: PreparedCommit
    id: bytes
    author_id: bytes | None
    changed_file_count: int
    differs: bool


class _StoredFile(NamedTuple):
    commit_id: bytes
    path: str


_COLUMNS = (
    Commit.id,
    Commit.organization_id,
    Commit.repository_id,
    Commit.key,
    Commit.author_id,
    Commit.message,
    Commit.commit_time,
    Commit.changed_file_count,
)
_NAMES = tuple(column.name for column in _COLUMNS)
_INSERT = Statement(Commit.insert({column: hole(column, nullable=column.null) for column in _COLUMNS}))
# What the call does not say (NULL) stays as it is.
_UPDATE = Statement(
    Commit.update(
        {
            Commit.author_id: fn.COALESCE(hole(Commit.author_id, nullable=True), Commit.author_id),
            Commit.message: fn.COALESCE(hole(Commit.message, nullable=True), Commit.message),
            Commit.commit_time: fn.COALESCE(hole(Commit.commit_time, nullable=True), Commit.commit_time),
            Commit.changed_file_count: hole(Commit.changed_file_count),
        }
    ).where(Commit.id == hole(Commit.id))
)
_INSERT_FILE = Statement(
    CommitFile.insert(
        {
            CommitFile.commit_id: hole(CommitFile.commit_id),
            CommitFile.path: hole(CommitFile.path),
            CommitFile.change_type: hole(CommitFile.change_type),
        }
    )
)


@query_shape
def _by_key(size: int) -> Query[_Stored]:
    return Query(
        Commit.select(
            Commit.key, Commit.id, Commit.author_id, Commit.message, Commit.commit_time, Commit.changed_file_count
        ).where(
            Commit.repository_id == hole(Commit.repository_id),
            Commit.key.in_(holes(Commit.key, size)),
        ),
        row=_Stored,
    )


@query_shape
def _files_of(size: int) -> Query[_StoredFile]:
    return Query(
        CommitFile.select(CommitFile.commit_id, CommitFile.path).where(
            CommitFile.commit_id.in_(holes(CommitFile.commit_id, size))
        ),
        row=_StoredFile,
    )


@query_shape
def _files_among(size: int) -> Query[_StoredFile]:
    return Query(
        CommitFile.select(CommitFile.commit_id, CommitFile.path).where(
            CommitFile.commit_id == hole(CommitFile.commit_id),
            CommitFile.path.in_(holes(CommitFile.path, size)),
        ),
        row=_StoredFile,
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
    written: list[WrittenCommit | None] = [None] * len(commits)
    for row in known:
        written[row.place] = WrittenCommit(row.id, row.author_id)
    # Column by column: rows of their own would be hundreds of thousands of objects for the collector to visit.
    new: dict[str, list[Any]] = {name: [] for name in _NAMES}
    files = _NewFiles()
    for repository, of_key in places.items():
        # By key, so that ids ascend with keys: each index of commits and of files then grows in one direction.
        for key in sorted(of_key):
            place = of_key[key]
            if written[place] is not None:
                continue
            commit = commits[place]
            commit_id = new_id()
            author_id = None if commit.author_email is None else authors[commit.author_email]
            written[place] = WrittenCommit(commit_id, author_id)
            new["id"].append(commit_id)
            new["repository_id"].append(repositories[repository])
            new["key"].append(key)
            new["author_id"].append(author_id)
            new["message"].append(commit.message)
            new["commit_time"].append(commit.commit_time)
            new["changed_file_count"].append(files.add(commit_id, commit.files))
    new["organization_id"] = [organization_id] * len(new["id"])
    tx.run_columns(_INSERT, new)

    missing = _missing_files(tx, known)
    updates: list[dict[str, Any]] = []
    for row in known:
        new_file_count = files.add(row.id, missing.get(row.id, {}))
        if row.differs or new_file_count:
            email = row.commit.author_email
            updates.append(
                {
                    "id": row.id,
                    "author_id": None if email is None else authors[email],
                    "message": row.commit.message,
                    "commit_time": row.commit.commit_time,
                    "changed_file_count": row.changed_file_count + new_file_count,
                }
            )
    tx.run_many(_UPDATE, updates)
    tx.run_columns(
        _INSERT_FILE, {"commit_id": files.commit_ids, "path": files.paths, "change_type": files.change_types}
    )
    return [commit for commit in written if commit is not None]


class _NewFiles:
    """Rows of changed files, column by column."""

    def __init__(self) -> None:
        self.commit_ids: list[bytes] = []
        self.paths: list[str] = []
        self.change_types: list[int] = []

    def add(self, commit_id: bytes, types: Mapping[str, int]) -> int:
        """Add the files of a commit, by path; how many they are."""
        paths = sorted(types)
        self.commit_ids += [commit_id] * len(paths)
        self.paths += paths
        self.change_types += [types[path] for path in paths]
        return len(paths)


def _compared(place: int, commit: PreparedCommit, row: _Stored, authors: Mapping[str, bytes]) -> _Known:
    author_id = row.author_id if commit.author_email is None else authors[commit.author_email]
    differs = (
        author_id != row.author_id
        or (commit.message is not None and commit.message != row.message)
        or (commit.commit_time is not None and commit.commit_time != row.commit_time)
    )
    return _Known(place, commit, row.id, author_id, row.changed_file_count, differs)


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


def _strike(missing: dict[bytes, dict[str, int]], stored: Sequence[_StoredFile]) -> None:
    for file in stored:
        missing[file.commit_id].pop(file.path, None)
