from __future__ import annotations

import pytest

from store.database import Database
from store.errors import InvalidField, OrganizationNotFound, ProjectForbidden
from store.health.discovery import discover
from store.health.items import SessionStatus
from store.organizations.delete import delete_project
from store.paging import PageRequest
from store.releases.delete import delete_release
from store.releases.rows import ReleaseStatus
from store.releases.update import ReleaseChanges, update_release
from store.search.filters import TimeSpan
from tests.clocks import ManualClock
from tests.contract.callers import all_pages
from tests.contract.watched import (
    CRASH_FREE_SESSIONS,
    CRASH_FREE_USERS,
    DAY,
    ERRORS,
    FAILURES,
    HEALTHY,
    HOUR,
    NO_DATA,
    OVER,
    SECOND,
    UNDER,
    UNHEALTHY,
    Watched,
)

CRASHED, ABNORMAL = SessionStatus.CRASHED, SessionStatus.ABNORMAL


@pytest.fixture
def acme(database: Database, clock: ManualClock) -> Watched:
    return Watched(database, "web", "api", clock=clock)


# --- What is measured ---


@pytest.mark.parametrize(
    ("value", "over", "under"), [(4.999, UNHEALTHY, HEALTHY), (5, HEALTHY, HEALTHY), (5.001, HEALTHY, UNHEALTHY)]
)
def test_up_to_its_value_or_from_it_on_a_release_is_healthy(
    acme: Watched, value: float, over: object, under: object
) -> None:
    acme.release("app@1.0.0", "web")
    acme.sessions("app@1.0.0", 2, errors=2)
    acme.sessions("app@1.0.0", status=CRASHED, errors=1)
    acme.threshold(ERRORS, OVER, value)
    acme.threshold(ERRORS, UNDER, value)
    assert acme.judged("app@1.0.0") == [(over, 5.0), (under, 5.0)]


def test_each_metric_is_measured_in_percent_of_sessions_or_users(acme: Watched) -> None:
    acme.release("app@1.0.0", "web")
    acme.sessions("app@1.0.0", 5, users=["ada", "bob"])
    acme.sessions("app@1.0.0", 1, errors=3, users=["cyd"])
    acme.sessions("app@1.0.0", 1, status=ABNORMAL, users=["dan"])
    acme.sessions("app@1.0.0", 1, status=CRASHED, errors=1, users=["ada"])
    acme.threshold(ERRORS, OVER, 4)
    acme.threshold(FAILURES, OVER, 37.5)
    acme.threshold(CRASH_FREE_SESSIONS, UNDER, 87.5)
    acme.threshold(CRASH_FREE_USERS, UNDER, 75)
    assert acme.judged("app@1.0.0") == [(HEALTHY, 4.0), (HEALTHY, 37.5), (HEALTHY, 87.5), (HEALTHY, 75.0)]


def test_a_rate_that_is_just_reached_is_not_missed_by_a_rounding(acme: Watched) -> None:
    assert 100 - 83 / 125 * 100 < 33.6  # which it is
    acme.release("app@1.0.0", "web")
    acme.sessions("app@1.0.0", 42)
    acme.sessions("app@1.0.0", 83, status=CRASHED)
    for value in (33.599, 33.6, 33.601):
        acme.threshold(CRASH_FREE_SESSIONS, UNDER, value)
        acme.threshold(CRASH_FREE_SESSIONS, OVER, value)
    states = [state for state, _ in acme.judged("app@1.0.0")]
    assert states == [HEALTHY, UNHEALTHY, HEALTHY, HEALTHY, UNHEALTHY, HEALTHY]
    assert acme.judged("app@1.0.0")[0][1] == 33.6


def test_without_sessions_there_is_no_rate_and_there_are_no_errors(acme: Watched) -> None:
    acme.release("app@1.0.0", "web")
    for metric in (ERRORS, FAILURES, CRASH_FREE_SESSIONS, CRASH_FREE_USERS):
        acme.threshold(metric, UNDER, 1)
    nothing = [(NO_DATA, None)] * 3
    assert acme.judged("app@1.0.0") == [(UNHEALTHY, 0.0), *nothing]
    acme.sessions("app@1.0.0")
    assert acme.judged("app@1.0.0") == [(UNHEALTHY, 0.0), (UNHEALTHY, 0.0), (HEALTHY, 100.0), (NO_DATA, None)]


