"""Reading what series count: rows of days as far as there are such, and rows of hours for the rest.

Hours before a series' days_until are counted in its days, too; either gives the same sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from peewee import Case, Select, fn

from store.database import Database, Query, Reader, TimeField, hole, query_shape
from store.database.batches import batches, filled, holes
from store.health.models import HealthDay, HealthHour, HealthSeries
from store.health.windows import DAY_US, HOUR_US, Window, ceil_to, floor_to

# Of more series than these at once a row of each day of a year would be too much to hold.
_MOST_SERIES: Final = 64
_MOST_SUMMED: Final = 500

_SUMMED: Final = ("series_id", "session_count", "crashed_count")


class RollupRow(NamedTuple):
    """What a series counts in an hour or a day; sketches None where nothing is in them."""

    series_id: bytes
    start_time: int
    session_count: int
    crashed_count: int
    abnormal_count: int
    errored_count: int
    error_count: int
    users: bytes | None
    crashed_users: bytes | None
    durations: bytes | None


def read_rollups(reader: Reader | Database, series_ids: Sequence[bytes], window: Window) -> Iterator[tuple[Any, ...]]:
    """What the series count in the window, each row within one bucket, and as a `RollupRow` is; in no order.

    A window whose steps are no whole days is read from hours alone.
    """
    return _rows(reader, series_ids, window, RollupRow._fields)


def read_counts_by_series(
    reader: Reader | Database, series_ids: Sequence[bytes], window: Window
) -> Iterator[tuple[bytes, int, int]]:
    """The series, the time and the number of sessions of each such row."""
    return _rows(reader, series_ids, window, ("series_id", "start_time", "session_count"))


def read_session_users(
    reader: Reader | Database, series_ids: Sequence[bytes], window: Window
) -> Iterator[tuple[bytes, int, bytes | None]]:
    """The series, the number of sessions and the sketch of users of each such row."""
    return _rows(reader, series_ids, window, ("series_id", "session_count", "users"))


def read_users(
    reader: Reader | Database, series_ids: Sequence[bytes], window: Window, *, crashed: bool
) -> Iterator[tuple[Any, ...]]:
    """The series and the sketch of users of each such row, with `crashed` that of crashed users, too."""
    return _rows(reader, series_ids, window, ("series_id", "users", *(["crashed_users"] if crashed else [])))


def read_sums(
    reader: Reader | Database, series_ids: Sequence[bytes], window: Window
) -> Iterator[tuple[bytes, int, int]]:
    """The sessions and the crashed sessions of each series that has any in the window."""
    return _rows(reader, series_ids, window, _SUMMED, most=_MOST_SUMMED)


def rows_within(window: Window) -> int:
    """How many rows of a series a window is read from at most, where days are added up as they should be."""
    hours = (window.end_us - window.start_us) // HOUR_US
    return min(hours, 72) + hours // 24 if _by_days(window) else hours


def _by_days(window: Window) -> bool:
    whole = ceil_to(window.start_us, DAY_US) < floor_to(window.end_us, DAY_US)
    return whole and (window.step_us % DAY_US == 0 or len(window.buckets) == 1)


def _rows(
    reader: Reader | Database,
    series_ids: Sequence[bytes],
    window: Window,
    columns: tuple[str, ...],
    *,
    most: int = _MOST_SERIES,
) -> Iterator[Any]:
    start, end = window.start_us, window.end_us
    days, days_end = ceil_to(start, DAY_US), floor_to(end, DAY_US)
    by_days = _by_days(window)
    spans = {"start": start, "end": end}
    if by_days:
        spans |= {"days": days, "days_end": days_end}
    before = by_days and start < days
    for first in range(0, len(series_ids), most):
        # What fills a batch up is read once all the same.
        for batch in batches(series_ids[first : first + most]):
            query = _query(len(batch), by_days, before, columns)
            needed = spans if before or not by_days else {name: spans[name] for name in ("end", "days", "days_end")}
            yield from reader.rows(query, **needed, **filled(batch))


def _time(name: str) -> Any:
    return hole(TimeField(), name)


@query_shape
def _query(series: int, by_days: bool, before: bool, columns: tuple[str, ...]) -> Query[Any]:
    found = _found(series, by_days, before, columns)
    if columns != _SUMMED:
        return Query(found)
    every = found.alias("every")
    # PostgreSQL sums BIGINT as NUMERIC.
    sums = [fn.SUM(getattr(every.c, name)).cast("BIGINT") for name in _SUMMED[1:]]
    return Query(Select([every], [every.c.series_id, *sums]).group_by(every.c.series_id))


def _found(series: int, by_days: bool, before: bool, columns: tuple[str, ...]) -> Any:
    def of(model: Any, *spans: Any) -> Any:
        there = model.series_id.in_(holes(model.series_id, series))
        return model.select(*[getattr(model, name) for name in columns]).where(there, *spans)

    def joined(model: Any, *spans: Any) -> Any:
        # Told of the series, not of its rows: PostgreSQL would read all series for it.
        there = HealthSeries.id.in_(holes(HealthSeries.id, series))
        found = model.select(*[getattr(model, name) for name in columns])
        return found.join(HealthSeries, on=(HealthSeries.id == model.series_id)).where(there, *spans)

    hour, day = HealthHour.start_time, HealthDay.start_time
    if not by_days:
        return of(HealthHour, hour >= _time("start"), hour < _time("end"))
    # One bound, not several: SQLite seeks by the first that it reads, and passes over all that the others leave out.
    until = HealthSeries.days_until
    switch = Case(None, ((until < _time("days"), _time("days")), (until > _time("days_end"), _time("days_end"))), until)
    found = joined(HealthDay, day >= _time("days"), day < switch)
    found = found.union_all(joined(HealthHour, hour >= switch, hour < _time("end")))
    if before:
        found = found.union_all(of(HealthHour, hour >= _time("start"), hour < _time("days")))
    return found
