"""Spans of time that callers ask for, as buckets."""

from __future__ import annotations

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from store.errors import InvalidField
from store.health.spans import MAX_BUCKETS, Span, hours_since, window_asked
from store.health.windows import DAY_US, HOUR_US, Period, Window, day_of, hour_of, last_day, window_of

NOW = 1_790_000_000_000_000  # 2026-09-21, 14:13:20
times = st.integers(NOW - 60 * DAY_US, NOW + 2 * DAY_US)
intervals = st.one_of(st.integers(1, 30).map(lambda n: n * HOUR_US), st.integers(1, 5).map(lambda n: n * DAY_US))


def asked(*, hour_days: int = 35, **span: object) -> Window:
    return window_asked(Span(**span), now_us=NOW, hour_days=hour_days)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("period", "step", "count"),
    [
        (Period.LAST_1H, HOUR_US, 1),
        (Period.LAST_24H, HOUR_US, 24),
        (Period.LAST_48H, HOUR_US, 48),
        (Period.LAST_7D, DAY_US, 7),
        (Period.LAST_14D, DAY_US, 14),
        (Period.LAST_30D, DAY_US, 30),
        (Period.LAST_90D, 3 * DAY_US, 30),
    ],
)
def test_a_period_ends_with_the_bucket_that_is_under_way(period: Period, step: int, count: int) -> None:
    window = window_of(period, NOW)
    assert (window.step_us, len(window.buckets), window.end_us - window.start_us) == (step, count, step * count)
    assert window.end_us == (hour_of(NOW) + HOUR_US if step == HOUR_US else day_of(NOW) + DAY_US)
    assert window == asked(period=period) == asked(period=period, interval_us=step)
    assert window.bucket_of(NOW) == count - 1


def test_nothing_said_means_fourteen_days() -> None:
    assert asked() == window_of(Period.LAST_14D, NOW)


def test_the_last_24_hours_are_one_bucket() -> None:
    window = last_day(NOW)
    assert (window.end_us, len(window.buckets)) == (hour_of(NOW) + HOUR_US, 1)
    assert window.end_us - window.start_us == DAY_US


@given(start=times, end=st.none() | times, interval=st.none() | intervals, hour_days=st.integers(31, 90))
def test_a_span_is_covered_by_whole_intervals_and_by_no_more(
    start: int, end: int | None, interval: int | None, hour_days: int
) -> None:
    until = NOW if end is None else end
    try:
        window = asked(start_us=start, end_us=end, interval_us=interval, hour_days=hour_days)
    except InvalidField as refused:
        field = refused.metadata["field"]
        if until <= start:
            assert field == ("start_time" if end is None else "end_time")
        elif field == "interval":
            assert interval is not None
            assert interval % DAY_US
            assert start // interval * interval < hours_since(NOW, hour_days)
        else:
            assert interval is not None
            assert (until - start) // interval + 2 > MAX_BUCKETS
        return
    step = window.step_us
    assert step == (interval or (HOUR_US if step == HOUR_US else DAY_US))
    assert window.start_us % step == window.end_us % step == 0
    assert window.start_us <= start < window.start_us + step
    assert window.end_us - step < until <= window.end_us
    assert len(window.buckets) <= MAX_BUCKETS
    if interval is None and step == HOUR_US:
        assert until - start <= 2 * DAY_US
    # What is told by the hour is all still there.
    assert step % DAY_US == 0 or window.start_us >= hours_since(NOW, hour_days)


@given(period=st.sampled_from(Period), interval=intervals, hour_days=st.integers(31, 90))
def test_a_period_of_other_buckets_ends_where_it_did_and_begins_no_later(
    period: Period, interval: int, hour_days: int
) -> None:
    plain = window_of(period, NOW)
    try:
        window = asked(period=period, interval_us=interval, hour_days=hour_days)
    except InvalidField as refused:
        field = refused.metadata["field"]
        too_many = len(plain.buckets) * plain.step_us // interval > MAX_BUCKETS
        gone = interval % DAY_US and plain.start_us - interval < hours_since(NOW, hour_days)
        event(f"{field} is refused")
        if not (field == "interval" and (too_many or gone)):
            raise
        return
    assert window.step_us == interval
    assert window.start_us <= plain.start_us < window.start_us + interval + DAY_US
    assert plain.end_us <= window.end_us < plain.end_us + DAY_US
    if interval % DAY_US == 0:
        assert window.start_us % DAY_US == window.end_us % DAY_US == 0
    assert window.bucket_of(NOW) == len(window.buckets) - 1 - (window.end_us - 1 - NOW) // interval


def test_hours_are_there_from_the_first_whole_day_on() -> None:
    since = hours_since(NOW, 35)
    assert since % DAY_US == 0
    assert NOW - 35 * DAY_US <= since < NOW - 34 * DAY_US
    assert asked(start_us=since, end_us=since + HOUR_US).step_us == HOUR_US
    assert asked(start_us=since - 1, end_us=since + HOUR_US).step_us == DAY_US
