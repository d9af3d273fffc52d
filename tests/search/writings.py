"""Random ways to write a query: everything that the search language lets people choose."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from store.search.language import (
    KEYS,
    Ago,
    And,
    Comparison,
    Expression,
    Flag,
    FreeText,
    Has,
    In,
    Key,
    Kind,
    Latest,
    Moment,
    Naming,
    Not,
    Number,
    Operator,
    Or,
    Precision,
    Prefix,
    Text,
    Value,
    VersionPoint,
    VersionPrefix,
    Wildcard,
    Word,
)
from store.search.language.times import period_text, time_text

WITH_STARS = (Kind.TEXT, Kind.RELEASE, Kind.VERSION, Kind.BUILD, Kind.COMMIT)


@st.composite
def writings(draw: st.DrawFn, expression: Expression) -> str:
    """One of the ways to write a query."""
    text = Writer(draw).grouped(expression)
    return draw(st.sampled_from(("", " "))) + text + draw(st.sampled_from(("", "\n")))


@dataclass(frozen=True)
class Writer:
    """Writes as chance has it."""

    draw: st.DrawFn

    def one_of(self, *texts: str) -> str:
        return self.draw(st.sampled_from(texts))

    def space(self) -> str:
        return self.one_of(" ", " ", "  ", "\t", "\n")

    def grouped(self, expression: Expression, *kinds: type[And | Or]) -> str:
        """In parentheses, if it is of these kinds, and now and then if it is not."""
        text = self.plain(expression)
        if isinstance(expression, kinds) or self.draw(st.integers(0, 9)) == 0:
            return f"({self.one_of('', ' ')}{text}{self.one_of('', ' ')})"
        return text

    def plain(self, expression: Expression) -> str:
        match expression:
            case And(conditions):
                joint = self.one_of(self.space(), f"{self.space()}AND{self.space()}")
                return joint.join(self.grouped(each, Or) for each in conditions)
            case Or(conditions):
                return f"{self.space()}OR{self.space()}".join(self.grouped(each) for each in conditions)
            case Not(condition):
                return self.negated(condition)
            case FreeText(value):
                return self.text(_parts(value), special=":!")
            case _:
                return self.keyed(expression)

    def negated(self, condition: Expression) -> str:
        if isinstance(condition, Comparison) and condition.operator is Operator.EQUAL and self.draw(st.booleans()):
            key, value = self.key(condition.key, condition.name), condition.value
            if not (isinstance(value, Moment) and value.around):
                return f"{key}:!={self.value(value)}"
        return f"!{self.grouped(condition, And, Or)}"

    def keyed(self, term: Comparison | In | Has) -> str:
        key = self.key(term.key, term.name)
        match term:
            case Has():
                named = KEYS[term.key].naming is not Naming.ALWAYS or bool(term.name)
                starred = named and KEYS[term.key].kind in WITH_STARS
                return self.one_of(f"has:{key}", f"{key}:*" if starred else f"has:{key}")
            case In(values=values):
                texts = self.one_of(",", ", ", " ,", ",\t").join(self.value(value, special=",") for value in values)
                return f"{key}:{self.one_of('', '=')}[{texts}]"
            case Comparison(operator=operator, value=value):
                return f"{key}:{self.operator(operator, value)}{self.value(value)}"

    def key(self, key: Key, name: str) -> str:
        if not name:
            return str(key)
        return f"{key}.{self.one_of(_quoted(name), _bare(name, special=':!'))}"

    def operator(self, operator: Operator, value: Value) -> str:
        if operator is not Operator.EQUAL:
            return str(operator)
        if isinstance(value, Moment) and value.precision is not Precision.DAY:
            return "" if value.around else "="
        return self.one_of("", "=")

    def value(self, value: Value, *, special: str = "") -> str:
        match value:
            case Text() | Wildcard():
                return self.text(_parts(value), special=special)
            case Prefix(prefix):
                return self.text((prefix,), special=special)
            case VersionPoint(package, version):
                return self.text(_packaged(package, self.one_of("", "v") + version), special=special)
            case VersionPrefix(package, numbers):
                stars = [self.one_of("x", "X", "*") for _ in range(4 - len(numbers))]
                some = stars[: self.draw(st.integers(1, len(stars)))]
                return self.text(_packaged(package, ".".join([*map(str, numbers), *some])), special=special)
            case Moment():
                text = time_text(value)
                return self.one_of(text, text.removesuffix("Z"), text.replace("Z", "+00:00"))
            case Ago():
                return f"-{self.one_of(period_text(value), f'{value.minutes}m')}"
            case _:
                return self.word(value)

    def word(self, value: Latest | Number | Flag | Word) -> str:
        match value:
            case Latest():
                return self.one_of("latest", "Latest", '"LATEST"')
            case Number(number):
                return f"{self.one_of('', '0')}{number}"
            case Flag(flag):
                return self.one_of("{}", '"{}"').format(str(flag).lower())
            case Word(word):
                return self.one_of(word, word.upper())

    def text(self, parts: tuple[str, ...], *, special: str) -> str:
        stars = self.one_of("*", "*", "**")
        text = "".join(parts)
        if not text or text in ("AND", "OR", "NOT") or text[0] in "<>=!" or self.draw(st.booleans()):
            return f'"{stars.join(map(_escaped, parts))}"'
        return stars.join(_bare(part, special=special) for part in parts)


def _packaged(package: Text | Wildcard | None, version: str) -> tuple[str, ...]:
    *before, last = _parts(package) if package is not None else ("",)
    first, *others = version.split("*")
    return (*before, f"{last}{'@' if package is not None else ''}{first}", *others)


def _parts(value: Text | Wildcard) -> tuple[str, ...]:
    return (value.text,) if isinstance(value, Text) else value.parts


def _bare(text: str, *, special: str) -> str:
    """Without quotes, a backslash before whatever would end the text or mean something."""
    return "".join(f"\\{each}" if each.isspace() or each in f'()[]"\\*{special}' else each for each in text)


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return "".join(f"\\{each}" if each in '"\\*' else each for each in text)
