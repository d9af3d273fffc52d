"""What the grammar finds, made into a tree bottom up, while it is parsed: no text nests deeper than this is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from lark import Token, Transformer

from store.errors import QueryInvalid
from store.search.language.keys import KEYS, Naming, find_key, likely_key, written
from store.search.language.limits import MAX_DEPTH, MAX_TERMS
from store.search.language.tree import (
    And,
    Comparison,
    Expression,
    Flag,
    FreeText,
    Has,
    In,
    Key,
    Not,
    Operator,
    Or,
    Value,
)
from store.search.language.values import ORDERED, read_free_text, read_value
from store.search.language.written import piece_of, place, shown

_TEXT_WITH_COLON: Final = 'Text with a colon stands in quotes: "a:b".'


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the query that was read: its tree, its place (from 0), how deep it nests and how many terms it has."""

    expression: Expression
    start: int
    end: int
    depth: int = 0
    terms: int = 1


Child: TypeAlias = Part | Token


class Reading(Transformer[Token, Expression | None]):
    """A method for each rule of the grammar, given what its parts became."""

    def start(self, children: Sequence[Part]) -> Expression | None:
        """The whole query; None when it is empty."""
        return children[0].expression if children else None

    def disjunction(self, children: Sequence[Child]) -> Part:
        """Parts with OR between them."""
        parts = _checked(children)
        if len(parts) == 1:
            return parts[0]
        return _joined(parts, Or(tuple(each for part in parts for each in _flat(part.expression, Or))))

    def conjunction(self, children: Sequence[Child]) -> Part:
        """Parts with AND or whitespace between them."""
        parts = _checked(children)
        if len(parts) == 1:
            return parts[0]
        return _joined(parts, And(tuple(each for part in parts for each in _flat(part.expression, And))))

    def negation(self, children: tuple[Token, Part]) -> Part:
        """What must not hold."""
        (start, end), part = place(children[0]), children[1]
        _insist_on_no_gap(end, part.start, "what shall not hold, right behind the `!`")
        return _deeper(part, Not(part.expression), start, part.end)

    def group(self, children: tuple[Token, Part, Token]) -> Part:
        """Parts in parentheses."""
        opening, part, closing = children
        return _deeper(part, part.expression, place(opening)[0], place(closing)[1])

    def free_text(self, children: tuple[Token]) -> Part:
        """Text without a key."""
        start, end = place(children[0])
        return Part(FreeText(read_free_text(piece_of(children[0], start))), start, end)

    def has(self, children: tuple[Token, Token]) -> Part:
        """That there is a value of a key."""
        (start, key_start), (name_start, end) = place(children[0]), place(children[1])
        _insist_on_no_gap(key_start, name_start, "a key, right behind `has:`")
        key, name = _key_and_name(str(children[1]), name_start, optional=True)
        return Part(_any(key, name), start, end)

    def comparison(self, children: Sequence[Token]) -> Part:
        """A key, perhaps an operator, and one value."""
        key, name, operator, negated = _head(children, "a value")
        value = children[-1]
        start, end = place(value)
        read = read_value(key, operator, piece_of(value, start))
        expression = _any(key, name) if read is None else Comparison(key, *read, name)
        return Part(Not(expression) if negated else expression, place(children[0])[0], end)

    def list(self, children: Sequence[Token]) -> Part:
        """A key, perhaps an operator, and values in brackets."""
        at = next(index for index, child in enumerate(children) if child.type == "LSQB")
        key, name, operator, negated = _head(children[: at + 1], "a list")
        if operator not in (None, Operator.EQUAL):
            _refuse_token(children[1], "no operator but = and != before a list")
        values: dict[Value, None] = {}
        anything = False
        items = [child for child in children[at + 1 :] if child.type in ("ITEM", "QUOTED")]
        for item in items:
            piece = piece_of(item, place(item)[0])
            read = read_value(key, None, piece)
            if read is None:
                anything = True
            elif read[0] is not Operator.EQUAL:
                piece.refuse("a date or time, for periods stand in no list")
            else:
                values[read[1]] = None
        if len(items) > MAX_TERMS:
            _refuse_token(items[MAX_TERMS], f"the end of the list (at most {MAX_TERMS} terms and values)")
        first, *others = values or (None,)
        expression: Expression
        if anything or first is None:
            expression = _any(key, name)
        elif others:
            expression = In(key, tuple(values), name)
        else:
            expression = Comparison(key, Operator.EQUAL, first, name)
        start, end = place(children[0])[0], place(children[-1])[1]
        return Part(Not(expression) if negated else expression, start, end, terms=len(items))


