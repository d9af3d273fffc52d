"""The time, handed in: nothing in the store asks the operating system for it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The clock of the operating system."""

    __slots__ = ()

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC, as the operating system says; it may step back when the clock is set."""
        return time.time_ns() // 1000
