"""A clock that tests set."""

from __future__ import annotations

START_US = 1_767_225_600_000_000  # 2026-01-01


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self, now_us: int = START_US) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return self._now_us

    def advance(self, *, seconds: float) -> None:
        """Move on; a negative time moves back."""
        self._now_us += round(seconds * 1_000_000)
