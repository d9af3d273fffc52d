"""What lists and GetRelease tell of release health, in each project of each release (behaviour.md, Release health)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.access import Access
from store.database import Database
from store.errors import ScopeMissing
from store.health.in_lists import HealthInProject, HealthStat, HealthWanted, ToldInProject
from store.health.stages import AdoptionStage
from store.health.windows import HOUR_US, KNOWN_US, Period, day_of, hour_of, window_of
from store.paging import PageRequest
from store.releases.details import ReleaseDetails
from store.releases.read import get_release
from store.search.filters import ReleaseFilter
from store.search.list import list_releases
from store.search.project_view import get_release_in_project
from tests.clocks import ManualClock
from tests.contract.plans import executed
from tests.search.dataset import Dataset, write_dataset
from tests.search.evaluator import Release
from tests.search.sessions import Session, sessions_of, write_sessions
from tests.search.small_set import deploy, release, stay
from tests.search.strategies import DAY, ENVIRONMENTS, NOW, release_lists

HEALTH = HealthWanted(health=True)
STAGES = HealthWanted(stages=True)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


def session(number: int, project: str = "web", environment: str = "production", **fields: Any) -> Session:
    return {"pair": (number, project), "environment": environment, "time": NOW, "user": 1, "crashed": False} | fields


def listed(
    db: Database, data: Dataset, health: HealthWanted, access: Access | None = None, **wanted: Any
) -> tuple[ReleaseDetails, ...]:
    how = {name: wanted.pop(name) for name in ("contents", "flatten") if name in wanted}
    said = ReleaseFilter(**wanted)
    caller = access or data.access()
    return list_releases(db, caller, data.slug, said, page=PageRequest(100), health=health, **how).page.items


def told(details: Sequence[ReleaseDetails]) -> dict[tuple[str, str], ToldInProject | None]:
    """What is told of each release in each of its projects."""
    return {(each.release.version, row.slug): row.told for each in details for row in each.in_projects}


def health_of(found: dict[tuple[str, str], ToldInProject | None], version: str, project: str) -> HealthInProject:
    one = found[version, project]
    assert one is not None
    assert one.health is not None
    return one.health


def modelled(
    sessions: Sequence[Session], pair: tuple[int, str], environments: Sequence[str], wanted: HealthWanted
) -> dict[str, Any]:
    """The same of the sessions themselves."""

    def within(first: int, beyond: int, *, all_releases: bool = False) -> list[Session]:
        return [
            each
            for each in sessions
            if (each["pair"] == pair or (all_releases and each["pair"][1] == pair[1]))
            and first <= each["time"] < beyond
            and (not environments or each["environment"] in environments)
        ]

    def users(some: Sequence[Session]) -> int:
        return len({each["user"] for each in some if each["user"] is not None})

    window = window_of(wanted.summary_period, NOW)
    some = within(window.start_us, window.end_us)
    first, beyond = hour_of(NOW) - 23 * HOUR_US, hour_of(NOW) + HOUR_US
    day, all_day = within(first, beyond), within(first, beyond, all_releases=True)
    count: Callable[[Sequence[Session]], int] = users if wanted.series_stat is HealthStat.USERS else len
    series = []
    if wanted.series_period is not None:
        buckets = window_of(wanted.series_period, NOW)
        ends = [min(start + buckets.step_us, buckets.end_us) for start in buckets.buckets]
        series = [(start, count(within(start, end))) for start, end in zip(buckets.buckets, ends, strict=True)]
    return {
        "has_data": bool(some or within(NOW - KNOWN_US, NOW + 1)),
        "figures": (len(some), users(some), sum(each["crashed"] for each in some)),
        "shares": (users(day), len(day), users(all_day), len(all_day)),
        "series": tuple(series),
    }


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    releases=release_lists(max_size=6),
    wanted=st.builds(
        HealthWanted,
        health=st.just(True),
        summary_period=st.sampled_from(Period),
        series_period=st.one_of(st.none(), st.sampled_from(Period)),
        series_stat=st.sampled_from(HealthStat),
    ),
    environments=st.lists(st.sampled_from(("", *ENVIRONMENTS[:2])), max_size=2, unique=True),
    more=st.data(),
)
def test_the_figures_of_each_release_in_each_project_are_those_of_its_sessions(
    database: Database, releases: list[Release], wanted: HealthWanted, environments: list[str], more: st.DataObject
) -> None:
    # Where it had sessions it was: the filter of environments lets it through.
    sessions = more.draw(sessions_of(releases))
    for each in releases:
        places = {(one["pair"][1], one["environment"]) for one in sessions if one["pair"][0] == each["id"]}
        each["stays"] = [stay(environment, project) for project, environment in sorted(places)]
    data = write_dataset(database, releases)
    write_sessions(database, data, sessions, days_until=day_of(NOW) - DAY * more.draw(st.integers(0, 20)))
    flatten, contents = more.draw(st.booleans()), more.draw(st.booleans())
    shown = listed(
        database,
        data,
        wanted,
        flatten=flatten,
        contents=contents,
        query="status:[open, archived]",
        environments=tuple(environments),
    )
    numbers = {each["version"]: each["id"] for each in releases}
    if not environments:
        assert {each.release.version for each in shown} == numbers.keys()
    found = told(shown)
    assert len(found) == sum(len(each.release.projects) for each in shown)
    for version, project in found:
        health = health_of(found, version, project)
        told_of = {
            "has_data": health.has_data,
            "figures": (health.figures.session_count, health.figures.user_count, health.figures.crashed_count),
            "shares": (
                health.shares.user_count,
                health.shares.session_count,
                health.shares.project_user_count,
                health.shares.project_session_count,
            ),
            "series": health.series,
        }
        assert told_of == modelled(sessions, (numbers[version], project), environments, wanted), (version, project)


def test_stages_are_those_of_the_environments_that_are_asked_for(database: Database) -> None:
    both = release(
        "1.0",
        id=1,
        projects=["web", "api"],
        stays=[
            stay("production", adopted=3),
            stay("production", "api", adopted=3, unadopted=1),
            stay(""),
            stay("staging", "api"),
        ],
        deploys=[deploy("test", 1, "web")],
    )
    data = write_dataset(database, [both])
    adopted, replaced = ("production", AdoptionStage.ADOPTED), ("production", AdoptionStage.REPLACED)
    low = AdoptionStage.LOW_ADOPTION

    def stages(**wanted: Any) -> dict[str, list[tuple[str, AdoptionStage]]]:
        found = told(listed(database, data, STAGES, **wanted))
        assert all(one is not None and one.health is None for one in found.values())
        return {
            project: [(row.environment, row.stage) for row in one.stages] for (_, project), one in found.items() if one
        }

    everywhere = {"web": [adopted, ("test", low)], "api": [replaced, ("staging", low)]}
    assert stages() == everywhere
    assert stages(contents=True) == everywhere
    assert stages(flatten=True) == everywhere
    assert stages(environments=("production", "")) == {"web": [adopted], "api": [replaced]}
    assert stages(environments=("",)) == {"web": [], "api": []}
    assert stages(projects=("api",), environments=("staging",)) == {"api": [("staging", low)]}


def test_only_projects_that_are_listed_are_told_of(database: Database) -> None:
    data = write_dataset(database, [release("1.0", id=1, projects=["web", "api"])])
    write_sessions(database, data, [session(1), session(1, "api"), session(1, "api")])
    for asked in ({"projects": ("api",)}, {"access": data.access("api")}):
        found = told(listed(database, data, HEALTH, **asked))
        assert found.keys() == {("1.0", "api")}
        assert health_of(found, "1.0", "api").figures.session_count == 2
    assert told(listed(database, data, HEALTH)).keys() == {("1.0", "api"), ("1.0", "web")}


def test_without_a_word_of_health_nothing_is_told(database: Database) -> None:
    data = write_dataset(database, [release("1.0", id=1, stays=[stay("production")])])
    write_sessions(database, data, [session(1)])
    assert told(listed(database, data, HealthWanted())) == {}
    assert set(told(listed(database, data, HealthWanted(), flatten=True)).values()) == {None}


def test_figures_are_for_those_who_may_read_them_and_stages_for_all(database: Database) -> None:
    data = write_dataset(database, [release("1.0", id=1, stays=[stay("production", adopted=1)])])
    blind = replace(data.access(), scopes=data.access().scopes - {"health:read", "health:write"})
    calls: list[Callable[[HealthWanted], object]] = [
        lambda health: listed(database, data, health, blind),
        lambda health: get_release(database, blind, data.slug, "1.0", health=health),
        lambda health: get_release_in_project(database, blind, data.slug, "1.0", "web", ReleaseFilter(), health=health),
    ]
    for call in calls:
        with pytest.raises(ScopeMissing) as refused:
            call(HEALTH)
        assert refused.value.metadata["scope"] == "health:read"
        call(STAGES)


def test_a_release_by_itself_tells_of_all_its_projects(database: Database) -> None:
    both = release("1.0", id=1, projects=["web", "api"], stays=[stay("production", adopted=2)])
    data = write_dataset(database, [both])
    write_sessions(database, data, [session(1), session(1, environment="staging"), session(1, "api", user=None)])
    wanted = replace(HEALTH, stages=True, series_period=Period.LAST_1H)
    for contents in (True, False):
        details = get_release(database, data.access(), data.slug, "1.0", contents=contents, health=wanted)
        found = told([details])
        assert [health_of(found, "1.0", slug).figures.session_count for slug in ("web", "api")] == [2, 1]
        assert health_of(found, "1.0", "web").series == ((hour_of(NOW), 2),)
        assert (details.contents is None) is not contents
        one = found["1.0", "web"]
        assert one is not None
        assert [row.environment for row in one.stages] == ["production"]
    there = get_release(database, data.access(), data.slug, "1.0", health=wanted, environments=("staging", "nowhere"))
    assert health_of(told([there]), "1.0", "web").figures.session_count == 1
    assert [one.stages for one in told([there]).values() if one] == [(), ()]
    own = get_release(database, data.access("api"), data.slug, "1.0", health=wanted)
    assert told([own]).keys() == {("1.0", "api")}


def test_a_release_seen_from_a_project_tells_of_that_one(database: Database) -> None:
    both = release("1.0", id=1, projects=["web", "api"], stays=[stay("production", adopted=2), stay("staging")])
    data = write_dataset(database, [both])
    early = session(1, environment="staging", time=NOW - 3 * DAY)
    write_sessions(database, data, [session(1), early, session(1, "api", time=NOW - 50 * DAY)])

    def seen(project: str, health: HealthWanted, *environments: str, contents: bool = True) -> Any:
        wanted = ReleaseFilter(environments=environments)
        return get_release_in_project(
            database, data.access(), data.slug, "1.0", project, wanted, health=health, contents=contents
        )

    for contents in (True, False):
        found = seen("web", HEALTH, contents=contents)
        assert told([found.details]).keys() == {("1.0", "web")}
        assert found.details.in_projects == (found.view.in_project,)
        assert found.view.in_project.told.health.figures.session_count == 2
    assert seen("web", HEALTH, "staging").view.in_project.told.health.figures.session_count == 1
    assert seen("web", HealthWanted()).view.in_project.told is None
    assert seen("web", HealthWanted()).view.sessions == (NOW - 3 * DAY, NOW)
    assert seen("web", HealthWanted(), "staging").view.sessions == (NOW - 3 * DAY, NOW - 3 * DAY)
    assert seen("web", HealthWanted(), "", "nowhere").view.sessions is None
    assert seen("api", HealthWanted()).view.sessions == (NOW - 50 * DAY, NOW - 50 * DAY)


def test_a_page_is_told_of_in_as_few_statements_as_a_release(database: Database) -> None:
    many = [release(f"{number}.0", id=number, projects=["web", "api"]) for number in range(1, 61)]
    data = write_dataset(database, many)
    write_sessions(database, data, [session(number, project) for number in range(1, 61) for project in ("web", "api")])
    wanted = replace(HEALTH, stages=True, series_period=Period.LAST_24H)

    def statements(size: int) -> int:
        ran: list[str] = []
        counted = list_releases

        def work() -> None:
            page = counted(database, data.access(), data.slug, ReleaseFilter(), page=PageRequest(size), health=wanted)
            assert len(page.page.items) == size

        ran += executed(work)
        return len(ran)

    # They are of other sizes, and never one for each release.
    assert statements(60) <= statements(1) + 6
