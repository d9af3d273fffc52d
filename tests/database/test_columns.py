"""Many rows at once, given column by column: the same values, and the same refusals, as one by one."""

from __future__ import annotations

from typing import Any

import pytest

from store.database import BadValue, Database, QueryEvent, Transaction, new_id
from tests.database.things import INSERT, names

Columns = dict[str, list[Any]]


def columns(rows: int, **changed: list[Any]) -> Columns:
    """Rows named `0`, `1` and so on."""
    return {
        "id": [new_id() for _ in range(rows)],
        "name": [str(number) for number in range(rows)],
        "count": list(range(rows)),
        "flag": [True] * rows,
        "data": [None] * rows,
        "note": [None] * rows,
        "when": [None] * rows,
        **changed,
    }


def test_columns_become_rows(things: Database) -> None:
    seen: list[QueryEvent] = []
    things.hooks.append(seen.append)
    given = columns(300, data=[None, b"\0"] * 150, name=[f"ü{number:03}" for number in range(300)])
    things.write(lambda tx: tx.run_columns(INSERT, given))
    assert sorted(names(things)) == given["name"]
    assert 300 in [event.rows for event in seen]


def test_empty_columns_write_nothing(things: Database) -> None:
    things.write(lambda tx: tx.run_columns(INSERT, columns(0)))
    assert names(things) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"name": ["fine", "nu\0l"]},
        {"name": ["fine", "\ud800"]},
        {"name": ["fine", None]},
        {"name": ["fine", 7]},
        {"count": [0, 2**63]},
        {"count": [0, -(2**63) - 1]},
        {"count": [0, True]},
        {"count": [0, None]},
        {"id": [b"x" * 16, b"x" * 15]},
        {"id": [b"x" * 16, bytearray(16)]},
        {"flag": [True, 1]},
    ],
)
def test_one_value_that_cannot_be_kept_refuses_all(things: Database, changed: Columns) -> None:
    with pytest.raises(BadValue):
        things.write(lambda tx: tx.run_columns(INSERT, columns(2, **changed)))
    assert names(things) == []


def test_a_missing_an_unknown_and_a_shorter_column_are_told(things: Database) -> None:
    def write(given: Columns) -> None:
        def work(tx: Transaction) -> None:
            tx.run_columns(INSERT, given)

        things.write(work)

    missing = columns(2)
    del missing["name"]
    with pytest.raises(TypeError, match="name"):
        write(missing)
    with pytest.raises(TypeError, match="other"):
        write(columns(2, other=[1, 2]))
    with pytest.raises(ValueError, match="lengths"):
        write(columns(2, name=["one"]))
    assert names(things) == []
