"""What is no query: where it is refused, what was found there, and what was expected (docs/search.md)."""

from __future__ import annotations

import pytest

from store.errors import QueryInvalid
from store.search.language import parse_query
from store.search.language.limits import MAX_DEPTH, MAX_PATTERN_CHARS, MAX_QUERY_CHARS, MAX_TERMS, MAX_VALUE_CHARS

# A query, the place, what was found, and a word of what was expected.
REFUSED = [
    # Terms and what joins them.
    ("AND a", 1, "`AND`", "a term"),
    ("a OR", 5, "the end of the query", "a term"),
    ("a AND OR b", 7, "`OR`", "a term"),
    ("a NOT b", 3, "`NOT`", "a term"),
    ("!", 2, "the end of the query", "a term"),
    ("! a", 2, "a space", "right behind the `!`"),
    ("()", 2, "`)`", "a term"),
    ("(a", 3, "the end of the query", "`)`"),
    ("a)", 2, "`)`", "the end of the query"),
    ("[a]", 1, "`[`", "a term"),
    ("*", 1, "`*`", "some text"),
    ('""', 1, '`""`', "some text"),
    (":a", 1, "`:a`", "a term"),
    ('a"b"', 2, "the next term", "a space"),
    ('"a"b', 4, "the next term", "a space"),
    ("(a)(b)", 4, "the next term", "a space"),
    ("(a)OR b", 4, "`OR`", "a space"),
    ("release:1.0(45)", 12, "the next term", "a space"),
    ('"a', 1, '`"`', "a term"),
    (r"a\b", 2, r"`\b`", r"\*"),
    ("a\\", 2, "`\\`", "AND"),
    # Keys.
    ("foo:bar", 1, "`foo`", "release.version"),
    ("Release:a", 1, "`Release`", "release"),
    ("release.stages:adopted", 1, "`release.stages`", "release.stage"),
    ("ref.x:a", 1, "`ref.x`", "one of the keys"),
    ("https://example.com", 1, "`https`", "one of the keys"),
    ("label:a", 1, "`label`", "label.NAME"),
    ("label.:a", 7, "`:`", "a name"),
    ("label.te*:a", 7, "`te*`", "a name"),
    ('label.te"x":a', 7, '`te"x"`', "a name"),
    ('label."":a', 7, '`""`', "a name"),
    ("has:", 5, "the end of the query", "a key"),
    ("has: ref", 5, "a space", "a key"),
    ("has:foo", 5, "`foo`", "one of the keys"),
    ("has:label. a", 11, "nothing", "a name"),
    ("has:[ref, owner]", 5, "`[`", "a key"),
    # Values.
    ("a release:", 11, "the end of the query", "a value"),
    ("release: a", 9, "a space", "a value"),
    ("release.version:> 1.2", 18, "a space", "a value"),
    ("release:!a", 9, "`!a`", "a value"),
    ('release:"a', 9, '`"`', "a value"),
    ('release:a"', 10, '`"`', "AND"),
    ("release:(a)", 9, "`(`", "a value"),
    ("release:=>a", 10, "`>a`", "a value"),
    ("status:closed", 8, "`closed`", "open or archived"),
    ("finalized:1", 11, "`1`", "true or false"),
    ("commits:-1", 9, "`-1`", "a whole number"),
    ("commits:1.5", 9, "`1.5`", "a whole number"),
    ("commits:9223372036854775808", 9, "`9223372036854775808`", "a whole number"),
    ("commits:٣", 9, "`٣`", "a whole number"),
    ("commits:1*", 9, "`1*`", "a whole number"),
    ("release.version:abc", 17, "`abc`", "a version"),
    ("release.version:1.2.3.4.5", 17, "`1.2.3.4.5`", "a version"),
    ("release.version:1.*.3", 17, "`1.*.3`", "a version"),
    ("release.version:1.2*", 17, "`1.2*`", "a version"),
    ("release.version:1.2.3.4.*", 17, "`1.2.3.4.*`", "a version"),
    ("release.version:app@", 17, "`app@`", "a version"),
    ('release.version:""', 17, '`""`', "a version"),
    ("release.version:9223372036854775808", 17, "`9223372036854775808`", "a version"),
    ("release.created:2026-02-30", 17, "`2026-02-30`", "a date"),
    ("release.created:2026-1-1", 17, "`2026-1-1`", "a date"),
    ("release.created:2026-01-01T25:00", 17, "`2026-01-01T25:00`", "a date"),
    ("release.created:2026-01-01T10:00+99:00", 17, "`2026-01-01T10:00+99:00`", "a date"),
    ("release.created:0001-01-01T00:00+10:00", 17, "`0001-01-01T00:00+10:00`", "a date"),
    ("release.created:-3y", 17, "`-3y`", "a date"),
    ("release.created:-99999999w", 17, "`-99999999w`", "a date"),
    ("release.created:=-3d", 18, "`-3d`", "a date"),
    ("release.created:>+3d", 18, "`+3d`", "a date"),
    ("deployed:production", 10, "`production`", "a date"),
    # Operators.
    ("owner:>a", 7, "`>`", "owner has no order"),
    ("release:<=1.0", 9, "`<=`", "release has no order"),
    ("status:>open", 8, "`>`", "status has no order"),
    ("a release.build:>45a", 18, "`45a`", "a build number"),
    ("release.build:>99999999999999999999", 16, "`99999999999999999999`", "a build number"),
    # Lists.
    ("release:[]", 10, "`]`", "a value"),
    ("release:[a,]", 12, "`]`", "a value"),
    ("release:[,a]", 10, "`,`", "a value"),
    ("release:[a b]", 12, "`b`", "a comma"),
    ("release:[a", 11, "the end of the query", "`]`"),
    ("release: [a]", 9, "a space", "a list"),
    ("commits:>[1, 2]", 9, "`>`", "before a list"),
    ("commits:[1, >2]", 13, "`>2`", "a value"),
    ("release.created:[2026-01-01, -3d]", 30, "`-3d`", "a date"),
    ("commits:[1, x]", 13, "`x`", "a whole number"),
    # Bounds.
    ("a" * (MAX_QUERY_CHARS + 1), MAX_QUERY_CHARS + 1, "the rest of 4,097 characters", "4,096"),
    ("a " * MAX_TERMS + "b", 2 * MAX_TERMS + 1, "a term too many", "100"),
    ("a OR " * MAX_TERMS + "b", 5 * MAX_TERMS + 1, "a term too many", "100"),
    (f"commits:[{'1,' * MAX_TERMS}1]", 10 + 2 * MAX_TERMS, "`1`", "100"),
    ("a !(" + "!" * MAX_DEPTH + "b)", 4, "a parenthesis or `!` around too many others", "20"),
    ("(" * (MAX_DEPTH + 1) + "b" + ")" * (MAX_DEPTH + 1), 1, "a parenthesis or `!` around too many others", "20"),
    (f"ref:{'a' * (MAX_VALUE_CHARS + 1)}", 5, f"`{'a' * 40}…`", "1,024"),
    (f"release.version:1.0-{'1' * 300}", 17, f"`1.0-{'1' * 36}…`", "200"),
    ("ref:*a*b*c*d*", 5, "`*a*b*c*d*`", "4 wildcards"),
    (f"ref:{'a' * MAX_PATTERN_CHARS}*", 5, f"`{'a' * 40}…`", "200"),
    # Characters.
    ("a\0b", 2, "a control character (U+0000)", "without control characters"),
    ('ref:"\x1b"', 6, "a control character (U+001B)", "without control characters"),
    ("a\ud800", 2, "a control character (U+D800)", "without control characters"),
]


