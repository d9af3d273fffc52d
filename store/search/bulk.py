"""Changing all releases that a query finds, some at a time (behaviour.md, Changing many releases).

They are sought before the write, for which everybody else waits on SQLite. Once it has them locked it asks again
whether they are what was sought: nothing is deleted for what it was a moment ago.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import peewee

from store.access import Access
from store.access.projects import accessible_projects
from store.crashpoints import crashpoint
from store.database import PLAIN, Database, Query, Reader, Statement, Terms, Transaction, hole, holes_for, query_shape
from store.database.batches import batches, filled, holes
from store.database.terms import M
from store.errors import InvalidField, PageTokenInvalid, ScopeMissing
from store.health.freeing import with_health
from store.health.models import HealthSeries
from store.organizations.lookup import find_organization
from store.organizations.rows import OrganizationRow
from store.paging import PageRequest, Position, fitting
from store.releases.delete import delete_releases
from store.releases.labels import MAX_LABELS, Labels, check_key, check_labels, labels_of_releases, put_labels
from store.releases.lookup import with_projects
from store.releases.models import Release
from store.releases.rows import RELEASE_COLUMNS, ReleaseRow, ReleaseStatus
from store.releases.status import change_status
from store.search.conditions import condition_of, in_scope
from store.search.filters import ReleaseFilter, Scope
from store.search.find import find_releases
from store.search.language import And, Comparison, Expression, In, Latest, Not, Or
from store.search.orders import NEWEST_FIRST
from store.search.resolve import resolve

MOST_RELEASES: Final = 500
"""The most releases that one call deals with."""

MOST_ROWS: Final = 2000
"""The most rows that one call writes, which on SQLite everybody else waits for. Fewer than elsewhere: a status is part
of each index that a list is sorted by, eight of them a row."""

DELETING_SCOPE: Final = "release:admin"


class BulkAction(IntEnum):
    """What is done to each release."""

    ARCHIVE = 1
    RESTORE = 2
    LABEL = 3
    DELETE = 4


class BulkOutcome(IntEnum):
    """What was done to a release."""

    CHANGED = 1
    UNCHANGED = 2
    FORBIDDEN = 3
    """It has projects that the caller may not access."""
    TOO_MANY_LABELS = 4
    HAS_HEALTH = 5
    """It had sessions in the last 90 days, and is not deleted without force."""


@dataclass(frozen=True, slots=True)
class BulkChange:
    """What to do; labels are set and removed by `LABEL` alone, which needs some. `force` is for `DELETE` alone: also
    releases that had sessions in the last 90 days."""

    action: BulkAction
    set_labels: Labels = field(default_factory=dict)
    remove_labels: tuple[str, ...] = ()
    force: bool = False


@dataclass(frozen=True, slots=True)
class BulkResult:
    """A release that was found, and what was done to it."""

    version: str
    outcome: BulkOutcome


@dataclass(frozen=True, slots=True)
class BulkUpdated:
    """What one call did, newest release first, and where the next one goes on; None when there are no more."""

    organization_slug: str
    results: tuple[BulkResult, ...]
    next: Position | None

    @property
    def changed_count(self) -> int:
        """How many releases were changed."""
        return sum(result.outcome is BulkOutcome.CHANGED for result in self.results)


# By name: fields have an == of their own.
_ID, _ORGANIZATION_ID, _VERSION = map(
    [column.name for column in RELEASE_COLUMNS].index, ("id", "organization_id", "version")
)

_RELABEL: Final = Statement(
    Release.update(
        {**holes_for(Release.label_count, Release.update_time), Release.revision: Release.revision + 1}
    ).where(Release.id == hole(Release.id))
)


@query_shape
def _some_releases(count: int) -> Query[tuple[Any, ...]]:
    return Query(
        Release.select(*RELEASE_COLUMNS)
        .where(Release.id.in_(holes(Release.id, count)), Release.delete_time.is_null())
        .order_by(Release.id)
    )


@query_shape
def _sizes(count: int) -> Query[tuple[bytes, int]]:
    return Query(Release.select(Release.id, Release.project_count).where(Release.id.in_(holes(Release.id, count))))


@query_shape
def _series_of(count: int) -> Query[tuple[str, int]]:
    """How many environments of all projects had sessions of each version."""
    return Query(
        HealthSeries.select(HealthSeries.version, peewee.fn.COUNT(HealthSeries.id))
        .where(
            HealthSeries.organization_id == hole(HealthSeries.organization_id),
            HealthSeries.version.in_(holes(HealthSeries.version, count)),
        )
        .group_by(HealthSeries.version)
    )


def bulk_update_releases(
    db: Database,
    access: Access,
    organization_slug: str,
    wanted: ReleaseFilter,
    change: BulkChange,
    *,
    page: PageRequest,
    terms: Terms[BulkUpdated, M] = PLAIN,
) -> M:
    """Change the newest releases that the filter finds, or those behind the position of an earlier answer: at most as
    many as the page holds, and fewer where they have many projects or labels; all of them or none.

    Without statuses in the filter, and in its query, archived releases are restored, and open ones are what all else is
    done to. A release with projects that are not the caller's stays as it is, and so does one that would have too many
    labels, and one that had sessions in the last 90 days and is to be deleted without force. A call that was cut may be
    repeated as it was.

    Raises `OrganizationNotFound`, `ProjectForbidden`, `QueryInvalid`; `ScopeMissing` for a deletion without
    release:admin; `InvalidField` for labels that are none or that the action does not take, for a query without terms
    or one that finds other releases once the first are changed (`release:latest`), and for spans of time that are none.
    """
    _check(access, change)
    now_us = db.now_us() if page.position is None else _time_of(page.position)
    seek = _Seek(access, organization_slug, wanted, change, page)
    scope, ids, following = db.read(lambda reader: seek.found(reader, now_us))

    def write(tx: Transaction) -> BulkUpdated:
        return BulkUpdated(scope.organization.slug, _changed(tx, access, scope, ids, change), following)

    answer = db.write(write, terms)
    crashpoint("bulk.changed")
    return answer


def _check(access: Access, change: BulkChange) -> None:
    if change.action is BulkAction.DELETE and not access.may(DELETING_SCOPE):
        raise ScopeMissing(DELETING_SCOPE)
    if change.force and change.action is not BulkAction.DELETE:
        raise InvalidField("force", "is only for the action DELETE")
    if change.action is not BulkAction.LABEL:
        for name in ("set_labels", "remove_labels"):
            if getattr(change, name):
                raise InvalidField(name, "is only for the action LABEL")
        return
    if not change.set_labels and not change.remove_labels:
        raise InvalidField("set_labels", "is required for the action LABEL, unless there are remove_labels")
    check_labels(change.set_labels, field="set_labels")
    for index, key in enumerate(change.remove_labels):
        check_key(key, field=f"remove_labels[{index}]")
        if key in change.set_labels:
            raise InvalidField(f"remove_labels[{index}]", "is in set_labels, too")


def _time_of(position: Position) -> int:
    """When the first of the calls was made: periods of the query reckon from there in all of them."""
    now_us = position.key[0]
    if not isinstance(now_us, int):  # minted by an older server
        raise PageTokenInvalid
    return now_us


@dataclass(frozen=True, slots=True)
class _Seek:
    """What one call looks for."""

    access: Access
    organization_slug: str
    wanted: ReleaseFilter
    change: BulkChange
    page: PageRequest

    def found(self, reader: Reader, now_us: int) -> tuple[Scope, list[bytes], Position | None]:
        """What the filter comes to, the releases that it finds, newest first, and where the next call goes on."""
        action = self.change.action
        status = ReleaseStatus.ARCHIVED if action is BulkAction.RESTORE else ReleaseStatus.OPEN
        scope = resolve(reader, self.access, self.organization_slug, self.wanted, now_us=now_us, default_status=status)
        if scope.expression is None:  # nothing but spaces: no one means everything by that
            raise InvalidField("query", "has no term; release:* finds everything")
        if action in (BulkAction.ARCHIVE, BulkAction.DELETE) and _asks_for_latest(scope.expression):
            text = "finds another release:latest once the first is archived or deleted; name the releases instead"
            raise InvalidField("query", text)
        found = find_releases(reader, scope, NEWEST_FIRST, self.page)
        sizes = self._rows(reader, [row.columns for row in found.rows])
        page = found.page(fitting(self.page, sizes, most=MOST_ROWS), descending=True)
        return scope, [row.columns[_ID] for row in page.items], page.next

    def _rows(self, reader: Reader, releases: Sequence[tuple[Any, ...]]) -> list[int]:
        """How many rows the change of each writes, at most."""
        if self.change.action is BulkAction.LABEL:
            return [1 + len(self.change.set_labels) + len(self.change.remove_labels)] * len(releases)
        ids = [columns[_ID] for columns in releases]
        projects: dict[bytes, int] = {}
        for batch in batches(sorted(ids)):
            projects.update(reader.rows(_sizes(len(batch)), **filled(batch)))
        series: dict[str, int] = {}
        if self.change.action is BulkAction.DELETE and releases:
            of = {"organization_id": releases[0][_ORGANIZATION_ID]}
            for some in batches(sorted(columns[_VERSION] for columns in releases)):
                series.update(reader.rows(_series_of(len(some)), **of, **filled(some)))
        # Its own, what waits for the drain, of each project the link and the activity, and what sessions said.
        return [2 + 2 * projects[columns[_ID]] + series.get(columns[_VERSION], 0) for columns in releases]


def _asks_for_latest(expression: Expression | None, *, negated: bool = False) -> bool:
    """Whether a query may find a release because it is the latest one; not, because it is not."""
    match expression:
        case And(conditions) | Or(conditions):
            return any(_asks_for_latest(condition, negated=negated) for condition in conditions)
        case Not(condition):
            return _asks_for_latest(condition, negated=not negated)
        case Comparison(value=Latest()):
            return not negated
        case In(values=values):
            return not negated and Latest() in values
        case _:
            return False


def _changed(
    tx: Transaction, access: Access, scope: Scope, ids: Sequence[bytes], change: BulkChange
) -> tuple[BulkResult, ...]:
    """Do it to those of the releases that are still what was sought; what was done, in the order of the ids."""
    organization = find_organization(tx, access, scope.organization.slug)
    releases = _locked(tx, organization, scope, ids)
    allowed = accessible_projects(access, organization)
    own = [release for release in releases if allowed.allows_all(release.project_ids)]
    outcomes = {release.id: BulkOutcome.FORBIDDEN for release in releases}
    outcomes.update(_done(tx, access, organization.id, own, change))
    crashpoint("bulk.in_rows")
    versions = {release.id: release.version for release in releases}
    return tuple(BulkResult(versions[id_], outcomes[id_]) for id_ in ids if id_ in versions)


def _locked(tx: Transaction, organization: OrganizationRow, scope: Scope, ids: Sequence[bytes]) -> list[ReleaseRow]:
    """Those of the releases that the filter still finds, locked, by id."""
    rows: dict[bytes, tuple[Any, ...]] = {}
    for batch in batches(sorted(ids)):
        rows.update((columns[_ID], columns) for columns in tx.lock_all(_some_releases(len(batch)), **filled(batch)))
    if not rows:
        return []
    condition = condition_of(scope, tx.engine)
    sought = Release.select(Release.id).where(Release.id.in_(list(rows)), in_scope(scope, tx.engine))
    found = tx.fetch((sought if condition is None else sought.where(condition)).tuples())
    return with_projects(tx, organization, [rows[release_id] for (release_id,) in sorted(found)])


def _done(
    tx: Transaction, access: Access, organization_id: bytes, releases: Sequence[ReleaseRow], change: BulkChange
) -> dict[bytes, BulkOutcome]:
    """Do it to locked releases that are all the caller's; what was done to each."""
    match change.action:
        case BulkAction.ARCHIVE:
            return _given_status(tx, access, releases, ReleaseStatus.ARCHIVED)
        case BulkAction.RESTORE:
            return _given_status(tx, access, releases, ReleaseStatus.OPEN)
        case BulkAction.LABEL:
            return _labelled(tx, organization_id, releases, change)
        case BulkAction.DELETE:
            return _deleted(tx, access, releases, force=change.force)


