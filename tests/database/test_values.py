"""Values and queries: what goes in comes out, on both databases; what only one would take goes into neither."""

from __future__ import annotations

from functools import partial
from typing import Any

import peewee
import pytest

from store.database import (
    BadValue,
    BytesField,
    CountField,
    Database,
    Query,
    Statement,
    Transaction,
    hole,
    new_id,
    query_shape,
)
from store.database.dialect import POSTGRESQL, SQLITE, Dialect
from tests.database.things import COLUMNS, FIND, INSERT, Thing, ThingRow, add, names, thing

EXTREMES: list[dict[str, Any]] = [
    {"count": 2**63 - 1, "when": -(2**63), "flag": True, "data": b"\0\xff", "note": {"ü": [1, None, "\0"]}},
    {"count": 0, "when": None, "flag": False, "data": None, "note": None},
    {"count": -1, "when": 0, "flag": True, "data": b"", "note": []},
    {"count": 40_000, "when": 5_000_000_000, "flag": False, "data": bytes(range(256)), "note": "%s ? 'x'"},
]


@pytest.mark.parametrize("values", EXTREMES)
def test_every_kind_of_value_comes_back_as_it_was(things: Database, values: dict[str, Any]) -> None:
    given = thing("naïve 🌍 %s ? 'quoted'", **values)
    assert things.write(lambda tx: tx.run(INSERT, **given)) == 1
    assert things.row(FIND, name=given["name"]) == ThingRow(**given)
    assert things.read(lambda reader: reader.rows(FIND, name=given["name"])) == [ThingRow(**given)]


def test_a_row_that_is_not_there_is_none(things: Database) -> None:
    assert things.row(FIND, name="nothing") is None
    assert things.rows(FIND, name="nothing") == []


def test_values_of_every_kind_go_through_insert_select_distinct(things: Database) -> None:
    """PostgreSQL takes a parameter for text there; each hole says its type."""
    add(things, "source", count=1)
    copy = Statement(
        Thing.insert_from(
            Thing.select(
                hole(Thing.id),
                hole(Thing.name),
                hole(Thing.count),
                hole(Thing.flag),
                hole(Thing.data, nullable=True),
                hole(Thing.note, nullable=True),
                hole(Thing.when, nullable=True),
            )
            .where(Thing.name == "source")
            .distinct(),
            list(COLUMNS),
        )
    )
    for number, values in enumerate(EXTREMES):
        given = thing(f"copy {number}", **values)
        assert things.write(partial(_run, copy, given)) == 1
        assert things.row(FIND, name=given["name"]) == ThingRow(**given)


def test_constants_of_every_kind_go_through_insert_select(things: Database) -> None:
    add(things, "source")
    row_id = new_id()
    values = (row_id, "it's 100% \0new"[:9], 2**40, True, b"\xff", {"a": 1}, None)
    constants = [peewee.Value(value, field.db_value) for value, field in zip(values, COLUMNS, strict=True)]
    copy = Statement(Thing.insert_from(Thing.select(*constants).where(Thing.name == "source"), list(COLUMNS)))
    assert things.write(lambda tx: tx.run(copy)) == 1
    assert things.row(FIND, name="it's 100%") == ThingRow(row_id, "it's 100%", 2**40, True, b"\xff", {"a": 1}, None)


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL], ids=["sqlite", "postgresql"])
def test_constants_stand_in_the_text_so_that_partial_indexes_are_used(dialect: Dialect) -> None:
    query = Query(Thing.select(Thing.id).where((Thing.name == "live") & (Thing.flag == True) & (Thing.count > -1)))  # noqa: E712
    sql = query.compiled(dialect).sql
    assert "'live'" in sql
    assert "(-1)" in sql
    assert "?" not in sql
    assert "%" not in sql


def test_none_is_refused_where_a_value_is_needed(things: Database) -> None:
    with pytest.raises(BadValue, match="name"):
        things.row(FIND, name=None)
    with pytest.raises(BadValue, match="count"):
        things.write(lambda tx: tx.run(INSERT, **thing("a", count=None)))
    assert names(things) == []


def test_a_missing_or_unknown_parameter_is_named(things: Database) -> None:
    with pytest.raises(TypeError, match=r"missing: \['name'\]"):
        things.row(FIND)
    with pytest.raises(TypeError, match=r"unknown: \['nam'\]"):
        things.row(FIND, nam="a")


