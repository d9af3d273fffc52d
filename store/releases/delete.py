"""Deleting a release: it is gone at once, its rows go bit by bit (see `drain`)."""

from __future__ import annotations

from store.access import Access
from store.activity.record import record_activities
from store.database import PLAIN, Database, Statement, Terms, Transaction, hole
from store.database.terms import M
from store.errors import EtagMismatch
from store.releases.lookup import writable_release
from store.releases.models import DrainingRelease, Release, ReleaseProject
from store.releases.rows import ReleaseStatus
from store.releases.update import check_etag

# The status takes it out of every list's index range, so that lists stay fast however many wait for the drain.
_MARK = Statement(
    Release.update(
        {
            Release.version: hole(Release.version),
            Release.status: int(ReleaseStatus.DELETED),
            Release.project_count: 0,
            Release.delete_time: hole(Release.delete_time),
            Release.revision: Release.revision + 1,
        }
    ).where(Release.id == hole(Release.id), Release.revision == hole(Release.revision))
)

_DETACH_PROJECTS = Statement(
    ReleaseProject.delete().where(ReleaseProject.release_id == hole(ReleaseProject.release_id))
)

_QUEUE = Statement(
    DrainingRelease.insert(
        {
            DrainingRelease.release_id: hole(DrainingRelease.release_id),
            DrainingRelease.delete_time: hole(DrainingRelease.delete_time),
        }
    )
)


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
    return db.write(lambda tx: _delete(tx, access, organization_slug, version, etag), terms)


def _delete(tx: Transaction, access: Access, organization_slug: str, version: str, etag: str) -> None:
    release = writable_release(tx, access, organization_slug, version)
    check_etag(release, etag)
    # No caller can write a line feed into a version: the name is free, and nobody can reach the marked row.
    marked = tx.run(
        _MARK,
        id=release.id,
        revision=release.revision,
        version=f"{release.version}\n{release.id.hex()}",
        delete_time=tx.now,
    )
    if not marked:
        raise EtagMismatch(release.etag)
    tx.run(_DETACH_PROJECTS, release_id=release.id)
    tx.run(_QUEUE, release_id=release.id, delete_time=tx.now)
    record_activities(
        tx,
        access,
        organization_id=release.organization_id,
        project_ids=release.project_ids,
        kind="release_deleted",
        subject=release.version,
        data={"version": release.version},
        happen_time=tx.now,
    )
