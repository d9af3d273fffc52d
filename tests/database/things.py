"""A table that only these tests have, with a column of every kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peewee

from store.database import (
    BytesField,
    CountField,
    Database,
    FlagField,
    IdField,
    JsonField,
    Query,
    Statement,
    TextField,
    TimeField,
    Transaction,
    hole,
    new_id,
)

MIGRATIONS = Path(__file__).parent / "migrations"


class Thing(peewee.Model):
    id = IdField(primary_key=True)
    name = TextField(unique=True)
    count = CountField()
    flag = FlagField()
    data = BytesField(null=True)
    note = JsonField(null=True)
    when = TimeField(null=True)

    class Meta:
        table_name = "thing"


@dataclass(frozen=True, slots=True)
class ThingRow:
    id: bytes
    name: str
    count: int
    flag: bool
    data: bytes | None
    note: Any
    when: int | None


COLUMNS: tuple[Any, ...] = (Thing.id, Thing.name, Thing.count, Thing.flag, Thing.data, Thing.note, Thing.when)
INSERT = Statement(
    Thing.insert(
        {
            Thing.id: hole(Thing.id),
            Thing.name: hole(Thing.name),
            Thing.count: hole(Thing.count),
            Thing.flag: hole(Thing.flag),
            Thing.data: hole(Thing.data, nullable=True),
            Thing.note: hole(Thing.note, nullable=True),
            Thing.when: hole(Thing.when, nullable=True),
        }
    )
)
FIND = Query(Thing.select(*COLUMNS).where(Thing.name == hole(Thing.name)), row=ThingRow)
NAMES = Query(Thing.select(Thing.name).order_by(Thing.name), row=str)
ADD = Statement(Thing.update({Thing.count: Thing.count + hole(Thing.count)}).where(Thing.name == hole(Thing.name)))


def thing(name: str, **values: Any) -> dict[str, Any]:
    """The parameters of INSERT."""
    return {"id": new_id(), "name": name, "count": 0, "flag": False, "data": None, "note": None, "when": None} | values


def put(tx: Transaction, name: str, **values: Any) -> None:
    tx.run(INSERT, **thing(name, **values))


def putting(name: str) -> Callable[[Transaction], None]:
    return lambda tx: put(tx, name)


def add(database: Database, name: str, **values: Any) -> None:
    database.write(lambda tx: put(tx, name, **values))


def names(database: Database) -> list[str]:
    return database.rows(NAMES)
