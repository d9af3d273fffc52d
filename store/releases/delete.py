"""Deleting a release: it is gone at once, its rows go bit by bit (see `drain`)."""

from __future__ import annotations

from store.access import Access
from store.crashpoints import crashpoint
from store.database import PLAIN, Database, Query, Statement, Terms, Transaction, hole, holes_for
from store.database.terms import M
from store.errors import EtagMismatch
from store.releases.activities import record_of_release
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

_DETACH_PROJECTS = Statement(
    ReleaseProject.delete().where(ReleaseProject.release_id == hole(ReleaseProject.release_id))
)

_ANY_PROJECT = Query(
    ReleaseProject.select(ReleaseProject.project_id)
    .where(ReleaseProject.release_id == hole(ReleaseProject.release_id))
    .limit(1)
)

_QUEUE = Statement(DrainingRelease.insert(holes_for(DrainingRelease.release_id, DrainingRelease.delete_time)))


def mark_deleted(tx: Transaction, release_id: bytes, version: str) -> None:
    """Delete a release that this transaction has locked, for whoever deletes what it is in. Nothing is recorded."""
    tx.run(_MARK_LOCKED, id=release_id, version=_freed(release_id, version), delete_time=tx.now)
    tx.run(_DETACH_PROJECTS, release_id=release_id)
    tx.run(_QUEUE, release_id=release_id, delete_time=tx.now)


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
    terms: Terms[None, M] = PLAIN,
) -> M:
    """Delete the release; its version may be created anew at once. Its commits stay with their repositories.

    Raises `OrganizationNotFound`, `ReleaseNotFound` (also when one of its projects is not the caller's),
    `EtagMismatch` when an etag is given and the release has another.
    """
    answer = db.write(lambda tx: _delete(tx, access, organization_slug, version, etag), terms)
    crashpoint("release.deleted")
    return answer


def _delete(tx: Transaction, access: Access, organization_slug: str, version: str, etag: str) -> None:
    release = writable_release(tx, access, organization_slug, version)
    check_etag(release, etag)
    marked = tx.run(
        _MARK,
        id=release.id,
        revision=release.revision,
        version=_freed(release.id, release.version),
        delete_time=tx.now,
    )
    if not marked:
        raise EtagMismatch(release.etag)
    tx.run(_DETACH_PROJECTS, release_id=release.id)
    tx.run(_QUEUE, release_id=release.id, delete_time=tx.now)
    record_of_release(tx, access, release, "release_deleted")


def _freed(release_id: bytes, version: str) -> str:
    """What a deleted release is called: no caller can write a line feed into a version, so nobody reaches its row."""
    return f"{version}\n{release_id.hex()}"
