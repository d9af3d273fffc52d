"""What queries mean as trees (docs/search.md)."""

from __future__ import annotations

import pytest

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
    Moment,
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
    parse_query,
)
from store.search.language.limits import MAX_DEPTH, MAX_QUERY_CHARS, MAX_TERMS

A, B, C = (FreeText(Text(letter)) for letter in "abc")

TREES: dict[str, Expression] = {
    "a b": And((A, B)),
    "a AND b": And((A, B)),
    "a OR b": Or((A, B)),
    "a b OR c": Or((And((A, B)), C)),
    "a OR b c": Or((A, And((B, C)))),
    "a AND b OR c": Or((And((A, B)), C)),
    "(a OR b) c": And((Or((A, B)), C)),
    "a (b c)": And((A, B, C)),
    "a OR (b OR c)": Or((A, B, C)),
    "((a))": A,
    "!a b": And((Not(A), B)),
    "!(a b)": Not(And((A, B))),
    "!!a": Not(Not(A)),
    "a AND(b OR c)": And((A, Or((B, C)))),
    "a and b or": And((A, FreeText(Text("and")), B, FreeText(Text("or")))),
    '"AND"': FreeText(Text("and")),
    "ORDER": FreeText(Text("order")),
    r"a\:b": FreeText(Text("a:b")),
    "a*b": FreeText(Wildcard(("a", "b"))),
    "*a*": A,
    r"\*": FreeText(Text("*")),
}


def just(key: Key, value: Value, operator: Operator = Operator.EQUAL, name: str = "") -> Comparison:
    return Comparison(key, operator, value, name)


