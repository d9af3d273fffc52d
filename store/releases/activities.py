"""What the activity feeds of its projects tell of a release."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from store.access import Access
from store.activity.record import Happening, record_activities, record_happenings
from store.database import Transaction
from store.releases.rows import ReleaseRow


def record_of_release(
    tx: Transaction,
    access: Access,
    release: ReleaseRow,
    kind: str,
    *,
    project_ids: Sequence[bytes] | None = None,
    happen_time: int | None = None,
    **told: Any,
) -> None:
    """Record the activity in each of the release's projects, or in those of project_ids, as happening at happen_time,
    or now. Its data is the release's version, and what is told besides."""
    record_activities(
        tx,
        access,
        organization_id=release.organization_id,
        project_ids=release.project_ids if project_ids is None else project_ids,
        kind=kind,
        subject=release.version,
        data={"version": release.version, **told},
        happen_time=tx.now if happen_time is None else happen_time,
    )


def record_of_releases(tx: Transaction, access: Access, releases: Sequence[ReleaseRow], kind: str) -> None:
    """Record the activity in each project of each of the releases, as happening now."""
    record_happenings(
        tx,
        access,
        [
            Happening(release.organization_id, project_id, kind, release.version, {"version": release.version}, tx.now)
            for release in releases
            for project_id in release.project_ids
        ],
    )
