"""Lists in every order, by pages of every size, there and back: the rows that plain Python says, on both databases.

`make drill-search` asks more of them (SEARCH_DATASETS).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.database import Database
from store.paging import Page, PageRequest
from store.releases.details import ReleaseDetails
from store.releases.rows import ReleaseStatus
from store.releases.version import parse_version
from store.search import find, many_ranges, walks
from store.search.filters import ReleaseFilter
from store.search.language import Expression, format_query
from store.search.list import list_releases
from store.search.orders import Order, ReleaseSort
from tests.clocks import ManualClock
from tests.contract.walks import walked
from tests.search.dataset import Dataset, write_dataset
from tests.search.evaluator import Release, World, order_key
from tests.search.strategies import NOW, PROJECTS, expressions, release_lists, terms

STATUSES = {"open": ReleaseStatus.OPEN, "archived": ReleaseStatus.ARCHIVED}

ALL = find.MOST_WALKED

EXAMPLES = settings(
    max_examples=int(os.environ.get("SEARCH_DATASETS", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def version_of(release: Release) -> Any:
    build = parse_version(release["version"]).build_number
    return (order_key(release["version"]), -1 if build is None else build) if order_key(release["version"]) else None


VALUES: dict[ReleaseSort, Callable[[Release], Any]] = {
    ReleaseSort.DATE: lambda release: release["created"],
    ReleaseSort.RELEASED: lambda release: release["created"] if release["released"] is None else release["released"],
    ReleaseSort.VERSION: version_of,
    ReleaseSort.BUILD: lambda release: parse_version(release["version"]).build_number,
    ReleaseSort.NAME: lambda release: release["version"],
    ReleaseSort.COMMITS: lambda release: len(release["commits"]),
    ReleaseSort.DEPLOYS: lambda release: len(release["deploys"]),
}


def in_order(releases: list[Release], order: Order) -> list[Release]:
    """The releases as docs/behaviour.md says a list of them is sorted."""
    value = VALUES[order.sort]
    there = [release for release in releases if value(release) is not None]
    missing = [release for release in releases if value(release) is None]
    by_age = sorted(missing, key=lambda release: (release["created"], release["id"]), reverse=order.descending)
    return [
        *sorted(
            there,
            key=lambda release: (value(release), release["created"], release["id"]),
            reverse=order.descending,
        ),
        *by_age,
    ]


def rows_of(data: Dataset, releases: list[Release], asked: Asked) -> list[tuple[str, tuple[str, ...]]]:
    """What a list shows of each: its version and its projects."""
    if not asked.flatten:
        return [(release["version"], tuple(sorted(release["projects"]))) for release in releases]
    return [
        (release["version"], (slug,))
        for release in releases
        for slug in sorted(
            set(release["projects"]).intersection(asked.projects or PROJECTS),
            key=lambda slug: data.projects[slug],
            reverse=asked.order.descending,
        )
    ]


class Asked:
    """What a list is asked for."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.order = Order(draw(st.sampled_from(ReleaseSort)), descending=draw(st.booleans()))
        self.projects: tuple[str, ...] = draw(
            st.one_of(st.just(()), st.lists(st.sampled_from(PROJECTS), min_size=1, unique=True).map(tuple))
        )
        self.statuses: tuple[str, ...] = draw(st.sampled_from(((), ("open",), ("archived",), ("open", "archived"))))
        self.expression: Expression | None = draw(st.one_of(st.none(), st.none(), terms(), expressions()))
        self.flatten = draw(st.booleans())
        self.size = draw(st.integers(1, 6))
        self.most_ranges = draw(st.sampled_from((1, 32)))
        self.most_walked = draw(st.sampled_from((1, 2, 5, ALL)))

    def __repr__(self) -> str:
        return f"Asked({vars(self)})"


@st.composite
def asked_for(draw: st.DrawFn) -> Asked:
    return Asked(draw)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@EXAMPLES
@given(releases=release_lists(max_size=14), asked=asked_for())
def test_all_pages_together_are_the_list_in_its_order(
    database: Database, releases: list[Release], asked: Asked
) -> None:
    data = write_dataset(database, releases)
    world = World(data.releases, NOW, projects=frozenset(asked.projects) or None)
    expected = rows_of(data, in_order(world.listed(asked.expression, asked.statuses), asked.order), asked)
    wanted = ReleaseFilter(
        query=format_query(asked.expression),
        projects=asked.projects,
        statuses=tuple(STATUSES[status] for status in asked.statuses),
    )

    def page_at(request: PageRequest) -> Page[ReleaseDetails]:
        listed = list_releases(
            database,
            data.access(),
            data.slug,
            wanted,
            order=asked.order,
            page=request,
            flatten=asked.flatten,
            count_total=True,
        )
        assert listed.total is not None
        if asked.most_walked == ALL:
            assert (listed.total.count, listed.total.is_least) == (len(expected), False)
            assert len(listed.page.items) == asked.size or listed.page.next is None or request.backward
            assert not listed.incomplete
        else:
            assert listed.total.count <= len(expected)
            assert listed.total.is_least or listed.total.count == len(expected)
        return listed.page

    with (
        patch.object(find, "MOST_WALKED", asked.most_walked),
        patch.object(walks, "_MOST_RANGES", asked.most_ranges),
        patch.object(many_ranges, "_FEWEST", 1),
    ):
        items = walked(page_at, asked.size)
    shown = [(item.release.version, tuple(sorted(project.slug for project in item.release.projects))) for item in items]
    assert shown == expected
