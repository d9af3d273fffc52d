"""Releases that only sessions know: found in the last days' sessions, created and linked (behaviour.md, Releases of
sessions).

Whoever looks at a project claims it for a minute: of several servers one does it. A server that dies meanwhile leaves
the rest for the next look.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from store.access.projects import ProjectSlugText, projects_named
from store.crashpoints import crashpoint
from store.database import Database, Query, Reader, Statement, Transaction, hole
from store.health.linking import MOST_VERSIONS, Linked, UnlinkedSeries, is_fit, link_series
from store.health.locks import LOCK_HEALTH
from store.health.models import HealthProject, HealthSeries
from store.health.sought import EVERY_US
from store.health.windows import DAY_US
from store.metrics import DISCOVERY
from store.organizations.models import Organization, OrganizationSlug
from store.organizations.project_cache import projects_of

RECENT_US: Final = 3 * DAY_US
"""How long ago a session of a series began at most for its release to be created."""
MOST_PROJECTS: Final = 10_000
"""How many projects of an organization are looked at, those with the latest sessions."""
MOST_SERIES: Final = 500
"""How many series one read finds."""

Stopped = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Discovered:
    """What was done: releases created, series linked, and series passed over because their version cannot be a
    release's or because the project forbids it. `waiting`: projects that somebody looked at, each with the microseconds
    after which it may be looked at again."""

    created: int = 0
    linked: int = 0
    skipped: int = 0
    waiting: Mapping[bytes, int] = field(default_factory=dict)


_ORGANIZATION: Final = Query(
    OrganizationSlug.select(OrganizationSlug.organization_id)
    .join(Organization, on=(Organization.id == OrganizationSlug.organization_id))
    .where(OrganizationSlug.slug == hole(OrganizationSlug.slug), Organization.delete_time.is_null())
)
_PROJECTS_WITH_SESSIONS: Final = Query(
    HealthProject.select(HealthProject.project_id)
    .where(
        HealthProject.organization_id == hole(HealthProject.organization_id),
        HealthProject.last_time >= hole(HealthProject.last_time),
    )
    .order_by(HealthProject.last_time.desc(), HealthProject.project_id.desc())
    .limit(MOST_PROJECTS)
)
_CLAIM: Final = Statement(
    HealthProject.update({HealthProject.sought_time: hole(HealthProject.sought_time)}).where(
        HealthProject.project_id == hole(HealthProject.project_id)
    )
)
# Of series that are linked none is read; those of all versions together are none of a release.
_UNLINKED: Final = Query(
    HealthSeries.select(HealthSeries.id, HealthSeries.version, HealthSeries.environment)
    .where(
        HealthSeries.project_id == hole(HealthSeries.project_id),
        HealthSeries.last_time >= hole(HealthSeries.last_time),
        HealthSeries.release_id.is_null(),
        HealthSeries.version != "",
        HealthSeries.id > hole(HealthSeries.id, "after"),
    )
    .order_by(HealthSeries.id)
    .limit(MOST_SERIES),
    row=UnlinkedSeries,
)


def named_projects_with_sessions(
    db: Database, organization_slug: str, projects: Sequence[ProjectSlugText] = ()
) -> list[bytes]:
    """The ids of these projects of the organization; without any, of all that had sessions in the last three days."""
    since = db.now_us() - RECENT_US

    def read(reader: Reader) -> list[bytes]:
        found = reader.row(_ORGANIZATION, slug=organization_slug)
        if found is None:
            return []
        if projects:
            return [project.id for project in projects_named(reader, found[0], projects).values()]
        rows = reader.rows(_PROJECTS_WITH_SESSIONS, organization_id=found[0], last_time=since)
        return [project_id for (project_id,) in rows]

    return db.read(read)


def discover(db: Database, project_ids: Collection[bytes], *, stopped: Stopped = lambda: False) -> Discovered:
    """Create the releases that sessions of the last three days in these projects name, and link them.

    Ids of no project are passed over. A project that was looked at less than a minute ago, by whomever, is not looked
    at. `stopped` is asked between two writes.
    """
    created = linked = skipped = 0
    waiting: dict[bytes, int] = {}
    for project in sorted(projects_of(db).get_many(db, project_ids), key=lambda project: project.id):
        if stopped():
            break
        wait_us: int | None = db.write(partial(_claim, project_id=project.id))
        crashpoint("discovery.claimed")
        if wait_us is None:
            continue
        if wait_us > 0:
            waiting[project.id] = wait_us
            continue
        for some in _unlinked(db, project.id, stopped):
            fit = [row for row in some if is_fit(row.version)]
            skipped += len(some) - len(fit)
            for versions in _by_versions(fit):
                done: Linked = db.write(partial(link_series, project_id=project.id, series=versions))
                crashpoint("discovery.linked_some")
                created += done.created
                linked += len(done.links)
                skipped += len(versions) - len(done.links)
                if stopped():
                    break
    DISCOVERY.labels("created").inc(created)
    DISCOVERY.labels("linked").inc(linked)
    DISCOVERY.labels("skipped").inc(skipped)
    return Discovered(created, linked, skipped, waiting)


def _claim(tx: Transaction, project_id: bytes) -> int | None:
    """0: the project may be looked at, and by nobody else for a minute. Else in how many microseconds it may; None when
    it had no sessions."""
    found = tx.lock(LOCK_HEALTH, project_id=project_id)
    if found is None:
        return None
    _, sought_time = found
    # One that lies ahead was written before the clock was set back.
    if sought_time <= tx.now < sought_time + EVERY_US:
        return int(sought_time) + EVERY_US - tx.now
    tx.run(_CLAIM, project_id=project_id, sought_time=tx.now)
    return 0


def _unlinked(db: Database, project_id: bytes, stopped: Stopped) -> Iterator[list[UnlinkedSeries]]:
    """The series of the project with sessions of late that are not linked, some at a time."""
    since, after = db.now_us() - RECENT_US, b"\x00" * 16
    while not stopped():
        found = db.rows(_UNLINKED, project_id=project_id, last_time=since, after=after)
        if not found:
            return
        yield found
        after = found[-1].id


def _by_versions(series: Sequence[UnlinkedSeries]) -> Iterator[list[UnlinkedSeries]]:
    """The series, those of one version together, as many versions at a time as may be linked at once."""
    by_version: dict[str, list[UnlinkedSeries]] = {}
    for row in series:
        by_version.setdefault(row.version, []).append(row)
    versions = list(by_version.values())
    for start in range(0, len(versions), MOST_VERSIONS):
        yield [row for rows in versions[start : start + MOST_VERSIONS] for row in rows]
