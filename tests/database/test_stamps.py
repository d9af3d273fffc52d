"""Stamps, which tell whether what was read of some tables may have changed, and rows that are written together."""

from __future__ import annotations

import pytest

from store.database import Database, Statement, Transaction, hole
from store.database.sqlite_writer import ROWS_TOGETHER
from tests.database.things import ADD, FIND, INSERT, Thing, add, names, put, thing


def test_where_others_may_write_there_is_no_stamp(postgres_things: Database) -> None:
    assert postgres_things.stamp("thing") is None


def test_a_stamp_stays_until_one_of_its_tables_is_written(sqlite_things: Database) -> None:
    before = sqlite_things.stamp("thing")
    assert before is not None
    names(sqlite_things)
    sqlite_things.write(lambda tx: tx.row(FIND, name="nothing"))
    assert sqlite_things.stamp("thing") == before
    other = sqlite_things.stamp("other")
    add(sqlite_things, "a")
    assert sqlite_things.stamp("thing") != before
    assert sqlite_things.stamp("other") == other


@pytest.mark.parametrize("way", ["run", "run_many", "run_columns", "execute"])
def test_a_stamp_changes_whichever_way_a_table_is_written(sqlite_things: Database, way: str) -> None:
    before = sqlite_things.stamp("thing")

    def write(tx: Transaction) -> None:
        match way:
            case "run":
                tx.run(ADD, count=1, name="a")
            case "run_many":
                tx.run_many(INSERT, [thing("a")])
            case "run_columns":
                tx.run_columns(INSERT, {name: [value] for name, value in thing("a").items()})
            case "execute":
                tx.execute(Thing.delete())

    sqlite_things.write(write)
    assert sqlite_things.stamp("thing") != before


def test_a_write_that_was_taken_back_leaves_the_stamp(sqlite_things: Database) -> None:
    before = sqlite_things.stamp("thing")

    def fail(tx: Transaction) -> None:
        put(tx, "a")
        raise LookupError

    with pytest.raises(LookupError):
        sqlite_things.write(fail)
    assert sqlite_things.stamp("thing") == before


@pytest.mark.parametrize("count", [1, 2, 3, ROWS_TOGETHER, ROWS_TOGETHER + 1])
def test_rows_are_all_written_however_many_they_are(things: Database, count: int) -> None:
    wanted = [f"thing {number:03}" for number in range(count)]
    things.write(lambda tx: tx.run_many(INSERT, [thing(name) for name in wanted]))
    assert names(things) == wanted


def test_rows_of_a_statement_that_passes_conflicts_over_are_written_one_by_one(things: Database) -> None:
    passing = Statement(
        Thing.insert(
            {Thing.id: hole(Thing.id), Thing.name: hole(Thing.name), Thing.count: 7, Thing.flag: False}
        ).on_conflict(action="nothing", conflict_target=[Thing.name])
    )
    add(things, "b")
    items = [{"id": thing(name)["id"], "name": name} for name in "abc"]
    things.write(lambda tx: tx.run_many(passing, items))
    assert names(things) == ["a", "b", "c"]