@pytest.mark.parametrize(("query", "position", "found", "expected"), REFUSED, ids=[each[0][:40] for each in REFUSED])
def test_a_query_is_refused_where(query: str, position: int, found: str, expected: str) -> None:
    with pytest.raises(QueryInvalid) as refused:
        parse_query(query)
    error = refused.value
    assert (error.position, error.found) == (position, found)
    assert expected in error.expected


# A query, and what is said to its author.
HINTS = [
    ("version:1.2", "Did you mean release.version?"),
    ("releese:1.2", "Did you mean release?"),
    ("Author:ann", "Did you mean author?"),
    ("env:production", "Did you mean environment?"),
    ("https://example.com", 'Text with a colon stands in quotes: "a:b".'),
    ("a NOT b", "What shall not hold has a ! before it"),
    ("release:!1.0", "The ! stands before the key"),
    ('release:"1.0', "A quote is closed by another"),
    ("release:(1.0)", "stands in quotes"),
    ("deployed:production", "deployed.NAME:"),
]


@pytest.mark.parametrize(("query", "hint"), HINTS)
def test_whoever_wrote_it_is_told_what_was_probably_meant(query: str, hint: str) -> None:
    with pytest.raises(QueryInvalid) as refused:
        parse_query(query)
    assert hint in refused.value.hint
    assert hint in refused.value.message


def test_a_key_that_is_like_no_other_gets_no_suggestion() -> None:
    for word in ("zzzz", "x" * 4000):
        with pytest.raises(QueryInvalid) as refused:
            parse_query(f"{word}:1")
        assert "Did you mean" not in refused.value.message


def test_programs_and_people_are_told_the_same() -> None:
    with pytest.raises(QueryInvalid) as refused:
        parse_query("commits:many")
    error = refused.value
    assert error.reason == "QUERY_INVALID"
    assert error.metadata == {"position": "9", "found": "`many`", "expected": "a whole number from 0 on"}
    assert [violation.field for violation in error.violations] == ["query"]
    assert "At character 9: found `many`; expected a whole number from 0 on." in error.message