@pytest.mark.parametrize(
    "values",
    [
        {"count": 2**63},
        {"count": -(2**63) - 1},
        {"count": True},
        {"count": "1"},
        {"name": "a\0b"},
        {"name": "\ud800"},
        {"name": b"bytes"},
        {"id": b"short"},
        {"data": "text"},
        {"flag": 1},
    ],
    ids=str,
)
def test_a_value_that_one_database_would_take_is_refused_by_both(things: Database, values: dict[str, Any]) -> None:
    with pytest.raises(BadValue):
        things.write(lambda tx: tx.run(INSERT, **(thing("a") | values)))
    assert names(things) == []


@pytest.mark.parametrize("value", [2**63, 2**200, "\ud800", object()], ids=["int64", "huge", "surrogate", "object"])
def test_an_ordinary_query_leaks_no_error_of_the_driver(things: Database, value: Any) -> None:
    raw: Any = peewee.Value(value, False)
    with pytest.raises(BadValue):
        things.read(lambda reader: reader.fetch(Thing.select().where(Thing.name == raw)))
    with pytest.raises(BadValue):
        things.write(lambda tx: tx.execute(Thing.delete().where(Thing.name == raw)))


def test_text_sorts_by_code_point_on_both(things: Database) -> None:
    words = ["a", "B", "Z", "b", "ä", "z", "_", "-", "1", "~", "\U0001f30d", "\uffee", ""]
    things.write(lambda tx: tx.run_many(INSERT, [thing(word) for word in words]))
    assert names(things) == sorted(words)


def test_an_ordinary_query_comes_in_the_shape_it_asks_for(things: Database) -> None:
    add(things, "a", count=3, flag=True, note={"k": 1})
    query = Thing.select(Thing.name, Thing.count, Thing.flag, Thing.note)
    assert things.read(lambda r: r.fetch(query.dicts())) == [{"name": "a", "count": 3, "flag": True, "note": {"k": 1}}]
    assert things.read(lambda r: r.fetch(query.tuples())) == [("a", 3, True, {"k": 1})]
    assert [row.count for row in things.read(lambda r: r.fetch(query.namedtuples()))] == [3]
    [model] = things.read(lambda r: r.fetch(query))
    assert isinstance(model, Thing)
    assert (model.name, model.flag) == ("a", True)
    assert things.read(lambda r: r.fetch(query.where(Thing.name == "b").dicts())) == []


def test_a_sum_is_an_integer_on_both(things: Database) -> None:
    things.write(lambda tx: tx.run_many(INSERT, [thing(str(n), count=2**61) for n in range(2)]))
    total = Query(Thing.select(peewee.fn.SUM(Thing.count)))
    [[value]] = things.rows(total)
    assert type(value) is int
    assert value == 2**62


def test_a_limit_can_be_a_parameter(things: Database) -> None:
    things.write(lambda tx: tx.run_many(INSERT, [thing(name) for name in "abc"]))
    some = Query(Thing.select(Thing.name).order_by(Thing.name).limit(hole(CountField(), "limit")), row=str)
    assert things.rows(some, limit=2) == ["a", "b"]


def test_a_shape_is_compiled_once() -> None:
    @query_shape
    def some(count: int) -> Query[Any]:
        return Query(Thing.select().where(Thing.name.in_([hole(Thing.name, f"name{n}") for n in range(count)])))

    assert some(2) is some(2)
    assert some(2) is not some(3)


def test_a_default_that_would_freeze_is_refused() -> None:
    class Stamped(peewee.Model):
        made = CountField(default=lambda: 1)
        data = BytesField()

    with pytest.raises(TypeError, match="default"):
        Statement(Stamped.insert({Stamped.data: hole(Stamped.data)}))
    Statement(Stamped.insert({Stamped.data: hole(Stamped.data), Stamped.made: hole(Stamped.made)}))


def test_a_query_with_a_hole_cannot_run_uncompiled(things: Database) -> None:
    with pytest.raises(TypeError, match="hole"):
        things.read(lambda reader: reader.fetch(Thing.select().where(Thing.name == hole(Thing.name))))


def _run(statement: Statement, params: dict[str, Any], tx: Transaction) -> int:
    return tx.run(statement, **params)


def test_ids_ascend_with_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 1000
    assert {len(made) for made in ids} == {16}
    assert {made[6] >> 4 for made in ids} == {7}