def test_sessions_of_other_versions_and_projects_do_not_count(acme: Watched) -> None:
    acme.release("app@1.0.0", "web", "api")
    acme.release("app@1.1.0", "web")
    acme.sessions("app@1.0.0", 1, errors=1)
    acme.sessions("app@1.0.0", 1, errors=10, project="api")
    acme.sessions("app@1.1.0", 1, errors=100)
    acme.threshold(project="web")
    acme.threshold(project="api")
    assert acme.judged("app@1.0.0") == [(UNHEALTHY, 1.0)]
    assert acme.judged("app@1.0.0", "api") == [(UNHEALTHY, 10.0)]
    assert acme.judged("app@1.1.0") == [(UNHEALTHY, 100.0)]


def test_of_an_environment_with_sessions_and_no_deploy_a_release_is_watched_from_its_creation_on(
    acme: Watched, clock: ManualClock
) -> None:
    acme.release("app@1.0.0", "web")
    created = clock.now_us()
    clock.advance(seconds=3600)
    acme.sessions("app@1.0.0", errors=1, environment="production")
    assert discover(acme.db, [acme.projects["web"]]).linked == 1
    acme.threshold(environment="production")
    (status,) = acme.of("app@1.0.0")
    assert (status.start_time, status.measured) == (created, 1.0)


def test_a_threshold_of_an_environment_counts_its_sessions_only(acme: Watched) -> None:
    acme.release("app@1.0.0", "web")
    for environment, errors in (("production", 1), ("qa", 10), ("", 100)):
        acme.sessions("app@1.0.0", errors=errors, environment=environment)
    for name in (None, "production", "qa", "", "nowhere"):
        acme.threshold(environment=name)
    assert [measured for _, measured in acme.judged("app@1.0.0")] == [111.0, 1.0, 10.0, 100.0, 0.0]


def test_users_of_several_environments_count_once(acme: Watched) -> None:
    acme.release("app@1.0.0", "web")
    acme.sessions("app@1.0.0", 4, environment="production", users=["ada", "bob", "cyd", "dan"])
    acme.sessions("app@1.0.0", 1, environment="qa", users=["ada"], status=CRASHED)
    acme.threshold(CRASH_FREE_USERS, UNDER, 75)
    acme.threshold(CRASH_FREE_USERS, UNDER, 75, environment="qa")
    assert acme.judged("app@1.0.0") == [(HEALTHY, 75.0), (UNHEALTHY, 0.0)]


# --- From when on, and how long ---


def test_a_release_is_watched_from_its_creation_for_the_window(acme: Watched, clock: ManualClock) -> None:
    acme.release("app@1.0.0", "web")
    acme.threshold(hours=1.5)
    (status,) = acme.of("app@1.0.0")
    assert (status.start_time, status.end_time) == (clock.now_us(), clock.now_us() + 90 * 60 * SECOND)


def test_with_an_environment_it_is_watched_from_the_newest_deploy_there_on(acme: Watched, clock: ManualClock) -> None:
    acme.release("app@1.0.0", "web", "api")
    created = clock.now_us()
    for project in ("web", "api"):
        for environment in (None, "", "production", "qa"):
            acme.threshold(environment=environment, hours=1, project=project)
    clock.advance(seconds=7200)
    acme.deploy("app@1.0.0", "production", "web")
    clock.advance(seconds=7200)
    deployed = clock.now_us()
    acme.deploy("app@1.0.0", "production", "web")
    acme.deploy("app@1.0.0", "production", "web", finish_time=deployed - HOUR)
    starts = {project: [status.start_time for status in acme.of("app@1.0.0", project)] for project in ("web", "api")}
    assert starts == {"web": [created, created, deployed, created], "api": [created] * 4}
    assert acme.of("app@1.0.0")[2].end_time == deployed + HOUR


