"""Between which values of a sorted column all that a query finds lies: the stretch of an index that need be looked at.

Bounds are never too narrow, and may be a value too wide: what lies in them is tested by the whole condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from store.database.ids import first_id_at
from store.releases.version import FIRST_SEMVER_KEY, NO_BUILD_KEY
from store.search.filters import Scope
from store.search.language import (
    Ago,
    And,
    Comparison,
    Expression,
    Has,
    Key,
    Moment,
    Number,
    Operator,
    Prefix,
    Text,
    Value,
    VersionPoint,
    VersionPrefix,
    Wildcard,
)
from store.search.language.tree import MINUTE
from store.text import after_prefix

_MOST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Span:
    """The values from the first to the last, both included; None where it is open."""

    first: Any = None
    last: Any = None

    @property
    def is_empty(self) -> bool:
        """Whether no value lies in it."""
        return self.first is not None and self.last is not None and bool(self.first > self.last)

    def within(self, other: Span) -> Span:
        """What lies in both."""
        firsts = [each for each in (self.first, other.first) if each is not None]
        lasts = [each for each in (self.last, other.last) if each is not None]
        return Span(max(firsts, default=None), min(lasts, default=None))


_COUNTS: Final[Mapping[Key, str]] = MappingProxyType(
    {Key.BUILD: "build_key", Key.COMMITS: "commit_count", Key.DEPLOYS: "deploy_count"}
)
_THERE: Final[Mapping[Key, tuple[str, Span]]] = MappingProxyType(
    {
        Key.VERSION: ("version_key", Span(FIRST_SEMVER_KEY)),
        # Who has one of these has one commit or deploy at least.
        **dict.fromkeys((Key.COMMITS, Key.COMMIT, Key.AUTHOR, Key.REFERENCE), ("commit_count", Span(1))),
        **dict.fromkeys((Key.DEPLOYS, Key.DEPLOYED), ("deploy_count", Span(1))),
    }
)


def conjuncts(expression: Expression | None) -> Sequence[Expression]:
    """The conditions that must all hold."""
    if expression is None:
        return ()
    return expression.conditions if isinstance(expression, And) else (expression,)


def bounds_of(scope: Scope) -> Mapping[str, Span]:
    """The bounds of all that a scope finds, by column: `id`, and those that lists are sorted by."""
    found: dict[str, Span] = {}
    told = [bound for each in conjuncts(scope.expression) if (bound := bound_of(each, now_us=scope.now_us))]
    if scope.created != (None, None):
        told.append(("id", _ids(*scope.created)))
    if scope.released != (None, None):
        first, beyond = scope.released
        told.append(("sort_time", Span(first, None if beyond is None else beyond - 1)))
    for column, span in told:
        found[column] = span.within(found.get(column, Span()))
    return found


def bound_of(condition: Expression, *, now_us: int) -> tuple[str, Span] | None:
    """The column whose values a condition bounds, and how; None where it bounds none of them."""
    match condition:
        case Has(key, _) if key in _THERE:
            return _THERE[key]
        case Comparison(Key.VERSION, operator, VersionPoint() | VersionPrefix() as value, _):
            return "version_key", _versions(operator, value)
        case Comparison(key, operator, Number(number), _) if key in _COUNTS:
            span = _numbers(operator, number)
            # A build that is no number is not below any.
            return _COUNTS[key], span.within(Span(NO_BUILD_KEY + 1)) if key is Key.BUILD else span
        case Comparison(Key.CREATED, operator, Moment() | Ago() as value, _):
            return "id", _ids(*times_of(operator, value, now_us=now_us))
        case Comparison(Key.RELEASED, operator, Moment() | Ago() as value, _):
            # A release time, where there is one, is what releases are sorted by.
            return "sort_time", time_span(operator, value, now_us=now_us)
        case Comparison(Key.RELEASE, Operator.EQUAL, value, _):
            span_of_text = text_span(value)
            return None if span_of_text is None else ("version", span_of_text)
        case _:
            return None


def text_span(value: Value) -> Span | None:
    """Where texts that a value matches lie; None where that may be anywhere."""
    match value:
        case Text(text):
            return Span(text, text)
        case Prefix(prefix) | Wildcard((prefix, *_)) if prefix:
            return Span(prefix, after_prefix(prefix))
        case _:
            return None


def times_of(operator: Operator, value: Moment | Ago, *, now_us: int) -> tuple[int | None, int | None]:
    """The times that compare so with the value: from the first to before the second, None where it is open."""
    if isinstance(value, Ago):
        first = now_us - value.minutes * MINUTE
        beyond = first + 1
    else:
        first, beyond = value.first, value.beyond
    match operator:
        case Operator.EQUAL:
            return first, beyond
        case Operator.ABOVE:
            return beyond, None
        case Operator.AT_LEAST:
            return first, None
        case Operator.BELOW:
            return None, first
        case Operator.AT_MOST:
            return None, beyond


def time_span(operator: Operator, value: Moment | Ago, *, now_us: int) -> Span:
    """The same as a span."""
    first, beyond = times_of(operator, value, now_us=now_us)
    return Span(first, None if beyond is None else beyond - 1)


def _ids(first_us: int | None, beyond_us: int | None) -> Span:
    return Span(
        None if first_us is None else first_id_at(first_us), None if beyond_us is None else first_id_at(beyond_us)
    )


def _numbers(operator: Operator, number: int) -> Span:
    match operator:
        case Operator.EQUAL:
            return Span(number, number)
        case Operator.ABOVE:
            # Above the largest there is nothing.
            return Span(number + 1) if number < _MOST else Span(1, 0)
        case Operator.AT_LEAST:
            return Span(number)
        case Operator.BELOW:
            return Span(None, number - 1)
        case Operator.AT_MOST:
            return Span(None, number)


def _versions(operator: Operator, value: VersionPoint | VersionPrefix) -> Span:
    match operator:
        case Operator.EQUAL:
            return Span(value.first_key, value.beyond_key)
        case Operator.ABOVE:
            return Span(value.beyond_key)
        case Operator.AT_LEAST:
            return Span(value.first_key)
        case Operator.BELOW:
            return Span(FIRST_SEMVER_KEY, value.first_key)
        case Operator.AT_MOST:
            return Span(FIRST_SEMVER_KEY, value.beyond_key)
