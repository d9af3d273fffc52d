"""What a read and a write promise, the same on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from store.database import (
    ConstraintViolated,
    Database,
    DatabaseError,
    QueryEvent,
    Reader,
    Statement,
    Terms,
    Transaction,
    hole,
    new_id,
)
from store.errors import ReadOnly
from tests.clocks import ManualClock
from tests.database.conftest import Crowd
from tests.database.things import ADD, FIND, INSERT, NAMES, Thing, add, names, put, thing

EXTREMES: list[dict[str, Any]] = [
    {"count": 2**63 - 1, "when": -(2**63), "flag": True, "data": b"\0\xff", "note": {"ü": [1, None, "\0"]}},
    {"count": 0, "when": None, "flag": False, "data": None, "note": None},
    {"count": -1, "when": 0, "flag": True, "data": b"", "note": []},
    {"count": 40_000, "when": 5_000_000_000, "flag": False, "data": bytes(range(256)), "note": "%s ? 'x'"},
]


def test_affected_rows_are_counted(things: Database) -> None:
    things.write(lambda tx: tx.run_many(INSERT, [thing(name) for name in "abc"]))
    assert things.write(lambda tx: tx.run(ADD, count=1, name="a")) == 1
    assert things.write(lambda tx: tx.run(ADD, count=1, name="x")) == 0
    assert things.write(lambda tx: tx.execute(Thing.update({Thing.flag: True}).where(Thing.name != "a"))) == 2
    again = Statement(
        Thing.insert(
            {Thing.id: hole(Thing.id), Thing.name: hole(Thing.name), Thing.count: 0, Thing.flag: False}
        ).on_conflict(action="nothing", conflict_target=[Thing.name])
    )
    assert things.write(lambda tx: tx.run(again, id=new_id(), name="a")) == 0
    assert things.write(lambda tx: tx.run(again, id=new_id(), name="d")) == 1
    assert things.write(lambda tx: tx.execute(Thing.delete())) == 4


def test_what_a_write_raises_undoes_it_and_comes_out(things: Database) -> None:
    def fail(tx: Transaction) -> None:
        put(tx, "a")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        things.write(fail)
    assert names(things) == []
    add(things, "b")
    assert names(things) == ["b"]


def test_a_violated_constraint_ends_the_write_even_when_it_is_caught(things: Database) -> None:
    """PostgreSQL would refuse what follows, SQLite would keep it: both report the first error."""
    add(things, "a")

    def stubborn(tx: Transaction) -> None:
        put(tx, "b")
        with pytest.raises(ConstraintViolated):
            put(tx, "a")

    with pytest.raises(ConstraintViolated):
        things.write(stubborn)

    def more_stubborn(tx: Transaction) -> None:
        with pytest.raises(ConstraintViolated):
            put(tx, "a")
        put(tx, "c")

    with pytest.raises(ConstraintViolated):
        things.write(more_stubborn)
    assert names(things) == ["a"]


def test_a_transaction_is_of_no_use_afterwards(things: Database) -> None:
    kept: list[Transaction] = []
    things.write(kept.append)
    with pytest.raises(Exception, match="over"):
        put(kept[0], "a")
    assert names(things) == []


def test_a_write_sees_what_it_wrote_and_one_time(things: Database, clock: ManualClock) -> None:
    def twice(tx: Transaction) -> tuple[int, list[str]]:
        put(tx, "a")
        before = tx.now
        clock.advance(seconds=5)
        return tx.now - before, tx.rows(NAMES)

    assert things.write(twice) == (0, ["a"])


def test_lock_finds_the_row(things: Database) -> None:
    add(things, "a", count=4)

    def double(tx: Transaction) -> int:
        row = tx.lock(FIND, name="a")
        assert row is not None
        tx.run(ADD, count=row.count, name="a")
        return row.count * 2

    assert things.write(double) == 8
    assert things.write(lambda tx: tx.lock(FIND, name="x")) is None


def test_simultaneous_read_modify_writes_lose_nothing(things: Database, crowd: Crowd) -> None:
    add(things, "a")

    def increment(tx: Transaction) -> None:
        row = tx.lock(FIND, name="a")
        assert row is not None
        tx.execute(Thing.update({Thing.count: row.count + 1}).where(Thing.name == "a"))

    for write in [crowd.start(lambda: things.write(increment)) for _ in range(40)]:
        write.result()
    row = things.row(FIND, name="a")
    assert row is not None
    assert row.count == 40


def test_two_upserts_in_opposite_order_both_land(things: Database, crowd: Crowd) -> None:
    bump = Statement(
        Thing.insert(
            {Thing.id: hole(Thing.id), Thing.name: hole(Thing.name), Thing.count: 1, Thing.flag: False}
        ).on_conflict(conflict_target=[Thing.name], update={Thing.count: Thing.count + 1})
    )

    def upsert(order: str) -> None:
        for _ in range(10):
            things.write(lambda tx: tx.run_many(bump, [{"id": new_id(), "name": name} for name in order]))

    for writes in [crowd.start(partial(upsert, order)) for order in ("abcdef", "fedcba")]:
        writes.result()
    rows = things.read(lambda reader: reader.fetch(Thing.select(Thing.name, Thing.count).order_by(Thing.name).tuples()))
    assert rows == [(name, 20) for name in "abcdef"]


def test_reads_and_writes_do_not_nest(things: Database) -> None:
    inner: list[Callable[[Any], Any]] = [
        lambda _: things.row(FIND, name="a"),
        lambda _: things.read(lambda reader: reader.rows(NAMES)),
        lambda _: add(things, "b"),
    ]
    for call in inner:
        with pytest.raises(RuntimeError, match="nest"):
            things.write(call)
        with pytest.raises(RuntimeError, match="nest"):
            things.read(call)
    add(things, "a")
    assert names(things) == ["a"]


def test_a_read_sees_one_moment(things: Database, crowd: Crowd) -> None:
    add(things, "a")

    def look_twice(reader: Reader) -> tuple[list[str], list[str]]:
        before = reader.rows(NAMES)
        crowd.start(lambda: add(things, "b")).result()
        return before, reader.rows(NAMES)

    assert things.read(look_twice) == (["a"], ["a"])
    assert names(things) == ["a", "b"]


def test_a_read_does_not_wait_for_a_long_write(things: Database, crowd: Crowd) -> None:
    add(things, "a")
    writing, go_on = threading.Event(), threading.Event()

    def write_slowly(tx: Transaction) -> None:
        put(tx, "b")
        writing.set()
        assert go_on.wait(60)

    write = crowd.start(lambda: things.write(write_slowly, long=True))
    assert writing.wait(60)
    assert names(things) == ["a"]
    go_on.set()
    write.result()
    assert names(things) == ["a", "b"]


def test_a_reader_cannot_write(things: Database) -> None:
    add(things, "a")
    with pytest.raises((DatabaseError, ReadOnly)):
        things.read(lambda reader: reader.fetch(Thing.delete().returning(Thing.id)))
    assert names(things) == ["a"]


def test_effects_follow_the_commit(things: Database) -> None:
    seen: list[Any] = []

    def write(tx: Transaction) -> str:
        put(tx, "a")
        tx.after_commit(lambda: seen.append(names(things)))
        assert seen == []
        return "value"

    assert things.write(write) == "value"
    assert seen == [["a"]]


def test_effects_of_a_failed_write_are_dropped(things: Database) -> None:
    seen: list[str] = []

    def write(tx: Transaction) -> None:
        tx.after_commit(lambda: seen.append("x"))
        raise KeyError

    with pytest.raises(KeyError):
        things.write(write)
    things.write(lambda tx: tx.after_commit(lambda: seen.append("rehearsed")), Terms(validate_only=True))
    assert seen == []


def test_an_effect_that_raises_hurts_neither_the_write_nor_the_next_effect(
    things: Database, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def fail() -> None:
        raise KeyError("broken effect")

    def write(tx: Transaction) -> None:
        put(tx, "a")
        tx.after_commit(fail)
        tx.after_commit(lambda: seen.append("second"))

    things.write(write)
    assert names(things) == ["a"]
    assert seen == ["second"]
    assert "broken effect" in caplog.text


def test_a_rehearsal_answers_and_changes_nothing(things: Database) -> None:
    def write(tx: Transaction) -> list[str]:
        put(tx, "a")
        return tx.rows(NAMES)

    assert things.write(write, Terms(reply=len, validate_only=True)) == 1
    assert names(things) == []


def test_a_rehearsal_fails_like_the_real_thing(things: Database) -> None:
    add(things, "a")
    with pytest.raises(ConstraintViolated):
        things.write(lambda tx: put(tx, "a"), Terms(validate_only=True))


def test_hooks_hear_of_every_statement(things: Database) -> None:
    events: list[QueryEvent] = []
    things.hooks.append(events.append)
    add(things, "a")
    things.write(lambda tx: tx.run_many(INSERT, [thing("b"), thing("c")]))
    assert names(things) == ["a", "b", "c"]
    with pytest.raises(ConstraintViolated):
        things.write(lambda tx: put(tx, "a"), Terms(validate_only=True))
    heard = [(event.sql.split()[0], event.rows, event.error is not None) for event in events]
    assert heard[:3] == [("INSERT", 1, False), ("INSERT", 2, False), ("SELECT", 3, False)]
    assert heard[3] == ("INSERT", 0, True)
    assert all(event.seconds > 0 for event in events)