TERMS: dict[str, Expression] = {
    "release:app@1.0": just(Key.RELEASE, Text("app@1.0")),
    "release:App@1.0": just(Key.RELEASE, Text("App@1.0")),
    'release:"app (1), [x]"': just(Key.RELEASE, Text("app (1), [x]")),
    r'release:"a \"b\" \\ \*"': just(Key.RELEASE, Text('a "b" \\ *')),
    r"release:a\ \(b\)": just(Key.RELEASE, Text("a (b)")),
    "release:a:b,c": just(Key.RELEASE, Text("a:b,c")),
    "release:a**b*": just(Key.RELEASE, Wildcard(("a", "b", ""))),
    'release:"a b*"': just(Key.RELEASE, Wildcard(("a b", ""))),
    "release:*": Has(Key.RELEASE),
    "release:[a, b]": In(Key.RELEASE, (Text("a"), Text("b"))),
    'release:["a, b",c*,a]': In(Key.RELEASE, (Text("a, b"), Wildcard(("c", "")), Text("a"))),
    "release:[a, a]": just(Key.RELEASE, Text("a")),
    "release:!=[a, b]": Not(In(Key.RELEASE, (Text("a"), Text("b")))),
    'ref:""': just(Key.REF, Text("")),
    "ref:[main, *]": Has(Key.REF),
    "owner:Ann*": just(Key.OWNER, Wildcard(("ann", ""))),
    "has:owner": Has(Key.OWNER),
    "has:label": Has(Key.LABEL),
    "has:label.team": Has(Key.LABEL, "team"),
    'has:label."built on"': Has(Key.LABEL, "built on"),
    "label.team:Search": just(Key.LABEL, Text("Search"), name="team"),
    "label.app.io/tier:1": just(Key.LABEL, Text("1"), name="app.io/tier"),
    r"label.built\ on:x": just(Key.LABEL, Text("x"), name="built on"),
    'label."a:b":c': just(Key.LABEL, Text("c"), name="a:b"),
    "has:finalized": just(Key.FINALIZED, Flag(True)),
    "finalized:False": just(Key.FINALIZED, Flag(False)),
    "status:ARCHIVED": just(Key.STATUS, Word("archived")),
    "commits:10": just(Key.COMMITS, Number(10)),
    "deploys:>=2": just(Key.DEPLOYS, Number(2), Operator.AT_LEAST),
    "commit:abc": just(Key.COMMIT, Text("abc")),
    "commit:abcd": just(Key.COMMIT, Prefix("abcd")),
    "release.build:045": just(Key.BUILD, Number(45)),
    "release.build:45.6": just(Key.BUILD, Text("45.6")),
    "release.build:99999999999999999999": just(Key.BUILD, Text("99999999999999999999")),
    'release.build:""': Has(Key.BUILD),
    "release.version:1": just(Key.VERSION, VersionPoint(None, "1.0.0")),
    "release.version:>v1.02.3.4-rc1+45": just(Key.VERSION, VersionPoint(None, "1.2.3.4-rc1"), Operator.ABOVE),
    "release.version:@a/b@1.0": just(Key.VERSION, VersionPoint(Text("@a/b"), "1.0.0")),
    "release.version:app*@1.0": just(Key.VERSION, VersionPoint(Wildcard(("app", "")), "1.0.0")),
    "release.version:*@1.0": just(Key.VERSION, VersionPoint(None, "1.0.0")),
    "release.version:v1.x": just(Key.VERSION, VersionPrefix(None, (1,))),
    "release.version:app@1.2.*.*": just(Key.VERSION, VersionPrefix(Text("app"), (1, 2))),
    "release.version:app@*": just(Key.VERSION, VersionPrefix(Text("app"), ())),
    "release.version:X": Has(Key.VERSION),
    "release.created:-3d": just(Key.CREATED, Ago(3 * 1440), Operator.AT_LEAST),
    "release.created:+2w": just(Key.CREATED, Ago(14 * 1440), Operator.AT_MOST),
    "release.created:<-90m": just(Key.CREATED, Ago(90), Operator.BELOW),
    "release.created:1970-01-02": just(Key.CREATED, Moment(86_400_000_000, Precision.DAY)),
    "release.created:1970-01-01T00:01": just(Key.CREATED, Moment(60_000_000, Precision.MINUTE, around=True)),
    "release.created:=1970-01-01T00:01": just(Key.CREATED, Moment(60_000_000, Precision.MINUTE)),
    "release.released:>1970-01-01T01:00:01+01:00": just(
        Key.RELEASED, Moment(1_000_000, Precision.SECOND), Operator.ABOVE
    ),
    'release.released:<"1970-01-01 00:00:00.0000019Z"': just(
        Key.RELEASED, Moment(1, Precision.MICROSECOND), Operator.BELOW
    ),
    "deployed:-1h": just(Key.DEPLOYED, Ago(60), Operator.AT_LEAST),
    "deployed.production:-1h": just(Key.DEPLOYED, Ago(60), Operator.AT_LEAST, "production"),
    'deployed."Staging EU":>=-1d': just(Key.DEPLOYED, Ago(1440), Operator.AT_LEAST, "Staging EU"),
    "has:deployed.production": Has(Key.DEPLOYED, "production"),
}


@pytest.mark.parametrize("query", TREES)
def test_terms_are_joined_as(query: str) -> None:
    assert parse_query(query) == TREES[query]


@pytest.mark.parametrize("query", TERMS)
def test_a_term_means(query: str) -> None:
    assert parse_query(query) == TERMS[query]


def test_every_key_has_its_rule() -> None:
    assert KEYS.keys() == set(Key)


def test_a_query_may_be_as_long_as_the_bound() -> None:
    longest = " ".join(["a" * 64] * 70)[:MAX_QUERY_CHARS]
    assert parse_query(longest.ljust(MAX_QUERY_CHARS)) is not None


def test_a_query_may_have_as_many_terms_and_values_as_the_bound() -> None:
    values = ",".join(map(str, range(MAX_TERMS - 1)))
    assert parse_query(f"a commits:[{values}]") is not None


def test_a_query_may_nest_as_deep_as_the_bound() -> None:
    assert parse_query("(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH) == A
