"""The span of time that a caller asks figures for (behaviour.md, Release health)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from store.errors import InvalidField
from store.health.windows import DAY_US, HOUR_US, Period, Window, ceil_to, day_of, floor_to, window_of

MAX_BUCKETS: Final = 1_000
HOURLY_US: Final = 2 * DAY_US
"""Up to this length a span is told by the hour when nobody says otherwise."""

# What a timestamp can hold: the years 1 to 9999.
_FIRST_US: Final = -62_135_596_800_000_000
_LAST_US: Final = 253_402_300_800_000_000


@dataclass(frozen=True, slots=True)
class Span:
    """A period that ends now, or a span of its own; neither means LAST_14D. Times and the interval in microseconds; the
    interval is the length of a bucket."""

    period: Period | None = None
    start_us: int | None = None
    end_us: int | None = None
    interval_us: int | None = None


LAST_14D: Final = Span()


def hours_since(now_us: int, hour_days: int) -> int:
    """The first day of which all hours are surely there, where hours are kept for so many days."""
    return day_of(now_us - hour_days * DAY_US) + DAY_US


def window_asked(span: Span, *, now_us: int, hour_days: int) -> Window:
    """The buckets that the caller asks for. Raises InvalidField."""
    interval = span.interval_us
    if interval is not None and (interval < HOUR_US or interval % HOUR_US):
        raise InvalidField("interval", "is no whole number of hours, one at least, or of days")
    if span.start_us is None:
        if span.end_us is not None:
            raise InvalidField("start_time", "is missing, and there is an end_time")
        window = _period(span.period or Period.LAST_14D, interval, now_us)
    elif span.period is not None:
        raise InvalidField("period", "is there, and a start_time, too; only one of them can be")
    else:
        window = _own(span.start_us, span.end_us, interval, now_us, hour_days)
    if window.step_us % DAY_US and window.start_us < hours_since(now_us, hour_days):
        raise InvalidField("interval", f"is no whole number of days, and hours are kept for {hour_days} days only")
    return window


def _period(period: Period, interval: int | None, now_us: int) -> Window:
    window = window_of(period, now_us)
    if interval is None or interval == window.step_us:
        return window
    if interval % DAY_US == 0 and window.end_us % DAY_US:  # days, of a period that ends with this hour
        window = Window(window.start_us, ceil_to(window.end_us, DAY_US), window.step_us)
    # Counted back from the end, so that the last bucket is the one under way.
    buckets = -(-(window.end_us - window.start_us) // interval)
    return _bounded(Window(window.end_us - buckets * interval, window.end_us, interval), "interval")


def _own(start_us: int, end_us: int | None, interval: int | None, now_us: int, hour_days: int) -> Window:
    end = now_us if end_us is None else end_us
    if end <= start_us:
        if end_us is None:
            raise InvalidField("start_time", "is not before now, and there is no end_time")
        raise InvalidField("end_time", "is not after start_time")
    if interval is None:
        hourly = end - start_us <= HOURLY_US and floor_to(start_us, HOUR_US) >= hours_since(now_us, hour_days)
        interval = HOUR_US if hourly else DAY_US
    field = "start_time" if end_us is None else "end_time"
    return _bounded(Window(floor_to(start_us, interval), ceil_to(end, interval), interval), field)


def _bounded(window: Window, field: str) -> Window:
    if len(window.buckets) > MAX_BUCKETS:
        raise InvalidField(field, f"makes {len(window.buckets):,} buckets; at most {MAX_BUCKETS:,} are answered")
    if window.start_us < _FIRST_US:
        raise InvalidField("start_time", "lies in the first interval of the calendar")
    if window.end_us >= _LAST_US:
        raise InvalidField("end_time", "lies in the last interval of the calendar")
    return window
