"""The database of the registry: SQLite or PostgreSQL behind one interface.

Reads get a snapshot (`Database.read`), writes happen wholly or not at all (`Database.write`), hot queries are compiled
once (`Query`, `Statement`). Models are never bound to a database: both may live in one process.
"""

from store.database.dialect import Engine
from store.database.engine import Database, QueryEvent, Reader, Transaction
from store.database.failures import BadValue, CannotOpen, ConstraintViolated, DatabaseError
from store.database.fields import BytesField, CountField, FlagField, IdField, JsonField, TextField, TimeField
from store.database.ids import first_id_at, id_at, new_id
from store.database.opening import open_database
from store.database.query import Query, Statement, hole, holes_for, query_shape
from store.database.replays import AnsweredRequest, purge_expired
from store.database.terms import PLAIN, Once, Terms

__all__ = [
    "PLAIN",
    "AnsweredRequest",
    "BadValue",
    "BytesField",
    "CannotOpen",
    "ConstraintViolated",
    "CountField",
    "Database",
    "DatabaseError",
    "Engine",
    "FlagField",
    "IdField",
    "JsonField",
    "Once",
    "Query",
    "QueryEvent",
    "Reader",
    "Statement",
    "Terms",
    "TextField",
    "TimeField",
    "Transaction",
    "first_id_at",
    "hole",
    "holes_for",
    "id_at",
    "new_id",
    "open_database",
    "purge_expired",
    "query_shape",
]
