"""Which issues a commit's message says it fixes. Rules: behaviour.md, References."""

from __future__ import annotations

import pytest

from store.commits.mentions import CHARACTERS, MOST, may_mention, references_in


@pytest.mark.parametrize(
    "keyword", ["fix", "fixes", "fixed", "close", "closes", "closed", "resolve", "resolves", "resolved"]
)
def test_each_keyword_names_what_follows_it(keyword: str) -> None:
    for written in (keyword, keyword.upper(), keyword.title()):
        assert references_in(f"{written} WEB-12") == ("WEB-12",)
        assert references_in(f"Login works\n\n{written}: WEB-12\n") == ("WEB-12",)


@pytest.mark.parametrize(
    "message, references",
    [
        ("Fixes WEB-1, WEB-2,WEB-3 WEB-4 and WEB-5", ("WEB-1", "WEB-2", "WEB-3", "WEB-4", "WEB-5")),
        ("fixes web-1a, my_app-2, my-big-app-3F", ("WEB-1A", "MY_APP-2", "MY-BIG-APP-3F")),
        ("Fixes WEB-2, WEB-1. Closes WEB-3", ("WEB-2", "WEB-1", "WEB-3")),
        ("Fixes WEB-1, web-1; resolves Web-1", ("WEB-1",)),
        ("Fixes:\n  WEB-1,\n  WEB-2", ("WEB-1", "WEB-2")),
        ("(fixes WEB-1)", ("WEB-1",)),
        ("bug-fix WEB-1: words", ("WEB-1",)),
        ("Fixes https://bugs.example.com/issues/12/", ("https://bugs.example.com/issues/12/",)),
        ("Fixes https://bugs.example.com/browse/WEB-7?x=1.", ("https://bugs.example.com/browse/WEB-7?x=1",)),
        ("Closes http://a.example/1, WEB-2 (http://a.example/3)", ("http://a.example/1", "WEB-2")),
        ("Fixes [WEB-1](https://bugs.example.com/issues/12)", ("WEB-1",)),
        ("Fixes [https://a.example/1](https://a.example/1), WEB-2", ("https://a.example/1", "WEB-2")),
    ],
)
def test_lists_of_short_ids_and_links_are_read_in_their_order(message: str, references: tuple[str, ...]) -> None:
    assert references_in(message) == references


@pytest.mark.parametrize(
    "message",
    [
        None,
        "",
        "WEB-12",
        "Prefix WEB-12",
        "Fixing WEB-12",
        "fixes the WEB-12",
        "fix(WEB-12)",
        "fixes#WEB-12",
        "Fixes #12",
        "Fixes re-order",
        "Fixes 2024-01-15",
        "Fixes WEB-12.5",
        "Fixes WEB-12/api",
        "Fixes WEB-12-branch",
        "Fixes https://bugs.example.com/about",
        "Fixes https://bugs12.example.com",
        "Fixes [the bug](https://bugs.example.com/issues/12)",
        f"Fixes https://bugs.example.com/{'a' * CHARACTERS}/12",
        f"Fixes {'W' * CHARACTERS}-1",
    ],
)
def test_what_is_no_reference_is_left_out(message: str | None) -> None:
    assert references_in(message) == ()


def test_a_list_ends_with_the_line_unless_a_comma_goes_on() -> None:
    assert references_in("Fixes WEB-1\nUTF-8 is read, too") == ("WEB-1",)
    assert references_in("Fixes WEB-1\n\nSigned-off-by: WEB-2") == ("WEB-1",)


def test_the_first_hundred_are_kept() -> None:
    message = "Fixes " + ", ".join(f"WEB-{number}" for number in range(MOST + 5)) + ". Closes API-1"
    assert references_in(message) == tuple(f"WEB-{number}" for number in range(MOST))


def test_the_longest_references_are_kept() -> None:
    link = "https://bugs.example.com/1/".ljust(CHARACTERS, "x")
    short = "W" * (CHARACTERS - 2) + "-1"
    assert references_in(f"fixes {link}, {short}") == (link, short)


@pytest.mark.parametrize("piece", ["fix ", "fix a-", "[", "[a](", "fix [a](b", "fix a-a-", "fix http://a/", "fix A-1,"])
def test_whatever_is_in_a_message_is_read_in_little_time(piece: str) -> None:
    # A pattern that tries again and again from each place would not come back from these within the test run.
    message = piece * (60_000 // len(piece))
    assert len(references_in(message)) <= 1


def test_a_message_without_any_keyword_is_not_searched() -> None:
    assert not may_mention("Add WEB-12")
    assert not may_mention(None)
    assert may_mention("ReSoLvEd by WEB-12")
