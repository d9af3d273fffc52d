"""So many at a time, in the order in which they came."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

LOOK_SECONDS: Final = 0.05


class Turns:
    """A semaphore that is fair. One of the standard library goes to whoever asks first after it was released, mostly
    to the thread that just released it: with more threads than turns some wait for ever."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._free = count
        self._waiting: deque[threading.Lock] = deque()

    @property
    def free(self) -> int:
        """How many turns nobody has."""
        return self._free

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    def acquire(self, *, timeout: float, given_up: Callable[[], bool] | None = None) -> bool:
        """Wait for a turn, this many seconds at most and until `given_up` says so; whether it came."""
        with self._lock:
            if self._free:  # then nobody waits
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if _acquired(turn, timeout, given_up):
            return True
        with self._lock:
            if turn not in self._waiting:
                return True  # it came just now
            self._waiting.remove(turn)
            return False

    def release(self) -> None:
        """Hand the turn to who has waited longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


def _acquired(turn: threading.Lock, timeout: float, given_up: Callable[[], bool] | None) -> bool:
    if given_up is None:
        return turn.acquire(timeout=timeout)
    until = time.monotonic() + timeout
    while not turn.acquire(timeout=max(0.0, min(LOOK_SECONDS, until - time.monotonic()))):
        if given_up() or time.monotonic() >= until:
            return False
    return True
