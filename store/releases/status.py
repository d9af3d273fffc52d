"""The status of releases, in their own rows and in their (release, project) rows, and what activity feeds say when it
changes."""

from __future__ import annotations

from collections.abc import Sequence

from store.access import Access
from store.database import Statement, Transaction, hole, holes_for, query_shape
from store.database.batches import batches, filled, holes
from store.releases.activities import record_of_release, record_of_releases
from store.releases.models import Release, ReleaseProject
from store.releases.rows import ReleaseRow, ReleaseStatus


def set_status(tx: Transaction, release_ids: Sequence[bytes], status: int) -> None:
    """Give the (release, project) rows of the releases their new status; the caller holds the releases locked."""
    for batch in batches(sorted(release_ids)):
        tx.run(_set_in_projects(len(batch)), status=status, **filled(batch))


def change_status(tx: Transaction, access: Access, releases: Sequence[ReleaseRow], status: ReleaseStatus) -> None:
    """Give releases another status than they have, and record it; the caller holds them locked."""
    ids = sorted(release.id for release in releases)
    for batch in batches(ids):
        tx.run(_set(len(batch)), status=status, update_time=tx.now, **filled(batch))
    set_status(tx, ids, status)
    record_of_releases(tx, access, releases, _kind(status))


def record_status(tx: Transaction, access: Access, release: ReleaseRow) -> None:
    """Record in each of its projects that the release was archived or re-opened."""
    record_of_release(tx, access, release, _kind(release.status))


def _kind(status: int) -> str:
    return "release_archived" if status == ReleaseStatus.ARCHIVED else "release_reopened"


@query_shape
def _set(count: int) -> Statement:
    return Statement(
        Release.update(
            {**holes_for(Release.status, Release.update_time), Release.revision: Release.revision + 1}
        ).where(Release.id.in_(holes(Release.id, count)))
    )


@query_shape
def _set_in_projects(count: int) -> Statement:
    return Statement(
        ReleaseProject.update({ReleaseProject.status: hole(ReleaseProject.status)}).where(
            ReleaseProject.release_id.in_(holes(ReleaseProject.release_id, count))
        )
    )
