"""A tree written as text and read again is the same tree, in whatever way it is written (docs/search.md)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from store.search.language import (
    Comparison,
    Expression,
    Key,
    Operator,
    Word,
    format_query,
    keys_of,
    parse_query,
    position_of,
)
from tests.search.strategies import expressions
from tests.search.writings import writings

EXAMPLES = settings(max_examples=400, deadline=None)


@EXAMPLES
@given(expressions(stages=True))
def test_what_is_written_of_a_tree_reads_as_that_tree(expression: Expression) -> None:
    assert parse_query(format_query(expression)) == expression


@EXAMPLES
@given(st.data())
def test_all_ways_to_write_a_query_read_as_one_tree(data: st.DataObject) -> None:
    expression = data.draw(expressions(stages=True))
    text = data.draw(writings(expression))
    assert parse_query(text) == expression


@EXAMPLES
@given(st.data())
def test_a_key_is_found_where_it_stands_however_the_query_is_written(data: st.DataObject) -> None:
    stage = Comparison(Key.STAGE, Operator.EQUAL, Word("adopted"))
    others = [data.draw(expressions()) for _ in range(data.draw(st.integers(0, 2)))]
    written = [data.draw(writings(each)) for each in others]
    term = data.draw(st.sampled_from((f"{Key.STAGE}:adopted", f"!{Key.STAGE}:adopted", f"has:{Key.STAGE}")))
    before = "".join(f"({each}) OR " for each in written)
    decoy = data.draw(st.sampled_from(("", '"a release.stage:x" ', "ref:release.stage ", r"\"release.stage\:adopted ")))
    text = f"{before}{decoy}({term}){data.draw(st.sampled_from(('', ' release.stage:replaced')))}"
    expression = parse_query(text)
    assert expression is not None
    assert stage.key in keys_of(expression)
    assert position_of(Key.STAGE, text) == len(before + decoy) + 1 + term.index("release") + 1


@EXAMPLES
@given(expressions(stages=True), expressions(stages=True))
def test_a_query_has_the_keys_of_its_parts(first: Expression, second: Expression) -> None:
    both = parse_query(f"({format_query(first)}) OR !({format_query(second)})")
    assert both is not None
    assert keys_of(both) == keys_of(first) | keys_of(second)


def test_nothing_is_written_of_no_tree() -> None:
    assert format_query(None) == ""
    assert parse_query("") is None
    assert parse_query(" \t\n") is None
