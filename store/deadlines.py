"""When the time of a call is over, and what stops its work in the database and the bucket then.

Whoever takes a call says so with `bounded_by`; every read, write and request that this thread makes inside is bounded
by it: waiting for a turn, a connection or a lock, statements, answers of the bucket's service. What a call ends with
(giving back what it holds, keeping what certainly came in) is `unbounded`, and so is what other threads do for it.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakSet

from store.errors import DeadlinePassed

log = logging.getLogger("store.deadlines")

R = TypeVar("R")

LOOK_SECONDS: Final = 0.05
"""How often what is under way is looked at, and so how long at most it goes on when its time is over."""

OVER: Final = float("-inf")


class Deadline:
    """Until when a call may work: `at` is of `time.monotonic`.

    `is_gone` tells whether nobody waits for its answer any more; it is asked only about work that takes a while.
    """

    __slots__ = ("_is_gone", "at")

    def __init__(self, at: float, is_gone: Callable[[], bool] = lambda: False) -> None:
        self.at = at
        self._is_gone = is_gone

    @property
    def is_over(self) -> bool:
        """Whether the time has come, or nobody waited when somebody last looked."""
        return time.monotonic() >= self.at

    @property
    def remaining_seconds(self) -> float:
        """Until then; never negative."""
        return max(0.0, self.at - time.monotonic())

    def look(self) -> bool:
        """Whether it is over, or its caller has gone: then it is over from now on."""
        if not self.is_over and self._is_gone():
            self.at = OVER
        return self.is_over

    def begin(self) -> None:
        """Return when something may begin: there is time, and somebody waits for it. Raises DeadlinePassed."""
        if self.look():
            raise DeadlinePassed

    def check(self) -> None:
        """Return while there is time. Raises DeadlinePassed."""
        if time.monotonic() >= self.at:
            raise DeadlinePassed


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)

current: Final = _current.get
"""The deadline of what this thread does, or None."""

bound_by: Final = _current.set
"""From now on this thread works under a deadline, or with None without any."""


@contextmanager
def unbounded() -> Iterator[None]:
    """What is inside is done whatever the time: it leaves things in order. It has limits of its own."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def carried_out(executor: Executor, call: Callable[[], R]) -> R:
    """What `call` answers, which cannot be interrupted: when the deadline comes first it is left to itself, on a thread
    of the executor. Without a deadline it runs here. Raises DeadlinePassed, and what `call` raises."""
    deadline = current()
    if deadline is None:
        return call()
    deadline.begin()
    future: Future[R] = executor.submit(contextvars.copy_context().run, _without, call)
    try:
        await_end(future)
        return future.result()
    finally:
        del future  # of what it raised the traceback knows this frame: such a circle would keep the call


def await_end(future: Future[Any]) -> None:
    """Return when the future has its result, or its error. Raises DeadlinePassed when the deadline comes first."""
    deadline = current()
    if deadline is None:
        wait((future,))
        return
    while not future.done() and not wait((future,), min(LOOK_SECONDS, deadline.remaining_seconds)).done:
        if deadline.look():
            future.cancel()
            raise DeadlinePassed


def _without(call: Callable[[], R]) -> R:
    bound_by(None)
    return call()


class Watched(Protocol):
    """Something that may be under way for too long."""

    def look(self, now: float) -> None:
        """End what takes too long; `now` is of `time.monotonic`. Waits for nothing."""


class _Watch:
    """Looks at all that is watched, on a thread that begins with the first of them and is the process's."""

    def __init__(self) -> None:
        self._watched: WeakSet[Watched] = WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, watched: Watched) -> None:
        """Look at it from now on, for as long as it lives."""
        with self._lock:
            self._watched.add(watched)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                thread.start()  # may raise, where there is no room for a thread: then the next one tries again
                self._thread = thread

    def remove(self, watched: Watched) -> None:
        """Look at it no more."""
        with self._lock:
            self._watched.discard(watched)

    def look(self) -> None:
        """Look at all of them once."""
        with self._lock:
            watched = list(self._watched)
        now = time.monotonic()
        for each in watched:
            try:
                each.look(now)
            except Exception:
                log.exception("what takes too long could not be ended")

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            self.look()


WATCH: Final = _Watch()
