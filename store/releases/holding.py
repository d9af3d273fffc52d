"""Releases that hold a commit, and where they run (behaviour.md, Commits)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import peewee

from store.access import Access
from store.access.projects import ProjectSet, accessible_projects
from store.commits.contents import COMMIT_COLUMNS, CommitRow, commit_bytes, commit_rows, with_details
from store.commits.models import Commit, ReleaseCommit
from store.database import Database, Query, Reader, hole, query_shape
from store.database.batches import batches, filled, holes
from store.deploys.current import RunningDeploy, running_bytes, running_deploys
from store.errors import CommitAmbiguous, CommitNotFound, InvalidField
from store.organizations.lookup import find_organization
from store.organizations.models import Project, Repository
from store.organizations.rows import OrganizationRow
from store.paging import PAGE_BYTES, Page, PageRequest, fitting, page_of
from store.releases.details import ReleaseDetails, basic_details_of, wire_bytes_of
from store.releases.lookup import with_projects
from store.releases.models import Release, ReleaseProject
from store.releases.rows import RELEASE_COLUMNS
from store.releases.version import FIRST_SEMVER_KEY
from store.text import after_prefix

LEAST_PREFIX: Final = 4
"""The fewest characters of a commit's id that are looked for."""
MOST_COMMITS: Final = 100
"""How many commits whose ids begin alike are looked at, and how many of one id in several repositories are told."""
_PROJECT_COUNTS: Final = (0, 1, 4, 16, 64, 250, 1000)
"""For how many projects queries are compiled; a token has no more."""
SHOWN_RUNNING: Final = 100
"""How many places where a release runs are told."""


@dataclass(frozen=True, slots=True)
class ReleaseWithCommit:
    """A release that holds a commit, and the deploys by which it runs somewhere."""

    details: ReleaseDetails
    running: tuple[RunningDeploy, ...]


@dataclass(frozen=True, slots=True)
class ReleasesOfCommit:
    """A commit as each repository has it, a page of the releases that hold it, and with the first page the first of
    them."""

    organization_slug: str
    commits: tuple[CommitRow, ...]
    first: ReleaseWithCommit | None
    page: Page[ReleaseWithCommit]


