"""What a worker hears from its supervisor, whatever else it is doing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from server.processes import worker
from server.processes.control import Line, Word
from tests.processes.supervising import WAIT

NEVER = threading.Event()


@pytest.fixture
def ends() -> Iterator[tuple[Line, Line]]:
    """The supervisor's end of a line, and the worker's."""
    pair = socket.socketpair()
    try:
        yield Line(pair[0]), Line(pair[1])
    finally:
        for end in pair:
            end.close()


def orders_of(line: Line) -> worker._Orders:
    signals: Any = SimpleNamespace(wait=NEVER.wait)
    return worker._Orders(line, signals)


def test_figures_that_do_not_come_keep_no_worker_from_ending(
    ends: tuple[Line, Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def of_a_disk_that_does_not_answer() -> bytes:
        asked.set()
        NEVER.wait()
        return b""

    monkeypatch.setattr(worker, "exposition", of_a_disk_that_does_not_answer)
    orders = orders_of(ends[1])
    ends[0].say(Word.MEASURE)
    assert asked.wait(WAIT)
    ends[0].say(Word.DRAIN)
    assert orders.queue.get(timeout=WAIT) == Word.DRAIN


def test_figures_that_cannot_be_told_are_none_and_later_ones_are_told(
    ends: tuple[Line, Line], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter([b"", b"figure 1"])

    def figures() -> bytes:
        if answer := next(answers):
            return answer
        raise ValueError("no such figure")

    monkeypatch.setattr(worker, "exposition", figures)
    orders_of(ends[1])
    heard = ends[0].hear()
    told = []
    for _ in range(2):
        ends[0].say(Word.MEASURE)
        told.append(next(heard))
    assert told == [(Word.METRICS, b""), (Word.METRICS, b"figure 1")]
    assert "metrics cannot be told" in caplog.text
