"""Taking turns within this process, so that whoever waits for others waits without holding a database connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager


class TurnNotGot(Exception):
    """Others held one of the keys for the whole wait."""


class Turns:
    """Locks by key, which exist only while somebody holds or awaits them."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[Hashable, tuple[threading.Lock, int]] = {}

    @contextmanager
    def hold(self, keys: Sequence[Hashable], *, deadline: float) -> Iterator[None]:
        """Hold all the keys, taken one by one in their order: every caller that shares two of them sorts them alike.

        The deadline is one of `time.monotonic`. Raises `TurnNotGot` when it passes, holding none.
        """
        with ExitStack() as held:
            for key in keys:
                held.enter_context(self._one(key, deadline))
            yield

    @contextmanager
    def _one(self, key: Hashable, deadline: float) -> Iterator[None]:
        with self._guard:
            lock, interested = self._locks.get(key) or (threading.Lock(), 0)
            self._locks[key] = lock, interested + 1
        try:
            if not lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
                raise TurnNotGot
            try:
                yield
            finally:
                lock.release()
        finally:
            with self._guard:
                lock, interested = self._locks.pop(key)
                if interested > 1:
                    self._locks[key] = lock, interested - 1
