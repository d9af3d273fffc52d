"""Telling the store of sessions, and looking at what it made of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from store.access import Access
from store.database import Database
from store.health.items import Recorded, SessionCounts, SessionLimits, SessionStatus, SessionUpdate
from store.health.models import HealthDay, HealthHour, HealthProject, HealthSeries
from store.health.record import record_sessions
from store.health.sketches import Durations, Users
from tests.clocks import START_US
from tests.contract.acme import Acme

MINUTE_US = 60_000_000
COUNT_NAMES = ("session_count", "crashed_count", "abnormal_count", "errored_count", "error_count")


def session_id(number: int) -> bytes:
    """The id of a session, or of counts, by a number that tests can read."""
    return number.to_bytes(16, "big")


def update(number: int, **fields: Any) -> SessionUpdate:
    """An update of the session with this number, as `fields` say; of one that is under way where they say nothing."""
    usual: dict[str, Any] = {
        "session_id": session_id(number),
        "user": f"user-{number}",
        "sequence": 1,
        "status": SessionStatus.OK,
        "error_count": 0,
        "start_time": START_US - 10 * MINUTE_US,
        "duration": None,
        "version": "web@1.0.0",
        "environment": "production",
        "project": "web",
    }
    return SessionUpdate(**{**usual, **fields})


def counts(number: int, **fields: Any) -> SessionCounts:
    """Counts with this number for their id: of no session, but for what `fields` say."""
    usual: dict[str, Any] = {
        "counts_id": session_id(number),
        "start_time": START_US - 10 * MINUTE_US,
        "exited_count": 0,
        "errored_count": 0,
        "abnormal_count": 0,
        "crashed_count": 0,
        "user": "",
        "version": "web@1.0.0",
        "environment": "production",
        "project": "web",
    }
    return SessionCounts(**{**usual, **fields})


class Telling:
    """The organization `acme`, of which sessions are told."""

    def __init__(self, acme: Acme, *, limits: SessionLimits | None = None) -> None:
        self.acme = acme
        self.db: Database = acme.db
        self.limits = limits or SessionLimits()

    def tell(
        self,
        *items: SessionUpdate | SessionCounts,
        access: Access | None = None,
        slug: str = "acme",
    ) -> Recorded:
        """Record updates and counts in one call, by a caller who may do everything unless `access` says who."""
        updates = [item for item in items if isinstance(item, SessionUpdate)]
        counted = [item for item in items if isinstance(item, SessionCounts)]
        caller = access or self.acme.everybody
        return record_sessions(self.db, caller, slug, updates, counted, limits=self.limits)

    def answers(self, *items: SessionUpdate | SessionCounts, **who: Any) -> tuple[int, int, int]:
        """How many of the items said something new, were known, and were refused."""
        recorded = self.tell(*items, **who)
        return recorded.recorded, recorded.known, len(recorded.refused)

    def series(self, version: str, environment: str = "production", project: str = "web") -> HealthSeries | None:
        """The series of a version of the project; of all together when that is empty."""
        found = self._fetch(
            HealthSeries.select().where(
                HealthSeries.project_id == self.acme.projects[project],
                HealthSeries.version == version,
                HealthSeries.environment == environment,
            )
        )
        return found[0] if found else None

    def rows(self, version: str, environment: str = "production", *, model: Any = HealthHour, **of: str) -> list[Any]:
        """The hours, or days, of the series, in their order."""
        series = self.series(version, environment, **of)
        if series is None:
            return []
        query = model.select().where(model.series_id == series.id).order_by(model.start_time)
        return self._fetch(query)

    def sums(self, version: str, environment: str = "production", **of: Any) -> dict[int, tuple[int, ...]]:
        """Sessions, crashed, abnormal, errored ones and errors of the series, by the beginning of the hour, or day."""
        rows = self.rows(version, environment, **of)
        return {row.start_time: tuple(getattr(row, name) for name in COUNT_NAMES) for row in rows}

    def total(self, version: str = "web@1.0.0", environment: str = "production", **of: Any) -> tuple[int, ...]:
        """The same of all hours together."""
        sums = self.sums(version, environment, **of).values()
        return tuple(map(sum, zip(*sums, strict=True))) or (0, 0, 0, 0, 0)

    def users(self, version: str = "web@1.0.0", environment: str = "production", **of: Any) -> tuple[int, int]:
        """How many users there are in all hours of the series together, and how many of crashed sessions."""
        rows = self.rows(version, environment, **of)
        return _merged(row.users for row in rows), _merged(row.crashed_users for row in rows)

    def durations(self, version: str = "web@1.0.0", environment: str = "production") -> list[float | None]:
        """The least, the middle and the greatest duration of the series."""
        spread = Durations.of(None)
        for row in self.rows(version, environment):
            spread.merge(row.durations)
        return [spread.quantile(share) for share in (0.0, 0.5, 1.0)]

    def days_from(self, time_us: int) -> None:
        """Days hold the hours of the web project before this time, as the upkeep leaves it: all that there is so far
        is at or after it."""
        of_web = HealthSeries.project_id == self.acme.projects["web"]
        self.db.write(lambda tx: tx.execute(HealthSeries.update({HealthSeries.days_until: time_us}).where(of_web)))

    def last_time(self, project: str = "web") -> int | None:
        """When the last session of the project began."""
        found = self._fetch(HealthProject.select().where(HealthProject.project_id == self.acme.projects[project]))
        return found[0].last_time if found else None

    def everything(self) -> list[tuple[Any, ...]]:
        """All sums, sketches included, of all hours and days."""
        rows = [*self._fetch(HealthHour.select().tuples()), *self._fetch(HealthDay.select().tuples())]
        return sorted(rows, key=repr)

    def _fetch(self, query: Any) -> list[Any]:
        return self.db.read(lambda reader: reader.fetch(query))


def _merged(sketches: Iterable[bytes | None]) -> int:
    users = Users.of(None)
    for data in sketches:
        users.merge(data)
    return users.estimate()
