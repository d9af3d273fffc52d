"""Spans of time that figures are read for: whole hours, or whole days of UTC (behaviour.md, Release health)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US

KNOWN_US: Final = 90 * DAY_US
"""How far back sessions say that a release has health data."""
SHARES_US: Final = 23 * HOUR_US
"""How far before this hour the last 24 hours begin."""


def hour_of(time_us: int) -> int:
    """The beginning of the hour that holds the time."""
    return time_us - time_us % HOUR_US


def day_of(time_us: int) -> int:
    """The beginning of the day of UTC that holds the time."""
    return time_us - time_us % DAY_US


def floor_to(time_us: int, step_us: int) -> int:
    """The last whole step since 1970 that is not after the time."""
    return time_us - time_us % step_us


def ceil_to(time_us: int, step_us: int) -> int:
    """The first whole step since 1970 that is not before the time."""
    return time_us + -time_us % step_us


class Period(IntEnum):
    """A period that ends now; the numbers are those of the contract."""

    LAST_1H = 1
    LAST_24H = 2
    LAST_48H = 3
    LAST_7D = 4
    LAST_14D = 5
    LAST_30D = 6
    LAST_90D = 7


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time, its end left out, in buckets of one length. Start and end are whole hours."""

    start_us: int
    end_us: int
    step_us: int

    @property
    def buckets(self) -> range:
        """When each bucket begins, the oldest first; the last one may reach beyond the end."""
        return range(self.start_us, self.end_us, self.step_us)

    def bucket_of(self, time_us: int) -> int:
        """The place of the bucket that holds a time of the span."""
        return (time_us - self.start_us) // self.step_us


_STEPS: Final = {
    Period.LAST_1H: (HOUR_US, 1),
    Period.LAST_24H: (HOUR_US, 24),
    Period.LAST_48H: (HOUR_US, 48),
    Period.LAST_7D: (DAY_US, 7),
    Period.LAST_14D: (DAY_US, 14),
    Period.LAST_30D: (DAY_US, 30),
    Period.LAST_90D: (3 * DAY_US, 30),
}


def window_of(period: Period, now_us: int) -> Window:
    """The hours or days of a period: the one under way is its last."""
    step, buckets = _STEPS[period]
    end = hour_of(now_us) + HOUR_US if step == HOUR_US else day_of(now_us) + DAY_US
    return Window(end - buckets * step, end, step)


def last_day(now_us: int) -> Window:
    """This hour and the 23 before, in one bucket: what adoption is told of."""
    hour = hour_of(now_us)
    return Window(hour - SHARES_US, hour + HOUR_US, SHARES_US + HOUR_US)
