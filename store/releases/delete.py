"""Deleting a release: it is gone at once, its rows go bit by bit (see `drain`)."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from store.access import Access
from store.crashpoints import crashpoint
from store.database import PLAIN, Database, Query, Statement, Terms, Transaction, hole, holes_for, query_shape
from store.database.batches import batches, filled, holes
from store.database.terms import M
from store.errors import EtagMismatch, ReleaseHasHealth
from store.health.freeing import free_series, with_health
from store.releases.activities import record_of_release, record_of_releases
from store.releases.lookup import writable_release
from store.releases.models import DrainingRelease, Release, ReleaseProject
from store.releases.rows import ReleaseRow, ReleaseStatus
from store.releases.update import check_etag

# The status takes it out of every list's index range, so that lists stay fast however many wait for the drain.
_MARKED = {
    Release.version: hole(Release.version),
    Release.status: int(ReleaseStatus.DELETED),
    Release.project_count: 0,
    Release.delete_time: hole(Release.delete_time),
    Release.revision: Release.revision + 1,
}
_MARK = Statement(
    Release.update(_MARKED).where(Release.id == hole(Release.id), Release.revision == hole(Release.revision))
)
_MARK_LOCKED = Statement(Release.update(_MARKED).where(Release.id == hole(Release.id), Release.delete_time.is_null()))

_ANY_PROJECT = Query(
    ReleaseProject.select(ReleaseProject.project_id)
    .where(ReleaseProject.release_id == hole(ReleaseProject.release_id))
    .limit(1)
)

_QUEUE = Statement(DrainingRelease.insert(holes_for(DrainingRelease.release_id, DrainingRelease.delete_time)))


def mark_deleted(tx: Transaction, release_id: bytes, version: str) -> None:
    """Delete a release that this transaction has locked, for whoever deletes what it is in. Nothing is recorded."""
    tx.run(_MARK_LOCKED, id=release_id, version=_freed(release_id, version), delete_time=tx.now)
    _forget(tx, [release_id])


def delete_releases(tx: Transaction, access: Access, releases: Sequence[ReleaseRow]) -> None:
    """Delete releases that this transaction has locked, all of whose projects are the caller's, with what sessions said
    of them, and record it."""
    tx.run_many(
        _MARK_LOCKED,
        [
            {"id": release.id, "version": _freed(release.id, release.version), "delete_time": tx.now}
            for release in sorted(releases, key=attrgetter("id"))
        ],
    )
    _forget(tx, sorted(release.id for release in releases))
    free_series(tx, releases, [_freed(release.id, release.version) for release in releases])
    record_of_releases(tx, access, releases, "release_deleted")


def delete_leftover(tx: Transaction, release: ReleaseRow) -> bool:
    """Delete the release, locked and without projects, if deleted projects are all it had; whether that was so.

    The drain of projects would do it, and has not come by yet.
    """
    if tx.row(_ANY_PROJECT, release_id=release.id) is None:
        return False
    mark_deleted(tx, release.id, release.version)
    return True


def delete_release(
    db: Database,
    access: Access,
    organization_slug: str,
    version: str,
    *,
    etag: str = "",
    force: bool = False,
    terms: Terms[None, M] = PLAIN,
) -> M:
    """Delete the release; its version may be created anew at once. Its commits stay with their repositories.

    With `force` also one that had sessions in one of its projects in the last 90 days; what they said of it goes with
    it. Raises `OrganizationNotFound`, `ReleaseNotFound` (also when one of its projects is not the caller's),
    `EtagMismatch` when an etag is given and the release has another, `ReleaseHasHealth`.
    """
    answer = db.write(lambda tx: _delete(tx, access, organization_slug, version, etag, force), terms)
    crashpoint("release.deleted")
    return answer


def _delete(tx: Transaction, access: Access, organization_slug: str, version: str, etag: str, force: bool) -> None:
    release = writable_release(tx, access, organization_slug, version)
    check_etag(release, etag)
    if not force and with_health(tx, [release]):
        raise ReleaseHasHealth(release.organization_slug, release.version)
    marked = tx.run(
        _MARK,
        id=release.id,
        revision=release.revision,
        version=_freed(release.id, release.version),
        delete_time=tx.now,
    )
    if not marked:
        raise EtagMismatch(release.etag)
    _forget(tx, [release.id])
    free_series(tx, [release], [_freed(release.id, release.version)])
    record_of_release(tx, access, release, "release_deleted")


def _forget(tx: Transaction, release_ids: Sequence[bytes]) -> None:
    """Take the releases from their projects, and leave what else is theirs to the drain."""
    for batch in batches(release_ids):
        tx.run(_detach_projects(len(batch)), **filled(batch))
    tx.run_many(_QUEUE, [{"release_id": release_id, "delete_time": tx.now} for release_id in release_ids])


@query_shape
def _detach_projects(count: int) -> Statement:
    of_releases = ReleaseProject.release_id.in_(holes(ReleaseProject.release_id, count))
    return Statement(ReleaseProject.delete().where(of_releases))


def _freed(release_id: bytes, version: str) -> str:
    """What a deleted release is called: no caller can write a line feed into a version, so nobody reaches its row."""
    return f"{version}\n{release_id.hex()}"
