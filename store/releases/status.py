"""The status of a release in its (release, project) rows, and what activity feeds say when it changes."""

from __future__ import annotations

from store.access import Access
from store.database import Statement, Transaction, hole
from store.releases.activities import record_of_release
from store.releases.models import ReleaseProject
from store.releases.rows import ReleaseRow, ReleaseStatus

_SET_STATUS = Statement(
    ReleaseProject.update({ReleaseProject.status: hole(ReleaseProject.status)}).where(
        ReleaseProject.release_id == hole(ReleaseProject.release_id)
    )
)


def set_status(tx: Transaction, release_id: bytes, status: int) -> None:
    """Give the release's (release, project) rows its new status; the caller holds the release locked."""
    tx.run(_SET_STATUS, release_id=release_id, status=status)


def record_status(tx: Transaction, access: Access, release: ReleaseRow) -> None:
    """Record in each of its projects that the release was archived or re-opened."""
    kind = "release_archived" if release.status == ReleaseStatus.ARCHIVED else "release_reopened"
    record_of_release(tx, access, release, kind)
