"""The files that the commits of a release changed, page by page (behaviour.md, Commits).

A page walks the release's list of commits, newest first, and passes at most `MOST_WALKED` of them: where the filters
leave few changes, it may hold fewer than asked for, even none, and the next one goes on behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import peewee

from store.access import Access
from store.commits.models import Commit, CommitFile, ReleaseCommit
from store.commits.positions import first_position
from store.database import CountField, Database, Query, Reader, hole, query_shape
from store.organizations.models import Repository
from store.paging import PAGE_BYTES, Page, PageRequest, fitting, page_of, wire_bytes
from store.releases.lookup import readable_release
from store.text import after_prefix

MOST_WALKED: Final = 10_000
"""How many commits a page looks at."""

_CHANGE_BYTES: Final = 24
"""What a change takes on the wire beside its texts, at most."""
_PLACE: Final = CountField()
_PLACE.name = "limit"


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """Which changes are sought: those that match every field that is not empty.

    path_prefix: how the path begins, to the letter. repository: its display name. change_types: of
    `store.commits.drafts`.
    """

    path_prefix: str = ""
    repository: str = ""
    change_types: frozenset[int] = frozenset()


EVERY_CHANGE: Final = ChangeFilter()


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A file that one of a release's commits changed; position is the commit's in the list, lowest for the newest."""

    position: int
    repository: str
    commit_key: str
    path: str
    change_type: int

    @property
    def place(self) -> tuple[int, str]:
        """What changes are sorted by."""
        return self.position, self.path


@dataclass(frozen=True, slots=True)
class ListedChanges:
    """A page of changes; and, where they were asked for, how many there are on all pages, by type."""

    page: Page[ChangeRow]
    counts: dict[int, int]


def list_changed_files(
    db: Database,
    access: Access,
    organization_slug: str,
    version: str,
    page: PageRequest,
    *,
    sought: ChangeFilter = EVERY_CHANGE,
    with_counts: bool = False,
) -> ListedChanges:
    """A page of the files that the release's commits changed: newest commit first, and of one commit by path.

    A page ends before it passes 1 MiB, and before it has looked at more than 10,000 commits. Counting looks at all of
    the release's changes.

    Raises `OrganizationNotFound`, `ReleaseNotFound`.
    """

    def read(reader: Reader) -> ListedChanges:
        release = readable_release(reader, access, organization_slug, version)
        found = _page(reader, release.id, release.commit_count, page, sought)
        counts = _counted(reader, release.id, sought) if with_counts else {}
        return ListedChanges(found, counts)

    return db.read(read)


MOST_COUNTED: Final = 50_000
"""How many changes are looked at to tell how many files they are of."""


@dataclass(frozen=True, slots=True)
class ChangedFileCount:
    """How many different paths a release's commits changed; with `is_least` perhaps more."""

    count: int
    is_least: bool


def changed_file_count(reader: Reader, release_id: bytes) -> ChangedFileCount:
    """How many different paths the commits of a release changed, by the first 50,000 changes of the newest commits."""
    ((count, walked),) = reader.rows(_DIFFERENT, release_id=release_id, limit=MOST_COUNTED + 1)
    return ChangedFileCount(count, walked > MOST_COUNTED)


def _page(
    reader: Reader, release_id: bytes, commit_count: int, page: PageRequest, sought: ChangeFilter
) -> Page[ChangeRow]:
    first = first_position(reader, release_id)
    position, path = page.position.key if page.position is not None else (first, "")
    assert isinstance(position, int)
    if position < first and not page.backward:  # commits that were newer then are there no longer
        position, path = first, ""
    wall = max(position - MOST_WALKED, first) if page.backward else position + MOST_WALKED - 1
    rows: list[ChangeRow] = reader.rows(
        _page_query(_shape(sought), backward=page.backward),
        release_id=release_id,
        position=position,
        path=path,
        wall=wall,
        limit=page.limit,
        **_params(sought),
    )
    fits = fitting(page, map(_bytes_of, rows), most=PAGE_BYTES)
    rows = rows[: fits.limit]
    ended = wall <= first if page.backward else wall >= first + commit_count - 1
    beyond = None if ended else (wall, "") if page.backward else (wall + 1, "")
    return page_of(rows, fits, lambda row: row.place, wall=beyond)


