"""Figures of many spans of time at once, each of its own: what releases are judged by that came at different times.

The same rows as in `store.health.rollups` come to the same figures, with few queries however many spans there are:
databases add up what is only counted, and sketches are read for those spans alone whose users are asked for.

Hours go sooner than days. Where a span begins or ends within a day whose hours are no longer all there, the whole of
that day counts: else what is known of it would be lost (behaviour.md, Thresholds).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import reduce
from itertools import islice
from operator import add
from typing import Any, Final, NamedTuple

from peewee import SQL, fn

from store.database import Query, Reader, hole, query_shape
from store.database.batches import batches, filled, holes
from store.health.figures import Figures
from store.health.models import HealthDay, HealthHour, HealthSeries
from store.health.series import Pair, SeriesRow, find_series
from store.health.sketches import Users
from store.health.windows import DAY_US, HOUR_US, ceil_to, day_of, floor_to, hour_of

_COUNTS: Final = (1, 2, 4, 8, 16, 32)
"""So many ranges are read by one query. SQLite allows 500, planning 32 is cheap."""


class PairSpan(NamedTuple):
    """What is asked for: a pair in one environment (None: in all), from a whole hour to before another."""

    pair: Pair
    environment: str | None
    start_us: int
    end_us: int


class _Range(NamedTuple):
    """The rows of hours, or of days, of a series, from the one that begins at `start` to before that at `end`."""

    by_day: bool
    series_id: bytes
    start: int
    end: int


class _Counts(NamedTuple):
    sessions: int = 0
    crashed: int = 0
    abnormal: int = 0
    errored: int = 0
    errors: int = 0


_NOTHING: Final = _Counts()


class _Part(NamedTuple):
    """Some of a span: a range; where that is of hours that are in a day, too, all hours of the day, and the day."""

    range: _Range
    hours: _Range | None = None
    day: _Range | None = None


def outward(start_us: int, end_us: int) -> tuple[int, int]:
    """The whole hours that hold what lies between two times."""
    return hour_of(start_us), ceil_to(end_us, HOUR_US)


def read_spans(
    reader: Reader, spans: Iterable[PairSpan], *, with_users: Collection[PairSpan] = ()
) -> dict[PairSpan, Figures]:
    """The figures of each span, without durations; users are told of those in `with_users`, and are 0 of all others."""
    asked = list(dict.fromkeys(spans))
    parts = _parts(reader, asked)
    every = (each for some in parts.values() for part in some for each in part if each is not None)
    counts = _read_counts(reader, dict.fromkeys(every))
    ranges = {span: [_chosen(part, counts) for part in parts.get(span, ())] for span in asked}
    users = _read_users(reader, [(span, each) for span in with_users for each in ranges[span] if each in counts])
    found: dict[PairSpan, Figures] = {}
    for span in asked:
        total = _Counts(*map(sum, zip(_NOTHING, *(counts.get(each, _NOTHING) for each in ranges[span]), strict=True)))
        seen, crashed = users.get(span, (0, 0))
        found[span] = Figures(
            session_count=total.sessions,
            user_count=seen,
            crashed_count=total.crashed,
            abnormal_count=total.abnormal,
            errored_count=total.errored,
            error_count=total.errors,
            crashed_user_count=crashed,
        )
    return found


def _parts(reader: Reader, spans: Sequence[PairSpan]) -> dict[PairSpan, list[_Part]]:
    """What is to be read for each span of which there may be anything."""
    series: dict[Pair, list[SeriesRow]] = {}
    for row in find_series(reader, {span.pair for span in spans}):
        series.setdefault(row.pair, []).append(row)
    until = _days_until(reader, [row.id for rows in series.values() for row in rows])
    return {
        span: [
            part
            for row in series[span.pair]
            if span.environment in (None, row.environment)
            and row.id in until
            and row.first_time < span.end_us
            and row.last_time >= span.start_us
            for part in _parts_of(row.id, span.start_us, span.end_us, until[row.id])
        ]
        for span in spans
        if span.pair in series
    }


def _parts_of(series_id: bytes, start: int, end: int, days_until: int) -> Iterator[_Part]:
    first, beyond = ceil_to(start, DAY_US), floor_to(end, DAY_US)
    if first <= beyond:
        switch = min(max(days_until, first), beyond)
        if start < first:
            yield _within_day(series_id, start, first, days_until)
        if first < switch:
            yield _Part(_Range(True, series_id, first, switch))
        if switch < beyond:
            yield _Part(_Range(False, series_id, switch, beyond))
        if beyond < end:
            yield _within_day(series_id, beyond, end, days_until)
    else:  # all of it lies within one day
        yield _within_day(series_id, start, end, days_until)


def _within_day(series_id: bytes, start: int, end: int, days_until: int) -> _Part:
    asked = _Range(False, series_id, start, end)
    day = day_of(start)
    if day >= days_until:
        return _Part(asked)
    return _Part(asked, _Range(False, series_id, day, day + DAY_US), _Range(True, series_id, day, day + DAY_US))


def _chosen(part: _Part, counts: dict[_Range, _Counts]) -> _Range:
    """Where the figures of the part stand."""
    if part.hours is None or part.day is None:
        return part.range
    return part.range if counts.get(part.hours) == counts.get(part.day) else part.day


def _read_counts(reader: Reader, ranges: Iterable[_Range]) -> dict[_Range, _Counts]:
    """What each range comes to; those without any rows are left out."""
    found: dict[_Range, _Counts] = {}
    for by_day, batch in _batches(ranges):
        query = _sums(by_day, len(batch))
        for place, *sums in reader.rows(query, **_values(batch)):
            if sums[0] is not None:
                found[batch[place]] = _Counts(*map(int, sums))
    return found


def _read_users(reader: Reader, asked: Sequence[tuple[PairSpan, _Range]]) -> dict[PairSpan, tuple[int, int]]:
    """How many users each span had, and how many of them saw a crash."""
    spans_of: dict[_Range, list[PairSpan]] = {}
    for span, each in asked:
        spans_of.setdefault(each, []).append(span)
    told = {span: (Users.of(None), Users.of(None)) for span, _ in asked}
    for by_day, batch in _batches(spans_of):
        for place, users, crashed_users in reader.rows(_sketches(by_day, len(batch)), **_values(batch)):
            for span in spans_of[batch[place]]:
                told[span][0].merge(users)
                told[span][1].merge(crashed_users)
    return {span: (users.estimate(), crashed.estimate()) for span, (users, crashed) in told.items()}


def _batches(ranges: Iterable[_Range]) -> Iterator[tuple[bool, list[_Range]]]:
    """The ranges of one table together, so many that a query is compiled for."""
    kinds: dict[bool, list[_Range]] = {False: [], True: []}
    for each in ranges:
        kinds[each.by_day].append(each)
    for by_day, some in kinds.items():
        left = iter(some)
        while waiting := list(islice(left, _COUNTS[-1])):
            while waiting:
                count = max(count for count in _COUNTS if count <= len(waiting))
                yield by_day, waiting[:count]
                waiting = waiting[count:]


def _values(ranges: Sequence[_Range]) -> dict[str, Any]:
    return {
        f"{name}_{place}": value
        for place, each in enumerate(ranges)
        for name, value in (("series", each.series_id), ("start", each.start), ("end", each.end))
    }


@query_shape
def _sums(by_day: bool, count: int) -> Query[tuple[Any, ...]]:
    model: Any = HealthDay if by_day else HealthHour
    columns = (
        model.session_count,
        model.crashed_count,
        model.abnormal_count,
        model.errored_count,
        model.error_count,
    )
    return _together(model, [fn.SUM(column) for column in columns], count)


@query_shape
def _sketches(by_day: bool, count: int) -> Query[tuple[Any, ...]]:
    model: Any = HealthDay if by_day else HealthHour
    return _together(model, [model.users, model.crashed_users], count, model.users.is_null(False))


def _together(model: Any, columns: Sequence[Any], count: int, *conditions: Any) -> Query[tuple[Any, ...]]:
    members = [
        model.select(SQL(str(place)).alias("place"), *columns).where(
            model.series_id == hole(model.series_id, f"series_{place}"),
            model.start_time >= hole(model.start_time, f"start_{place}"),
            model.start_time < hole(model.start_time, f"end_{place}"),
            *conditions,
        )
        for place in range(count)
    ]
    return Query(reduce(add, members))


def _days_until(reader: Reader, series_ids: Sequence[bytes]) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for batch in batches(sorted(series_ids)):
        found.update(reader.rows(_until(len(batch)), **filled(batch)))
    return found


@query_shape
def _until(count: int) -> Query[tuple[bytes, int]]:
    return Query(
        HealthSeries.select(HealthSeries.id, HealthSeries.days_until).where(
            HealthSeries.id.in_(holes(HealthSeries.id, count))
        )
    )
