"""What is counted of sessions, removed with what it is of: a release, or a project. Part of their drains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import peewee

from store.database import Query, Statement, Transaction, hole, query_shape
from store.database.batches import batches, filled, holes
from store.database.fields import CountField
from store.health.locks import LOCK_HEALTH, lock_known_health
from store.health.models import (
    CountedSessions,
    HealthDay,
    HealthHour,
    HealthProject,
    HealthSeries,
    Session,
    Threshold,
)

MOST_ROLLUPS: Final = 1000
"""The most rows of hours and days that one write removes; they hold some KiB each."""
MOST_ROWS: Final = 5000
"""The most rows of other kinds that one write removes."""
MOST_SERIES: Final = 64
"""Of how many series at a time."""

_LIMIT: Final = CountField()
_LIMIT.name = "limit"

_OF_RELEASE: Final = Query(
    HealthSeries.select(HealthSeries.id, HealthSeries.project_id)
    .where(HealthSeries.release_id == hole(HealthSeries.release_id))
    .order_by(HealthSeries.id)
    .limit(MOST_SERIES)
)
_OF_PROJECT: Final = Query(
    HealthSeries.select(HealthSeries.id, HealthSeries.project_id)
    .where(HealthSeries.project_id == hole(HealthSeries.project_id))
    .limit(MOST_SERIES)
)
_OF_ORGANIZATION: Final = Query(
    HealthProject.select(HealthProject.project_id)
    .where(HealthProject.organization_id == hole(HealthProject.organization_id))
    .limit(1)
)
_FORGET: Final = Statement(HealthProject.delete().where(HealthProject.project_id == hole(HealthProject.project_id)))


def _of_project(model: Any, key: Any) -> Statement:
    """Deletes some rows of one project, told apart by `key`; neither database has a DELETE with a limit."""
    of_project = model.project_id == hole(model.project_id)
    some = model.select(key).where(of_project).order_by(key).limit(hole(_LIMIT))
    return Statement(model.delete().where(of_project, key.in_(some)))


_ROWS: Final = (
    _of_project(Session, Session.session_id),
    _of_project(CountedSessions, CountedSessions.counts_id),
    _of_project(Threshold, Threshold.id),
)


@query_shape
def _rollups(model: Any, count: int) -> Statement:
    some = (
        model.select(model.series_id, model.start_time)
        .where(model.series_id.in_(holes(model.series_id, count)))
        .limit(hole(_LIMIT))
    )
    return Statement(model.delete().where(peewee.Tuple(model.series_id, model.start_time).in_(some)))


@query_shape
def _series(count: int) -> Statement:
    return Statement(HealthSeries.delete().where(HealthSeries.id.in_(holes(HealthSeries.id, count))))


def drain_health_of_release(tx: Transaction, release_id: bytes) -> bool:
    """Remove some of what sessions said of a deleted release; whether that was all.

    What was told of each session stays for as long as it may be told again: it counts no more.
    """
    found = tx.rows(_OF_RELEASE, release_id=release_id)
    lock_known_health(tx, [project_id for _, project_id in found])
    return _drain_series(tx, [series_id for series_id, _ in found])


def drain_health_of_project(tx: Transaction, project_id: bytes) -> bool:
    """Remove some of what sessions said of a deleted project, and of its thresholds; whether that was all."""
    tx.lock(LOCK_HEALTH, project_id=project_id)
    if not _drain_series(tx, [series_id for series_id, _ in tx.rows(_OF_PROJECT, project_id=project_id)]):
        return False
    removed = 0
    for statement in _ROWS:
        removed += tx.run(statement, project_id=project_id, limit=MOST_ROWS - removed)
        if removed >= MOST_ROWS:
            return False
    tx.run(_FORGET, project_id=project_id)
    return True


def drain_health_of_organization(tx: Transaction, organization_id: bytes) -> bool:
    """The same of one of the projects of a deleted organization that had sessions; whether no such is left."""
    found = tx.row(_OF_ORGANIZATION, organization_id=organization_id)
    if found is None:
        return True
    drain_health_of_project(tx, found[0])
    return False


def _drain_series(tx: Transaction, ids: Sequence[bytes]) -> bool:
    """Remove some rows of these series, and then themselves; whether there were fewer than may be told at once, and
    all are gone."""
    removed = 0
    for batch in batches(sorted(ids)):
        for model in (HealthHour, HealthDay):
            removed += tx.run(_rollups(model, len(batch)), limit=MOST_ROLLUPS - removed, **filled(batch))
            if removed >= MOST_ROLLUPS:
                return False
        tx.run(_series(len(batch)), **filled(batch))
    return len(ids) < MOST_SERIES
