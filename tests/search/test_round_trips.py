"""A tree written as text and read again is the same tree, in whatever way it is written (docs/search.md)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from store.search.language import Expression, format_query, keys_of, parse_query
from tests.search.strategies import expressions
from tests.search.writings import writings

EXAMPLES = settings(max_examples=400, deadline=None)


@EXAMPLES
@given(expressions())
def test_what_is_written_of_a_tree_reads_as_that_tree(expression: Expression) -> None:
    assert parse_query(format_query(expression)) == expression


@EXAMPLES
@given(st.data())
def test_all_ways_to_write_a_query_read_as_one_tree(data: st.DataObject) -> None:
    expression = data.draw(expressions())
    text = data.draw(writings(expression))
    assert parse_query(text) == expression


@EXAMPLES
@given(expressions(), expressions())
def test_a_query_has_the_keys_of_its_parts(first: Expression, second: Expression) -> None:
    both = parse_query(f"({format_query(first)}) OR !({format_query(second)})")
    assert both is not None
    assert keys_of(both) == keys_of(first) | keys_of(second)


def test_nothing_is_written_of_no_tree() -> None:
    assert format_query(None) == ""
    assert parse_query("") is None
    assert parse_query(" \t\n") is None