def _deleted(
    tx: Transaction, access: Access, releases: Sequence[ReleaseRow], *, force: bool
) -> dict[bytes, BulkOutcome]:
    kept = set() if force else with_health(tx, releases)
    delete_releases(tx, access, [release for release in releases if release.id not in kept])
    return {release.id: BulkOutcome.HAS_HEALTH if release.id in kept else BulkOutcome.CHANGED for release in releases}


def _given_status(
    tx: Transaction, access: Access, releases: Sequence[ReleaseRow], status: ReleaseStatus
) -> dict[bytes, BulkOutcome]:
    others = [release for release in releases if release.status != status]
    change_status(tx, access, others, status)
    outcomes = {release.id: BulkOutcome.UNCHANGED for release in releases}
    outcomes.update((release.id, BulkOutcome.CHANGED) for release in others)
    return outcomes


def _labelled(
    tx: Transaction, organization_id: bytes, releases: Sequence[ReleaseRow], change: BulkChange
) -> dict[bytes, BulkOutcome]:
    labels = labels_of_releases(tx, releases)
    changes: dict[bytes, tuple[Labels, Labels]] = {}
    outcomes: dict[bytes, BulkOutcome] = {}
    for release in releases:
        old = labels.get(release.id, {})
        new = {key: value for key, value in old.items() if key not in change.remove_labels} | dict(change.set_labels)
        if len(new) > MAX_LABELS:
            outcomes[release.id] = BulkOutcome.TOO_MANY_LABELS
        elif new == old:
            outcomes[release.id] = BulkOutcome.UNCHANGED
        else:
            outcomes[release.id] = BulkOutcome.CHANGED
            changes[release.id] = (old, new)
    counts = [{"id": id_, "label_count": len(new), "update_time": tx.now} for id_, (_, new) in changes.items()]
    tx.run_many(_RELABEL, counts)
    put_labels(tx, organization_id, changes)
    return outcomes
