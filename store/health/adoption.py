"""Finding out which releases are adopted, and which were replaced (behaviour.md, Adoption).

A run goes through the projects that had sessions in the last six hours. Of each it reads, in one snapshot, which
versions have at least a tenth of the sessions of an environment, at most ten of each, and which releases are adopted
there by now; what differs is written, in short transactions. So it needs no memory of its own: a run that was cut
leaves some of the differences, the next one finds them by the sessions of its time, and where nothing changed nothing
is written. Replaced ones are told by what was read, never by when they were last adopted: it is no matter which run,
or which server, did that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import peewee

from store.crashpoints import crashpoint
from store.database import Database, Query, Reader, Statement, Transaction, hole, query_shape
from store.database.batches import batches, filled, holes
from store.deploys.environments import environment_ids
from store.deploys.models import Environment, ReleaseEnvironment
from store.errors import AdoptionBusy
from store.health.linking import MOST_VERSIONS, Link, UnlinkedSeries, is_fit, link_series
from store.health.models import HealthHour, HealthProject, HealthSeries
from store.health.series import ALL_VERSIONS
from store.health.windows import HOUR_US, hour_of
from store.leases import Job, Lease, holding_lease
from store.metrics import ADOPTION_CHANGES, ADOPTION_RUNS, ADOPTION_SECONDS
from store.releases.models import Release

log = logging.getLogger(__name__)

WINDOW_HOURS: Final = 6
"""So many hours are looked at: this one and those before."""
ADOPTED_SHARE: Final = 10
"""One in so many sessions of an environment makes a release adopted there."""
TURN_US: Final = 50 * 60 * 1_000_000
"""So long after a run the next turn is due. Servers look about every hour: less than that, so that one that looks
alone does not miss every second time."""

_PROJECTS_AT_ONCE: Final = 500
_SERIES_AT_ONCE: Final = 2_000
_REPLACED_AT_ONCE: Final = 500
_LAST_ID: Final = b"\xff" * 16


@dataclass(slots=True)
class AdoptionRun:
    """What a run did: projects that had sessions; how many (project, release, environment) it found adopted, newly or
    again, and replaced; releases that it created."""

    projects: int = 0
    adopted: int = 0
    replaced: int = 0
    created: int = 0

    @property
    def changes(self) -> int:
        """How many things are different now."""
        return self.adopted + self.replaced + self.created


class _Part(NamedTuple):
    """The series of a version in an environment, of whose sessions it has enough. release_id is None where the
    release is not linked yet."""

    id: bytes
    version: str
    environment: str
    release_id: bytes | None


class _Adopted(NamedTuple):
    """A release that is adopted in an environment, as rows say."""

    version: str
    environment: str
    release_id: bytes
    environment_id: bytes


class _Counted(NamedTuple):
    last_time: int
    id: bytes
    version: str
    environment: str
    release_id: bytes | None
    session_count: int | None


@dataclass(frozen=True, slots=True)
class _Findings:
    """What one snapshot says of a project: had it sessions, which releases are to be adopted, which are replaced."""

    had_sessions: bool
    to_adopt: tuple[_Part, ...] = ()
    replaced: tuple[_Adopted, ...] = ()


def run_adoption(db: Database, *, stopped: Callable[[], bool] = lambda: False) -> AdoptionRun:
    """One run, now; what it did. `stopped` is asked between two steps, and ends the run early.

    Raises AdoptionBusy when another server is at it, or took over from this one; DatabaseBusy, DatabaseDown.
    """
    with _counted(), holding_lease(db, Job.ADOPTION) as lease:
        return _run(db, lease, stopped)


def run_adoption_hourly(db: Database, *, stopped: Callable[[], bool] = lambda: False) -> AdoptionRun:
    """The same when its hour has come, by whatever server and whoever asked for the last run; else nothing is done.

    A run that was cut, or whose server died, was none: whoever looks next goes on.
    """
    with _counted(), holding_lease(db, Job.ADOPTION) as lease:
        return _run(db, lease, stopped) if lease.is_due(every_us=TURN_US) else AdoptionRun()


@contextmanager
def _counted() -> Iterator[None]:
    """Counts what does not come to its end."""
    try:
        yield
    except AdoptionBusy:
        ADOPTION_RUNS.labels("busy").inc()
        raise
    except Exception:
        ADOPTION_RUNS.labels("failed").inc()
        raise


@ADOPTION_SECONDS.time()
def _run(db: Database, lease: Lease, stopped: Callable[[], bool]) -> AdoptionRun:
    run = AdoptionRun()
    for project_id, organization_id in _active_projects(db):
        if stopped():
            return run
        lease.keep()
        findings: _Findings = db.read(partial(_findings, project_id=project_id, now_us=db.now_us()))
        crashpoint("adoption.project_read")
        if not findings.had_sessions:
            continue
        run.projects += 1
        project = _Project(db, lease, project_id, organization_id, run)
        for start in range(0, len(findings.to_adopt), MOST_VERSIONS):
            if stopped():
                return run
            project.adopt(findings.to_adopt[start : start + MOST_VERSIONS])
        for start in range(0, len(findings.replaced), _REPLACED_AT_ONCE):
            if stopped():
                return run
            project.replace(findings.replaced[start : start + _REPLACED_AT_ONCE])
    lease.turn_done(every_us=TURN_US)
    ADOPTION_RUNS.labels("done").inc()
    if run.changes:
        fields = {"adopted": run.adopted, "replaced": run.replaced, "created": run.created, "projects": run.projects}
        log.info("adoption", extra={"fields": fields})
    return run


_ACTIVE: Final = Query(
    HealthProject.select(HealthProject.last_time, HealthProject.project_id, HealthProject.organization_id)
    .where(
        peewee.Tuple(HealthProject.last_time, HealthProject.project_id)
        > peewee.Tuple(hole(HealthProject.last_time), hole(HealthProject.project_id))
    )
    .order_by(HealthProject.last_time, HealthProject.project_id)
    .limit(hole(ReleaseEnvironment.deploy_count, "limit"))
)


def _hours(now_us: int) -> list[int]:
    """The hours that are looked at, the oldest first."""
    this_hour = hour_of(now_us)
    return [this_hour - before * HOUR_US for before in reversed(range(WINDOW_HOURS))]


def _active_projects(db: Database) -> Iterator[tuple[bytes, bytes]]:
    """The projects of which a session began in the window, or after it, with their organizations; each once, although
    sessions that come meanwhile move a project to the end of the walk."""
    seen: set[bytes] = set()
    last_time, last_id = _hours(db.now_us())[0] - 1, _LAST_ID
    while True:
        page = db.rows(_ACTIVE, last_time=last_time, project_id=last_id, limit=_PROJECTS_AT_ONCE)
        for _, project_id, organization_id in page:
            if project_id not in seen:
                seen.add(project_id)
                yield project_id, organization_id
        if len(page) < _PROJECTS_AT_ONCE:
            return
        last_time, last_id, _ = page[-1]


def _sessions_in_window(series: Any) -> Any:
    # Hour by hour: PostgreSQL does not know how little a span of hours is, and might look for it in the hours of all
    # series together. It sums BIGINT as NUMERIC.
    hours = [hole(HealthHour.start_time, f"hour_{index}") for index in range(WINDOW_HOURS)]
    return HealthHour.select(peewee.fn.SUM(HealthHour.session_count).cast("BIGINT")).where(
        HealthHour.series_id == series.id, HealthHour.start_time.in_(hours)
    )


_TOTALS: Final = Query(
    HealthSeries.select(HealthSeries.environment, _sessions_in_window(HealthSeries)).where(
        HealthSeries.project_id == hole(HealthSeries.project_id),
        HealthSeries.version == ALL_VERSIONS,
        HealthSeries.last_time >= hole(HealthSeries.last_time),
    )
)
_PARTS: Final = Query(
    HealthSeries.select(
        HealthSeries.last_time,
        HealthSeries.id,
        HealthSeries.version,
        HealthSeries.environment,
        HealthSeries.release_id,
        _sessions_in_window(HealthSeries),
    )
    .where(
        HealthSeries.project_id == hole(HealthSeries.project_id),
        peewee.Tuple(HealthSeries.last_time, HealthSeries.id)
        > peewee.Tuple(hole(HealthSeries.last_time), hole(HealthSeries.id)),
    )
    .order_by(HealthSeries.last_time, HealthSeries.id)
    .limit(hole(ReleaseEnvironment.deploy_count, "limit")),
    row=_Counted,
)
_ADOPTED_NOW: Final = Query(
    ReleaseEnvironment.select(
        Release.version, Environment.display_name, ReleaseEnvironment.release_id, ReleaseEnvironment.environment_id
    )
    .join(Release, on=(Release.id == ReleaseEnvironment.release_id))
    .join(Environment, on=(Environment.id == ReleaseEnvironment.environment_id))
    .where(
        ReleaseEnvironment.project_id == hole(ReleaseEnvironment.project_id),
        ReleaseEnvironment.adopted_time.is_null(False),
        ReleaseEnvironment.unadopted_time.is_null(),
        Release.delete_time.is_null(),
    )
    .order_by(ReleaseEnvironment.environment_id, ReleaseEnvironment.release_id),
    row=_Adopted,
)


def _findings(reader: Reader, *, project_id: bytes, now_us: int) -> _Findings:
    hours = _hours(now_us)
    span = {f"hour_{index}": hour for index, hour in enumerate(hours)}
    totals: dict[str, int | None] = dict(reader.rows(_TOTALS, project_id=project_id, last_time=hours[0], **span))
    if not any(totals.values()):
        return _Findings(had_sessions=False)
    adopted_now = {(row.version, row.environment): row for row in reader.rows(_ADOPTED_NOW, project_id=project_id)}
    found = {
        (part.version, part.environment): part
        for part in _parts(reader, project_id, hours[0], span)
        if _has_share(part.session_count, totals.get(part.environment)) and _is_named(part)
    }
    return _Findings(
        had_sessions=True,
        to_adopt=tuple(
            _Part(part.id, part.version, part.environment, part.release_id)
            for place, part in sorted(found.items())
            if place not in adopted_now
        ),
        replaced=tuple(row for place, row in adopted_now.items() if place not in found),
    )


def _parts(reader: Reader, project_id: bytes, since: int, span: Mapping[str, int]) -> Iterator[_Counted]:
    last_time, last_id = since - 1, _LAST_ID
    while True:
        place = {"last_time": last_time, "id": last_id, "limit": _SERIES_AT_ONCE}
        page = reader.rows(_PARTS, project_id=project_id, **place, **span)
        yield from page
        if len(page) < _SERIES_AT_ONCE:
            return
        last_time, last_id = page[-1].last_time, page[-1].id


def _has_share(count: int | None, total: int | None) -> bool:
    """Whether so many sessions are a tenth of all; exact, without a division."""
    return bool(count and total) and (count or 0) * ADOPTED_SHARE >= (total or 0)


def _is_named(part: _Counted) -> bool:
    """Whether it is the part of one release that there can be, in an environment with a name."""
    return part.version != ALL_VERSIONS and part.environment != "" and is_fit(part.version)


@query_shape
def _versions_now(size: int) -> Query[tuple[bytes, str]]:
    return Query(
        HealthSeries.select(HealthSeries.id, HealthSeries.version).where(
            HealthSeries.id.in_(holes(HealthSeries.id, size))
        )
    )


_ADOPT: Final = Statement(
    ReleaseEnvironment.update(
        {
            ReleaseEnvironment.adopted_time: peewee.fn.COALESCE(
                ReleaseEnvironment.adopted_time, hole(ReleaseEnvironment.adopted_time, "now")
            ),
            ReleaseEnvironment.unadopted_time: None,
        }
    ).where(
        ReleaseEnvironment.release_id == hole(ReleaseEnvironment.release_id),
        ReleaseEnvironment.project_id == hole(ReleaseEnvironment.project_id),
        ReleaseEnvironment.environment_id == hole(ReleaseEnvironment.environment_id),
        ReleaseEnvironment.adopted_time.is_null() | ReleaseEnvironment.unadopted_time.is_null(False),
    )
)
_REPLACE: Final = Statement(
    ReleaseEnvironment.update(
        {ReleaseEnvironment.unadopted_time: hole(ReleaseEnvironment.unadopted_time, "now")}
    ).where(
        ReleaseEnvironment.release_id == hole(ReleaseEnvironment.release_id),
        ReleaseEnvironment.project_id == hole(ReleaseEnvironment.project_id),
        ReleaseEnvironment.environment_id == hole(ReleaseEnvironment.environment_id),
        ReleaseEnvironment.adopted_time.is_null(False),
        ReleaseEnvironment.unadopted_time.is_null(),
    )
)


@dataclass(frozen=True, slots=True)
class _Project:
    """Writes what was found of a project; every write checks the lease first."""

    db: Database
    lease: Lease
    id: bytes
    organization_id: bytes
    run: AdoptionRun

    def adopt(self, parts: Sequence[_Part]) -> None:
        """At most as many as may be linked at once."""
        done: tuple[int, int] = self.db.write(partial(self._adopt, parts=parts))
        adopted, created = done
        self.run.adopted += adopted
        self.run.created += created
        ADOPTION_CHANGES.labels("adopted").inc(adopted)
        ADOPTION_CHANGES.labels("created").inc(created)
        crashpoint("adoption.adopted")

    def replace(self, rows: Sequence[_Adopted]) -> None:
        """Some hundred of them."""
        replaced: int = self.db.write(partial(self._replace, rows=rows))
        self.run.replaced += replaced
        ADOPTION_CHANGES.labels("replaced").inc(replaced)
        crashpoint("adoption.replaced")

    def _adopt(self, tx: Transaction, *, parts: Sequence[_Part]) -> tuple[int, int]:
        self.lease.guard(tx)
        # A release that was deleted meanwhile has taken its series with it; one that was linked is so again.
        standing = _standing(tx, parts)
        unlinked = [
            UnlinkedSeries(part.id, part.version, part.environment) for part in standing if part.release_id is None
        ]
        linked = link_series(tx, self.id, unlinked) if unlinked else None
        links = self._known_links(tx, standing)
        if linked is not None:
            links.extend(linked.links.values())
        adopted = sum(self._set(tx, _ADOPT, link) for link in sorted(set(links)))
        return adopted, 0 if linked is None else linked.created

    def _replace(self, tx: Transaction, *, rows: Sequence[_Adopted]) -> int:
        self.lease.guard(tx)
        return sum(self._set(tx, _REPLACE, Link(row.release_id, row.environment_id)) for row in rows)

    def _known_links(self, tx: Transaction, parts: Sequence[_Part]) -> list[Link]:
        linked = [part for part in parts if part.release_id is not None]
        places = environment_ids(tx, self.organization_id, [part.environment for part in linked])
        return [
            Link(part.release_id, places[part.environment])
            for part in linked
            if part.release_id is not None and part.environment in places
        ]

    def _set(self, tx: Transaction, statement: Statement, link: Link) -> int:
        return tx.run(
            statement,
            release_id=link.release_id,
            project_id=self.id,
            environment_id=link.environment_id,
            now=tx.now,
        )


def _standing(tx: Transaction, parts: Sequence[_Part]) -> list[_Part]:
    """Those of the parts whose series still goes by its version."""
    versions: dict[bytes, str] = {}
    for batch in batches([part.id for part in parts]):
        versions.update(tx.rows(_versions_now(len(batch)), **filled(batch)))
    return [part for part in parts if versions.get(part.id) == part.version]
