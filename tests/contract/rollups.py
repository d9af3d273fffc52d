"""Rollups written straight into the tables, of raw sessions: what readers are tested with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from store.database import Database, Statement, Transaction, holes_for, new_id
from store.health.models import HealthDay, HealthHour, HealthProject, HealthSeries
from store.health.sketches import Durations, Users
from store.health.windows import day_of, hour_of

_COLUMNS = ("series_id", "start_time", "session_count", "crashed_count", "abnormal_count", "errored_count",
            "error_count", "users", "crashed_users", "durations")  # fmt: skip
_SERIES = Statement(HealthSeries.insert(holes_for(*HealthSeries._meta.sorted_fields)))
_PROJECT = Statement(HealthProject.insert(holes_for(*HealthProject._meta.sorted_fields)))
_HOUR = Statement(HealthHour.insert(holes_for(*(getattr(HealthHour, name) for name in _COLUMNS))))
_DAY = Statement(HealthDay.insert(holes_for(*(getattr(HealthDay, name) for name in _COLUMNS))))


@dataclass(frozen=True, slots=True)
class Told:
    """A session as it ended: `outcome` is exited, crashed or abnormal; a duration, in seconds, if it exited."""

    time_us: int
    version: str = "app@1.0.0"
    environment: str = "production"
    user: int | None = None
    outcome: str = "exited"
    errors: int = 0
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """Whose sessions are written."""

    organization_id: bytes
    id: bytes


def write_sessions(
    db: Database,
    project: Project,
    sessions: Sequence[Told],
    *,
    days_until: int = 0,
    days_written: int = 0,
    hours_from: int = 0,
    release_id: bytes | None = None,
) -> None:
    """Write the rollups of all sessions of a project, which had none: hours from `hours_from` on, and days before
    `days_until`; also those before `days_written`, which are not to be read yet."""
    series: dict[tuple[str, str], list[Told]] = defaultdict(list)
    for session in sessions:
        for version in (session.version, ""):
            series[version, session.environment].append(session)

    def write(tx: Transaction) -> None:
        tx.run(
            _PROJECT,
            project_id=project.id,
            organization_id=project.organization_id,
            last_time=max(session.time_us for session in sessions),
            sought_time=0,
        )
        for (version, environment), told in series.items():
            id_ = new_id()
            tx.run(
                _SERIES,
                id=id_,
                project_id=project.id,
                version=version,
                environment=environment,
                organization_id=project.organization_id,
                release_id=release_id if version else None,
                first_time=min(session.time_us for session in told),
                last_time=max(session.time_us for session in told),
                days_until=days_until,
            )
            hours = [session for session in told if hour_of(session.time_us) >= hours_from]
            days = [session for session in told if session.time_us < max(days_until, days_written)]
            tx.run_many(_HOUR, list(_rows(id_, hours, hour_of)))
            tx.run_many(_DAY, list(_rows(id_, days, day_of)))

    db.write(write, long=True)


def _rows(series_id: bytes, sessions: Iterable[Told], start_of: Callable[[int], int]) -> Iterable[dict[str, Any]]:
    spans: dict[int, list[Told]] = defaultdict(list)
    for session in sessions:
        spans[start_of(session.time_us)].append(session)
    for start, told in sorted(spans.items()):
        yield rollup_of(told) | {"series_id": series_id, "start_time": start}


def rollup_of(told: Sequence[Told]) -> dict[str, Any]:
    """What these sessions come to together, as a row keeps it."""
    users, crashed_users, durations = Users.of(None), Users.of(None), Durations.of(None)
    users.add(session.user for session in told if session.user is not None)
    crashed_users.add(session.user for session in told if session.user is not None and session.outcome == "crashed")
    durations.add(session.seconds for session in told if session.seconds is not None)
    return {
        "session_count": len(told),
        "crashed_count": sum(session.outcome == "crashed" for session in told),
        "abnormal_count": sum(session.outcome == "abnormal" for session in told),
        "errored_count": sum(session.outcome == "exited" and session.errors > 0 for session in told),
        "error_count": sum(session.errors for session in told),
        "users": users.data(),
        "crashed_users": crashed_users.data(),
        "durations": durations.data(),
    }
