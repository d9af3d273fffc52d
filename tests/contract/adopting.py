"""Days of sessions, and what adoption makes of them."""

from __future__ import annotations

import os

from store.database import Database
from store.health.adoption import AdoptionRun, run_adoption
from store.health.discovery import discover
from store.health.get_adoption import get_adoption
from store.health.items import SessionCounts, SessionLimits
from store.health.record import record_sessions
from store.health.stages import AdoptionStage
from tests.clocks import ManualClock
from tests.contract.acme import Acme

HOUR = 3600
DAY = 24 * HOUR

LOW, ADOPTED, REPLACED = AdoptionStage.LOW_ADOPTION, AdoptionStage.ADOPTED, AdoptionStage.REPLACED


class Days(Acme):
    """An organization whose users begin sessions, on a clock that the test moves."""

    def __init__(self, database: Database, clock: ManualClock, *projects: str, slug: str = "acme") -> None:
        super().__init__(database, *projects, slug=slug)
        self.clock = clock

    def sessions(
        self,
        version: str,
        count: int,
        environment: str = "production",
        *,
        project: str = "web",
        hours_ago: float = 0,
        user: str = "",
    ) -> None:
        """So many sessions begin now, or began some hours ago, perhaps of one user."""
        counts = SessionCounts(
            counts_id=os.urandom(16),
            start_time=self.clock.now_us() - round(hours_ago * HOUR * 1_000_000),
            exited_count=count,
            errored_count=0,
            abnormal_count=0,
            crashed_count=0,
            user=user,
            version=version,
            environment=environment,
            project=project,
        )
        recorded = record_sessions(self.db, self.everybody, self.slug, [], [counts], limits=SessionLimits())
        assert (recorded.recorded, recorded.refused) == (1, ())

    def run(self) -> tuple[int, int, int, int]:
        """What a run does: projects, adopted, replaced, created."""
        return told(run_adoption(self.db))

    def link(self) -> None:
        """Releases of sessions are found, whatever their share."""
        self.clock.advance(seconds=60)  # at most once a minute
        discover(self.db, self.projects.values())

    def stages(self, version: str, project: str = "web") -> dict[str, tuple[AdoptionStage, int | None, int | None]]:
        """By environment: the stage of a release and its two times."""
        found = get_adoption(self.db, self.everybody, self.slug, version, projects=[project])
        return {
            row.stage.environment: (row.stage.stage, row.stage.adopted_time, row.stage.unadopted_time)
            for row in found.adoptions
        }

    def stage(self, version: str, environment: str = "production", *, project: str = "web") -> AdoptionStage:
        """The stage of a release."""
        return self.stages(version, project)[environment][0]


def told(run: AdoptionRun) -> tuple[int, int, int, int]:
    """A run as numbers: projects, adopted, replaced, created."""
    return run.projects, run.adopted, run.replaced, run.created
