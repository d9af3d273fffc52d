"""The clock of the PostgreSQL server, without asking it for every write.

Servers of one database need not agree on the time, and a clock that is set on one of them changes no row. The answer is
carried on by the steady clock of this machine and asked for anew every ten seconds.
"""

from __future__ import annotations

import threading
from typing import Final

from store.clock import SystemClock

NOW: Final = b"SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
"""Asks the server, in microseconds since 1970-01-01 UTC."""

ASK_US: Final = 10 * 1_000_000


class PostgresClock(SystemClock):
    """Tells the time of the server, as far off at most as an answer took. It is `told` before it is asked."""

    __slots__ = ("_ahead", "_asked", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead: int | None = None
        self._asked = 0

    @property
    def is_due(self) -> bool:
        """Whether the server should be asked with the next statement."""
        return self._ahead is None or not 0 <= self.steady_us() - self._asked < ASK_US

    def told(self, now: int, before: int) -> None:
        """The server's answer to NOW, asked at the steady time `before`."""
        after = self.steady_us()
        with self._lock:
            # It was read somewhere in between. Within that nothing changes, or time would go back by what is noise.
            ahead = now - after if self._ahead is None else self._ahead
            self._ahead, self._asked = min(max(ahead, now - after), now - before), after

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC, as the server says; it may step back when its clock is set."""
        assert self._ahead is not None, "the server is asked when the database is opened"
        return self.steady_us() + self._ahead
