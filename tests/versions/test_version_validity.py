"""Which texts may be the version of a release (behaviour.md, Versions)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import InvalidArgument
from store.releases.version import MAX_VERSION_LENGTH, InvalidVersion, check_version

LEGAL = {
    "one character": "1",
    "a semantic version": "1.2.3",
    "a package": "app@1.2.3",
    "a scoped package": "@scope@1.2.3",
    "a build code": "app@1.2.3+45",
    "a percent sign, never decoded": "app%2Fweb@1.0",
    "a lone percent sign": "100%",
    "a colon": "urn:release:7",
    "a plus sign alone": "+",
    "an at sign alone": "@",
    "inner spaces": "spring release 4",
    "two inner spaces": "a  b",
    "parentheses": "1.0 (45)",
    "brackets and quotes": "[a] 'b' \"c\"",
    "a query and a fragment": "a?b=c&d#e",
    "an en dash": "2024\u20132025",
    "an inner no-break space": "1\u00a0000",
    "Chinese": "\u7248\u672c1.0",
    "Hebrew": "\u05d2\u05e8\u05e1\u05d4",
    "an emoji outside the basic plane": "\U0001f680 1.0",
    "composed accents": "caf\u00e9@1.0",
    "three dots": "...",
    "a leading dot": ".1",
    "a leading hyphen": "-1",
    "two hyphens": "--",
    "latest with a suffix": "latest-1",
    "a name that holds latest": "the latest",
    "latest behind a package": "app@latest",
    "a commit id": "a86d127c4b2f23a0a862620280427dcc01c78676",
    "a star": "app*",
    "a private use character": "\ue000",
    "exactly the most characters": "x" * MAX_VERSION_LENGTH,
    "the most characters, each of four bytes": "\U0001f680" * MAX_VERSION_LENGTH,
}

REFUSED = {
    "nothing": ("", "is empty"),
    "one character too many": ("x" * (MAX_VERSION_LENGTH + 1), "has 201 characters"),
    "one character": (" ", "begins with a space"),
    "two spaces": ("  ", "begins with a space"),
    "a leading space": (" 1.0", "begins with a space"),
    "a trailing space": ("1.0 ", "ends with a space"),
    "a leading no-break space": ("\u00a01.0", "begins with a space"),
    "a trailing ideographic space": ("1.0\u3000", "ends with a space"),
    "a trailing line separator": ("1.0\u2028", "a line separator (U+2028) as character 4"),
    "an inner line separator": ("1\u20280", "a line separator (U+2028) as character 2"),
    "an inner paragraph separator": ("1\u20290", "a paragraph separator (U+2029) as character 2"),
    "a slash": ("app/web@1.0", "a slash (U+002F) as character 4"),
    "a leading slash": ("/1.0", "a slash (U+002F) as character 1"),
    "a backslash": ("app\\web", "a backslash (U+005C) as character 4"),
    "a carriage return": ("1\r2", "a carriage return (U+000D) as character 2"),
    "a line feed": ("1\n2", "a line feed (U+000A) as character 2"),
    "a trailing line feed": ("1.0\n", "a line feed (U+000A) as character 4"),
    "a form feed": ("1\f2", "a form feed (U+000C) as character 2"),
    "a tab": ("1\t2", "a tab (U+0009) as character 2"),
    "a NUL": ("1.0\x00", "a control character (U+0000) as character 4"),
    "an escape": ("\x1b[31m1.0", "a control character (U+001B) as character 1"),
    "a vertical tab": ("1\v2", "a control character (U+000B)"),
    "a delete": ("1.0\x7f", "a control character (U+007F)"),
    "a C1 control": ("1\u0085", "a control character (U+0085)"),
    "a zero width joiner": ("a\u200db", "a format character (U+200D)"),
    "a right-to-left override": ("a\u202eb", "a format character (U+202E)"),
    "a soft hyphen": ("a\u00adb", "a format character (U+00AD)"),
    "a byte order mark": ("\ufeff1.0", "a format character (U+FEFF) as character 1"),
    "a format character outside the basic plane": ("a\U000e0041", "a format character (U+E0041)"),
    "a high surrogate": ("1.0\ud83d", "a surrogate (U+D83D) as character 4"),
    "a low surrogate": ("\ude80", "a surrogate (U+DE80) as character 1"),
    "decomposed accents": ("cafe\u0301", "not in Unicode normalisation form C"),
    "a compatibility singleton": ("\u212b", "not in Unicode normalisation form C"),
    "decomposed Hangul": ("\u1112\u1161\u11ab", "not in Unicode normalisation form C"),
    "a dot": (".", "'.' is reserved"),
    "two dots": ("..", "'..' is reserved"),
    "a bare hyphen": ("-", "'-' is reserved"),
    "latest": ("latest", "'latest' is reserved"),
    "Latest": ("Latest", "'Latest' is reserved"),
    "LATEST": ("LATEST", "'LATEST' is reserved"),
    "lAtEsT": ("lAtEsT", "'lAtEsT' is reserved"),
}


@pytest.mark.parametrize("text", LEGAL.values(), ids=LEGAL.keys())
def test_a_version_may_have(text: str) -> None:
    check_version(text)


@pytest.mark.parametrize("text, problem", REFUSED.values(), ids=REFUSED.keys())
def test_a_version_is_refused_for(text: str, problem: str) -> None:
    with pytest.raises(InvalidVersion) as refusal:
        check_version(text)
    assert problem in str(refusal.value)


def test_a_refusal_names_the_field_the_fault_and_what_is_allowed() -> None:
    with pytest.raises(InvalidArgument) as refusal:
        check_version("a/b")
    error = refusal.value
    assert error.reason == "INVALID_FIELD"
    [violation] = error.violations
    assert violation.field == "version"
    assert "a slash (U+002F) as character 2" in violation.description
    assert "1 to 200 characters" in violation.description


def test_a_refusal_never_repeats_what_cannot_be_printed() -> None:
    for text in ("\x1b[2J", "\ud83d", "a\u202eb", "e\u0301"):
        with pytest.raises(InvalidVersion) as refusal:
            check_version(text)
        assert str(refusal.value).isprintable()
        assert str(refusal.value).isascii()


def test_a_very_long_text_is_refused_by_a_short_message() -> None:
    with pytest.raises(InvalidVersion) as refusal:
        check_version("x" * 1_000_000)
    assert len(str(refusal.value)) < 500


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zs", "Zl", "Zp", "M"]), max_size=8))
def test_any_text_with_a_slash_in_it_is_refused(text: str) -> None:
    for mark in "/\\":
        with pytest.raises(InvalidVersion, match="slash"):
            check_version(f"a{text}{mark}b")


@given(
    st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=20),
    st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"]),
    st.text(alphabet=st.characters(codec="utf-8"), max_size=20),
)
def test_any_text_with_a_control_or_format_character_a_separator_of_lines_or_a_surrogate_is_refused(
    before: str, character: str, after: str
) -> None:
    with pytest.raises(InvalidVersion):
        check_version(before + character + after)
