"""A server that lives on while the disk of its SQLite file is gone: it says so, and is of use when the disk is back."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store.database import Database, Transaction, open_database
from store.errors import DatabaseDown, ReadOnly
from tests.database.conftest import Crowd, things_at
from tests.database.things import ADD, MIGRATIONS, NAMES, names, put

COUNT = 300
PAGE_BYTES = 4096


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of many things, with nothing in its log."""
    with things_at(f"sqlite://{tmp_path}/things.db") as database:
        database.write(put_many)
    return tmp_path / "things.db"


@pytest.fixture
def things(file: Path) -> Iterator[Database]:
    database = open_database(f"sqlite://{file}", migrations_folder=MIGRATIONS)
    try:
        yield database
    finally:
        database.close()


def put_many(tx: Transaction) -> None:
    for number in range(COUNT):
        put(tx, f"{number:04d}", data=bytes(1000))


def scramble(file: Path) -> Callable[[], None]:
    """Make every page but the first one garbage; how to undo it."""
    before = file.read_bytes()
    with file.open("r+b") as opened:
        opened.seek(PAGE_BYTES)
        opened.write(random.Random(1).randbytes(len(before) - PAGE_BYTES))

    def undo() -> None:
        with file.open("r+b") as opened:
            opened.write(before)

    return undo


def together(database: Database) -> list[str]:
    """All names, read in a snapshot of one moment."""
    return database.read(lambda reader: reader.rows(NAMES))


@pytest.mark.parametrize("read", [names, together])
def test_rows_that_make_no_sense_are_told_as_a_database_that_cannot_be_read(
    things: Database, file: Path, read: Callable[[Database], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    undo = scramble(file)

    with pytest.raises(DatabaseDown):
        read(things)
    assert "the database cannot be read: CorruptError" in caplog.text

    undo()
    assert len(read(things)) == COUNT


def test_a_write_that_meets_them_is_the_last(things: Database, file: Path) -> None:
    scramble(file)

    for _ in range(2):
        with pytest.raises(ReadOnly):
            things.write(lambda tx: tx.run(ADD, name="0150", count=1))


def test_a_thread_that_finds_no_file_is_told_that_the_database_is_down(
    things: Database, file: Path, crowd: Crowd
) -> None:
    folder = file.parent
    away = folder.rename(folder.with_name("away"))
    try:
        with pytest.raises(DatabaseDown):
            crowd.start(lambda: names(things)).result(60)
    finally:
        away.rename(folder)

    assert len(crowd.start(lambda: names(things)).result(60)) == COUNT
