"""Tests of text in SQL: equal, begins, matches a wildcard; case counts, and by code point on both databases."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import and_, or_
from typing import Any, Final

from store.database.dialect import Engine
from store.search.language import Prefix, Text, Value, Wildcard
from store.text import after_prefix

# What means something in a pattern. GLOB has no escape character: a class of one stands for it.
_GLOB: Final = re.compile(r"([*?[])")
_LIKE: Final = re.compile(r"([%_\\])")


def any_text(column: Any, values: Sequence[Value], engine: Engine) -> Any:
    """That the column, which is not NULL, is one of these: texts, wildcards and prefixes; there is one at least."""
    texts = [value.text for value in values if isinstance(value, Text)]
    tests = [column.in_(texts)] if len(texts) > 1 else [column == text for text in texts]
    for value in values:
        match value:
            case Text():
                pass
            case Prefix(prefix):
                tests.append(begins(column, prefix))
            case Wildcard(parts):
                tests.append(_matches(column, parts, engine))
            case _:
                raise TypeError(f"{value!r} is no text")
    return reduce(or_, tests)


def contains(column: Any, value: Text | Wildcard, engine: Engine) -> Any:
    """That the column contains the text, or the parts of the wildcard in their order."""
    parts = (value.text,) if isinstance(value, Text) else value.parts
    return _like(column, ("", *parts, ""), engine)


def begins(column: Any, prefix: str) -> Any:
    """That the column begins so: a range of an index."""
    return reduce(and_, _range(column, prefix))


def _range(column: Any, prefix: str) -> Iterator[Any]:
    yield column >= prefix
    beyond = after_prefix(prefix)
    if beyond is not None:
        yield column < beyond


def _matches(column: Any, parts: Sequence[str], engine: Engine) -> Any:
    first = parts[0]
    if len(parts) == 2 and not parts[1]:
        return begins(column, first)
    like = _like(column, parts, engine)
    return reduce(and_, _range(column, first), like) if first else like


def _like(column: Any, parts: Sequence[str], engine: Engine) -> Any:
    # Peewee's `%` is GLOB on SQLite, whose LIKE knows no case.
    if engine == "sqlite":
        return column % "*".join(_GLOB.sub(r"[\1]", part) for part in parts)
    return column % "%".join(_LIKE.sub(r"\\\1", part) for part in parts)
