"""The text of a query read into its tree (docs/search.md)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Set as AbstractSet
from importlib.resources import files
from typing import Final, cast

from lark import Lark, UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from store.errors import QueryInvalid
from store.search.language.limits import MAX_QUERY_CHARS
from store.search.language.reading import Reading
from store.search.language.tree import Expression, Key
from store.search.language.written import place, shown

_PARSER: Final = Lark(
    files("store.search.language").joinpath("grammar.lark").read_text(encoding="utf-8"),
    parser="lalr",
    lexer="contextual",
    transformer=Reading(),
    maybe_placeholders=False,
)
"""Keeps nothing of what it parses: threads share it."""

_PASSED_OVER: Final = r'"(?:[^"\\]|\\.)*+"|\\.'
"""Where a key does not stand: what is in quotes, and what stands behind a backslash."""
_WORD: Final = re.compile(r"[^\s()\[\]\",]++|.", re.DOTALL)
_SPACES: Final = "\t\n\r"

# What the grammar's tokens are called in an error, in this order; of several with one name the first counts.
_NAMES: Final = {
    "KEY": "a term",
    "NAME": "a key",
    "VALUE": "a value",
    "ITEM": "a value",
    "LSQB": "a list",
    "AND": "AND",
    "OR": "OR",
    "COMMA": "a comma",
    "RSQB": "`]`",
    "RPAR": "`)`",
    "$END": "the end of the query",
}


def parse_query(text: str) -> Expression | None:
    """The tree of a query; None when it has no term, and so asks for everything.

    The same text has the same tree at any time: periods such as `-3d` are still periods in it.

    Raises:
        QueryInvalid: the text is no query, or a bound of `store.search.language.limits` is passed; it says where.
    """
    _check_characters(text)
    try:
        return cast("Expression | None", _PARSER.parse(text))
    except UnexpectedInput as error:
        raise _refused(text, error) from None


def position_of(key: Key, text: str) -> int:
    """Where a key first stands in the text of a query that uses it, counted from 1."""
    place = re.compile(rf"{_PASSED_OVER}|(?:^|(?<=[\s(!])|(?<=has:))({re.escape(key)})(?=[\s():]|\Z)", re.DOTALL)
    return next(match.start(1) + 1 for match in place.finditer(text) if match[1])


def _check_characters(text: str) -> None:
    if len(text) > MAX_QUERY_CHARS:
        raise QueryInvalid(
            position=MAX_QUERY_CHARS + 1,
            found=f"the rest of {len(text):,} characters",
            expected=f"the end of the query (at most {MAX_QUERY_CHARS:,} characters)",
        )
    if text.isprintable():
        return
    for position, character in enumerate(text, start=1):
        if unicodedata.category(character) in ("Cc", "Cs") and character not in _SPACES:
            raise QueryInvalid(
                position=position,
                found=f"a control character (U+{ord(character):04X})",
                expected="text without control characters",
            )


def _refused(text: str, error: UnexpectedInput) -> QueryInvalid:
    """The error for what the grammar does not know here."""
    if isinstance(error, UnexpectedToken):
        position = len(text) if error.token.type == "$END" else place(error.token)[0]
        possible: AbstractSet[str] = error.expected
    else:
        assert isinstance(error, UnexpectedCharacters)
        position = cast("int", error.pos_in_stream)
        possible = error.allowed
    expected = dict.fromkeys(name for token, name in _NAMES.items() if token in possible)
    word = _WORD.match(text, position)
    found = shown(word[0]) if word is not None else "the end of the query"
    return QueryInvalid(
        position=position + 1,
        found=found,
        expected=" or ".join(expected),
        hint=_hint(text[position : position + 1], word[0] if word is not None else "", expected),
    )


def _hint(character: str, word: str, expected: dict[str, None]) -> str:
    """What was probably meant by what stands where it may not."""
    if word == "NOT":
        return "What shall not hold has a ! before it: !status:archived."
    if character == '"':
        return 'A quote is closed by another; a quote within a text is written \\".'
    if character == "\\":
        return "A backslash stands before another character, and two stand for one."
    if character == "!" and "a value" in expected:
        return "The ! stands before the key: !release:1.0."
    if character and (character in "([<>=:" or (character in ")]" and "the end of the query" in expected)):
        return "A text or value with this character in it stands in quotes."
    if expected.keys() == {"a term"}:
        return "A term is text, key:value, has:key, or terms in parentheses, each with or without a ! before it."
    return ""
