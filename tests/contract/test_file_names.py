"""File names: what is taken, what keeps one from a client's disk, and what is alike in another spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.files.names import (
    FileNameIssue,
    name_issues,
    name_problem,
)
from store.text import MAX_FOLDED_BYTES, folded_key

PATH, RESERVED, TRAILING, CHARACTER, LENGTH = list(FileNameIssue)[:5]

FINE = [
    "app.js",
    "~/static/app.min.js",
    "a/b/c.d",
    ".hidden",
    "..a",
    "...a",
    "a..b",
    "a b",
    " a",
    "ä/é/日本語.map",
    "console",
    "con-1",
    "icon",
    "COM",
    "COM10",
    "com0x",
    "LPT",
    "nul1",
    "auxiliary.c",
    "a.con",
    "CONIN",
    "a/conf/b",
    "$Mft",
    "x" * 255,
    "/".join(["x" * 255] * 3),
    "é" * 127,
    "-",
    "a;b,c&d=e+f%20g#h!i@j^k(l)[m]{n}`o'p",
]

ISSUES = {
    "/etc/passwd": (PATH,),
    "//server/share": (PATH,),
    "a//b": (PATH,),
    "a/": (PATH,),
    "/": (PATH,),
    ".": (PATH,),
    "..": (PATH,),
    "a/./b": (PATH,),
    "../../a": (PATH,),
    "a/..": (PATH,),
    "~/..": (PATH,),
    "C:/a": (PATH, CHARACTER),
    "z:a": (PATH, CHARACTER),
    "https://x.org/a.js": (PATH, CHARACTER),
    "con": (RESERVED,),
    "CON": (RESERVED,),
    "Prn.txt": (RESERVED,),
    "aux.tar.gz": (RESERVED,),
    "a/nul/b": (RESERVED,),
    "nul .txt": (RESERVED,),
    "com0": (RESERVED,),
    "COM1": (RESERVED,),
    "com9.log": (RESERVED,),
    "COM¹": (RESERVED,),
    "lpt²": (RESERVED,),
    "Lpt³.x": (RESERVED,),
    "conin$": (RESERVED,),
    "CONOUT$": (RESERVED,),
    "nul.": (RESERVED, TRAILING),
    "con ": (RESERVED, TRAILING),
    "NUL:": (RESERVED, CHARACTER),
    "a.": (TRAILING,),
    "a ": (TRAILING,),
    "a./b": (TRAILING,),
    "a /b": (TRAILING,),
    "...": (TRAILING,),
    " ": (TRAILING,),
    "a<b": (CHARACTER,),
    "a>b": (CHARACTER,),
    "ab:stream": (CHARACTER,),
    'a"b': (CHARACTER,),
    "a|b": (CHARACTER,),
    "app.js?v=1": (CHARACTER,),
    "*": (CHARACTER,),
    "x" * 256: (LENGTH,),
    "a/" + "é" * 128: (LENGTH,),
    "../con/a./b?/" + "x" * 256: (PATH, RESERVED, TRAILING, CHARACTER, LENGTH),
}
DEVICES = [
    "CON",
    "PRN",
    "AUX",
    "NUL",
    "CONIN$",
    "CONOUT$",
    *[f"{port}{n}" for port in ("COM", "LPT") for n in "0123456789¹²³"],
]


@pytest.mark.parametrize("name", FINE)
def test_most_names_are_fine_on_every_disk(name: str) -> None:
    assert name_problem(name) is None
    assert name_issues(name) == ()


@pytest.mark.parametrize(("name", "issues"), ISSUES.items())
def test_what_a_disk_cannot_hold_is_taken_and_told(name: str, issues: tuple[FileNameIssue, ...]) -> None:
    assert name_problem(name) is None
    assert name_issues(name) == issues


@pytest.mark.parametrize("form", ["{}", "{}.txt", "{}.tar.gz", "a/{}", "{}/b"])
@pytest.mark.parametrize("device", DEVICES)
def test_names_of_devices_are_told_in_any_case(device: str, form: str) -> None:
    for spelled in (device, device.lower(), device.title()):
        assert name_issues(form.format(spelled)) == (RESERVED,)


@pytest.mark.parametrize(
    "name",
    ["", "a\\b", "a\nb", "a\rb", "a\tb", "\x0b", "\x0c", "\x00", "\x7f", "a\x85b", "\u2028", "\u2029", "\x1b[31m",
     "dir\nname/a", "dir\\name/a", "x" * 1025, "é" * 513],
)  # fmt: skip
def test_what_is_no_line_or_too_long_is_refused_in_the_whole_name(name: str) -> None:
    assert name_problem(name) is not None


@pytest.mark.parametrize("name", ["x" * 1024, "é" * 512, "file"])
def test_the_longest_names_are_taken(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("App.JS", "app.js"),
        ("é", "e\u0301"),
        ("ﬁle", "FILE"),
        ("straße", "STRASSE"),
        ("Å", "\u212b"),
        ("Σ", "ς"),
        ("Ａ", "a"),
    ],
)
def test_other_spellings_are_alike(one: str, other: str) -> None:
    assert folded_key(one) == folded_key(other)


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("e", "é"), ("a b", "ab"), ("a/b", "a-b"), ("ı", "i")])
def test_other_names_are_not_alike(one: str, other: str) -> None:
    assert folded_key(one) != folded_key(other)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400))
def test_folding_is_short_and_settles(name: str) -> None:
    once = folded_key(name)

    assert len(once.encode()) <= MAX_FOLDED_BYTES
    if len(once.encode()) < MAX_FOLDED_BYTES - 4:
        assert folded_key(once) == once
        assert folded_key(name.upper()) == folded_key(name.upper().lower())


def test_a_name_that_unfolds_to_much_more_is_cut() -> None:
    assert len(folded_key("\ufdfa" * 341).encode()) in range(MAX_FOLDED_BYTES - 3, MAX_FOLDED_BYTES + 1)
