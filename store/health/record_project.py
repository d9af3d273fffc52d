"""Recording sessions of one project, inside a transaction that holds the lock of its health."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

from store.database import Query, Statement, Transaction, hole, holes_for, new_id, query_shape
from store.database.batches import batches, filled, holes
from store.health.adding import Span, add_to_days, add_to_hours, by_fewer
from store.health.items import SessionCounts, SessionUpdate
from store.health.models import CountedSessions, HealthProject, HealthSeries, Session
from store.health.settling import Change, SessionRow, Settling
from store.health.windows import day_of


class ProjectItems(NamedTuple):
    """Items of one project, and their places in what the caller sent."""

    updates: Sequence[SessionUpdate]
    update_places: Sequence[int]
    counts: Sequence[SessionCounts]
    counts_places: Sequence[int]


class RecordedItems(NamedTuple):
    """How many items said something new, how many did not, and whether a version among them is no release yet."""

    recorded: int
    known: int
    unlinked: bool


class _Series(NamedTuple):
    """A series as it is kept."""

    id: bytes
    version: str
    environment: str
    release_id: bytes | None
    first_time: int
    last_time: int
    days_until: int


_SESSION_COLUMNS: Final[tuple[Any, ...]] = (
    Session.session_id,
    Session.series_id,
    Session.hour,
    Session.sequence,
    Session.status,
    Session.error_count,
    Session.timed,
)
_SERIES_COLUMNS: Final = tuple(getattr(HealthSeries, name) for name in _Series._fields)
_NAME: Final = attrgetter("version", "environment")
_SESSION_ID: Final = attrgetter("session_id")
_OF_PROJECT: Final = HealthSeries.project_id == hole(HealthSeries.project_id)

_LAST_TIME: Final = Statement(
    HealthProject.update({HealthProject.last_time: hole(HealthProject.last_time)}).where(
        HealthProject.project_id == hole(HealthProject.project_id)
    )
)
_NEW_PROJECT: Final = Statement(
    HealthProject.insert(
        holes_for(
            HealthProject.project_id, HealthProject.organization_id, HealthProject.last_time, HealthProject.sought_time
        )
    ).on_conflict(action="nothing", conflict_target=[HealthProject.project_id])
)
_NEW_SERIES: Final = Statement(HealthSeries.insert(holes_for(*HealthSeries._meta.sorted_fields)))
_BOUNDS: Final = Statement(
    HealthSeries.update(
        {
            HealthSeries.first_time: hole(HealthSeries.first_time),
            HealthSeries.last_time: hole(HealthSeries.last_time),
        }
    ).where(HealthSeries.id == hole(HealthSeries.id))
)
_KEEP_SESSIONS: Final = Statement(
    Session.insert(holes_for(*Session._meta.sorted_fields)).on_conflict(
        conflict_target=[Session.project_id, Session.session_id],
        preserve=[Session.sequence, Session.status, Session.error_count, Session.timed],
    )
)
_KEEP_COUNTED: Final = Statement(CountedSessions.insert(holes_for(*CountedSessions._meta.sorted_fields)))


@query_shape
def _locked(count: int) -> Query[tuple[bytes, int]]:
    return Query(
        HealthProject.select(HealthProject.project_id, HealthProject.last_time)
        .where(HealthProject.project_id.in_(holes(HealthProject.project_id, count)))
        .order_by(HealthProject.project_id)
    )


@query_shape
def _series_in(versions: int) -> Query[_Series]:
    asked = HealthSeries.version.in_(holes(HealthSeries.version, versions))
    there = (_OF_PROJECT, HealthSeries.environment == hole(HealthSeries.environment), asked)
    return Query(HealthSeries.select(*_SERIES_COLUMNS).where(*there), row=_Series)


@query_shape
def _series_of(environments: int) -> Query[_Series]:
    asked = HealthSeries.environment.in_(holes(HealthSeries.environment, environments))
    there = (_OF_PROJECT, HealthSeries.version == hole(HealthSeries.version), asked)
    return Query(HealthSeries.select(*_SERIES_COLUMNS).where(*there), row=_Series)


@query_shape
def _series_by_id(count: int) -> Query[_Series]:
    return Query(
        HealthSeries.select(*_SERIES_COLUMNS).where(HealthSeries.id.in_(holes(HealthSeries.id, count))), row=_Series
    )


@query_shape
def _sessions(count: int) -> Query[SessionRow]:
    return Query(
        Session.select(*_SESSION_COLUMNS).where(
            Session.project_id == hole(Session.project_id), Session.session_id.in_(holes(Session.session_id, count))
        )
    )


@query_shape
def _counted(count: int) -> Query[tuple[bytes]]:
    return Query(
        CountedSessions.select(CountedSessions.counts_id).where(
            CountedSessions.project_id == hole(CountedSessions.project_id),
            CountedSessions.counts_id.in_(holes(CountedSessions.counts_id, count)),
        )
    )


def lock_health(tx: Transaction, project_ids: Sequence[bytes]) -> dict[bytes, int]:
    """Hold what is kept of the health of these projects, sorted, until the transaction ends; when the last session of
    each began. Those without sessions are left out."""
    last_times: dict[bytes, int] = {}
    for batch in batches(project_ids):
        last_times.update(tx.lock_all(_locked(len(batch)), **filled(batch)))
    return last_times


def make_health(tx: Transaction, organization_id: bytes, project_ids: Sequence[bytes]) -> dict[bytes, int]:
    """The same of projects that had no sessions, each of which is made ready for some. Whoever calls keeps the projects
    themselves."""
    new = {"organization_id": organization_id, "last_time": 0, "sought_time": 0}
    tx.run_many(_NEW_PROJECT, [{"project_id": project_id, **new} for project_id in project_ids])
    # Another server may have made them just now: then this waits for it, and sees what it wrote.
    return lock_health(tx, project_ids)


def record_of_project(
    tx: Transaction,
    organization_id: bytes,
    project_id: bytes,
    last_time: int,
    items: ProjectItems,
    users: Mapping[str, int],
) -> RecordedItems:
    """Record items of a project whose health is locked; last_time is when its last session began."""
    updates, counts = items.updates, items.counts
    series = _Known(tx, organization_id, project_id)
    series.find({*map(_NAME, updates), *map(_NAME, counts)})
    settling = Settling(users)
    if updates:
        rows: list[SessionRow] = []
        for batch in batches(sorted(set(map(_SESSION_ID, updates)))):
            rows += tx.rows(_sessions(len(batch)), project_id=project_id, **filled(batch))
        if rows:
            series.find_ids({row[1] for row in rows})
            settling.know(rows, series.counting())
        settling.settle(updates)
    if counts:
        known: set[bytes] = set()
        for batch in batches(sorted({told.counts_id for told in counts})):
            known.update(id_ for (id_,) in tx.rows(_counted(len(batch)), project_id=project_id, **filled(batch)))
        settling.settle_counts(counts, known)
    changes = settling.finish()
    series.place(changes)
    _keep_sessions(tx, project_id, settling.sessions())
    _keep_counted(tx, project_id, settling.counted)
    _add(tx, changes)
    latest = max((change.last_time for change in changes if change.last_time is not None), default=last_time)
    if latest > last_time:
        tx.run(_LAST_TIME, project_id=project_id, last_time=latest)
    return RecordedItems(settling.recorded, settling.known, series.unlinked)


class _Known:
    """The series of a project that items name, and those that are made for them."""

    def __init__(self, tx: Transaction, organization_id: bytes, project_id: bytes) -> None:
        self._tx = tx
        self._organization_id = organization_id
        self._project_id = project_id
        self._by_id: dict[bytes, _Series] = {}
        self._by_name: dict[tuple[str, str], _Series] = {}

    @property
    def unlinked(self) -> bool:
        """Whether one of a version is of no release yet."""
        return any(series.version and series.release_id is None for series in self._by_name.values())

    def find(self, names: Iterable[tuple[str, str]]) -> None:
        """Read the series of these versions and environments, and those of all versions together."""
        sought = set(names)
        sought |= {("", environment) for _, environment in sought}
        by_version, by_environment = by_fewer(sorted(sought))
        for environment, versions in by_environment.items():
            for batch in batches(versions):
                found = self._tx.rows(
                    _series_in(len(batch)), project_id=self._project_id, environment=environment, **filled(batch)
                )
                self._know(found)
        for version, environments in by_version.items():
            for batch in batches(environments):
                found = self._tx.rows(
                    _series_of(len(batch)), project_id=self._project_id, version=version, **filled(batch)
                )
                self._know(found)

    def find_ids(self, ids: Collection[bytes]) -> None:
        """Read those that are not known yet, and those of all versions beside them."""
        missing = sorted(id_ for id_ in ids if id_ not in self._by_id)
        found: list[_Series] = []
        for batch in batches(missing):
            found += self._tx.rows(_series_by_id(len(batch)), **filled(batch))
        if found:
            self._know(found)
            self.find({("", series.environment) for series in found})

    def counting(self) -> dict[bytes, tuple[str, str]]:
        """Version and environment of each series that is known, but for those of deleted releases."""
        return {id_: (row.version, row.environment) for id_, row in self._by_id.items() if "\n" not in row.version}

    def place(self, changes: Iterable[Change]) -> None:
        """Tell the changes their series, which are made where they are missing, and keep of each when its first and its
        last session began."""
        by_name: dict[tuple[str, str], list[Change]] = {}
        for change in changes:
            by_name.setdefault(change.place[:2], []).append(change)
        new: list[_Series] = []
        stretched: list[dict[str, Any]] = []
        for name, some in by_name.items():
            row = self._by_name.get(name)
            firsts = [change.first_time for change in some if change.first_time is not None]
            lasts = [change.last_time for change in some if change.last_time is not None]
            if row is None:
                first = min(firsts)
                row = _Series(new_id(), *name, None, first, max(lasts), day_of(first))
                new.append(row)
                self._know([row])
            elif firsts and (min(firsts) < row.first_time or max(lasts) > row.last_time):
                bounds = {"first_time": min(row.first_time, *firsts), "last_time": max(row.last_time, *lasts)}
                stretched.append({"id": row.id, **bounds})
            for change in some:
                change.series_id, change.days_until = row.id, row.days_until
        of = {"organization_id": self._organization_id, "project_id": self._project_id}
        self._tx.run_many(_NEW_SERIES, [{**row._asdict(), **of} for row in sorted(new)])
        self._tx.run_many(_BOUNDS, sorted(stretched, key=lambda bounds: bounds["id"]))

    def _know(self, found: Iterable[_Series]) -> None:
        for row in found:
            self._by_id[row.id] = self._by_name[row.version, row.environment] = row


def _keep_sessions(tx: Transaction, project_id: bytes, rows: Sequence[SessionRow]) -> None:
    if rows:
        columns: dict[str, list[Any]] = {"project_id": [project_id] * len(rows)}
        for column, values in zip(_SESSION_COLUMNS, zip(*rows, strict=True), strict=True):
            columns[column.name] = list(values)
        tx.run_columns(_KEEP_SESSIONS, columns)


def _keep_counted(tx: Transaction, project_id: bytes, counted: Mapping[bytes, int]) -> None:
    ids = sorted(counted)
    hours = [counted[id_] for id_ in ids]
    tx.run_columns(_KEEP_COUNTED, {"project_id": [project_id] * len(ids), "counts_id": ids, "hour": hours})


def _add(tx: Transaction, changes: Iterable[Change]) -> None:
    hours: dict[Span, Change] = {}
    days: dict[Span, Change] = {}
    for change in changes:
        hour = change.place[2]
        hours[change.series_id, hour] = change
        if hour < change.days_until:
            span = (change.series_id, day_of(hour))
            if span not in days:
                days[span] = Change(change.place)
            days[span].add(change)
    add_to_hours(tx, hours)
    add_to_days(tx, days)
