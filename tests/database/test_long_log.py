"""SQLite's write-ahead log: a reader that lasts keeps it from being emptied, and does not make it fill the disk."""

from __future__ import annotations

import threading

import pytest

from store.database import Database, Reader, sqlite, sqlite_writer
from store.errors import DatabaseBusy
from tests.database.conftest import Crowd
from tests.database.things import NAMES, add, names


def test_nothing_is_written_while_a_reader_keeps_a_long_log_and_all_goes_on_after_it(
    sqlite_things: Database, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(sqlite_things, "before")
    begun, let_go = threading.Event(), threading.Event()

    def hold(reader: Reader) -> list[str]:
        found = reader.rows(NAMES)
        begun.set()
        assert let_go.wait(60)
        return found

    holding = crowd.start(lambda: sqlite_things.read(hold))
    assert begun.wait(60)
    add(sqlite_things, "behind the reader")
    monkeypatch.setattr(sqlite_writer, "LOG_MOST_BYTES", 1)
    with pytest.raises(DatabaseBusy, match="log"):
        add(sqlite_things, "too much")
    assert names(sqlite_things) == ["before", "behind the reader"]
    let_go.set()
    assert holding.result() == ["before"]
    add(sqlite_things, "after")
    assert names(sqlite_things) == ["after", "before", "behind the reader"]


def test_a_reader_that_lasts_does_not_keep_the_log_for_ever(
    sqlite_things: Database, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "READ_SECONDS", 0.2)
    begun, ended = threading.Event(), threading.Event()

    def hold(reader: Reader) -> None:
        while True:
            reader.rows(NAMES)
            begun.set()
            threading.Event().wait(0.01)

    def read() -> None:
        try:
            sqlite_things.read(hold)
        finally:
            ended.set()

    holding = crowd.start(read)
    assert begun.wait(60)
    add(sqlite_things, "behind the reader")
    assert ended.wait(60)
    assert isinstance(holding.exception(), DatabaseBusy)
    monkeypatch.setattr(sqlite_writer, "LOG_MOST_BYTES", 1)
    add(sqlite_things, "after")
