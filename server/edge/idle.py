"""Cuts calls whose peer keeps silent: it sends nothing that we wait for, or takes nothing that we send.

grpc's reads and writes have no time limit, so a peer that opens a call and falls silent would hold its thread for
ever (keepalive only finds dead connections). One thread looks at all waiting calls every second and cancels those that
wait too long; the peer sees CANCELLED, and may resume.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, Protocol

import grpc

from server.edge.lookout import Lookout
from server.telemetry.metrics import SILENT_CALLS

log = logging.getLogger("server.idle")

NEVER: Final = float("inf")
LEAST_RATE: Final = 16 * 2**10
"""Bytes a second that files must come or go with, in the long run, while their peers are waited for."""


class Cancellable(Protocol):
    """A call that can be ended from any thread."""

    def cancel(self) -> object:
        """End it: its peer sees CANCELLED, its handler's next read or write fails."""


class Patience:
    """How long one call may still wait for its peer, and last in all; times of `time.monotonic`, or NEVER.

    At `until` the call is cancelled. At `overdue` its handler is known not to notice that its time is over.

    With `least_rate` waiting uses it up, and only so many bytes as these give a second of it back: who sends, or takes,
    next to nothing is cut as surely as who is silent. Without, every message restores it.
    """

    __slots__ = ("_call", "_least_rate", "_left", "_since", "overdue", "until")

    def __init__(self, call: Cancellable, *, least_rate: float | None = None) -> None:
        self._call = call
        self._least_rate = least_rate
        self._left = self._since = NEVER
        self.until = NEVER
        self.overdue = NEVER

    def wait(self, seconds: float) -> None:
        """From now on the peer is waited for: for so long, or for what is left of it."""
        self._since = time.monotonic()
        if self._left == NEVER:
            self._left = seconds
        self.until = self._since + self._left

    def rest(self) -> None:
        """The peer is waited for no more."""
        self.until = NEVER

    def restore(self) -> None:
        """Wait the next time for as long as if it were the first."""
        self._left = NEVER

    def came(self, size: int, seconds: float) -> None:
        """What was waited for came, so many bytes, just now; there is never more patience than `seconds`."""
        self.until = NEVER
        if self._least_rate is None:
            self._left = seconds
        else:
            left = self._left - (time.monotonic() - self._since) + size / self._least_rate
            self._left = min(seconds, left)

    def end(self) -> None:
        """Cancel the call."""
        self.until = NEVER
        self._call.cancel()


class IdleWatch:
    """Watches the waiting calls of one server. `start` it before the server, `stop` it after.

    `on_overdue` gets the number of calls that have become overdue, each told once.
    """

    def __init__(
        self, *, look_every_seconds: float = 1.0, on_overdue: Callable[[int], object] = lambda _count: None
    ) -> None:
        self._on_overdue = on_overdue
        self._watched: set[Patience] = set()
        self._lookout = Lookout("idle-watch", self._look, every_seconds=look_every_seconds)

    def start(self) -> None:
        """Begin to watch."""
        self._lookout.start()

    def stop(self) -> None:
        """Stop watching; calls are left alone."""
        self._lookout.stop()

    def enter(self, call: Cancellable, *, least_rate: float | None = None) -> Patience:
        """Watch a call until `leave`; it waits for nothing yet. `least_rate` is in bytes a second."""
        patience = Patience(call, least_rate=least_rate)
        self._watched.add(patience)
        return patience

    def leave(self, patience: Patience) -> None:
        """Forget a call that has ended."""
        self._watched.discard(patience)

    def linger(self, patience: Patience, context: grpc.ServicerContext, seconds: float) -> None:
        """Watch a call that needs no thread any more until it has ended, for so long at most."""
        patience.overdue = NEVER
        patience.until = time.monotonic() + seconds
        if not context.add_callback(lambda: self.leave(patience)):
            self.leave(patience)

    @contextmanager
    def waiting(self, call: Cancellable, seconds: float) -> Iterator[None]:
        """Cancel the call if what is inside takes longer."""
        patience = self.enter(call)
        patience.until = time.monotonic() + seconds
        try:
            yield
        finally:
            self.leave(patience)

    def _look(self) -> None:
        now = time.monotonic()
        overdue = 0
        # A copy made in one step: other threads add and remove all the time.
        for patience in tuple(self._watched):
            if patience.overdue < now:
                patience.overdue = NEVER
                overdue += 1
            if patience.until < now:
                SILENT_CALLS.inc()
                log.info("a call whose peer kept silent was cancelled")
                self._guarded(patience.end)
        if overdue:
            self._guarded(partial(self._on_overdue, overdue))

    def _guarded(self, act: Callable[[], object]) -> None:
        # Nobody would watch the other calls.
        try:
            act()
        except Exception:
            log.exception("a call could not be ended")