def _bytes_of(row: ChangeRow) -> int:
    return _CHANGE_BYTES + wire_bytes(row.repository, row.commit_key, row.path)


def _counted(reader: Reader, release_id: bytes, sought: ChangeFilter) -> dict[int, int]:
    return dict(reader.rows(_count_query(_shape(sought)), release_id=release_id, **_params(sought)))


Shape = tuple[bool, bool, bool, int]
"""Which conditions a query has: a prefix, an end of it, a repository, and so many types."""


def _shape(sought: ChangeFilter) -> Shape:
    prefix = sought.path_prefix
    return bool(prefix), after_prefix(prefix) is not None, bool(sought.repository), len(sought.change_types)


def _params(sought: ChangeFilter) -> dict[str, Any]:
    params: dict[str, Any] = {f"type_{index}": kind for index, kind in enumerate(sorted(sought.change_types))}
    if sought.path_prefix:
        params["first_path"] = sought.path_prefix
        beyond = after_prefix(sought.path_prefix)
        if beyond is not None:
            params["path_beyond"] = beyond
    if sought.repository:
        params["repository"] = sought.repository
    return params


def _of_release(query: Any, shape: Shape) -> Any:
    """The changes of a release that the filter leaves, joined to their commits and repositories."""
    prefix, end, repository, types = shape
    query = (
        query.join(CommitFile, on=(CommitFile.commit_id == ReleaseCommit.commit_id))
        .join(Commit, on=(Commit.id == ReleaseCommit.commit_id))
        .join(Repository, on=(Repository.id == Commit.repository_id))
        .where(ReleaseCommit.release_id == hole(ReleaseCommit.release_id))
    )
    if prefix:
        query = query.where(CommitFile.path >= hole(CommitFile.path, "first_path"))
    if end:
        query = query.where(CommitFile.path < hole(CommitFile.path, "path_beyond"))
    if repository:
        query = query.where(Repository.display_name == hole(Repository.display_name, "repository"))
    if types:
        wanted = [hole(CommitFile.change_type, f"type_{index}") for index in range(types)]
        query = query.where(CommitFile.change_type.in_(wanted))
    return query


_WALKED: Final = (
    ReleaseCommit.select(CommitFile.path.alias("path"))
    .join(CommitFile, on=(CommitFile.commit_id == ReleaseCommit.commit_id))
    .where(ReleaseCommit.release_id == hole(ReleaseCommit.release_id))
    .order_by(ReleaseCommit.position, CommitFile.path)
    .limit(hole(_PLACE))
    .alias("walked")
)
_DIFFERENT: Final = Query(
    peewee.Select([_WALKED], [peewee.fn.COUNT(_WALKED.c.path.distinct()), peewee.fn.COUNT(_WALKED.c.path)])
)


@query_shape
def _page_query(shape: Shape, *, backward: bool) -> Query[ChangeRow]:
    position, path = ReleaseCommit.position, CommitFile.path
    at, wall, at_path = hole(position), hole(position, "wall"), hole(path)
    query = _of_release(
        ReleaseCommit.select(position, Repository.display_name, Commit.key, path, CommitFile.change_type), shape
    )
    if backward:
        query = query.where(position <= at, position >= wall, (position < at) | (path < at_path))
    else:
        query = query.where(position >= at, position <= wall, (position > at) | (path > at_path))
    ordered = query.order_by(*(column.desc() if backward else column.asc() for column in (position, path)))
    return Query(ordered.limit(hole(_PLACE)), row=ChangeRow)


@query_shape
def _count_query(shape: Shape) -> Query[tuple[Any, ...]]:
    query = _of_release(ReleaseCommit.select(CommitFile.change_type, peewee.fn.COUNT(CommitFile.path)), shape)
    return Query(query.group_by(CommitFile.change_type))
