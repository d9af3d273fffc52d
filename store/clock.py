"""The time, handed in: nothing in the store asks the operating system for it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        ...

    def steady_us(self) -> int:
        """Microseconds since some moment; nobody sets this one, so it tells how much time went by."""
        ...


# Goes on while the machine sleeps, as the time of day does; elsewhere than on Linux the monotonic one has to do.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The clock of the operating system."""

    __slots__ = ()

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC, as the operating system says; it may step back when the clock is set."""
        return time.time_ns() // 1000

    def steady_us(self) -> int:
        """Microseconds since the machine was started."""
        return time.clock_gettime_ns(_STEADY) // 1000
