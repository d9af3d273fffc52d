"""Releases with sessions, for tests of the thresholds that they are held to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from store.access import Access
from store.database import new_id
from store.deploys.create import CreatedDeploys, DeployDraft, create_deploy
from store.health.items import SessionLimits, SessionStatus, SessionUpdate
from store.health.record import record_sessions
from store.health.threshold_status import (
    ListedStatuses,
    ReleaseThresholds,
    StatusFilter,
    ThresholdState,
    ThresholdStatus,
    get_threshold_status,
)
from store.health.thresholds import (
    ThresholdDraft,
    ThresholdInProject,
    ThresholdMetric,
    ThresholdRow,
    ThresholdTrigger,
    create_threshold,
)
from store.paging import PageRequest
from store.search.filters import TimeSpan
from tests.clocks import ManualClock
from tests.contract.acme import Acme

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR

HEALTHY, UNHEALTHY, NO_DATA = ThresholdState.HEALTHY, ThresholdState.UNHEALTHY, ThresholdState.NO_DATA
ERRORS, FAILURES = ThresholdMetric.TOTAL_ERROR_COUNT, ThresholdMetric.FAILURE_RATE
CRASH_FREE_SESSIONS = ThresholdMetric.CRASH_FREE_SESSION_RATE
CRASH_FREE_USERS = ThresholdMetric.CRASH_FREE_USER_RATE
OVER, UNDER = ThresholdTrigger.OVER, ThresholdTrigger.UNDER


class Watched(Acme):
    """Acme with shorthands for sessions, deploys, thresholds and their status."""

    def __init__(self, *arguments: Any, clock: ManualClock, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.clock = clock

    def sessions(
        self,
        version: str,
        count: int = 1,
        *,
        status: SessionStatus = SessionStatus.EXITED,
        errors: int = 0,
        after_us: int = 0,
        environment: str = "",
        project: str = "web",
        users: Sequence[str] = ("",),
    ) -> None:
        """Record so many sessions alike, that began so long after now; of the users in turn."""
        start = self.clock.now_us() + after_us
        updates = [
            SessionUpdate(
                new_id(), users[index % len(users)], 1, status, errors, start, None, version, environment, project
            )
            for index in range(count)
        ]
        done = record_sessions(self.db, self.everybody, self.slug, updates, (), limits=SessionLimits())
        assert (done.recorded, done.refused) == (count, ())

    def threshold(
        self,
        metric: ThresholdMetric = ERRORS,
        trigger: ThresholdTrigger = OVER,
        value: float = 0,
        *,
        hours: float = 24,
        environment: str | None = None,
        project: str = "web",
    ) -> ThresholdRow:
        draft = ThresholdDraft(metric, trigger, round(value * 1000), round(hours * 3600), environment)
        made: ThresholdInProject = create_threshold(self.db, self.everybody, self.slug, project, draft)
        return made.threshold

    def deploy(self, version: str, environment: str, *projects: str, finish_time: int | None = None) -> None:
        draft = DeployDraft(environments=(environment,), projects=projects, finish_time=finish_time)
        made: CreatedDeploys = create_deploy(self.db, self.everybody, self.slug, version, draft)
        assert len(made.deploys) == 1

    def status(
        self,
        page: PageRequest | None = None,
        *,
        access: Access | None = None,
        created: TimeSpan | None = None,
        **sought: Any,
    ) -> ListedStatuses:
        wanted = StatusFilter(created=created or TimeSpan(ago_us=400 * DAY), **sought)
        return get_threshold_status(self.db, access or self.everybody, self.slug, wanted, page or PageRequest(100))

    def shown(self, **sought: Any) -> list[tuple[str, str]]:
        """(version, project) of the first hundred."""
        return [(each.version, each.project_slug) for each in self.status(**sought).page.items]

    def of(self, version: str, project: str = "web", **sought: Any) -> tuple[ThresholdStatus, ...]:
        """The statuses of a release in a project."""
        (found,) = (each for each in self.status(**sought).page.items if _is(each, version, project))
        return found.statuses

    def judged(self, version: str, project: str = "web") -> list[tuple[ThresholdState, float | None]]:
        """What each threshold says of the release, oldest first."""
        return [(status.state, status.measured) for status in self.of(version, project)]


def _is(found: ReleaseThresholds, version: str, project: str) -> bool:
    return (found.version, found.project_slug) == (version, project)
