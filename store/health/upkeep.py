"""Upkeep of what is counted: hours become days, and what is older than it is kept for goes (behaviour.md, Release
health).

All in short writes, each whole by itself: a run that is cut at any point is gone on with by the next one, on whatever
server. Sessions go first, then hours, which no update can change any more by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeVar

import peewee

from store.crashpoints import crashpoint
from store.database import Database, Query, Statement, Transaction, hole, holes_for, query_shape
from store.database.batches import batches, filled, holes
from store.database.fields import CountField
from store.health.items import SessionLimits
from store.health.locks import lock_known_health
from store.health.models import CountedSessions, HealthDay, HealthHour, HealthSeries, Session
from store.health.sketches import Durations, Users
from store.health.windows import DAY_US, day_of, hour_of

MOST_HOURS: Final = 480
"""The most rows of hours that one write adds up, each with its sketches."""
MOST_ROLLUPS: Final = 1000
"""The most rows of hours or days that one write removes; they hold some KiB each."""
MOST_SESSIONS: Final = 2500
"""The most rows of sessions that one write removes."""

_SERIES_AT_ONCE: Final = 500
_HOURS_OF_DAY: Final = 24

Stopped = Callable[[], bool]
K = TypeVar("K", bytes, int)


@dataclass(slots=True)
class KeptUp:
    """How many rows of days were built, and how many rows of sessions, hours, days and series were removed."""

    built: int = 0
    sessions: int = 0
    hours: int = 0
    days: int = 0
    series: int = 0

    @property
    def changes(self) -> int:
        """All of them."""
        return self.built + self.sessions + self.hours + self.days + self.series


class _Open(NamedTuple):
    """A series with hours that are in no day yet."""

    id: bytes
    project_id: bytes
    days_until: int


class _Rollup(NamedTuple):
    """A row of an hour or a day, without what it is of."""

    start_time: int
    session_count: int
    crashed_count: int
    abnormal_count: int
    errored_count: int
    error_count: int
    users: bytes | None
    crashed_users: bytes | None
    durations: bytes | None


_LIMIT: Final = CountField()
_LIMIT.name = "limit"

_IS_OPEN: Final = (HealthSeries.last_time >= HealthSeries.days_until) & (
    HealthSeries.days_until < hole(HealthSeries.days_until, "until")
)
_OPEN_COLUMNS: Final = (HealthSeries.id, HealthSeries.project_id, HealthSeries.days_until)
_OPEN: Final = Query(
    HealthSeries.select(*_OPEN_COLUMNS)
    .where(
        _IS_OPEN,
        peewee.Tuple(HealthSeries.days_until, HealthSeries.id)
        > peewee.Tuple(hole(HealthSeries.days_until), hole(HealthSeries.id)),
    )
    .order_by(HealthSeries.days_until, HealthSeries.id)
    .limit(_SERIES_AT_ONCE),
    row=_Open,
)
_HOURS: Final = Query(
    HealthHour.select(*(getattr(HealthHour, name) for name in _Rollup._fields))
    .where(
        HealthHour.series_id == hole(HealthHour.series_id),
        HealthHour.start_time >= hole(HealthHour.start_time, "start"),
        HealthHour.start_time < hole(HealthHour.start_time, "until"),
    )
    .order_by(HealthHour.start_time)
    .limit(hole(_LIMIT)),
    row=_Rollup,
)
_DAY_FIELDS: Final = [getattr(HealthDay, name) for name in _Rollup._fields if name != "start_time"]
_KEEP_DAY: Final = Statement(
    HealthDay.insert(holes_for(HealthDay.series_id, HealthDay.start_time, *_DAY_FIELDS)).on_conflict(
        conflict_target=[HealthDay.series_id, HealthDay.start_time], preserve=_DAY_FIELDS
    )
)
_MOVE_ON: Final = Statement(
    HealthSeries.update({HealthSeries.days_until: hole(HealthSeries.days_until)}).where(
        HealthSeries.id == hole(HealthSeries.id)
    )
)


@query_shape
def _still_open(count: int) -> Query[_Open]:
    return Query(
        HealthSeries.select(*_OPEN_COLUMNS)
        .where(HealthSeries.id.in_(holes(HealthSeries.id, count)), _IS_OPEN)
        .order_by(HealthSeries.id),
        row=_Open,
    )


@query_shape
def _projects_of(count: int) -> Query[tuple[bytes]]:
    return Query(
        HealthSeries.select(HealthSeries.project_id)
        .distinct()
        .where(HealthSeries.id.in_(holes(HealthSeries.id, count)))
        .order_by(HealthSeries.project_id)
    )


@query_shape
def _delete_empty(count: int) -> Statement:
    """Series that count nothing any more, and will not: nobody may tell of sessions as old as theirs."""
    counts = [
        peewee.fn.EXISTS(model.select(peewee.SQL("1")).where(model.series_id == HealthSeries.id))
        for model in (HealthHour, HealthDay)
    ]
    return Statement(
        HealthSeries.delete().where(
            HealthSeries.id.in_(holes(HealthSeries.id, count)),
            HealthSeries.last_time < hole(HealthSeries.last_time),
            ~counts[0],
            ~counts[1],
        )
    )


def _some_before(model: Any, key: Any) -> Query[tuple[bytes, bytes]]:
    """Some rows of sessions that began in hours before a time, by project and key."""
    return Query(
        model.select(model.project_id, key)
        .where(model.hour < hole(model.hour))
        .order_by(model.hour, model.project_id, key)
        .limit(hole(_LIMIT))
    )


_OLD_SESSIONS: Final = (
    (Session, Session.session_id, _some_before(Session, Session.session_id)),
    (CountedSessions, CountedSessions.counts_id, _some_before(CountedSessions, CountedSessions.counts_id)),
)
# Hours that are in no day yet stay, however old.
_OLD_HOURS: Final = Query(
    HealthHour.select(HealthHour.start_time, HealthHour.series_id)
    .join(HealthSeries, on=(HealthSeries.id == HealthHour.series_id))
    .where(HealthHour.start_time < hole(HealthHour.start_time), HealthHour.start_time < HealthSeries.days_until)
    .order_by(HealthHour.start_time, HealthHour.series_id)
    .limit(hole(_LIMIT))
)
_OLD_DAYS: Final = Query(
    HealthDay.select(HealthDay.start_time, HealthDay.series_id)
    .where(HealthDay.start_time < hole(HealthDay.start_time))
    .order_by(HealthDay.start_time, HealthDay.series_id)
    .limit(hole(_LIMIT))
)


# By their keys, all of which an index leads to: of a DELETE with a LIMIT within, PostgreSQL may read the whole table.
@query_shape
def _delete_sessions(model: Any, key: Any, count: int) -> Statement:
    of_project = (model.project_id == hole(model.project_id)) & key.in_(holes(key, count))
    return Statement(model.delete().where(of_project, model.hour < hole(model.hour)))


@query_shape
def _delete_rollups(model: Any, count: int) -> Statement:
    of_series = model.series_id.in_(holes(model.series_id, count))
    return Statement(model.delete().where(of_series, model.start_time == hole(model.start_time)))


def keep_up(db: Database, limits: SessionLimits, *, stopped: Stopped = lambda: False) -> KeptUp:
    """Do all that is due by now; what was done. `stopped` is asked between two writes.

    Hours before yesterday are added up to days, and stay for `limits.hour_days`; days stay for `limits.days`, sessions
    for a day longer than `limits.session_days`. May be called at any time, and by several servers at once.
    """
    done = KeptUp()
    now_us = db.now_us()
    sessions_until = hour_of(now_us) - (limits.session_days + 1) * DAY_US
    for model, key, old in _OLD_SESSIONS:
        purge = partial(_purge_sessions, model=model, key=key, old=old, until=sessions_until)
        done.sessions += _repeated(db, purge, MOST_SESSIONS, stopped)
    for project_id, ids in _open_series(db, day_of(now_us) - DAY_US, stopped):
        done.built += _build(db, project_id, ids, day_of(now_us) - DAY_US, stopped)
    if stopped():
        return done
    hours_until = day_of(now_us) - limits.hour_days * DAY_US
    purge = partial(_purge_hours, until=hours_until)
    done.hours += _repeated(db, purge, MOST_ROLLUPS, stopped)
    days_until = day_of(now_us) - limits.days * DAY_US
    removed = MOST_ROLLUPS
    while removed >= MOST_ROLLUPS and not stopped():
        purged: tuple[int, int] = db.write(partial(_purge_days, until=days_until))
        crashpoint("upkeep.days_purged")
        removed = purged[0]
        done.days += purged[0]
        done.series += purged[1]
    return done


def _repeated(db: Database, purge: Callable[[Transaction], int], most: int, stopped: Stopped) -> int:
    """Purge until less than the most is left; how many rows went."""
    rows = 0
    removed = most
    while removed >= most and not stopped():
        removed = db.write(purge)
        crashpoint("upkeep.purged")
        rows += removed
    return rows


def _purge_sessions(tx: Transaction, model: Any, key: Any, old: Query[tuple[bytes, bytes]], until: int) -> int:
    """Remove some rows of sessions that began in hours before that time; how many."""
    removed = 0
    for project_id, ids in _grouped(tx.rows(old, hour=until, limit=MOST_SESSIONS)):
        for batch in batches(ids):
            statement = _delete_sessions(model, key, len(batch))
            # One that was told anew meanwhile, after another server had removed it, is not old.
            removed += tx.run(statement, project_id=project_id, hour=until, **filled(batch))
    return removed


def _purge_hours(tx: Transaction, until: int) -> int:
    """Remove some rows of hours before that time; how many."""
    return _delete_all(tx, HealthHour, tx.rows(_OLD_HOURS, start_time=until, limit=MOST_ROLLUPS))


def _delete_all(tx: Transaction, model: Any, rows: Iterable[tuple[int, bytes]]) -> int:
    removed = 0
    for start_time, ids in _grouped(rows):
        for batch in batches(ids):
            removed += tx.run(_delete_rollups(model, len(batch)), start_time=start_time, **filled(batch))
    return removed


def _grouped(rows: Iterable[tuple[K, bytes]]) -> Iterator[tuple[K, list[bytes]]]:
    """The ids that belong to each first value, all sorted: whoever does the same locks in the same order."""
    found: dict[K, list[bytes]] = {}
    for first, id_ in rows:
        found.setdefault(first, []).append(id_)
    for first in sorted(found):
        yield first, sorted(found[first])


def _purge_days(tx: Transaction, until: int) -> tuple[int, int]:
    """Remove some days before that time, and series that had no other; how many of both."""
    rows = tx.rows(_OLD_DAYS, start_time=until, limit=MOST_ROLLUPS)
    ids = sorted({series_id for _, series_id in rows})
    projects = [id_ for batch in batches(ids) for (id_,) in tx.rows(_projects_of(len(batch)), **filled(batch))]
    lock_known_health(tx, projects)
    days = _delete_all(tx, HealthDay, rows)
    removed = sum(tx.run(_delete_empty(len(batch)), last_time=until, **filled(batch)) for batch in batches(ids))
    crashpoint("upkeep.days_out_of_rows")
    return days, removed


def _open_series(db: Database, until: int, stopped: Stopped) -> Iterator[tuple[bytes, list[bytes]]]:
    """The series with hours before that time that are in no day yet, some of one project at a time."""
    place = (-1, bytes(16))
    while not stopped():
        found = db.rows(_OPEN, until=until, days_until=place[0], id=place[1])
        if not found:
            return
        place = (found[-1].days_until, found[-1].id)
        by_project = sorted(found, key=attrgetter("project_id", "id"))
        for project_id, rows in groupby(by_project, attrgetter("project_id")):
            yield project_id, [row.id for row in rows]


def _build(db: Database, project_id: bytes, ids: Sequence[bytes], until: int, stopped: Stopped) -> int:
    """Build all days of these series of the project before that time; how many."""
    built, left = 0, list(ids)
    while left and not stopped():
        some: tuple[int, list[bytes]] = db.write(partial(_build_some, project_id=project_id, ids=left, until=until))
        crashpoint("upkeep.built")
        built += some[0]
        left = some[1]
    return built


def _build_some(tx: Transaction, project_id: bytes, ids: Sequence[bytes], until: int) -> tuple[int, list[bytes]]:
    """Build days of the first of these series; how many, and the series that may have more."""
    if not lock_known_health(tx, [project_id]):
        return 0, []  # all that is counted of a deleted project is being removed
    room, built = MOST_HOURS, 0
    left = list(ids)
    open_series = {
        row.id: row for batch in batches(left) for row in tx.rows(_still_open(len(batch)), until=until, **filled(batch))
    }
    while left and room > 0:
        series = open_series.get(left[0])
        if series is not None:
            days, hours, is_all = _build_series(tx, series, until, max(room, _HOURS_OF_DAY))
            built += days
            room -= max(hours, 1)
            if not is_all:
                break
        del left[0]
    crashpoint("upkeep.days_in_rows")
    return built, left


def _build_series(tx: Transaction, series: _Open, until: int, room: int) -> tuple[int, int, bool]:
    """Build the first days of the series before that time: of so many hours at most, but of a whole day at least. How
    many days, of how many hours, and whether these are all."""
    hours = tx.rows(_HOURS, series_id=series.id, start=series.days_until, until=until, limit=room)
    is_all = len(hours) < room
    by_day = [(day, list(rows)) for day, rows in groupby(hours, lambda row: day_of(row.start_time))]
    if not is_all and len(by_day) > 1:
        hours = hours[: -len(by_day.pop()[1])]  # there may be more hours of that day
    tx.run_many(_KEEP_DAY, [{"series_id": series.id, **_day_of(day, rows)} for day, rows in by_day])
    tx.run(_MOVE_ON, id=series.id, days_until=until if is_all else by_day[-1][0] + DAY_US)
    return len(by_day), len(hours), is_all


def _day_of(start_time: int, hours: Iterable[_Rollup]) -> dict[str, Any]:
    """The columns of a day with these hours."""
    rows = list(hours)
    users, crashed_users, durations = Users(), Users(), Durations()
    for row in rows:
        users.merge(row.users)
        crashed_users.merge(row.crashed_users)
        durations.merge(row.durations)
    counts = ("session_count", "crashed_count", "abnormal_count", "errored_count", "error_count")
    return {
        "start_time": start_time,
        **{name: sum(getattr(row, name) for row in rows) for name in counts},
        "users": users.data(),
        "crashed_users": crashed_users.data(),
        "durations": durations.data(),
    }
