"""The drain: removes, in short writes, the rows that deleted releases left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import peewee

from store.blobs.models import Content
from store.commits.models import ReleaseAuthor, ReleaseCommit, ReleaseHead, ReleaseReference
from store.crashpoints import crashpoint
from store.database import Database, Query, Statement, Transaction, hole
from store.deploys.models import Deploy, DeployProject, ReleaseEnvironment
from store.files.models import ReleaseFile
from store.health.drain import drain_health_of_release
from store.quotas.charges import charge
from store.releases.models import DrainingRelease, Release, ReleaseLabel

MOST_ROWS: Final = 5000
"""The most rows that one write removes: other writers wait no longer than that takes."""

_NEXT: Final = Query(
    DrainingRelease.select(DrainingRelease.release_id)
    .order_by(DrainingRelease.delete_time, DrainingRelease.release_id)
    .limit(1)
)
_LOCK: Final = Query(
    DrainingRelease.select(DrainingRelease.release_id).where(
        DrainingRelease.release_id == hole(DrainingRelease.release_id)
    )
)
# Who sought its version when it was deleted may hold the row, and lock the health of its projects next. So does this.
_LOCK_RELEASE: Final = Query(
    Release.select(Release.organization_id).where(Release.id == hole(Release.id, "release_id"))
)
_DONE: Final = (
    Statement(Release.delete().where(Release.id == hole(Release.id, "release_id"))),
    Statement(DrainingRelease.delete().where(DrainingRelease.release_id == hole(DrainingRelease.release_id))),
)


def _some_of(model: Any, *key: Any) -> Statement:
    """Deletes some rows of one release, told apart by `key`; neither database has a DELETE with a limit."""
    place = key[0] if len(key) == 1 else peewee.Tuple(*key)
    some = (
        model.select(*key)
        .where(model.release_id == hole(model.release_id))
        .order_by(*key)
        .limit(hole(Release.commit_count, "limit"))
    )
    return Statement(model.delete().where(model.release_id == hole(model.release_id), place.in_(some)))


_ROWS: Final = (
    _some_of(ReleaseCommit, ReleaseCommit.position),
    _some_of(ReleaseReference, ReleaseReference.reference, ReleaseReference.commit_id),
    _some_of(ReleaseHead, ReleaseHead.repository_id),
    _some_of(ReleaseAuthor, ReleaseAuthor.email),
    _some_of(ReleaseLabel, ReleaseLabel.key),
    _some_of(ReleaseEnvironment, ReleaseEnvironment.environment_id),
    _some_of(DeployProject, DeployProject.deploy_id),
    _some_of(Deploy, Deploy.id),
    _some_of(ReleaseFile, ReleaseFile.id),
)
# Downloads under way go on: what the files held is kept for the collector's grace time from here on.
_TOUCH: Final = Statement(
    Content.update({Content.touched_at: hole(Content.touched_at)}).where(
        Content.id.in_(
            ReleaseFile.select(ReleaseFile.content_id)
            .where(ReleaseFile.release_id == hole(ReleaseFile.release_id))
            .order_by(ReleaseFile.id)
            .limit(hole(Release.commit_count, "limit"))
        )
    )
)


def drain_deleted_releases(db: Database, *, stopped: Callable[[], bool] = lambda: False) -> int:
    """Remove all rows of all deleted releases, at most 5,000 in a write; how many releases are gone now.

    May be called at any time, by several servers at once, and again after it was killed at any point. `stopped` is
    asked between two writes. The contents of files are left to the collector of blobs, commits to their repositories.
    """
    gone = 0
    while not stopped():
        found = db.read(lambda reader: reader.row(_NEXT))
        if found is None:
            break
        gone += _drained(db, found[0], stopped)
    return gone


def _drained(db: Database, release_id: bytes, stopped: Callable[[], bool]) -> bool:
    while not stopped():
        removed: int = db.write(lambda tx: _drain_some(tx, release_id))
        crashpoint("release.drained_some")
        if removed < MOST_ROWS:
            return removed >= 0
    return False


def _drain_some(tx: Transaction, release_id: bytes) -> int:
    """Remove at most `MOST_ROWS` rows of the release; fewer: it is gone. -1: another server saw to it."""
    if tx.lock(_LOCK, release_id=release_id) is None:
        return -1
    release = tx.lock(_LOCK_RELEASE, release_id=release_id)
    if not drain_health_of_release(tx, release_id):
        return MOST_ROWS
    removed = 0
    for statement in _ROWS:
        if statement is _ROWS[-1]:
            tx.run(_TOUCH, release_id=release_id, limit=MOST_ROWS - removed, touched_at=tx.now)
        count = tx.run(statement, release_id=release_id, limit=MOST_ROWS - removed)
        removed += count
        if statement is _ROWS[-1] and release is not None:
            charge(tx, release[0], file_count=-count)
        if removed >= MOST_ROWS:
            return removed
    crashpoint("release.out_of_rows")
    for statement in _DONE:
        tx.run(statement, release_id=release_id)
    return removed
