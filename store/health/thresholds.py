"""Thresholds: when the releases of a project count as healthy (behaviour.md, Thresholds)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

import peewee

from store.access import Access
from store.access.projects import ProjectSet, accessible_projects
from store.database import (
    PLAIN,
    Database,
    Query,
    Reader,
    Statement,
    Terms,
    Transaction,
    hole,
    holes_for,
    new_id,
    query_shape,
)
from store.database.batches import batches, filled, holes
from store.database.terms import M
from store.errors import InvalidField, ProjectNotFound, ThresholdNotFound, TooManyThresholds
from store.health.models import Threshold
from store.organizations.lookup import find_organization, find_project
from store.organizations.models import Project
from store.organizations.rows import OrganizationRow, ProjectDetails
from store.paging import Page, PageRequest, page_of, paged

MOST_THRESHOLDS: Final = 100
"""The most thresholds of one project."""
MOST_WINDOW_SECONDS: Final = 90 * 86_400
MOST_VALUE_THOUSANDTHS: Final = 10**15
MOST_RATE_THOUSANDTHS: Final = 100_000

VALUE_PROBLEM: Final = "must lie between 0 and 1,000,000,000,000"
WINDOW_PROBLEM: Final = "must be whole minutes, at least one and at most 90 days (7776000s)"


class ThresholdMetric(IntEnum):
    """What a threshold measures; numbers as kept, and as in the contract."""

    TOTAL_ERROR_COUNT = 1
    FAILURE_RATE = 2
    CRASH_FREE_SESSION_RATE = 3
    CRASH_FREE_USER_RATE = 4


class ThresholdTrigger(IntEnum):
    """On which side of its value a threshold is crossed; numbers as kept, and as in the contract."""

    OVER = 1
    UNDER = 2


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """A threshold as it is kept; environment None: sessions of all count. Times in microseconds UTC."""

    id: bytes
    project_id: bytes
    environment: str | None
    metric: ThresholdMetric
    trigger: ThresholdTrigger
    value_thousandths: int
    window_seconds: int
    create_time: int
    update_time: int


@dataclass(frozen=True, slots=True)
class ThresholdDraft:
    """A threshold to create."""

    metric: ThresholdMetric
    trigger: ThresholdTrigger
    value_thousandths: int
    window_seconds: int
    environment: str | None = None


@dataclass(frozen=True, slots=True)
class ThresholdChanges:
    """What to change: only the fields that `fields` names. Named and None, the environment is cleared; nothing else may
    be None then."""

    fields: frozenset[str]
    metric: ThresholdMetric | None = None
    trigger: ThresholdTrigger | None = None
    value_thousandths: int | None = None
    window_seconds: int | None = None
    environment: str | None = None


class ThresholdInProject(NamedTuple):
    """A threshold, and the slugs that its name is made of."""

    organization_slug: str
    project_slug: str
    threshold: ThresholdRow


def threshold_row(
    id_: bytes,
    project_id: bytes,
    environment: str | None,
    metric: int,
    trigger: int,
    value_thousandths: int,
    window_seconds: int,
    create_time: int,
    update_time: int,
) -> ThresholdRow:
    """The row of the columns that `THRESHOLD_COLUMNS` names."""
    return ThresholdRow(
        id_,
        project_id,
        environment,
        ThresholdMetric(metric),
        ThresholdTrigger(trigger),
        value_thousandths,
        window_seconds,
        create_time,
        update_time,
    )


THRESHOLD_COLUMNS: Final = (
    Threshold.id,
    Threshold.project_id,
    Threshold.environment,
    Threshold.metric,
    Threshold.trigger,
    Threshold.value_thousandths,
    Threshold.window_seconds,
    Threshold.create_time,
    Threshold.update_time,
)

# Whoever changes the thresholds of a project locks its row, so that two calls at once do not pass the limit.
_LOCK_PROJECT: Final = Query(Project.select(Project.id).where(Project.id == hole(Project.id)))
_STORED: Final = Query(
    Threshold.select(*THRESHOLD_COLUMNS).where(
        Threshold.id == hole(Threshold.id), Threshold.project_id == hole(Threshold.project_id)
    ),
    row=threshold_row,
)
_COUNT: Final = Query(
    Threshold.select(peewee.fn.COUNT(Threshold.id)).where(Threshold.project_id == hole(Threshold.project_id))
)
_INSERT: Final = Statement(Threshold.insert(holes_for(*THRESHOLD_COLUMNS, Threshold.organization_id)))
_UPDATE: Final = Statement(
    Threshold.update(
        holes_for(
            Threshold.environment,
            Threshold.metric,
            Threshold.trigger,
            Threshold.value_thousandths,
            Threshold.window_seconds,
            Threshold.update_time,
        )
    ).where(Threshold.id == hole(Threshold.id))
)
_DELETE: Final = Statement(
    Threshold.delete().where(Threshold.id == hole(Threshold.id), Threshold.project_id == hole(Threshold.project_id))
)


@query_shape
def _of_projects(count: int) -> Query[ThresholdRow]:
    return Query(
        Threshold.select(*THRESHOLD_COLUMNS)
        .where(Threshold.project_id.in_(holes(Threshold.project_id, count)))
        .order_by(Threshold.project_id, Threshold.id),
        row=threshold_row,
    )


@query_shape
def _with_slugs(count: int) -> Query[tuple[Any, ...]]:
    return Query(
        Threshold.select(Project.slug, *THRESHOLD_COLUMNS)
        .join(Project, on=(Project.id == Threshold.project_id))
        .where(Threshold.id.in_(holes(Threshold.id, count)))
    )


def create_threshold(
    db: Database,
    access: Access,
    organization: str,
    project: str,
    draft: ThresholdDraft,
    terms: Terms[ThresholdInProject, M] = PLAIN,
) -> M:
    """Create a threshold of a project that the caller has access to.

    Raises `OrganizationNotFound`, `ProjectNotFound`, `InvalidField`, `TooManyThresholds`.
    """
    return db.write(lambda tx: _create(tx, access, organization, project, draft), terms)


def list_thresholds(
    db: Database, access: Access, organization: str, project: str | None, page: PageRequest
) -> Page[ThresholdInProject]:
    """A page of the thresholds of a project, or of all that the caller has access to (None), oldest first.

    Raises `OrganizationNotFound`, `ProjectNotFound`.
    """

    def read(reader: Reader) -> Page[ThresholdInProject]:
        parent = find_organization(reader, access, organization)
        if project is None:
            projects = accessible_projects(access, parent)
        else:
            found = find_project(reader, access, parent, project)
            projects = ProjectSet(everything=False, ids=frozenset({found.id}))
        ids = _ids(reader, parent, projects, page)
        by_id: dict[bytes, ThresholdInProject] = {}
        for batch in batches(ids):
            for slug, *columns in reader.rows(_with_slugs(len(batch)), **filled(batch)):
                row = threshold_row(*columns)
                by_id[row.id] = ThresholdInProject(parent.slug, slug, row)
        # Rows of a deleted project stay until the drain comes by.
        shown = page_of(ids, page, lambda id_: (id_,))
        there = tuple(by_id[id_] for id_ in shown.items if id_ in by_id)
        return Page(there, shown.next, shown.previous)

    return db.read(read)


def update_threshold(
    db: Database,
    access: Access,
    organization: str,
    project: str,
    threshold_id: bytes,
    changes: ThresholdChanges,
    terms: Terms[ThresholdInProject, M] = PLAIN,
) -> M:
    """Change a threshold; without a change nothing is written and update_time stays.

    Raises `OrganizationNotFound`, `ProjectNotFound`, `ThresholdNotFound`, `InvalidField`, also where what is changed
    does not fit what stays.
    """
    return db.write(lambda tx: _update(tx, access, organization, project, threshold_id, changes), terms)


def delete_threshold(
    db: Database,
    access: Access,
    organization: str,
    project: str,
    threshold_id: bytes,
    terms: Terms[None, M] = PLAIN,
) -> M:
    """Delete a threshold. Raises `OrganizationNotFound`, `ProjectNotFound`, `ThresholdNotFound`."""
    return db.write(lambda tx: _delete(tx, access, organization, project, threshold_id), terms)


def thresholds_of(reader: Reader, project_ids: Sequence[bytes]) -> dict[bytes, list[ThresholdRow]]:
    """The thresholds of these projects, oldest first; projects without any are left out."""
    found: dict[bytes, list[ThresholdRow]] = {}
    for batch in batches(sorted(set(project_ids))):
        for row in reader.rows(_of_projects(len(batch)), **filled(batch)):
            found.setdefault(row.project_id, []).append(row)
    return found


def _ids(reader: Reader, organization: OrganizationRow, projects: ProjectSet, page: PageRequest) -> list[bytes]:
    """The ids of a page's thresholds and of one more, in walking direction."""
    if projects.everything:
        query = Threshold.select(Threshold.id).where(Threshold.organization_id == organization.id)
        return [id_ for (id_,) in reader.fetch(paged(query, page, [Threshold.id]).tuples())]
    found: set[bytes] = set()
    for batch in batches(sorted(projects.ids)):
        query = Threshold.select(Threshold.id).where(
            Threshold.organization_id == organization.id, Threshold.project_id.in_(sorted(set(batch)))
        )
        found.update(id_ for (id_,) in reader.fetch(paged(query, page, [Threshold.id]).tuples()))
    return sorted(found, reverse=page.backward)[: page.limit]