def _checked(children: Sequence[Child]) -> list[Part]:
    """The parts among them, all of which have whitespace between them, and are not too many."""
    for left, right in pairwise(children):
        # Between AND or OR and a parenthesis behind it none is needed: its end can be told.
        if isinstance(left, Part) and left.end == (right.start if isinstance(right, Part) else place(right)[0]):
            raise QueryInvalid(
                position=left.end + 1,
                found=f"`{right}`" if isinstance(right, Token) else "the next term",
                expected="a space",
                hint="A value with quotes, parentheses or brackets in it stands in quotes.",
            )
    parts = [child for child in children if isinstance(child, Part)]
    terms = 0
    for part in parts:
        terms += part.terms
        if terms > MAX_TERMS:
            raise QueryInvalid(
                position=part.start + 1,
                found="a term too many",
                expected=f"the end of the query (at most {MAX_TERMS} terms and values)",
            )
    return parts


def _joined(parts: Sequence[Part], expression: Expression) -> Part:
    return Part(
        expression,
        parts[0].start,
        parts[-1].end,
        max(part.depth for part in parts),
        sum(part.terms for part in parts),
    )


def _deeper(part: Part, expression: Expression, start: int, end: int) -> Part:
    if part.depth == MAX_DEPTH:
        raise QueryInvalid(
            position=start + 1,
            found="a parenthesis or `!` around too many others",
            expected=f"at most {MAX_DEPTH} of them around one another",
        )
    return Part(expression, start, end, part.depth + 1, part.terms)


def _flat(expression: Expression, kind: type[And | Or]) -> tuple[Expression, ...]:
    """The conditions of an And within an And, or an Or within an Or."""
    return expression.conditions if isinstance(expression, kind) else (expression,)


def _any(key: Key, name: str) -> Expression:
    """That there is a value: of a flag, that it is set."""
    return Comparison(key, Operator.EQUAL, Flag(True)) if key is Key.FINALIZED else Has(key, name)


def _head(children: Sequence[Token], expected: str) -> tuple[Key, str, Operator | None, bool]:
    """Key, name, operator and whether it is `!=`, of a key, perhaps an operator, and what is expected behind it."""
    start, end = place(children[0])
    key, name = _key_and_name(str(children[0])[:-1], start, optional=False)
    for token in children[1:]:
        _insist_on_no_gap(end, place(token)[0], f"{expected} right behind `{children[0]}`"[:80])
        end = place(token)[1]
    if children[1].type != "OPERATOR":
        return key, name, None, False
    if children[1] == "!=":
        return key, name, Operator.EQUAL, True
    operator = Operator(str(children[1]))
    if operator is not Operator.EQUAL and KEYS[key].kind not in ORDERED:
        _refuse_token(children[1], f"{expected}, or = or !=, for {key} has no order")
    return key, name, operator, False


def _key_and_name(text: str, start: int, *, optional: bool) -> tuple[Key, str]:
    """A key, and the name behind its dot."""
    head, dot, tail = text.partition(".")
    named = find_key(head)
    if dot and named is not None and KEYS[named].naming is not Naming.NEVER:
        return named, _name(tail, start + len(head) + 1, behind="nothing" if optional else shown(":"))
    key = find_key(text)
    if key is None:
        likely = likely_key(text)
        hint = f"Did you mean {written(likely)}? {_TEXT_WITH_COLON}" if likely is not None else _TEXT_WITH_COLON
        known = ", ".join(written(key) for key in Key)
        raise QueryInvalid(position=start + 1, found=shown(text), expected=f"one of the keys {known}", hint=hint)
    if KEYS[key].naming is Naming.ALWAYS and not optional:
        raise QueryInvalid(position=start + 1, found=shown(text), expected=f"`{key}.NAME:VALUE`, or `has:{key}.NAME`")
    return key, ""


def _name(written_name: str, start: int, *, behind: str) -> str:
    """The name behind a dot: in quotes from its beginning, or without any. `behind` it: what is found where it is
    missing."""
    expected = "a name, in quotes or without, and without wildcards"
    if not written_name:
        raise QueryInvalid(position=start + 1, found=behind, expected=expected)
    piece = piece_of(written_name, start)
    if not piece.text or piece.has_star or ('"' in written_name and not written_name.startswith('"')):
        piece.refuse(expected)
    return piece.text


def _insist_on_no_gap(end: int, start: int, expected: str) -> None:
    if start > end:
        raise QueryInvalid(position=end + 1, found="a space", expected=expected)


def _refuse_token(token: Token, expected: str) -> None:
    raise QueryInvalid(position=place(token)[0] + 1, found=shown(str(token)), expected=expected)
