"""Pieces of a query as they were written: where, what they say without quotes and escapes, how they are refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn

from lark import Token

from store.errors import QueryInvalid
from store.search.language.limits import MAX_VALUE_CHARS

STAR: Final = "\0"
"""A wildcard within unescaped text, where NUL cannot stand otherwise: queries with control characters are refused."""

_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Piece:
    """The text of a value or name without quotes and escapes, every wildcard a STAR, and where it stands.

    `written` is as in the query, and begins at `start`, counted from 0.
    """

    text: str
    written: str
    start: int

    @property
    def has_star(self) -> bool:
        """Whether there is a wildcard in it."""
        return STAR in self.text

    def refuse(self, expected: str, *, hint: str = "") -> NoReturn:
        """Raise QueryInvalid: something else is expected in its place."""
        raise QueryInvalid(position=self.start + 1, found=shown(self.written), expected=expected, hint=hint)


def piece_of(written: str, start: int) -> Piece:
    """The piece that is written so, in quotes or without; `start` counts from 0.

    Raises:
        QueryInvalid: it is too long, or a backslash stands before a letter or digit.
    """
    if len(written) > MAX_VALUE_CHARS:
        raise QueryInvalid(
            position=start + 1, found=shown(written), expected=f"a text of at most {MAX_VALUE_CHARS:,} characters"
        )
    quoted = written.startswith('"')
    characters: list[str] = []
    escaped = False
    for index, character in enumerate(written[1:-1] if quoted else written, start=start + quoted):
        if escaped:
            if character.isalnum():
                raise QueryInvalid(
                    position=index, found=shown("\\" + character), expected='one of \\" \\\\ \\* and the like'
                )
            characters.append(character)
            escaped = False
        elif character == "\\":
            escaped = True
        elif character != "*":
            characters.append(character)
        elif characters[-1:] != [STAR]:
            characters.append(STAR)
    return Piece("".join(characters), written, start)


def place(token: Token) -> tuple[int, int]:
    """Where a token begins and ends, counted from 0."""
    assert token.start_pos is not None
    assert token.end_pos is not None
    return token.start_pos, token.end_pos


def shown(text: str) -> str:
    """Text of a query as an error shows it."""
    if text.isspace():
        return "a space"
    return f"`{text}`" if len(text) <= _SHOWN else f"`{text[:_SHOWN]}…`"