def test_sessions_count_by_the_hour_in_which_they_began(acme: Watched, clock: ManualClock) -> None:
    """A release of 10:40 with a window of two hours: the hours from 10:00 to 13:00."""
    clock.advance(seconds=(10 * HOUR + 40 * 60 * SECOND - clock.now_us() % DAY) % DAY / SECOND)
    acme.release("app@1.0.0", "web")
    acme.threshold(hours=2)
    acme.threshold(hours=1 / 60)
    acme.threshold(hours=20 / 60)
    clock.advance(seconds=3 * 3600)
    at_ten = -(3 * HOUR) - 40 * 60 * SECOND
    for hour, errors in ((-1, 1), (0, 10), (1, 100), (2, 1000), (3, 10_000)):
        acme.sessions("app@1.0.0", errors=errors, after_us=at_ten + hour * HOUR)
    assert [measured for _, measured in acme.judged("app@1.0.0")] == [1110.0, 10.0, 10.0]


def test_a_window_that_is_not_over_yet_is_measured_so_far(acme: Watched, clock: ManualClock) -> None:
    acme.release("app@1.0.0", "web")
    acme.threshold(ERRORS, OVER, 5, hours=48)
    acme.sessions("app@1.0.0", errors=4)
    assert acme.judged("app@1.0.0") == [(HEALTHY, 4.0)]
    clock.advance(seconds=86_400)
    acme.sessions("app@1.0.0", errors=4)
    assert acme.judged("app@1.0.0") == [(UNHEALTHY, 8.0)]
    clock.advance(seconds=2 * 86_400)
    acme.sessions("app@1.0.0", errors=4)
    assert acme.judged("app@1.0.0") == [(UNHEALTHY, 8.0)]


# --- Which releases and thresholds ---


def test_releases_of_projects_without_thresholds_are_absent(acme: Watched) -> None:
    acme.release("app@1.0.0", "web", "api")
    acme.release("api@1.0.0", "api")
    assert acme.shown() == []
    acme.threshold()
    assert acme.shown() == [("app@1.0.0", "web")]


def test_releases_come_newest_first_and_once_a_project(acme: Watched, clock: ManualClock) -> None:
    for version in ("a@1.0.0", "c@1.0.0", "b@1.0.0"):
        acme.release(version, "web", "api")
        clock.advance(seconds=1)
    acme.threshold(project="web")
    acme.threshold(project="api")
    expected = [(version, project) for version in ("b@1.0.0", "c@1.0.0", "a@1.0.0") for project in ("api", "web")]
    assert acme.shown() == expected
    for size in (1, 2, 3, 4, 10):
        pages = all_pages(lambda page: acme.status(page).page, size)
        assert [(each.version, each.project_slug) for page in pages for each in page] == expected
        assert {len(page) for page in pages[:-1]} <= {size}
    first = acme.status(PageRequest(4)).page
    second = acme.status(PageRequest(4, first.next))
    assert second.page.previous is not None
    back = acme.status(PageRequest(4, second.page.previous))
    assert [(each.version, each.project_slug) for each in back.page.items] == expected[:4]


def test_archived_releases_are_there_and_deleted_ones_are_not(acme: Watched) -> None:
    for version in ("app@1.0.0", "app@1.1.0"):
        acme.release(version, "web")
    acme.threshold()
    archived = ReleaseChanges(frozenset({"status"}), status=ReleaseStatus.ARCHIVED)
    update_release(acme.db, acme.everybody, "acme", "app@1.0.0", changes=archived)
    delete_release(acme.db, acme.everybody, "acme", "app@1.1.0")
    assert acme.shown() == [("app@1.0.0", "web")]


