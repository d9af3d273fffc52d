"""So many at a time, in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """A semaphore that is fair. One of the standard library goes to whoever asks first after it was released, mostly
    to the thread that just released it: with more threads than turns some wait for ever."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._free = count
        self._waiting: deque[threading.Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    def acquire(self, *, timeout: float) -> bool:
        """Wait for a turn, this many seconds at most; whether it came."""
        with self._lock:
            if self._free:  # then nobody waits
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=timeout):
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