def _create(
    tx: Transaction, access: Access, organization: str, project: str, draft: ThresholdDraft
) -> ThresholdInProject:
    parent, owner = _locked_project(tx, access, organization, project)
    made = ThresholdRow(
        id=new_id(),
        project_id=owner.id,
        environment=draft.environment,
        metric=draft.metric,
        trigger=draft.trigger,
        value_thousandths=draft.value_thousandths,
        window_seconds=draft.window_seconds,
        create_time=tx.now,
        update_time=tx.now,
    )
    _check(made)
    (count,) = tx.rows(_COUNT, project_id=owner.id)[0]
    if count >= MOST_THRESHOLDS:
        raise TooManyThresholds(MOST_THRESHOLDS)
    tx.run(
        _INSERT,
        organization_id=parent.id,
        project_id=owner.id,
        create_time=tx.now,
        **_columns(made),
    )
    return ThresholdInProject(parent.slug, owner.slug, made)


def _update(
    tx: Transaction,
    access: Access,
    organization: str,
    project: str,
    threshold_id: bytes,
    changes: ThresholdChanges,
) -> ThresholdInProject:
    parent, owner = _locked_project(tx, access, organization, project)
    stored = tx.row(_STORED, id=threshold_id, project_id=owner.id)
    if stored is None:
        raise ThresholdNotFound(parent.slug, owner.slug, str(UUID(bytes=threshold_id)))
    changed = replace(stored, **{field: getattr(changes, field) for field in changes.fields})
    _check(changed)
    if changed != stored:
        changed = replace(changed, update_time=tx.now)
        tx.run(_UPDATE, **_columns(changed))
    return ThresholdInProject(parent.slug, owner.slug, changed)


