"""A clock that tests set."""

from __future__ import annotations

START_US = 1_767_225_600_000_000  # 2026-01-01


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self, now_us: int = START_US) -> None:
        self._now_us = now_us
        self._steady_us = 0

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return self._now_us

    def steady_us(self) -> int:
        """Microseconds that went by."""
        return self._steady_us

    def advance(self, *, seconds: float) -> None:
        """Time goes by; with a negative number the clock is set back."""
        self._now_us += round(seconds * 1_000_000)
        self._steady_us += max(0, round(seconds * 1_000_000))

    def jump(self, *, seconds: float) -> None:
        """The clock is set, forward or back, and no time goes by."""
        self._now_us += round(seconds * 1_000_000)
