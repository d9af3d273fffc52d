"""The grace time, measured so that a clock that is set while the server runs shortens it for nothing.

Rows say when something was last used, by the clock of the database: PostgreSQL's own, or on SQLite that of the one
process that has it. When that clock jumps forward, what was used just now looks old. So each look at it is held against
a clock that nobody sets. What runs ahead of that is not believed until as much time as the grace time has really gone
by since: whatever was used before the jump is old by then. A clock that was set back only keeps things longer.
"""

from __future__ import annotations

import logging
import math
import threading
from typing import Final, NamedTuple

from store.database import Database

log = logging.getLogger(__name__)

MOST_SLACK_US: Final = 60 * 1_000_000
"""So much ahead is drift, and a clock that is being set right slowly. Of a short grace time it is at most a tenth."""


class _Look(NamedTuple):
    """What the clock said, and the steady time when it was asked."""

    now: int
    at: int

    def later(self, steady: int) -> int:
        """What the clock says at that steady time unless it is set."""
        return self.now + steady - self.at


class Grace:
    """A grace time by the clock of a database. Safe for several threads.

    Raises ValueError when the seconds are no time at all.
    """

    def __init__(self, database: Database, seconds: float) -> None:
        if not math.isfinite(seconds) or seconds <= 0:
            raise ValueError(f"{seconds!r} seconds are no grace time")
        self.us = round(seconds * 1_000_000)
        self._database = database
        self._slack = min(MOST_SLACK_US, self.us // 10)
        self._lock = threading.Lock()
        self._believed: _Look | None = None
        self._doubted: _Look | None = None

    def cutoff(self) -> int:
        """What was last used then or before has had its grace time, in microseconds since 1970. Raises DatabaseBusy,
        DatabaseDown."""
        with self._lock:
            # Asked before and after, so that a thread that had to wait in between takes no jump for time.
            before = self._database.clock.steady_us()
            look = _Look(self._database.now_us(), before)
            after = self._database.clock.steady_us()
            if self._believed is None or look.now <= self._believed.later(after) + self._slack:
                self._believed, self._doubted = look, None
            elif self._is_to_be_doubted(look, after):
                return self._believed.later(before) - self.us
            return look.now - self.us

    def _is_to_be_doubted(self, look: _Look, after: int) -> bool:
        """Whether the clock, which is ahead, has been so, and nothing else, for less than the grace time."""
        assert self._believed is not None
        doubted = self._doubted
        if (
            doubted is None
            or not doubted.later(look.at) - self._slack <= look.now <= doubted.later(after) + self._slack
        ):
            ahead = (look.now - self._believed.later(look.at)) // 1_000_000
            log.error(
                "the clock was set forward; nothing that is younger by the steady clock is collected",
                extra={"fields": {"seconds": ahead}},
            )
            self._doubted = look._replace(at=after)
            return True
        if look.at - doubted.at < self.us:
            return True
        self._believed, self._doubted = look, None
        return False
