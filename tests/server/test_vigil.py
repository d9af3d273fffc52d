"""Who is looked after is asked every ten seconds, and bears a database that is away for a while."""

from __future__ import annotations

import threading

import pytest

from server.edge import vigil
from server.edge.vigil import Vigil, Ward
from store.errors import CredentialsInvalid, DatabaseBusy, RegistryError

BEGUN = 1000.0


class Stream:
    """A stream that answers as it is told to, and notes with what it was ended."""

    def __init__(self) -> None:
        self.trouble: RegistryError | None = None
        self.asked = 0
        self.ends: list[RegistryError] = []
        self.ward = Ward(self.ask, self.ends.append, BEGUN)

    def ask(self) -> None:
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble


def test_a_stream_is_asked_every_ten_seconds() -> None:
    stream = Stream()

    for second in range(35):
        stream.ward.look(BEGUN + second)

    assert (stream.asked, stream.ends) == (3, [])


def test_who_may_not_go_on_is_ended_with_the_reason() -> None:
    stream, why = Stream(), CredentialsInvalid()
    stream.trouble = why

    stream.ward.look(BEGUN + 10)

    assert stream.ends == [why]


def test_a_database_that_is_away_ends_a_stream_only_after_thirty_seconds() -> None:
    stream, why = Stream(), DatabaseBusy()
    stream.ward.look(BEGUN + 10)
    stream.trouble = why
    for second in range(11, 40):
        stream.ward.look(BEGUN + second)
    assert (stream.asked, stream.ends) == (3, [])

    stream.ward.look(BEGUN + 40)

    assert stream.ends == [why]


def test_a_database_that_is_back_is_trusted_anew() -> None:
    stream = Stream()
    for second in range(10, 200, 10):
        stream.trouble = DatabaseBusy() if second % 30 else None
        stream.ward.look(BEGUN + second)

    assert stream.ends == []


def test_streams_are_looked_after_though_what_else_is_done_each_second_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(vigil, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(vigil, "ASK_SECONDS", 0.0)
    asked = threading.Event()

    def fail() -> None:
        raise MemoryError

    watch = Vigil(each_second=fail)
    watch.enter(asked.set, lambda _: None)
    watch.start()
    assert asked.wait(60)
    watch.stop()
    assert "MemoryError" in caplog.text
