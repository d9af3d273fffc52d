"""The table of these tests, and the one that request ids need."""

from __future__ import annotations

from typing import Any

from store.database import AnsweredRequest
from store.database.dialect import POSTGRESQL, SQLITE
from store.database.new_migration import creation
from tests.database.things import Thing


def up(_migrator: Any, db: Any) -> None:
    dialect = SQLITE if hasattr(db, "pragma") else POSTGRESQL
    for model in (Thing, AnsweredRequest):
        for statement in creation(model, dialect):
            db.execute_sql(statement)
