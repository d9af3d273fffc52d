"""A version in a query is a range of the sort keys that releases keep: the range says what the reference says."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings

from store.releases.version import parse_version
from store.search.language import Comparison, Key, Operator, VersionPoint, VersionPrefix
from tests.search.evaluator import World, order_key
from tests.search.small_set import release
from tests.search.strategies import NOW, version_points, version_prefixes, version_texts

EXAMPLES = settings(max_examples=1000, deadline=None)
ANY = None


def by_reference(operator: Operator, value: VersionPoint | VersionPrefix, text: str) -> bool:
    return World([], NOW).holds(Comparison(Key.VERSION, operator, value), release(text))


def by_key(operator: Operator, value: VersionPoint | VersionPrefix, text: str) -> bool:
    key = parse_version(text).sort_key
    return {
        Operator.EQUAL: value.first_key <= key < value.beyond_key,
        Operator.ABOVE: key >= value.beyond_key,
        Operator.AT_LEAST: key >= value.first_key,
        Operator.BELOW: key < value.first_key and order_key(text) != (),
        Operator.AT_MOST: key < value.beyond_key and order_key(text) != (),
    }[operator]


@EXAMPLES
@given(version_points(), version_texts())
@example(VersionPoint(ANY, "1.0.0-rc"), "1.0-rc.1")
@example(VersionPoint(ANY, "1.0.0-rc"), "1.0-rc+9223372036854775807")
@example(VersionPoint(ANY, "1.0.0"), "1.0+9223372036854775807")
@example(VersionPoint(ANY, "1.0.0"), "1.0.0.1-0")
def test_a_version_is_the_range_of_its_builds(value: VersionPoint, text: str) -> None:
    value = VersionPoint(ANY, value.version)
    for operator in Operator:
        assert by_key(operator, value, text) == by_reference(operator, value, text)


@EXAMPLES
@given(version_prefixes(), version_texts())
@example(VersionPrefix(ANY, (1, 2)), "1.2-0")
@example(VersionPrefix(ANY, (1, 2)), "1.2.9223372036854775807.9223372036854775807+9223372036854775807")
def test_a_version_left_open_is_the_range_of_all_that_begin_so(value: VersionPrefix, text: str) -> None:
    value = VersionPrefix(ANY, value.numbers)
    assert by_key(Operator.EQUAL, value, text) == by_reference(Operator.EQUAL, value, text)


@pytest.mark.parametrize("numbers", [(), (9223372036854775807,), (1, 2, 3)])
def test_a_release_without_semantic_version_is_in_no_range(numbers: tuple[int, ...]) -> None:
    assert not by_key(Operator.EQUAL, VersionPrefix(ANY, numbers), "spring release 4")
