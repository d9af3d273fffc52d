"""The column types of the store: what is bound to them is checked, and both databases keep the same.

`db_value` refuses what one database would take and the other not: integers beyond 64 bits, NUL in text, a lone
surrogate, a `str` for bytes. Callers validate before; what arrives here is a bug and raises `BadValue`, never
something that a caller sees.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import peewee

from store.database.failures import BadValue
from store.database.ids import ID_BYTES

if TYPE_CHECKING:
    BytesColumn = peewee.Field[bytes]
    TextColumn = peewee.Field[str]
    IntColumn = peewee.Field[int]
    FlagColumn = peewee.Field[bool]
    JsonColumn = peewee.Field[Any]
else:  # Peewee's fields take type arguments in their stubs only
    BytesColumn = TextColumn = IntColumn = FlagColumn = JsonColumn = peewee.Field


def _name(field: Any) -> str:
    return str(getattr(field, "name", "value"))  # a field that only types a hole (LIMIT) has no name


INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1


class BytesField(BytesColumn):
    """Bytes: BLOB, BYTEA. Compared byte by byte on both databases."""

    field_type = "BLOB"

    def db_value(self, value: Any) -> Any:
        if value is None or type(value) is bytes:
            return value
        if isinstance(value, bytearray | memoryview):
            return bytes(value)
        raise BadValue(f"{_name(self)}: bytes expected, not {type(value).__name__}")

    def python_value(self, value: Any) -> Any:
        return value


class DenseBytesField(BytesField):
    """Bytes that no compression makes smaller: PostgreSQL, which would try at every write, is told so."""


class IdField(BytesField):
    """An id of ours: 16 bytes, see `new_id`."""

    def db_value(self, value: Any) -> Any:
        if value is None or (type(value) is bytes and len(value) == ID_BYTES):
            return value
        raise BadValue(f"{_name(self)}: an id of {ID_BYTES} bytes expected")

    def are_db_values(self, values: list[Any]) -> bool:
        """Whether all of these, at least one, are bound as they are."""
        return set(map(type, values)) == {bytes} and set(map(len, values)) == {ID_BYTES}


class TextField(TextColumn):
    """Text without NUL, compared by code point on both databases (COLLATE "C", BINARY)."""

    field_type = "CODEPOINTS"

    def db_value(self, value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, str):
            raise BadValue(f"{_name(self)}: text expected, not {type(value).__name__}")
        # SQLite would keep a NUL, PostgreSQL refuses it; neither takes a lone surrogate.
        if "\0" in value or not (value.isascii() or _encodes(value)):
            raise BadValue(f"{_name(self)}: text that cannot be stored")
        return value

    def are_db_values(self, values: list[Any]) -> bool:
        """Whether all of these, at least one, are bound as they are."""
        if set(map(type, values)) != {str}:
            return False
        together = "".join(values)
        return "\0" not in together and (together.isascii() or _encodes(together))

    def python_value(self, value: Any) -> Any:
        return value


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class CountField(IntColumn):
    """A signed 64-bit integer. Larger would be an error on one database and a float on the other."""

    field_type = "BIGINT"

    def db_value(self, value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadValue(f"{_name(self)}: an integer expected, not {type(value).__name__}")
        if not INT64_MIN <= value <= INT64_MAX:
            raise BadValue(f"{_name(self)}: the integer needs more than 64 bits")
        return value

    def are_db_values(self, values: list[Any]) -> bool:
        """Whether all of these, at least one, are bound as they are."""
        return set(map(type, values)) == {int} and min(values) >= INT64_MIN and max(values) <= INT64_MAX

    def python_value(self, value: Any) -> Any:
        return value


class TimeField(CountField):
    """A moment: microseconds since 1970-01-01 UTC. Never a datetime: the databases disagree about zones."""


class FlagField(FlagColumn):
    """True or false."""

    field_type = "BOOL"

    def db_value(self, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        raise BadValue(f"{_name(self)}: a bool expected, not {type(value).__name__}")

    def python_value(self, value: Any) -> Any:
        return value if value is None else bool(value)


# json.dumps with such arguments would make an encoder a value.
_to_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class JsonField(JsonColumn):
    """A JSON document that is kept and given back, never searched.

    Text on both databases: PostgreSQL's jsonb would reorder keys, merge duplicate ones and refuse U+0000.
    """

    field_type = "CODEPOINTS"

    def db_value(self, value: Any) -> Any:
        return None if value is None else _to_json(value)

    def python_value(self, value: Any) -> Any:
        return None if value is None else json.loads(value)


# Fields that give back what the driver gives: a compiled query leaves their columns alone.
AS_READ: tuple[type[Any], ...] = (BytesField, TextField, CountField)
