"""Cuts calls whose peer keeps silent: it sends nothing that we wait for, or takes nothing that we send.

grpc's reads and writes have no time limit, so a peer that opens a call and falls silent would hold its thread for
ever (keepalive only finds dead connections). One thread looks at all waiting calls every second and cancels those that
wait too long; the peer sees CANCELLED, and may resume.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

log = logging.getLogger("server.idle")

NEVER: Final = float("inf")


class Cancellable(Protocol):
    """A call that can be ended from any thread."""

    def cancel(self) -> object:
        """End it: its peer sees CANCELLED, its handler's next read or write fails."""


class Patience:
    """How long one call may still wait for its peer; `until` is a time of `time.monotonic`, or NEVER."""

    __slots__ = ("_call", "until")

    def __init__(self, call: Cancellable) -> None:
        self._call = call
        self.until = NEVER

    def end(self) -> None:
        """Cancel the call."""
        self.until = NEVER
        self._call.cancel()


class IdleWatch:
    """Watches the waiting calls of one server. `start` it before the server, `stop` it after."""

    def __init__(self, *, look_every_seconds: float = 1.0) -> None:
        self._look_every_seconds = look_every_seconds
        self._watched: set[Patience] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="idle-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; calls are left alone."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def enter(self, call: Cancellable) -> Patience:
        """Watch a call until `leave`; it waits for nothing yet."""
        patience = Patience(call)
        self._watched.add(patience)
        return patience

    def leave(self, patience: Patience) -> None:
        """Forget a call that has ended."""
        self._watched.discard(patience)

    @contextmanager
    def waiting(self, call: Cancellable, seconds: float) -> Iterator[None]:
        """Cancel the call if what is inside takes longer."""
        patience = self.enter(call)
        patience.until = time.monotonic() + seconds
        try:
            yield
        finally:
            self.leave(patience)

    def _run(self) -> None:
        while not self._stopped.wait(self._look_every_seconds):
            now = time.monotonic()
            # A copy made in one step: other threads add and remove all the time.
            for patience in tuple(self._watched):
                if patience.until < now:
                    log.info("a call whose peer kept silent was cancelled")
                    patience.end()
