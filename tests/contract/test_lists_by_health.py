"""Lists by what sessions say: who may ask for which, what they count, and pages that stay true while time goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from store.database import Database, QueryEvent
from store.errors import InvalidField, PageTokenInvalid, ScopeMissing
from store.health.windows import HOUR_US
from store.paging import Page, PageRequest, Position
from store.releases.details import ReleaseDetails
from store.search import session_ranks
from store.search.filters import ReleaseFilter
from store.search.health_orders import HealthOrder, HealthSort
from store.search.list import ListedReleases, list_releases
from tests.clocks import ManualClock
from tests.contract.walks import walked
from tests.search.dataset import Dataset, write_dataset
from tests.search.sessions import Session, write_sessions
from tests.search.small_set import release, stay
from tests.search.strategies import DAY, NOW, PROJECTS


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


def page_of(db: Database, data: Dataset, order: HealthOrder, **asked: Any) -> ListedReleases:
    """A page of all open releases in all projects, flattened."""
    access, size, position = (
        asked.pop(name, default) for name, default in (("access", data.access()), ("size", 100), ("position", None))
    )
    flatten = asked.pop("flatten", True)
    page = PageRequest(size, position)
    return list_releases(db, access, data.slug, ReleaseFilter(**asked), order=order, page=page, flatten=flatten)


def refused_field(db: Database, data: Dataset, order: HealthOrder, **asked: Any) -> tuple[str, str]:
    with pytest.raises(InvalidField) as refused:
        page_of(db, data, order, **asked)
    return refused.value.metadata["field"], str(refused.value)


def test_sessions_and_users_sort_flattened_lists_alone(database: Database) -> None:
    data = write_dataset(database, [])
    for sort in HealthSort:
        if sort is not HealthSort.ADOPTION:
            field, told = refused_field(database, data, HealthOrder(sort), flatten=False)
            assert field == "sort"
            assert "flatten" in told


def test_adoption_sorts_lists_of_one_environment_with_a_name(database: Database) -> None:
    data = write_dataset(database, [release("1.0", stays=[stay("production", adopted=1)])])
    order = HealthOrder(HealthSort.ADOPTION)
    for environments in ((), ("",), ("production", "staging"), ("production", "")):
        field, told = refused_field(database, data, order, environments=environments)
        assert field == "sort"
        assert "one environment" in told
    for flatten in (True, False):
        listed = page_of(database, data, order, environments=("production", "production"), flatten=flatten)
        assert [item.release.version for item in listed.page.items] == ["1.0"]


def test_what_sessions_say_sorts_for_those_who_may_read_it(database: Database) -> None:
    data = write_dataset(database, [release("1.0", stays=[stay("production", adopted=1)])])
    scopes = data.access().scopes - {"health:read", "health:write"}
    blind = replace(data.access(), scopes=scopes)
    for sort in HealthSort:
        if sort is not HealthSort.ADOPTION:
            with pytest.raises(ScopeMissing) as refused:
                page_of(database, data, HealthOrder(sort), access=blind)
            assert refused.value.metadata["scope"] == "health:read"
    listed = page_of(database, data, HealthOrder(HealthSort.ADOPTION), access=blind, environments=("production",))
    assert [item.release.version for item in listed.page.items] == ["1.0"]


def one_session(number: int, environment: str = "production", **fields: Any) -> Session:
    return {"pair": (number, "web"), "environment": environment, "time": NOW, "user": 1, "crashed": False} | fields


def test_no_more_series_are_sorted_than_a_call_takes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_ranks, "MOST_SERIES", 3)
    monkeypatch.setattr(session_ranks, "MOST_SERIES_OF_USERS", 2)
    data = write_dataset(database, [release(f"{number}.0", id=number) for number in range(1, 4)])
    write_sessions(database, data, [one_session(number) for number in (1, 2, 3)])
    assert len(page_of(database, data, HealthOrder(HealthSort.SESSIONS)).page.items) == 3
    field, told = refused_field(database, data, HealthOrder(HealthSort.CRASH_FREE_USERS))
    assert field == "sort"
    assert "more than 2 releases with sessions" in told
    write_sessions(database, data, [one_session(1, "staging")])
    assert refused_field(database, data, HealthOrder(HealthSort.SESSIONS))[0] == "sort"
    # What the list leaves out does not count: other environments, projects and times.
    for some in ({"environments": ("production",)}, {"projects": ("api",)}):
        page_of(database, data, HealthOrder(HealthSort.SESSIONS), **some)


def test_sessions_of_other_times_count_for_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_ranks, "MOST_SERIES", 1)
    data = write_dataset(database, [release(f"{number}.0", id=number) for number in range(1, 4)])
    write_sessions(database, data, [one_session(1), one_session(2, time=NOW - 2 * DAY)])
    listed = page_of(database, data, HealthOrder(HealthSort.SESSIONS_24H))
    assert [item.release.version for item in listed.page.items] == ["1.0", "3.0", "2.0"]
    assert refused_field(database, data, HealthOrder(HealthSort.SESSIONS))[0] == "sort"


def test_a_token_of_another_order_is_none_of_this(database: Database) -> None:
    data = write_dataset(database, [release("1.0")])
    id_ = data.ids[0]
    project = data.projects["web"]
    for key in ((NOW, id_, project), (NOW, 0, id_, project), (NOW, 2, 1, id_, project), (NOW, 1, 5, id_, project)):
        with pytest.raises(PageTokenInvalid):
            page_of(database, data, HealthOrder(HealthSort.SESSIONS), position=Position(key))
    for key in ((NOW, 0, 5, id_, project), (NOW, 1, id_, project)):
        page_of(database, data, HealthOrder(HealthSort.SESSIONS), position=Position(key))


def test_all_pages_of_a_list_count_the_period_of_the_first(database: Database, clock: ManualClock) -> None:
    data = write_dataset(database, [release(f"{number}.0", id=number) for number in range(1, 4)])
    some = [one_session(number, user=user) for number in (1, 2, 3) for user in range(number)]
    write_sessions(database, data, some)
    order = HealthOrder(HealthSort.SESSIONS_24H)
    first = page_of(database, data, order, size=1)
    clock.advance(seconds=25 * HOUR_US / 1_000_000)
    assert [item.release.version for item in first.page.items] == ["3.0"]
    second = page_of(database, data, order, size=5, position=first.page.next)
    assert [item.release.version for item in second.page.items] == ["2.0", "1.0"]
    # By now nothing is counted: the list is as it is without sessions.
    assert [item.release.version for item in page_of(database, data, order).page.items] == ["3.0", "2.0", "1.0"]
    assert [item.release.version for item in page_of(database, data, replace(order, descending=False)).page.items] == [
        "3.0",
        "2.0",
        "1.0",
    ]


def walked_rows(db: Database, data: Dataset, order: HealthOrder, size: int, **asked: Any) -> list[tuple[str, str]]:
    """Versions and projects of all rows of a flattened list, by pages of this size, there and back."""

    def page_at(request: PageRequest) -> Page[ReleaseDetails]:
        listed = page_of(db, data, order, size=request.size, position=request.position, **asked)
        assert len(listed.page.items) == size or listed.page.next is None or request.backward
        return listed.page

    return [(item.release.version, item.release.projects[0].slug) for item in walked(page_at, size)]


@pytest.mark.parametrize("descending", [True, False])
def test_projects_that_adopted_a_release_at_one_time_are_rows_of_their_own(
    database: Database, *, descending: bool
) -> None:
    stays = [stay("production", project, adopted=1) for project in PROJECTS]
    some = [release(f"{number}.0", id=number, projects=list(PROJECTS), stays=stays) for number in (1, 2)]
    data = write_dataset(database, some)
    projects = sorted(PROJECTS, key=lambda slug: data.projects[slug], reverse=descending)
    expected = [(version, project) for version in ("2.0", "1.0")[:: 1 if descending else -1] for project in projects]
    order = HealthOrder(HealthSort.ADOPTION, descending)
    for size in range(1, 8):
        assert walked_rows(database, data, order, size, environments=("production",)) == expected


@pytest.mark.parametrize("descending", [True, False])
def test_a_release_stands_where_the_first_of_the_lists_projects_adopted_it(
    database: Database, *, descending: bool
) -> None:
    both = ["web", "api"]
    some = [
        release(
            "early", id=1, projects=both, stays=[stay("production", adopted=1), stay("production", "api", adopted=9)]
        ),
        release("middle", id=2, projects=both, stays=[stay("production", adopted=5)]),
        release(
            "late", id=3, projects=both, stays=[stay("production", adopted=3), stay("production", "api", adopted=2)]
        ),
        release("other", id=4, projects=both, stays=[stay("production"), stay("production", "api", adopted=4)]),
        release("never", id=5, projects=both, stays=[stay("production"), stay("staging", adopted=4)]),
    ]
    data = write_dataset(database, some)
    order = HealthOrder(HealthSort.ADOPTION, descending)

    def versions(**asked: Any) -> list[str]:
        def page_at(request: PageRequest) -> Page[ReleaseDetails]:
            how = {"environments": ("production",), "flatten": False, **asked}
            return page_of(database, data, order, size=request.size, position=request.position, **how).page

        by_size = [[item.release.version for item in walked(page_at, size)] for size in (1, 2, 9)]
        assert by_size[0] == by_size[1] == by_size[2]
        return by_size[0]

    everywhere, web = ["early", "middle", "other", "late"], ["middle", "late", "early"]
    turn = -1 if descending else 1
    assert versions() == [*everywhere[::turn], "never"]
    assert versions(projects=("web",)) == [*web[::turn], "never", "other"]
    assert versions(access=data.access("web")) == [*web[::turn], "never", "other"]
    assert versions(projects=("api",)) == ["early", "other", "late"][::turn]


def test_releases_of_many_projects_take_few_statements(database: Database) -> None:
    many = [f"some{number}" for number in range(40)]
    counts = []
    for projects in (many, many[:1]):
        # One project after another, as a run of adoption finds them.
        stays = [
            [stay("production", project, adopted=number + place / 100) for place, project in enumerate(projects)]
            for number in range(40)
        ]
        some = [release(f"{number}.0", id=number, projects=projects, stays=stays[number]) for number in range(40)]
        data = write_dataset(database, some, projects=many)
        told: list[QueryEvent] = []
        database.hooks.append(told.append)
        order = HealthOrder(HealthSort.ADOPTION)
        listed = page_of(database, data, order, size=20, environments=("production",), flatten=False)
        database.hooks.remove(told.append)
        assert [item.release.version for item in listed.page.items] == [f"{number}.0" for number in range(20)]
        counts.append(len(told))
    assert counts[0] < 3 * counts[1]


def test_pages_behind_those_with_sessions_are_full(database: Database) -> None:
    some = [release(f"{number}.0", id=number, projects=["web", "api"]) for number in range(1, 41)]
    data = write_dataset(database, some)
    # All but the oldest have sessions, in both projects or in one.
    write_sessions(database, data, [one_session(number) for number in range(3, 41)])
    write_sessions(database, data, [one_session(number) | {"pair": (number, "api")} for number in range(6, 41)])
    order = HealthOrder(HealthSort.SESSIONS)
    for size in (1, 2, 3, 7):
        rows = walked_rows(database, data, order, size)
        assert len(set(rows)) == len(rows) == 80
        behind = [(f"{number}.0", "api") for number in (5, 4, 3)]
        assert rows[73:76] == behind
        assert {version for version, _ in rows[76:]} == {"1.0", "2.0"}


def test_sessions_of_all_environments_add_up_and_none_counts_as_hour_and_as_day(database: Database) -> None:
    data = write_dataset(database, [release(f"{number}.0", id=number) for number in (1, 2)])
    early = NOW - 5 * DAY
    of_first = [one_session(1, environment, user=user) for environment in ("a", "b") for user in (1, 2)]
    # Counted as hours and as days these three would be more than the four.
    of_second = [one_session(2, "a", time=early, user=user) for user in (1, 2, 3)]
    write_sessions(database, data, [*of_first, *of_second])
    order = HealthOrder(HealthSort.SESSIONS)
    assert walked_rows(database, data, order, 1) == [("1.0", "web"), ("2.0", "web")]
    share = HealthOrder(HealthSort.CRASH_FREE_SESSIONS, descending=False)
    write_sessions(database, data, [one_session(1, "c", crashed=True), one_session(2, "c", crashed=True)])
    # One in five crashed, and one in four.
    assert walked_rows(database, data, share, 1) == [("2.0", "web"), ("1.0", "web")]
