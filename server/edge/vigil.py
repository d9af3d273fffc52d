"""Looks after streams: every ten seconds each one is asked whether it may still go on.

A stream may last for hours. Meanwhile its token is revoked or expires, or another server takes its upload over, and its
handler may wait for a message that never comes. One thread asks for all of them, so that no message pays for it; who
may not go on is ended with the reason, whether its peer sends or not. See behaviour.md, Access and Files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from server.edge.lookout import Lookout
from store.errors import RegistryError, Unavailable

log = logging.getLogger("server.vigil")

LOOK_SECONDS: Final = 1.0
"""Between two rounds through the streams."""
ASK_SECONDS: Final = 10.0
"""After so long each is asked again."""
TRUST_SECONDS: Final = 30.0
"""So long a stream goes on without an answer, because the database is busy or down: it may be right again."""


class Ward:
    """One stream that is looked after: `ask` raises what it may not go on for, and `end` ends it with that.

    `now` is of `time.monotonic`.
    """

    __slots__ = ("_ask", "_asked", "_good", "end")

    def __init__(self, ask: Callable[[], object], end: Callable[[RegistryError], object], now: float) -> None:
        self._ask, self.end = ask, end
        self._asked = self._good = now

    def look(self, now: float) -> None:
        """Ask, if it is time."""
        if now - self._asked < ASK_SECONDS:
            return
        self._asked = now
        try:
            self._ask()
        except Unavailable as error:
            if now - self._good >= TRUST_SECONDS:
                self.end(error)
        except RegistryError as error:
            self.end(error)
        else:
            self._good = now


class Vigil:
    """The streams of one server. `start` it before the server, `stop` it after.

    `each_second` is what else is to be done about as often.
    """

    def __init__(self, *, each_second: Callable[[], object] = lambda: None) -> None:
        self._each_second = each_second
        self._wards: set[Ward] = set()
        self._lookout = Lookout("vigil", self._look, every_seconds=LOOK_SECONDS)

    def start(self) -> None:
        """Begin to ask."""
        self._lookout.start()

    def stop(self) -> None:
        """Ask no more, and return when nobody is being asked; streams are left alone."""
        self._lookout.stop()

    def enter(self, ask: Callable[[], object], end: Callable[[RegistryError], object]) -> Ward:
        """Look after a stream until `leave`, whose rights were looked at just now.

        `end` is called from another thread, and more than once when the stream does not end at the first.
        """
        ward = Ward(ask, end, time.monotonic())
        self._wards.add(ward)
        return ward

    def end_all(self, error: RegistryError) -> None:
        """End all streams that there are with this error."""
        for ward in tuple(self._wards):
            ward.end(error)

    def leave(self, ward: Ward) -> None:
        """Forget a stream that has ended."""
        self._wards.discard(ward)

    def _look(self) -> None:
        try:
            self._each_second()
        except Exception:
            log.exception("what is done each second failed")
        # A copy made in one step: other threads add and remove all the time.
        for ward in tuple(self._wards):
            if self._lookout.is_stopped:
                return
            try:
                ward.look(time.monotonic())
            except Exception:
                log.exception("a stream could not be looked at")
