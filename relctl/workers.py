"""Threads that do work side by side and hold up no program that wants to end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Workers(Generic[T]):
    """At most `count` threads, each started when there is work for it.

    Unlike those of an executor they are daemons: whoever interrupts a program does not wait for what they are in.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._started = 0
        self._waiting: SimpleQueue[tuple[Callable[[], T], Future[T]] | None] = SimpleQueue()
        self._lock = threading.Lock()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have the work done when a thread is free. It may be cancelled as long as it has not begun."""
        future: Future[T] = Future()
        self._waiting.put((work, future))
        with self._lock:
            if self._started < self._count:
                self._started += 1
                threading.Thread(target=self._run, name=f"worker-{self._started}", daemon=True).start()
        return future

    def close(self) -> None:
        """Have the threads end behind what was submitted. Does not wait for them."""
        with self._lock:
            for _ in range(self._started):
                self._waiting.put(None)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            work, future = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - whoever waits for the result gets it
                future.set_exception(error)
            else:
                future.set_result(result)
            del item, work, future
