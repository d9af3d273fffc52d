"""GetReleaseHealth in the store: which projects, whose eyes, which span, what was known when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from store.access import Access
from store.database import Database
from store.errors import InvalidField, OrganizationNotFound, ProjectForbidden, ReleaseNotFound
from store.health.read import HealthQuestion, ProjectHealth, ReleaseHealth, get_release_health
from store.health.spans import Span
from store.health.windows import DAY_US, HOUR_US, Period, day_of, hour_of
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR
from tests.contract.rollups import Project, Told, write_sessions

VERSION = "app@1.0.0"


@pytest.fixture
def acme(database: Database, clock: ManualClock) -> Acme:
    clock.advance(seconds=15 * 3600 + 1234)
    return Acme(database, "web", "api", "cli")


def tell(acme: Acme, project: str, *told: Told, days_until: int = 0) -> None:
    write_sessions(acme.db, Project(acme.id, acme.projects[project]), told, days_until=days_until)


def health(acme: Acme, access: Access | None = None, version: str = VERSION, **question: Any) -> ReleaseHealth:
    asked = HealthQuestion(**question)
    return get_release_health(acme.db, access or acme.everybody, acme.slug, version, asked, hour_days=35)


def only(acme: Acme, **question: Any) -> ProjectHealth:
    (project,) = health(acme, **question).projects
    return project


def slugs(answer: ReleaseHealth) -> list[str]:
    return [project.project.slug for project in answer.projects]


def test_a_release_is_told_in_each_of_its_projects_by_slug(acme: Acme, clock: ManualClock) -> None:
    acme.release(VERSION, "web", "api")
    tell(acme, "web", Told(clock.now_us(), user=1), Told(clock.now_us(), user=2, outcome="crashed"))
    told = health(acme)
    assert slugs(told) == ["api", "web"]
    api, web = told.projects
    assert (web.figures.session_count, web.figures.crash_free_sessions, web.figures.user_count) == (2, 50.0, 2)
    assert (web.has_health_data, web.first_us, web.last_us) == (True, clock.now_us(), clock.now_us())
    assert (api.figures.session_count, api.figures.crash_free_sessions) == (0, None)
    assert (api.has_health_data, api.first_us, api.last_us) == (False, None, None)
    # The last 14 days, as nothing else was asked for; the day under way is the last.
    assert [bucket.start_us for bucket in web.buckets] == [
        day_of(clock.now_us()) - (13 - day) * DAY_US for day in range(14)
    ]
    assert [bucket.figures.session_count for bucket in web.buckets] == [0] * 13 + [2]
    assert [bucket.session_adoption for bucket in web.buckets] == [None] * 13 + [100.0]
    assert [bucket.figures.session_count for bucket in api.buckets] == [0] * 14


def test_a_buckets_adoption_is_of_the_sessions_of_the_project_in_it(acme: Acme, clock: ManualClock) -> None:
    acme.release(VERSION, "web")
    now = clock.now_us()
    tell(
        acme,
        "web",
        Told(now),
        *[Told(now, version="app@2.0.0")] * 3,
        Told(now - DAY_US, version="app@2.0.0"),
        Told(now - 2 * DAY_US),
        Told(now - 2 * DAY_US, version="app@2.0.0", environment="staging"),
        days_until=day_of(now) - DAY_US,
    )
    period = Span(Period.LAST_7D)
    assert [bucket.session_adoption for bucket in only(acme, span=period).buckets[-3:]] == [50.0, None, 25.0]
    there = only(acme, span=period, environments=("production",))
    assert [bucket.session_adoption for bucket in there.buckets[-3:]] == [100.0, None, 25.0]
    assert there.shares.session_adoption == 25.0


def test_a_project_tells_its_own_numbers_where_the_release_has_none(acme: Acme, clock: ManualClock) -> None:
    acme.release(VERSION, "web")
    tell(acme, "web", Told(clock.now_us(), version="app@2.0.0", user=5))
    web = only(acme)
    assert (web.shares.session_count, web.shares.project_session_count, web.shares.project_user_count) == (0, 1, 1)
    assert (web.shares.session_adoption, web.has_health_data) == (None, False)


def test_there_is_health_data_of_90_days_whatever_the_span(acme: Acme, clock: ManualClock) -> None:
    acme.release(VERSION, "web")
    tell(acme, "web", Told(clock.now_us()))
    clock.advance(seconds=89 * 86_400)
    hour = Span(Period.LAST_1H)
    web = only(acme, span=hour)
    assert (web.has_health_data, web.figures.session_count) == (True, 0)
    assert not only(acme, span=hour, environments=("staging",)).has_health_data
    clock.advance(seconds=2 * 86_400)
    assert not only(acme, span=hour).has_health_data
    # Longer ago than that, but in the span itself.
    assert only(acme, span=Span(start_us=clock.now_us() - 92 * DAY_US)).has_health_data


def test_environments_narrow_everything_that_is_told(acme: Acme, clock: ManualClock) -> None:
    acme.release(VERSION, "web")
    now = clock.now_us()
    tell(
        acme,
        "web",
        Told(now - HOUR_US, environment="", user=1, outcome="crashed"),
        Told(now, environment="production", user=2),
        Told(now - DAY_US, environment="production", user=2),
    )
    without = only(acme, environments=("",), milestones=True)
    assert (without.figures.session_count, without.figures.crashed_user_count) == (1, 1)
    assert (without.shares.session_count, without.shares.project_session_count) == (1, 1)
    assert (without.first_us, without.last_us) == (now - HOUR_US, now - HOUR_US)
    assert sum(bucket.figures.session_count for bucket in without.buckets) == 1
    assert [row.figures.session_count for row in without.milestones] == [0]  # it began before the release did
    both = only(acme, environments=("", "production"))
    assert (both.figures.session_count, both.first_us) == (3, now - DAY_US)


def test_a_release_that_only_sessions_know_is_found(acme: Acme, clock: ManualClock) -> None:
    now = clock.now_us()
    tell(acme, "web", Told(now - 3 * DAY_US), Told(now, outcome="crashed"))
    web = only(acme, milestones=True)
    assert (web.project.slug, web.figures.session_count) == ("web", 2)
    # What is known of it counts from its first session.
    assert [(row.end_us - now, row.figures.session_count) for row in web.milestones] == [
        (-2 * DAY_US, 1),
        (-1 * DAY_US, 1),
    ]
    with pytest.raises(ReleaseNotFound):
        health(acme, version="app@1.0")
    # Whoever may not see the project does not find it, as if it were not there.
    assert slugs(health(acme, acme.member_of("web"))) == ["web"]
    with pytest.raises(ReleaseNotFound):
        health(acme, acme.member_of("api"))


def test_projects_with_sessions_count_as_its_projects(acme: Acme, clock: ManualClock) -> None:
    acme.release(VERSION, "api")
    tell(acme, "web", Told(clock.now_us()))
    assert slugs(health(acme)) == ["api", "web"]
    assert slugs(health(acme, acme.member_of("web"))) == ["web"]
    assert slugs(health(acme, acme.member_of("api", "cli"))) == ["api"]
    with pytest.raises(ReleaseNotFound):
        health(acme, acme.member_of("cli"))


def test_only_the_projects_that_the_caller_may_see_are_told_of(acme: Acme, clock: ManualClock) -> None:
    acme.release(VERSION, "web", "api")
    now = clock.now_us()
    for slug, ago in (("web", 1), ("api", 5)):
        tell(acme, slug, Told(now - ago * DAY_US), Told(now - ago * DAY_US, version="known to sessions"))
    mine = acme.member_of("web")
    assert slugs(health(acme, mine)) == ["web"]
    (web,) = health(acme, mine, "known to sessions", milestones=True).projects
    # Nor when it began elsewhere.
    assert [row.end_us for row in web.milestones] == [now]
    both = health(acme, None, "known to sessions", milestones=True).projects
    assert [each.milestones[0].end_us for each in both] == [now - 4 * DAY_US] * 2


def test_named_projects_are_told_alone(acme: Acme, clock: ManualClock) -> None:
    acme.release(VERSION, "web", "api")
    tell(acme, "web", Told(clock.now_us()))
    assert slugs(health(acme, projects=("web",))) == ["web"]
    assert slugs(health(acme, projects=("web", "cli"))) == ["web"]
    assert slugs(health(acme, projects=("cli",))) == []
    for missing in ("nothing", "api"):
        with pytest.raises(ProjectForbidden):
            health(acme, acme.member_of("web"), projects=(missing,))
    # A release that is not theirs is missing, whichever project they name.
    with pytest.raises(ReleaseNotFound):
        health(acme, acme.member_of("cli"), projects=("web",))


def test_another_organizations_sessions_are_never_told(acme: Acme, database: Database, clock: ManualClock) -> None:
    other = Acme(database, "web", slug="other")
    tell(other, "web", Told(clock.now_us()))
    with pytest.raises(ReleaseNotFound):
        health(acme)
    with pytest.raises(OrganizationNotFound):
        get_release_health(database, other.everybody, "acme", VERSION, HealthQuestion(), hour_days=35)
    assert slugs(health(other)) == ["web"]
    assert slugs(health(other, OPERATOR)) == ["web"]


def test_milestones_add_up_from_the_releases_creation(acme: Acme, clock: ManualClock) -> None:
    created = clock.now_us()
    acme.release(VERSION, "web")
    times = [created + 1, created + DAY_US - 1, created + 36 * HOUR_US, created + 6 * DAY_US, created + 20 * DAY_US]
    told = [Told(time, user=1) for time in times]
    clock.advance(seconds=21 * 86_400)
    tell(acme, "web", *told, days_until=day_of(created + 19 * DAY_US))
    web = only(acme, milestones=True)
    assert [(row.end_us - created, row.figures.session_count) for row in web.milestones] == [
        (1 * DAY_US, 2),
        (2 * DAY_US, 3),
        (7 * DAY_US, 4),
        (14 * DAY_US, 4),
        (21 * DAY_US, 5),  # as of now
    ]
    assert {row.figures.user_count for row in web.milestones} == {1}
    assert only(acme).milestones == ()


@pytest.mark.parametrize(
    ("age_hours", "ends"),
    [
        (0, [0]),
        (23, [23]),
        (24, [24]),
        (25, [24]),
        (48, [24, 48]),
        (72, [24, 48]),
        (73, [24, 48, 73]),
        (24 * 30, [24, 48, 168, 336, 720]),
        (24 * 80, [24, 48, 168, 336, 720]),
    ],
)
def test_the_milestone_that_is_under_way_is_told_as_of_now(
    acme: Acme, clock: ManualClock, age_hours: int, ends: list[int]
) -> None:
    created = clock.now_us()
    acme.release(VERSION, "web")
    clock.advance(seconds=age_hours * 3600)
    assert [(row.end_us - created) // HOUR_US for row in only(acme, milestones=True).milestones] == ends


def test_milestones_are_whole_days_where_hours_are_gone(acme: Acme, clock: ManualClock) -> None:
    created = clock.now_us()
    acme.release(VERSION, "web")
    told = [Told(day_of(created)), Told(created + 12 * HOUR_US), Told(day_of(created) + 2 * DAY_US - 1)]
    clock.advance(seconds=50 * 86_400)
    write_sessions(
        acme.db,
        Project(acme.id, acme.projects["web"]),
        told,
        days_until=day_of(clock.now_us()) - DAY_US,
        hours_from=clock.now_us(),
    )
    assert [row.figures.session_count for row in only(acme, milestones=True).milestones] == [3, 3, 3, 3, 3]


def test_more_buckets_than_fit_into_an_answer_are_refused(
    acme: Acme, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme.release(VERSION, "web", "api")
    monkeypatch.setattr("store.health.read.MOST_BUCKETS", 27)
    with pytest.raises(InvalidField) as refused:
        health(acme)
    assert refused.value.metadata["field"] == "projects"
    assert slugs(health(acme, projects=("web",))) == ["web"]


def test_more_projects_than_fit_into_an_answer_are_refused(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    acme.release(VERSION, "web", "api")
    assert slugs(health(acme, span=Span(Period.LAST_1H))) == ["api", "web"]
    monkeypatch.setattr("store.health.read.MOST_PROJECTS", 1)
    with pytest.raises(InvalidField) as refused:
        health(acme, span=Span(Period.LAST_1H))
    assert refused.value.metadata["field"] == "projects"
    assert slugs(health(acme, projects=("web",))) == ["web"]


def test_a_span_of_its_own_has_buckets_of_the_interval(acme: Acme, clock: ManualClock) -> None:
    acme.release(VERSION, "web")
    now = clock.now_us()
    tell(acme, "web", *(Told(now - hour * HOUR_US) for hour in range(6)))
    span = Span(start_us=now - 5 * HOUR_US, end_us=now + 1, interval_us=2 * HOUR_US)
    answer = health(acme, span=span)
    assert answer.window.start_us == hour_of(now) - 5 * HOUR_US  # a whole interval: 10, 12, 14 o'clock
    assert [bucket.figures.session_count for bucket in answer.projects[0].buckets] == [2, 2, 2]
    hourly = health(acme, span=replace(span, interval_us=None)).projects[0]
    assert [bucket.figures.session_count for bucket in hourly.buckets] == [1] * 6
