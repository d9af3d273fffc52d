"""The examples of docs/search.md: each finds what the page says, or is refused where it says.

Here the evaluator is asked; tests/relctl/test_search_page.py asks a server, lists included.
"""

from __future__ import annotations

import re

import pytest

from store.errors import QueryInvalid
from store.search.language import Key, parse_query
from store.search.language.keys import written
from store.search.language.limits import (
    MAX_DEPTH,
    MAX_PATTERN_CHARS,
    MAX_QUERY_CHARS,
    MAX_STARS,
    MAX_TERMS,
    MAX_VALUE_CHARS,
    MIN_COMMIT_PREFIX,
)
from tests.search.evaluator import World
from tests.search.page import LISTS, PAGE, QUERIES, REFUSED, rows
from tests.search.strategies import NOW

WORLD = World(list(rows()), NOW)


@pytest.mark.parametrize(("query", "releases"), QUERIES, ids=[query for query, _ in QUERIES])
def test_an_example_finds_what_the_page_says(query: str, releases: list[str]) -> None:
    assert [each["version"] for each in WORLD.selected(parse_query(query))] == releases


@pytest.mark.parametrize(("query", "position", "why"), REFUSED, ids=[query for query, *_ in REFUSED])
def test_an_example_is_refused_where_the_page_says(query: str, position: str, why: str) -> None:
    with pytest.raises(QueryInvalid) as refused:
        parse_query(query)
    assert refused.value.metadata["position"] == position
    assert why


def test_the_page_has_examples_and_a_row_for_every_key() -> None:
    assert len(WORLD.releases) == 7
    assert len(QUERIES) > 50
    assert len(REFUSED) > 10
    cells = re.findall(r"^\| (`.+?) \|", PAGE.split("## Keys")[1].split("\n## ")[0], re.MULTILINE)
    assert [key for cell in cells for key in re.findall("`(.+?)`", cell)] == [written(key) for key in Key]


def test_every_key_has_an_example_that_finds_some_releases_and_leaves_others() -> None:
    told = [asked for asked, releases in (*QUERIES, *LISTS) if 0 < len(releases) < len(WORLD.releases)]
    for key in Key:
        assert any(re.search(rf"(?<![.\w]){re.escape(key)}[.:]", query) for query in told), key


def test_the_page_tells_the_bounds() -> None:
    bounds = re.sub(r"\s+", " ", PAGE.split("Bounds:")[1].split("\n## ")[0])
    assert bounds.strip() == (
        f"{MAX_QUERY_CHARS:,} characters; {MAX_TERMS} terms, each value of a list counted; parentheses and `!` at most"
        f" {MAX_DEPTH} deep; a value of {MAX_VALUE_CHARS:,} characters, with wildcards {MAX_PATTERN_CHARS} and four of"
        " them."
    )
    assert (MAX_STARS, MIN_COMMIT_PREFIX) == (4, 4)
