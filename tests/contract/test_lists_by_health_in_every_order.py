"""Lists by sessions, users, crash-free shares and adoption: the rows that plain Python says, on both databases, by
pages of every size, there and back."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.database import Database
from store.health.windows import DAY_US, Period, day_of, window_of
from store.paging import Page, PageRequest
from store.releases.details import ReleaseDetails
from store.releases.rows import ReleaseStatus
from store.search import adoption_ranks, find, ranked
from store.search.filters import ReleaseFilter
from store.search.health_orders import HealthOrder, HealthSort
from store.search.language import Expression, format_query
from store.search.list import list_releases
from tests.clocks import ManualClock
from tests.contract.walks import walked
from tests.search.dataset import Dataset, write_dataset
from tests.search.evaluator import Release, World
from tests.search.sessions import Session, sessions_of, write_sessions
from tests.search.small_set import stay
from tests.search.strategies import ENVIRONMENTS, NOW, PROJECTS, expressions, release_lists, terms

STATUSES = {"open": ReleaseStatus.OPEN, "archived": ReleaseStatus.ARCHIVED}
ALL = find.MOST_WALKED

EXAMPLES = settings(
    max_examples=int(os.environ.get("SEARCH_DATASETS", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Asked:
    """What a list is asked for."""

    def __init__(self, draw: st.DrawFn, sorts: st.SearchStrategy[HealthSort]) -> None:
        sort = draw(sorts)
        self.order = HealthOrder(sort, draw(st.booleans()), draw(st.sampled_from(Period)))
        some_projects = st.lists(st.sampled_from(PROJECTS), min_size=1, unique=True).map(tuple)
        self.projects: tuple[str, ...] = draw(st.one_of(st.just(()), some_projects))
        self.statuses: tuple[str, ...] = draw(st.sampled_from(((), ("archived",), ("open", "archived"))))
        by_adoption = sort is HealthSort.ADOPTION
        one = st.sampled_from((*ENVIRONMENTS, "nowhere")).map(lambda name: (name,))
        several = st.lists(st.sampled_from(("", *ENVIRONMENTS)), max_size=2, unique=True).map(tuple)
        self.environments: tuple[str, ...] = draw(one if by_adoption else several)
        self.expression: Expression | None = draw(st.one_of(st.none(), st.none(), terms(), expressions()))
        self.flatten = draw(st.booleans()) if by_adoption else True
        self.size = draw(st.integers(1, 6))
        self.most_walked = draw(st.sampled_from((1, 2, 5, ALL)))
        self.fewest = draw(st.sampled_from((1, 64)))

    def __repr__(self) -> str:
        return f"Asked({vars(self)})"

    @property
    def wanted(self) -> ReleaseFilter:
        return ReleaseFilter(
            query=format_query(self.expression),
            projects=self.projects,
            environments=self.environments,
            statuses=tuple(STATUSES[status] for status in self.statuses),
        )

    def listed(self, data: Dataset) -> list[Release]:
        world = World(data.releases, NOW, frozenset(self.projects) or None, frozenset(self.environments))
        return world.listed(self.expression, self.statuses)

    def rows(self, data: Dataset) -> list[tuple[Release, str]]:
        """The rows of a flattened list."""
        return [
            (release, slug)
            for release in self.listed(data)
            for slug in release["projects"]
            if not self.projects or slug in self.projects
        ]


@st.composite
def asked_for(draw: st.DrawFn, *sorts: HealthSort) -> Asked:
    return Asked(draw, st.sampled_from(sorts))


def in_order(rows: list[Any], asked: Asked, value: Any, place: Any) -> list[Any]:
    """The rows as docs/behaviour.md says: those with a value in its order, all others newest first."""
    there = sorted(
        (row for row in rows if value(row) is not None),
        key=lambda row: (value(row), place(row)),
        reverse=asked.order.descending,
    )
    return there + sorted((row for row in rows if value(row) is None), key=place, reverse=True)


def counted(sessions: list[Session], row: tuple[Release, str], asked: Asked) -> Any:
    """What a release in a project is sorted by; None where it has no sessions, or nobody's."""
    window = window_of(asked.order.counted_in, NOW)
    some = [
        session
        for session in sessions
        if session["pair"] == (row[0]["id"], row[1])
        and window.start_us <= session["time"] < window.end_us
        and (not asked.environments or session["environment"] in asked.environments)
    ]
    users = {session["user"] for session in some if session["user"] is not None}
    crashed_users = {session["user"] for session in some if session["crashed"] and session["user"] is not None}
    match asked.order.sort:
        case HealthSort.SESSIONS | HealthSort.SESSIONS_24H:
            return len(some) or None
        case HealthSort.USERS | HealthSort.USERS_24H:
            return len(users) or None
        case HealthSort.CRASH_FREE_SESSIONS:
            return 1 - Fraction(sum(session["crashed"] for session in some), len(some)) if some else None
        case _:
            return 1 - Fraction(len(crashed_users), len(users)) if users else None


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


