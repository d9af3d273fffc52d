"""A tree written as the text of a query, in one form for each tree."""

from __future__ import annotations

from typing import Final

from store.search.language.times import period_text, time_text
from store.search.language.tree import (
    Ago,
    And,
    Comparison,
    Expression,
    Flag,
    FreeText,
    Has,
    In,
    Latest,
    Moment,
    Not,
    Number,
    Operator,
    Or,
    Prefix,
    Text,
    Value,
    VersionPoint,
    VersionPrefix,
    Wildcard,
    Word,
)

_WORDS: Final = ("AND", "OR", "NOT")


def format_query(expression: Expression | None) -> str:
    """The text of a tree: `parse_query` makes the same tree of it, as long as no limit stands between.

    Text that was folded stays so, and may have become longer.
    """
    match expression:
        case None:
            return ""
        case And(conditions):
            return " ".join(_within(each, Or) for each in conditions)
        case Or(conditions):
            return " OR ".join(format_query(each) for each in conditions)
        case Not(condition):
            return f"!{_within(condition, And, Or)}"
        case FreeText(value):
            text = _patterned(value)
            return _quoted(text) if _needs_quotes(text) or ":" in text or text in _WORDS else text
        case Has(key, name):
            return f"has:{_key(key, name)}"
        case In(key, values, name):
            return f"{_key(key, name)}:[{', '.join(map(_value, values))}]"
        case Comparison(key, operator, value, name):
            exact = isinstance(value, Moment) and not value.around and value.precision.name != "DAY"
            sign = "" if operator is Operator.EQUAL and not exact else operator
            return f"{_key(key, name)}:{sign}{_value(value)}"


def _within(expression: Expression, *kinds: type[And | Or]) -> str:
    text = format_query(expression)
    return f"({text})" if isinstance(expression, kinds) else text


def _key(key: str, name: str) -> str:
    if not name:
        return key
    plain = all(character.isalnum() or character in "_-./" for character in name)
    return f"{key}.{name}" if plain else f"{key}.{_quoted(_escaped(name))}"


def _value(value: Value) -> str:
    match value:
        case Latest():
            return "latest"
        case Number(number):
            return str(number)
        case Flag(flag):
            return "true" if flag else "false"
        case Word(word):
            return word
        case Moment():
            return time_text(value)
        case Ago():
            return f"-{period_text(value)}"
        case _:
            text = _text(value)
            return _quoted(text) if _needs_quotes(text) else text


def _text(value: Text | Wildcard | Prefix | VersionPoint | VersionPrefix) -> str:
    match value:
        case Text() | Wildcard():
            return _patterned(value)
        case Prefix(prefix):
            return _escaped(prefix)
        case VersionPoint(package, version):
            return _packaged(package, version)
        case VersionPrefix(package, numbers):
            return _packaged(package, ".".join([*map(str, numbers), "*"]))


def _packaged(package: Text | Wildcard | None, version: str) -> str:
    return version if package is None else f"{_patterned(package)}@{version}"


def _patterned(value: Text | Wildcard) -> str:
    parts = (value.text,) if isinstance(value, Text) else value.parts
    return "*".join(map(_escaped, parts))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("*", "\\*").replace('"', '\\"')


def _needs_quotes(text: str) -> bool:
    """Whether escaped text is not to stand without quotes: it might end early, or read as something else."""
    return not text or text[0] in "<>=!" or any(each.isspace() or each in '()[],"' for each in text)


def _quoted(text: str) -> str:
    return f'"{text}"'