def _delete(tx: Transaction, access: Access, organization: str, project: str, threshold_id: bytes) -> None:
    parent, owner = _locked_project(tx, access, organization, project)
    if not tx.run(_DELETE, id=threshold_id, project_id=owner.id):
        raise ThresholdNotFound(parent.slug, owner.slug, str(UUID(bytes=threshold_id)))


def _locked_project(
    tx: Transaction, access: Access, organization: str, project: str
) -> tuple[OrganizationRow, ProjectDetails]:
    parent = find_organization(tx, access, organization)
    found = find_project(tx, access, parent, project)
    if tx.lock(_LOCK_PROJECT, id=found.id) is None:
        raise ProjectNotFound(parent.slug, found.slug)  # deleted just now
    return parent, found


def _check(threshold: ThresholdRow) -> None:
    """Return when the threshold can be kept. Raises `InvalidField`."""
    value, window = threshold.value_thousandths, threshold.window_seconds
    if not 0 <= value <= MOST_VALUE_THOUSANDTHS:
        raise InvalidField("threshold.value", VALUE_PROBLEM)
    if threshold.metric is not ThresholdMetric.TOTAL_ERROR_COUNT and value > MOST_RATE_THOUSANDTHS:
        raise InvalidField("threshold.value", "is a rate in percent here, and must not be above 100")
    if not 0 < window <= MOST_WINDOW_SECONDS or window % 60:
        raise InvalidField("threshold.window", WINDOW_PROBLEM)


def _columns(threshold: ThresholdRow) -> dict[str, Any]:
    return {
        "id": threshold.id,
        "environment": threshold.environment,
        "metric": int(threshold.metric),
        "trigger": int(threshold.trigger),
        "value_thousandths": threshold.value_thousandths,
        "window_seconds": threshold.window_seconds,
        "update_time": threshold.update_time,
    }
