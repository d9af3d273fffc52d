"""The watch of silent calls goes on, whatever ending one of them does."""

from __future__ import annotations

import threading

import pytest

from server.edge.idle import IdleWatch


class Call:
    """What is cancelled, and perhaps cannot be."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.cancelled = error, threading.Event()

    def cancel(self) -> None:
        self.cancelled.set()
        if self.error is not None:
            raise self.error


@pytest.mark.timeout(60)
def test_a_call_that_cannot_be_cancelled_keeps_no_other_from_being_cut() -> None:
    watch = IdleWatch(look_every_seconds=0.01)
    watch.start()
    try:
        for call in (Call(RuntimeError("no")), Call()):
            with watch.waiting(call, 0.0):
                assert call.cancelled.wait(30)
    finally:
        watch.stop()
