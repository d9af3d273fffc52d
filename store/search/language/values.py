"""What stands behind a key's colon, read as values of the key's kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final, TypeAlias

from store.releases.version import MAX_NUMBER, parse_version
from store.search.language.keys import KEYS, Kind, Naming
from store.search.language.limits import MAX_PATTERN_CHARS, MAX_STARS, MAX_VERSION_CHARS, MIN_COMMIT_PREFIX
from store.search.language.times import read_period, read_time
from store.search.language.tree import (
    Flag,
    Key,
    Latest,
    Number,
    Operator,
    Precision,
    Prefix,
    Text,
    Value,
    VersionPoint,
    VersionPrefix,
    Wildcard,
    Word,
)
from store.search.language.written import STAR, Piece
from store.text import folded

Read: TypeAlias = tuple[Operator, Value] | None
"""How a value is compared; None where any value will do, as `*` says."""

ORDERED: Final = frozenset({Kind.VERSION, Kind.BUILD, Kind.COUNT, Kind.TIME})
"""The kinds whose values are above and below one another."""

_A_TIME: Final = "a date or time such as 2026-11-23 or 2026-11-23T10:15Z, or a period such as -3d (units w d h m)"
_WHERE: Final = "Where it was deployed is said by deployed.NAME:, or by environment: without a time."
_A_VERSION: Final = "a version such as 1.2.3, app@1.2.3-rc1 or 1.2.*"
_OPEN: Final = (STAR, "x", "X")
"""Numbers of a version that are left open."""

_STATUSES: Final = ("open", "archived")
_STAGES: Final = ("adopted", "low_adoption", "replaced")


def read_value(key: Key, operator: Operator | None, piece: Piece) -> Read:
    """The value of a key that is written so behind that operator, or behind none.

    Raises:
        QueryInvalid: it is no value of the key, or is not compared so.
    """
    rule = KEYS[key]
    if rule.kind is Kind.TEXT:
        return _text(piece, fold=rule.folded)
    if rule.kind is Kind.TIME:
        return _time(piece, operator, hint=_WHERE if rule.naming is Naming.OPTIONAL else "")
    return _READERS[rule.kind](piece, operator)


def read_free_text(piece: Piece) -> Text | Wildcard:
    """What a version shall contain.

    Raises:
        QueryInvalid: it is empty, or a wildcard that is too much.
    """
    _check_stars(piece)
    parts = [folded(part) for part in piece.text.split(STAR) if part]
    if not parts:
        piece.refuse("some text")
    # It may stand anywhere, so that stars at the ends say nothing.
    return Text(parts[0]) if len(parts) == 1 else Wildcard(tuple(parts))


def _release(piece: Piece, _operator: Operator | None) -> Read:
    # No version is called so, in whatever letters.
    return (Operator.EQUAL, Latest()) if piece.text.lower() == "latest" else _text(piece, fold=False)


def _commit(piece: Piece, _operator: Operator | None) -> Read:
    if piece.has_star or len(piece.text) < MIN_COMMIT_PREFIX:
        return _text(piece, fold=False)
    return Operator.EQUAL, Prefix(piece.text)


def _count(piece: Piece, operator: Operator | None) -> Read:
    number = _number(piece.text)
    if number is None:
        piece.refuse("a whole number from 0 on")
    return operator or Operator.EQUAL, Number(number)


def _flag(piece: Piece, _operator: Operator | None) -> Read:
    flag = {"true": True, "false": False}.get(piece.text.lower())
    if flag is None:
        piece.refuse("true or false")
    return Operator.EQUAL, Flag(flag)


def _word(words: Sequence[str]) -> Callable[[Piece, Operator | None], Read]:
    """A value that is one of a few words."""

    def read(piece: Piece, _operator: Operator | None) -> Read:
        word = piece.text.lower()
        if word not in words:
            piece.refuse(" or ".join(words))
        return Operator.EQUAL, Word(word)

    return read


def _text(piece: Piece, *, fold: bool) -> Read:
    text = _text_or_wildcard(piece, piece.text, fold=fold)
    return None if text is None else (Operator.EQUAL, text)


def _text_or_wildcard(piece: Piece, text: str, *, fold: bool) -> Text | Wildcard | None:
    """None stands for any text."""
    _check_stars(piece)
    if text == STAR:
        return None
    parts = tuple(folded(part) if fold else part for part in text.split(STAR))
    return Text(parts[0]) if len(parts) == 1 else Wildcard(parts)


def _check_stars(piece: Piece) -> None:
    if piece.text.count(STAR) > MAX_STARS:
        piece.refuse(f"a text with at most {MAX_STARS} wildcards")
    if piece.has_star and len(piece.text) > MAX_PATTERN_CHARS:
        piece.refuse(f"a text of at most {MAX_PATTERN_CHARS} characters, since it has wildcards")


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()):
        return None
    number = int(text)
    return number if number <= MAX_NUMBER else None


def _build(piece: Piece, operator: Operator | None) -> Read:
    number = _number(piece.text)
    if number is not None:
        return operator or Operator.EQUAL, Number(number)
    if operator not in (None, Operator.EQUAL):
        piece.refuse("a build number, for a build code that is text is neither above nor below another")
    return _text(piece, fold=False) if piece.text else None


def _time(piece: Piece, operator: Operator | None, *, hint: str) -> Read:
    period = read_period(piece.text)
    if period is not None:
        sign, ago = period
        if operator is None:
            return (Operator.AT_LEAST if sign == "-" else Operator.AT_MOST), ago
        if operator is Operator.EQUAL or sign == "+":
            piece.refuse("a date or time, or a period such as -3d behind >, >=, < or <=, or behind no operator")
        return operator, ago
    moment = read_time(piece.text)
    if moment is None:
        piece.refuse(_A_TIME, hint=hint)
    if operator is None and moment.precision is not Precision.DAY:
        # Who writes a time, and nothing else, has read it somewhere, and seldom to the second.
        moment = replace(moment, around=True)
    return operator or Operator.EQUAL, moment


def _version(piece: Piece, operator: Operator | None) -> Read:
    ordered = operator not in (None, Operator.EQUAL)
    if len(piece.text) > MAX_VERSION_CHARS:
        piece.refuse(f"a version of at most {MAX_VERSION_CHARS} characters")
    # As in a version: at the first @ that is not its first character.
    at = piece.text.find("@", 1)
    raw = piece.text[at + 1 :] if at > 0 else piece.text
    package = _text_or_wildcard(piece, piece.text[:at], fold=False) if at > 0 else None
    written = raw.split(".")
    first_open = next((index for index, part in enumerate(written) if part in _OPEN), None)
    if first_open is None:
        return operator or Operator.EQUAL, _point(piece, package, raw, ordered=ordered)
    if ordered:
        piece.refuse("a version without wildcards, for what begins alike is neither above nor below")
    known = [_number(part) for part in [written[0].removeprefix("v"), *written[1:]][:first_open]]
    if len(written) > 4 or None in known or any(part not in _OPEN for part in written[first_open:]):
        piece.refuse(_A_VERSION)
    numbers = tuple(number for number in known if number is not None)
    return (Operator.EQUAL, VersionPrefix(package, numbers)) if numbers or package is not None else None


def _point(piece: Piece, package: Text | Wildcard | None, raw: str, *, ordered: bool) -> VersionPoint:
    # Behind a package one number is enough; whoever asks for versions may leave the rest out without one, too.
    version = parse_version(f"package@{raw}")
    if not version.is_semver:
        piece.refuse(_A_VERSION)
    if ordered and piece.has_star:
        piece.refuse("a version without wildcards, in its package, too")
    text = f"{version.major}.{version.minor}.{version.patch}"
    if version.revision:
        text = f"{text}.{version.revision}"
    return VersionPoint(package, f"{text}-{version.prerelease}" if version.prerelease else text)


_READERS: Final[Mapping[Kind, Callable[[Piece, Operator | None], Read]]] = MappingProxyType(
    {
        Kind.RELEASE: _release,
        Kind.VERSION: _version,
        Kind.BUILD: _build,
        Kind.COMMIT: _commit,
        Kind.COUNT: _count,
        Kind.FLAG: _flag,
        Kind.STATUS: _word(_STATUSES),
        Kind.STAGE: _word(_STAGES),
    }
)
