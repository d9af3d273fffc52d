"""Queries find on both databases what plain Python finds, in the same order.

`make drill-search` asks more of them (SEARCH_DATASETS).
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.database import Database
from store.errors import QueryInvalid
from store.paging import PageRequest
from store.releases.rows import ReleaseStatus
from store.search import latest, related, resolve
from store.search.filters import ReleaseFilter, TimeSpan
from store.search.language import Expression, format_query, parse_query
from store.search.list import list_releases
from tests.clocks import ManualClock
from tests.search.dataset import STATUSES, Dataset, write_dataset
from tests.search.evaluator import Release, Span, World
from tests.search.page import QUERIES, rows
from tests.search.strategies import ENVIRONMENTS, NOW, PROJECTS, expressions, release_lists, terms, times

DATASETS = int(os.environ.get("SEARCH_DATASETS", "100"))
QUERIES_OF_EACH = 10
"""More of them would be more than Hypothesis draws at once: data sets are cheap, and there are more of them."""

ALL = PageRequest(100)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


class Asked:
    """What lists are asked for beside queries."""

    def __init__(self, draw: st.DrawFn) -> None:
        some_projects = st.lists(st.sampled_from(PROJECTS), min_size=1, unique=True).map(tuple)
        self.members: tuple[str, ...] = draw(st.one_of(st.just(()), some_projects))
        reach = self.members or PROJECTS
        self.projects: tuple[str, ...] = draw(
            st.one_of(st.just(()), st.lists(st.sampled_from(reach), min_size=1, unique=True).map(tuple))
        )
        environments = st.lists(st.sampled_from(("", *ENVIRONMENTS, "nowhere")), min_size=1, unique=True).map(tuple)
        one = st.sampled_from(ENVIRONMENTS).map(lambda environment: (environment,))
        self.environments: tuple[str, ...] = draw(st.one_of(st.just(()), one, environments))
        self.statuses: tuple[str, ...] = draw(st.sampled_from(((), ("open",), ("archived",), ("open", "archived"))))
        self.created: Span = draw(spans())
        self.released: Span = draw(spans())
        # What is done with much is done with little, too.
        self.few = draw(st.booleans())

    def __repr__(self) -> str:
        return f"Asked({vars(self)})"

    def world(self, data: Dataset) -> World:
        """What the evaluator is asked."""
        selected = frozenset(self.projects or self.members) or None
        return World(data.releases, NOW, selected, frozenset(self.environments), self.created, self.released)

    def wanted(self, query: str) -> ReleaseFilter:
        """What the store is asked."""
        return ReleaseFilter(
            query=query,
            projects=self.projects,
            environments=self.environments,
            statuses=tuple(STATUSES[status] for status in self.statuses),
            created=TimeSpan(*self.created),
            released=TimeSpan(*self.released),
        )


def spans() -> st.SearchStrategy[Span]:
    whole = st.just((None, None))
    pairs = st.tuples(times(), times()).map(lambda pair: (min(pair), max(pair)))
    return st.one_of(whole, whole, whole, st.tuples(times(), st.none()), st.tuples(st.none(), times()), pairs)


@st.composite
def asked_for(draw: st.DrawFn) -> Asked:
    return Asked(draw)


def found(db: Database, data: Dataset, asked: Asked, query: str) -> list[str]:
    """The versions that a list shows, in its order."""
    answer = list_releases(db, data.access(*asked.members), data.slug, asked.wanted(query), page=ALL)
    assert not answer.incomplete
    assert answer.page.next is None
    return [item.release.version for item in answer.page.items]


def parsed(expression: Expression) -> tuple[str, Expression | None] | None:
    """The text of a query and its tree; None where writing it has made it too long."""
    text = format_query(expression)
    try:
        return text, parse_query(text)
    except QueryInvalid:
        return None


@settings(
    max_examples=DATASETS,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    releases=release_lists(),
    asked=asked_for(),
    data_of_queries=st.data(),
)
def test_a_random_query_finds_what_plain_python_finds(
    database: Database, releases: list[Release], asked: Asked, data_of_queries: st.DataObject
) -> None:
    stages = len(asked.environments) == 1 and "" not in asked.environments
    some = st.one_of(expressions(stages=stages), expressions(stages=stages), terms(stages=stages))
    queries = data_of_queries.draw(st.lists(some, min_size=QUERIES_OF_EACH, max_size=12))
    data = write_dataset(database, releases)
    world = asked.world(data)
    with pytest.MonkeyPatch.context() as patch:
        if asked.few:
            patch.setattr(related, "MOST_LISTED", 1)
            patch.setattr(resolve, "FEW_COMMITS", 0)
            patch.setattr(latest, "FEW_DEPLOYED", 0)
        for text, expression in filter(None, map(parsed, queries)):
            expected = [each["version"] for each in world.listed(expression, asked.statuses)]
            assert found(database, data, asked, text) == expected, text


def test_the_examples_of_the_page_find_what_it_says(database: Database) -> None:
    data = write_dataset(database, rows(), projects=("web", "api", "tools"))
    both = (ReleaseStatus.OPEN, ReleaseStatus.ARCHIVED)
    for query, versions in QUERIES:
        wanted = ReleaseFilter(query=query, statuses=both)
        shown = list_releases(database, data.access(), data.slug, wanted, page=ALL).page.items
        assert {item.release.version for item in shown} == set(versions), query
