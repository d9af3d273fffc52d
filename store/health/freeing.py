"""What becomes of sessions when releases are deleted (behaviour.md, Deleting a release)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from store.database import Statement, Transaction, hole
from store.health.locks import lock_known_health
from store.health.models import HealthSeries
from store.health.series import had_sessions
from store.health.windows import KNOWN_US
from store.releases.rows import ReleaseRow

_FREE: Final = Statement(
    HealthSeries.update(
        {
            HealthSeries.version: hole(HealthSeries.version, "freed"),
            HealthSeries.release_id: hole(HealthSeries.release_id),
        }
    ).where(
        HealthSeries.project_id == hole(HealthSeries.project_id), HealthSeries.version == hole(HealthSeries.version)
    )
)


def with_health(tx: Transaction, releases: Sequence[ReleaseRow]) -> set[bytes]:
    """The ids of those of the releases that had sessions in one of their projects in the last 90 days. Sessions that
    are being told are waited for; none come before the transaction ends."""
    pairs = {(project_id, release.version): release.id for release in releases for project_id in release.project_ids}
    lock_known_health(tx, [project_id for project_id, _ in pairs])
    return {pairs[pair] for pair in had_sessions(tx, pairs, tx.now - KNOWN_US)}


def free_series(tx: Transaction, releases: Sequence[ReleaseRow], freed: Sequence[str]) -> None:
    """Give what sessions said of the releases, which are being deleted, to the drain: it goes by these versions from
    now on, which no caller can write. The next session of such a version begins anew."""
    with_sessions = lock_known_health(tx, [id_ for release in releases for id_ in release.project_ids])
    tx.run_many(
        _FREE,
        [
            {"project_id": project_id, "version": release.version, "release_id": release.id, "freed": version}
            for release, version in zip(releases, freed, strict=True)
            for project_id in sorted(with_sessions.intersection(release.project_ids))
        ],
    )
