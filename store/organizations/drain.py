"""The drain of projects and organizations: removes, in short writes, what deleted ones left behind.

May run at any time, on several servers at once, and again after it was killed at any point. What somebody attached in
the moment of the deletion, in a transaction that began before it, is found as well: nothing counts as drained before
`SETTLED_US` have passed since the deletion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import peewee

from store.access.models import Token, TokenProject
from store.activity.models import Activity
from store.commits.models import Commit, CommitAuthor, CommitFile, CommitReference, ReleaseReference
from store.crashpoints import crashpoint
from store.database import CountField, Database, Query, Statement, Transaction, hole, holes_for, query_shape
from store.database.batches import SIZES, batches, filled, holes
from store.deploys.detach import FORGET_ENVIRONMENTS, detach_deploys
from store.deploys.models import Environment, EnvironmentProject
from store.files.models import ReleaseFile
from store.health.drain import drain_health_of_organization, drain_health_of_project
from store.health.models import Threshold
from store.organizations.models import DrainingProject, Organization, Project, ProjectSlug, Repository
from store.quotas.charges import charge
from store.releases.delete import mark_deleted
from store.releases.drain import drain_deleted_releases
from store.releases.models import Release, ReleaseProject
from store.uploads.models import Upload, UploadChunk

MOST_ROWS: Final = 5000
"""The most rows that one write removes: other writers wait no longer than that takes."""

MOST_RELEASES: Final = 200
"""The most releases that one write takes a project from."""

SETTLED_US: Final = 60 * 1_000_000
"""After this time no transaction runs any more that saw what was deleted."""

Stopped = Callable[[], bool]

_LIMIT: Final = CountField()
_LIMIT.name = "limit"

_DRAINING_PROJECTS: Final = Query(
    DrainingProject.select(DrainingProject.project_id).order_by(DrainingProject.project_id)
)
_LOCK_PROJECT: Final = Query(
    DrainingProject.select(DrainingProject.delete_time, DrainingProject.organization_id).where(
        DrainingProject.project_id == hole(DrainingProject.project_id)
    )
)
_RELEASES_OF_PROJECT: Final = Query(
    ReleaseProject.select(ReleaseProject.release_id)
    .where(ReleaseProject.project_id == hole(ReleaseProject.project_id))
    .order_by(ReleaseProject.release_id)
    .limit(hole(_LIMIT))
)
_LOCK_RELEASE: Final = Query(
    Release.select(Release.version, Release.delete_time).where(Release.id == hole(Release.id, "release_id"))
)
_DETACH: Final = Statement(
    ReleaseProject.delete().where(
        ReleaseProject.project_id == hole(ReleaseProject.project_id),
        ReleaseProject.release_id == hole(ReleaseProject.release_id),
    )
)
_COUNT_PROJECTS: Final = Query(
    ReleaseProject.select(peewee.fn.COUNT(ReleaseProject.project_id)).where(
        ReleaseProject.release_id == hole(ReleaseProject.release_id)
    )
)
_DETACHED: Final = Statement(
    Release.update(
        {
            **holes_for(Release.project_count, Release.update_time),
            Release.file_count: Release.file_count - hole(Release.file_count, "removed_files"),
            Release.revision: Release.revision + 1,
        }
    ).where(Release.id == hole(Release.id, "release_id"))
)
_FORGET_PROJECT: Final = Statement(
    DrainingProject.delete().where(DrainingProject.project_id == hole(DrainingProject.project_id))
)
_FORGET_MEMBERS: Final = Statement(
    TokenProject.delete().where(TokenProject.project_id == hole(TokenProject.project_id))
)

_DELETED_ORGANIZATIONS: Final = Query(
    Organization.select(Organization.id).where(Organization.delete_time.is_null(False)).order_by(Organization.id)
)
_LOCK_ORGANIZATION: Final = Query(
    Organization.select(Organization.delete_time).where(
        Organization.id == hole(Organization.id, "organization_id"), Organization.delete_time.is_null(False)
    )
)
_SOME_RELEASES: Final = Query(
    Release.select(Release.id, Release.version)
    .where(Release.organization_id == hole(Release.organization_id), Release.delete_time.is_null())
    .order_by(Release.id)
    .limit(hole(_LIMIT))
)
_ANY_RELEASE: Final = Query(
    Release.select(Release.id).where(Release.organization_id == hole(Release.organization_id)).limit(1)
)
_FORGET_ORGANIZATION: Final = Statement(
    Organization.delete().where(Organization.id == hole(Organization.id, "organization_id"))
)


def _some(model: Any, key: Sequence[Any], where: Any) -> Statement:
    """Deletes some rows, told apart by `key`; neither database has a DELETE with a limit."""
    place = key[0] if len(key) == 1 else peewee.Tuple(*key)
    some = model.select(*key).where(where).limit(hole(_LIMIT))
    return Statement(model.delete().where(place.in_(some)))


def _of_organization(model: Any, *key: Any) -> Statement:
    return _some(model, key, model.organization_id == hole(model.organization_id))


_FILES_OF_PROJECT: Final = _some(
    ReleaseFile,
    [ReleaseFile.id],
    (ReleaseFile.release_id == hole(ReleaseFile.release_id)) & (ReleaseFile.project_id == hole(ReleaseFile.project_id)),
)

# Children before what they are found by. The rows of releases go with them; contents, chunks and packs are the
# collector's. The slugs of the organization stay: nobody else ever gets them.
_OF_REPOSITORIES: Final = Repository.select(Repository.id).where(
    Repository.organization_id == hole(Repository.organization_id)
)
_SOME_COMMITS: Final = Query(
    Commit.select(Commit.id).where(Commit.repository_id.in_(_OF_REPOSITORIES)).limit(hole(_LIMIT))
)
_OF_TOKENS: Final = Token.select(Token.id).where(Token.organization_id == hole(Token.organization_id))
_OF_ENVIRONMENTS: Final = Environment.select(Environment.id).where(
    Environment.organization_id == hole(Environment.organization_id)
)
_ROWS: Final = (
    # Left by a call that changed a message in the moment in which a release went.
    _of_organization(
        ReleaseReference, ReleaseReference.release_id, ReleaseReference.reference, ReleaseReference.commit_id
    ),
    _of_organization(CommitAuthor, CommitAuthor.id),
    _of_organization(Repository, Repository.id),
    _of_organization(UploadChunk, UploadChunk.organization_id, UploadChunk.upload_id, UploadChunk.start_offset),
    _of_organization(Upload, Upload.organization_id, Upload.id),
    _some(TokenProject, [TokenProject.token_id, TokenProject.project_id], TokenProject.token_id.in_(_OF_TOKENS)),
    _of_organization(Token, Token.id),
    _of_organization(Activity, Activity.id),
    _of_organization(Threshold, Threshold.id),
    _some(
        EnvironmentProject,
        [EnvironmentProject.project_id, EnvironmentProject.display_name],
        EnvironmentProject.environment_id.in_(_OF_ENVIRONMENTS),
    ),
    _of_organization(Environment, Environment.id),
    _of_organization(DrainingProject, DrainingProject.project_id),
    _of_organization(Project, Project.id),
    _of_organization(ProjectSlug, ProjectSlug.organization_id, ProjectSlug.slug),
)


@query_shape
def _references_of_commits(count: int) -> Statement:
    of_commits = CommitReference.commit_id.in_(holes(CommitReference.commit_id, count))
    return _some(CommitReference, [CommitReference.commit_id, CommitReference.position], of_commits)


@query_shape
def _files_of_commits(count: int) -> Statement:
    of_commits = CommitFile.commit_id.in_(holes(CommitFile.commit_id, count))
    return _some(CommitFile, [CommitFile.commit_id, CommitFile.path], of_commits)


@query_shape
def _commits(count: int) -> Statement:
    return Statement(Commit.delete().where(Commit.id.in_(holes(Commit.id, count))))


def drain_deleted_projects(db: Database, *, stopped: Stopped = lambda: False) -> int:
    """Take deleted projects from their releases and delete releases that had no other; how many are gone for good.

    A release that keeps other projects loses the files that were the deleted one's. `stopped` is asked between two
    writes.
    """
    gone = 0
    for (project_id,) in db.rows(_DRAINING_PROJECTS):
        done: int | None = 1
        while done and not stopped():
            done = db.write(partial(_drain_project, project_id=project_id))
            crashpoint("project.drained_some")
        gone += done is None
    return gone


def drain_deleted_organizations(db: Database, *, stopped: Stopped = lambda: False) -> int:
    """Remove all rows of deleted organizations; how many are gone for good. Their slugs stay taken.

    `stopped` is asked between two writes.
    """
    gone = 0
    for (organization_id,) in db.rows(_DELETED_ORGANIZATIONS):
        done: int | None = 1
        while done and not stopped():
            done = db.write(partial(_drain_releases, organization_id=organization_id))
            crashpoint("organization.releases_marked")
        drain_deleted_releases(db, stopped=stopped)
        done = 1
        while done and not stopped():
            done = db.write(partial(_drain_organization, organization_id=organization_id))
            crashpoint("organization.drained_some")
        gone += done is None
    return gone


def _drain_project(tx: Transaction, project_id: bytes) -> int | None:
    """How much was done; 0 when nothing can be done for now, None when the project is gone for good."""
    found = tx.lock(_LOCK_PROJECT, project_id=project_id)
    if found is None:
        return 0  # another server saw to it
    releases = tx.rows(_RELEASES_OF_PROJECT, project_id=project_id, limit=MOST_RELEASES)
    room = MOST_ROWS
    for (release_id,) in releases:
        room -= _detach(tx, release_id, project_id, room, organization_id=found[1])
        if room <= 0:
            break
    if releases:
        return MOST_ROWS - room
    if not drain_health_of_project(tx, project_id):
        return MOST_ROWS
    if tx.now < found[0] + SETTLED_US:
        return 0
    tx.run(_FORGET_MEMBERS, project_id=project_id)
    tx.run(FORGET_ENVIRONMENTS, project_id=project_id)
    tx.run(_FORGET_PROJECT, project_id=project_id)
    return None


def _detach(tx: Transaction, release_id: bytes, project_id: bytes, room: int, *, organization_id: bytes) -> int:
    """Take the project from the release, unless its files and deploys there are more rows than `room`; how many rows
    that was."""
    release = tx.lock(_LOCK_RELEASE, release_id=release_id)
    files = tx.run(_FILES_OF_PROJECT, release_id=release_id, project_id=project_id, limit=room)
    charge(tx, organization_id, file_count=-files)
    deploys = detach_deploys(tx, release_id, project_id, room - files) if files < room else 0
    rows = files + deploys + 1
    if rows <= room:
        tx.run(_DETACH, release_id=release_id, project_id=project_id)
    if release is None:
        return rows
    version, delete_time = release
    (left,) = tx.rows(_COUNT_PROJECTS, release_id=release_id)[0]
    tx.run(_DETACHED, release_id=release_id, project_count=left, removed_files=files, update_time=tx.now)
    crashpoint("project.detached_in_rows")
    if not left and delete_time is None:
        mark_deleted(tx, release_id, version)
    return rows


def _drain_releases(tx: Transaction, organization_id: bytes) -> int:
    """Mark some releases of the organization as deleted; how many."""
    if tx.lock(_LOCK_ORGANIZATION, organization_id=organization_id) is None:
        return 0
    releases = tx.rows(_SOME_RELEASES, organization_id=organization_id, limit=MOST_RELEASES)
    for release_id, version in releases:
        if tx.lock(_LOCK_RELEASE, release_id=release_id) is not None:
            mark_deleted(tx, release_id, version)
    return len(releases)


def _drain_organization(tx: Transaction, organization_id: bytes) -> int | None:
    """How much was done; 0 when nothing can be done for now, None when the organization is gone for good."""
    found = tx.lock(_LOCK_ORGANIZATION, organization_id=organization_id)
    if found is None:
        return 0  # another server saw to it
    if not drain_health_of_organization(tx, organization_id):
        return MOST_ROWS
    removed = _drain_commits(tx, organization_id)
    for statement in _ROWS if not removed else ():
        removed += tx.run(statement, organization_id=organization_id, limit=MOST_ROWS - removed)
        if removed >= MOST_ROWS:
            return removed
    if removed:
        return removed
    if tx.now < found[0] + SETTLED_US or tx.row(_ANY_RELEASE, organization_id=organization_id) is not None:
        return 0
    tx.run(_FORGET_ORGANIZATION, organization_id=organization_id)
    return None


def _drain_commits(tx: Transaction, organization_id: bytes) -> int:
    """Remove some commits of the organization's repositories with their files and references; how many rows."""
    removed = 0
    ids = sorted(commit_id for (commit_id,) in tx.rows(_SOME_COMMITS, organization_id=organization_id, limit=SIZES[-1]))
    for batch in batches(ids):
        for rows_of_commits in (_references_of_commits, _files_of_commits):
            if removed < MOST_ROWS:
                removed += tx.run(rows_of_commits(len(batch)), limit=MOST_ROWS - removed, **filled(batch))
        if removed < MOST_ROWS:
            removed += tx.run(_commits(len(batch)), **filled(batch))
    return removed