def find_releases_by_commit(
    db: Database,
    access: Access,
    organization_slug: str,
    commit_key: str,
    page: PageRequest,
    *,
    repository: str = "",
) -> ReleasesOfCommit:
    """A page of the releases that hold the commit, lowest version first; versions that are not semantic come last, by
    age. `commit_key` is an id in full, or the beginning of just one: at least 4 characters.

    Only releases count of which the caller may access a project. The same id in several repositories is one commit,
    unless the repository is named. A page ends before it passes 1 MiB.

    Raises `OrganizationNotFound`, `CommitNotFound`, `CommitAmbiguous`, `InvalidField` for too short a beginning.
    """

    def read(reader: Reader) -> ReleasesOfCommit:
        organization = find_organization(reader, access, organization_slug)
        allowed = accessible_projects(access, organization)
        ids = _commit_ids(reader, organization, allowed, commit_key, repository)
        (batch,) = batches(ids)
        commits = commit_rows(reader, reader.rows(_commits(len(batch)), **filled(batch)))
        told = fitting(PageRequest(MOST_COMMITS), map(commit_bytes, commits), most=PAGE_BYTES // 2).size
        room = PAGE_BYTES - sum(map(commit_bytes, commits[:told]))
        found = _releases(reader, organization, allowed, ids, page, room)
        first = found.items[0] if page.position is None and found.items else None
        return ReleasesOfCommit(organization.slug, tuple(commits[:told]), first, found)

    return db.read(read)


def _commit_ids(
    reader: Reader, organization: OrganizationRow, allowed: ProjectSet, key: str, repository: str
) -> list[bytes]:
    """The commit that is meant, in each repository that has it; only what a release that may be read holds counts."""
    params: dict[str, Any] = {"organization_id": organization.id, "key": key, **_filled_projects(allowed)}
    if repository:
        params["repository"] = repository
    shape = (bool(repository), _project_count(allowed))
    exact: list[tuple[str, bytes]] = reader.rows(_visible("key", *shape), **params)
    if exact:
        return [commit_id for _, commit_id in exact]
    if len(key) < LEAST_PREFIX:
        raise InvalidField("commit_id", f"must have at least {LEAST_PREFIX} characters, or be an id in full")
    beyond = after_prefix(key)
    if beyond is not None:
        params["beyond"] = beyond
    found = reader.rows(_visible("beginning" if beyond is None else "range", *shape), **params)
    keys = sorted({found_key for found_key, _ in found})
    if not keys:
        raise CommitNotFound(key)
    if len(keys) > 1:
        raise CommitAmbiguous(key, keys)
    return [commit_id for _, commit_id in found]


@query_shape
def _visible(by: str, of_repository: bool, projects: int | None) -> Query[tuple[str, bytes]]:
    """(key, id) of the first commits that a release holds of which a project is allowed: of one key, or of all between
    two of them, or from one on."""
    held = (
        ReleaseCommit.select(peewee.SQL("1"))
        .join(Release, on=(Release.id == ReleaseCommit.release_id))
        .where(
            ReleaseCommit.commit_id == Commit.id, Release.delete_time.is_null(), peewee.fn.EXISTS(_attached(projects))
        )
    )
    key = hole(Commit.key)
    query = Commit.select(Commit.key, Commit.id).where(
        Commit.organization_id == hole(Commit.organization_id),
        Commit.key == key if by == "key" else Commit.key >= key,
        peewee.fn.EXISTS(held),
    )
    if by == "range":
        query = query.where(Commit.key < hole(Commit.key, "beyond"))
    if of_repository:
        named = Repository.select(Repository.id).where(
            Repository.organization_id == hole(Repository.organization_id),
            Repository.display_name == hole(Repository.display_name, "repository"),
        )
        query = query.where(Commit.repository_id.in_(named))
    return Query(query.order_by(Commit.key, Commit.id).limit(MOST_COMMITS), row=_found)


def _found(key: str, commit_id: bytes) -> tuple[str, bytes]:
    return key, commit_id


def _filled_projects(allowed: ProjectSet) -> dict[str, bytes]:
    ids = sorted(allowed.ids)
    return {f"project_{index}": ids[min(index, len(ids) - 1)] for index in range(_project_count(allowed) or 0)}


def _project_count(allowed: ProjectSet) -> int | None:
    """For how many projects a query is compiled: the last one is repeated."""
    if allowed.everything:
        return None
    return next(count for count in _PROJECT_COUNTS if count >= len(allowed.ids))


def _attached(projects: int | None) -> Any:
    """The projects of a release, among so many that are allowed; rows of a deleted one stay until the drain comes by,
    and count no more."""
    attached = (
        ReleaseProject.select(peewee.SQL("1"))
        .join(Project, on=(Project.id == ReleaseProject.project_id))
        .where(ReleaseProject.release_id == Release.id)
    )
    if projects is None:
        return attached
    allowed = [hole(ReleaseProject.project_id, f"project_{index}") for index in range(projects)]
    return attached.where(ReleaseProject.project_id.in_(allowed))


@query_shape
def _commits(size: int) -> Query[tuple[Any, ...]]:
    query = with_details(Commit.select(Commit.id, *COMMIT_COLUMNS)).where(Commit.id.in_(holes(Commit.id, size)))
    return Query(query.order_by(Repository.display_name, Commit.id))


def _releases(
    reader: Reader,
    organization: OrganizationRow,
    allowed: ProjectSet,
    commit_ids: Sequence[bytes],
    page: PageRequest,
    room: int,
) -> Page[ReleaseWithCommit]:
    (batch,) = batches(commit_ids)
    semantic, version_key, release_id = page.position.key if page.position is not None else _FIRST
    rows = reader.rows(
        _page_query(len(batch), _project_count(allowed), backward=page.backward),
        semantic=semantic,
        version_key=version_key,
        id=release_id,
        limit=page.limit,
        **filled(batch),
        **_filled_projects(allowed),
    )
    places = {row[2]: (row[0], row[1], row[2]) for row in rows}
    releases = with_projects(reader, organization, [row[2:] for row in rows])
    details = basic_details_of(reader, releases)
    few = details[: fitting(page, map(wire_bytes_of, details), most=PAGE_BYTES).limit]
    running = running_deploys(reader, [item.release.id for item in few], allowed, most=SHOWN_RUNNING)
    found = [ReleaseWithCommit(item, running[item.release.id]) for item in few]
    sizes = [_bytes_of(item, organization.slug) for item in found]
    # The first page tells its first release twice.
    room -= sum(sizes[:1]) if page.position is None else 0
    fits = fitting(page, sizes, most=room)
    return page_of(found[: fits.limit], fits, lambda item: places[item.details.release.id])


def _bytes_of(item: ReleaseWithCommit, organization_slug: str) -> int:
    return wire_bytes_of(item.details) + sum(running_bytes(deploy, organization_slug) for deploy in item.running)


_FIRST: Final = (-1, b"", b"\x00" * 16)
_LATER: Final = 1
# 0 for semantic versions, which come first, 1 for the others.
_CLASS: Final = peewee.Case(None, [(Release.version_key < FIRST_SEMVER_KEY, _LATER)], 0)


@query_shape
def _page_query(commits: int, projects: int | None, *, backward: bool) -> Query[tuple[Any, ...]]:
    place = peewee.Tuple(_CLASS, Release.version_key, Release.id)
    start = peewee.Tuple(
        hole(Release.status, "semantic"), hole(Release.version_key, "version_key"), hole(Release.id, "id")
    )
    holding = ReleaseCommit.select(ReleaseCommit.release_id).where(
        ReleaseCommit.commit_id.in_(holes(ReleaseCommit.commit_id, commits))
    )
    query = Release.select(_CLASS, Release.version_key, *RELEASE_COLUMNS).where(
        Release.id.in_(holding),
        Release.delete_time.is_null(),
        peewee.fn.EXISTS(_attached(projects)),
        place > start if not backward else place < start,
    )
    columns = (_CLASS, Release.version_key, Release.id)
    ordered = query.order_by(*(column.desc() if backward else column.asc() for column in columns))
    return Query(ordered.limit(hole(Release.commit_count, "limit")))