def test_the_releases_are_those_created_then(acme: Watched, clock: ManualClock) -> None:
    times = []
    for minor in range(4):
        acme.release(f"app@1.{minor}.0", "web")
        times.append(clock.now_us())
        clock.advance(seconds=3600)
    acme.threshold()

    def minors(created: TimeSpan) -> list[int]:
        return [int(version.split(".")[1]) for version, _ in acme.shown(created=created)]

    assert minors(TimeSpan(times[1], times[3])) == [2, 1]
    assert minors(TimeSpan(times[1])) == [3, 2, 1]
    assert minors(TimeSpan(times[1] + 1, times[3] + 1)) == [3, 2]
    assert minors(TimeSpan(ago_us=2 * HOUR)) == [3, 2]
    with pytest.raises(InvalidField) as raised:
        acme.shown(created=TimeSpan(times[1], times[0]))
    assert raised.value.metadata == {"field": "created.end_time"}


def test_periods_reckon_from_the_first_page_on_all_pages(acme: Watched, clock: ManualClock) -> None:
    for minor in range(3):
        acme.release(f"app@1.{minor}.0", "web")
        clock.advance(seconds=60)
    acme.threshold()
    span = TimeSpan(ago_us=HOUR)
    first = acme.status(PageRequest(1), created=span).page
    clock.advance(seconds=3500)
    assert first.next is not None
    second = acme.status(PageRequest(5, first.next), created=span).page
    assert [each.version for each in second.items] == ["app@1.1.0", "app@1.0.0"]
    assert [version for version, _ in acme.shown(created=span)] == ["app@1.2.0"]


def test_versions_leave_only_releases_of_them(acme: Watched, clock: ManualClock) -> None:
    for version in ("app@1.0.0", "app@1.1.0", "1.0.0", "[odd] app"):
        acme.release(version, "web")
        clock.advance(seconds=1)
    acme.threshold()
    assert acme.shown(versions=("app@1.0.0",)) == [("app@1.0.0", "web")]
    assert acme.shown(versions=("[odd] app", "nothing", "1.0.0")) == [("[odd] app", "web"), ("1.0.0", "web")]
    assert acme.shown(versions=("latest",)) == []


def test_environments_leave_only_their_thresholds(acme: Watched) -> None:
    acme.release("app@1.0.0", "web", "api")
    rows = {name: acme.threshold(environment=name) for name in (None, "", "qa", "production")}
    acme.threshold(project="api")
    assert acme.shown(environments=("qa",)) == [("app@1.0.0", "web")]
    assert [status.threshold for status in acme.of("app@1.0.0", environments=("qa", ""))] == [rows[""], rows["qa"]]
    assert acme.shown(environments=("nowhere",)) == []
    assert len(acme.of("app@1.0.0")) == 4


def test_projects_are_those_of_the_caller_unless_it_names_others(acme: Watched) -> None:
    acme.release("app@1.0.0", "web", "api")
    acme.threshold(project="web")
    acme.threshold(project="api")
    web = acme.member_of("web")
    assert acme.shown(access=web) == [("app@1.0.0", "web")]
    assert acme.shown(access=web, every_project=True, projects=("-",)) == [("app@1.0.0", "web")]
    assert acme.shown(projects=("api",)) == [("app@1.0.0", "api")]
    with pytest.raises(ProjectForbidden):
        acme.shown(access=web, projects=("api",))
    with pytest.raises(OrganizationNotFound):
        acme.shown(access=Watched(acme.db, clock=acme.clock, slug="umbrella").everybody)


def test_with_open_membership_every_project_may_be_asked_for(database: Database, clock: ManualClock) -> None:
    acme = Watched(database, "web", "api", clock=clock, open_membership=True)
    acme.release("app@1.0.0", "web", "api")
    acme.threshold(project="web")
    acme.threshold(project="api")
    web = acme.member_of("web")
    assert acme.shown(access=web) == [("app@1.0.0", "web")]
    assert len(acme.shown(access=web, every_project=True, projects=("-",))) == 2


def test_a_deleted_project_is_absent(acme: Watched) -> None:
    acme.release("app@1.0.0", "web", "api")
    acme.threshold(project="web")
    acme.threshold(project="api")
    delete_project(acme.db, acme.everybody, "acme", "web", force=True)
    assert acme.shown() == [("app@1.0.0", "api")]