def shown(db: Database, data: Dataset, asked: Asked) -> list[tuple[str, tuple[str, ...]]]:
    """The rows of all pages of a list: versions, and the projects of each."""

    def page_at(request: PageRequest) -> Page[ReleaseDetails]:
        listed = list_releases(
            db,
            data.access(),
            data.slug,
            asked.wanted,
            order=asked.order,
            page=request,
            flatten=asked.flatten,
            count_total=True,
        )
        if asked.most_walked == ALL:
            assert listed.total is not None
            assert not listed.total.is_least
            assert not listed.incomplete
            assert len(listed.page.items) == asked.size or listed.page.next is None or request.backward
        return listed.page

    with (
        patch.object(find, "MOST_WALKED", asked.most_walked),
        patch.object(find, "_FEWEST_AT_ONCE", asked.fewest),
        patch.object(ranked, "_FEWEST_AT_ONCE", asked.fewest),
        patch.object(adoption_ranks, "_FEWEST", asked.fewest),
        patch.object(adoption_ranks, "_MOST", asked.fewest),
    ):
        items = walked(page_at, asked.size)
    return [(item.release.version, tuple(sorted(project.slug for project in item.release.projects))) for item in items]


@EXAMPLES
@given(
    releases=release_lists(),
    asked=asked_for(*(sort for sort in HealthSort if sort is not HealthSort.ADOPTION)),
    more=st.data(),
)
def test_releases_in_projects_are_sorted_by_what_their_sessions_come_to(
    database: Database, releases: list[Release], asked: Asked, more: st.DataObject
) -> None:
    data = write_dataset(database, releases)
    sessions = more.draw(sessions_of(data.releases))
    days_until = more.draw(st.sampled_from((0, day_of(NOW) - DAY_US, day_of(NOW))))
    write_sessions(database, data, sessions, linked=more.draw(st.booleans()), days_until=days_until)
    expected = in_order(
        asked.rows(data),
        asked,
        lambda row: counted(sessions, row, asked),
        lambda row: (row[0]["created"], row[0]["id"], data.projects[row[1]]),
    )
    assert shown(database, data, asked) == [(release["version"], (slug,)) for release, slug in expected]


@EXAMPLES
@given(releases=release_lists(max_size=16), asked=asked_for(HealthSort.ADOPTION), more=st.data())
def test_releases_are_sorted_by_when_they_were_adopted(
    database: Database, releases: list[Release], asked: Asked, more: st.DataObject
) -> None:
    (environment,) = asked.environments
    for each in releases:
        there = [project for project in each["projects"] if more.draw(st.integers(0, 3))]
        # Few times, so that many are alike.
        times_of = {project: more.draw(st.sampled_from(({}, {"adopted": 1}, {"adopted": 2}))) for project in there}
        others = [one for one in each["stays"] if one["environment"] != environment]
        each["stays"] = [*others, *(stay(environment, project, **times) for project, times in times_of.items())]
    data = write_dataset(database, releases)

    def times(release: Release, *slugs: str) -> int | None:
        adopted = [
            each["adopted"]
            for each in release["stays"]
            if each["environment"] == environment and each["project"] in slugs and each["adopted"] is not None
        ]
        return min(adopted, default=None)

    def age(release: Release) -> tuple[int, int]:
        return release["created"], release["id"]

    if asked.flatten:
        rows = in_order(
            asked.rows(data),
            asked,
            lambda row: times(row[0], row[1]),
            lambda row: (*age(row[0]), data.projects[row[1]]),
        )
        expected = [(release["version"], (slug,)) for release, slug in rows]
    else:
        found = in_order(asked.listed(data), asked, lambda row: times(row, *(asked.projects or PROJECTS)), age)
        expected = [(release["version"], tuple(sorted(release["projects"]))) for release in found]
    assert shown(database, data, asked) == expected
