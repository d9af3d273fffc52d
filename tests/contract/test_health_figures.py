"""Figures of spans of time: of days and hours alike, of each environment, of each bucket."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import ceil
from typing import Any

import pytest

from store.database import Database
from store.health.figures import (
    Figures,
    had_sessions,
    project_figures,
    read_figures,
    read_series,
    session_bounds,
)
from store.health.models import HealthHour, HealthSeries
from store.health.shares import Shares, read_shares
from store.health.windows import DAY_US, HOUR_US, Period, Window, ceil_to, day_of, window_of
from tests.clocks import START_US
from tests.contract.acme import Acme
from tests.contract.rollups import Project, Told, rollup_of, write_sessions

NOW = START_US + 15 * HOUR_US + 1234  # 15 h into a day
TODAY = day_of(NOW)
VERSIONS = ("app@1.0.0", "app@1.1.0")
PLACES = ("production", "staging", "")


def number(user: int) -> int:
    """A user as the digest of some name: all 64 bits differ."""
    return random.Random(user).getrandbits(64) - 2**63


@pytest.fixture(scope="module")
def month() -> Sequence[Told]:
    """Sessions of 40 days up to now, some at the first and last moments of hours and days."""
    chance = random.Random(7)
    edges = [0, 1, HOUR_US - 1, HOUR_US, DAY_US - 1]
    told = []
    for _ in range(1500):
        day = TODAY - chance.randrange(40) * DAY_US
        time = day + (chance.choice(edges) if chance.random() < 0.3 else chance.randrange(DAY_US))
        outcome = chance.choices(("exited", "crashed", "abnormal"), (80, 15, 5))[0]
        told.append(
            Told(
                time_us=min(time, NOW),
                version=chance.choice(VERSIONS),
                environment=chance.choice(PLACES),
                user=None if chance.random() < 0.1 else number(chance.randrange(60)),
                outcome=outcome,
                errors=chance.choice((0, 0, 1, 3)),
                seconds=float(chance.randrange(1, 100)) if outcome == "exited" and chance.random() < 0.8 else None,
            )
        )
    return told


@pytest.fixture
def project(database: Database) -> Project:
    acme = Acme(database, "web")
    return Project(acme.id, acme.projects["web"])


@pytest.fixture(
    params=["hours alone", "days up to yesterday", "old hours gone", "days far behind", "days half added up"]
)
def kept(
    request: pytest.FixtureRequest, database: Database, project: Project, month: Sequence[Told]
) -> tuple[Project, int]:
    """A project with that month, kept in one of the ways in which it may be; and since when hours are there."""
    kept: dict[str, dict[str, Any]] = {
        "hours alone": {},
        "days up to yesterday": {"days_until": TODAY - DAY_US},
        "old hours gone": {"days_until": TODAY - DAY_US, "hours_from": TODAY - 5 * DAY_US},
        "days far behind": {"days_until": TODAY - 12 * DAY_US},
        "days half added up": {"days_until": TODAY - 12 * DAY_US, "days_written": TODAY - 4 * DAY_US},
    }
    write_sessions(database, project, month, **kept[request.param])
    return project, kept[request.param].get("hours_from", 0)


def counted(
    month: Sequence[Told], start: int, end: int, version: str = "", environments: Sequence[str] = PLACES
) -> Figures:
    """The figures by counting sessions one by one. So few users and durations are not estimated."""
    told = [
        each
        for each in month
        if start <= each.time_us < end and each.version.startswith(version) and each.environment in environments
    ]
    seconds = sorted(each.seconds for each in told if each.seconds is not None)
    return Figures(
        session_count=len(told),
        user_count=len({each.user for each in told} - {None}),
        crashed_count=sum(each.outcome == "crashed" for each in told),
        abnormal_count=sum(each.outcome == "abnormal" for each in told),
        errored_count=sum(each.outcome == "exited" and each.errors > 0 for each in told),
        error_count=sum(each.errors for each in told),
        crashed_user_count=len({each.user for each in told if each.outcome == "crashed"} - {None}),
        duration_p50=quantile(seconds, 0.5),
        duration_p90=quantile(seconds, 0.9),
    )


def quantile(ordered: Sequence[float], part: float) -> float | None:
    return ordered[ceil(part * len(ordered)) - 1] if ordered else None


def counts(figures: Figures) -> tuple[object, ...]:
    """All but the durations of long spans, of which so many are there that they are estimated."""
    return (
        figures.session_count,
        figures.user_count,
        figures.crashed_count,
        figures.abnormal_count,
        figures.errored_count,
        figures.error_count,
        figures.crashed_user_count,
    )


@pytest.mark.parametrize("period", list(Period))
def test_the_figures_of_a_period_are_those_of_its_sessions_however_they_are_kept(
    database: Database, kept: tuple[Project, int], month: Sequence[Told], period: Period
) -> None:
    project, _ = kept
    window = window_of(period, NOW)
    pairs = [(project.id, version) for version in VERSIONS]
    figures = read_figures(database, pairs, window)
    for pair in pairs:
        expected = counted(month, window.start_us, window.end_us, pair[1])
        assert counts(figures.get(pair, Figures())) == counts(expected)
        assert (pair in figures) == (expected.session_count > 0)


@pytest.mark.parametrize("period", list(Period))
def test_each_bucket_holds_the_sessions_that_began_in_it(
    database: Database, kept: tuple[Project, int], month: Sequence[Told], period: Period
) -> None:
    project, _ = kept
    window = window_of(period, NOW)
    pair = (project.id, VERSIONS[0])
    buckets = read_series(database, [pair], window).get(pair, [Figures()] * len(window.buckets))
    expected = [counted(month, start, start + window.step_us, pair[1]) for start in window.buckets]
    assert list(map(counts, buckets)) == list(map(counts, expected))
    few = [place for place, figures in enumerate(expected) if 0 < figures.session_count < 100]
    assert [buckets[place].duration_p50 for place in few] == [expected[place].duration_p50 for place in few]
    assert [buckets[place].duration_p90 for place in few] == [expected[place].duration_p90 for place in few]


@pytest.mark.parametrize("environments", [("production",), ("",), ("staging", ""), ("nowhere",)])
def test_only_the_environments_that_are_asked_for_count(
    database: Database, kept: tuple[Project, int], month: Sequence[Told], environments: tuple[str, ...]
) -> None:
    project, _ = kept
    window = window_of(Period.LAST_30D, NOW)
    pair = (project.id, VERSIONS[1])
    expected = counted(month, window.start_us, window.end_us, pair[1], environments)
    assert counts(read_figures(database, [pair], window, environments).get(pair, Figures())) == counts(expected)
    of_project = counted(month, window.start_us, window.end_us, "", environments)
    assert counts(project_figures(database, [project.id], window, environments).get(project.id, Figures())) == counts(
        of_project
    )


def test_a_span_of_hours_over_several_days_is_read_wherever_its_hours_are(
    database: Database, kept: tuple[Project, int], month: Sequence[Told]
) -> None:
    project, hours_from = kept
    pair = (project.id, VERSIONS[0])
    chance = random.Random(3)
    for _ in range(30):
        start, end = sorted(chance.sample(range(TODAY - 20 * DAY_US, TODAY + 16 * HOUR_US, HOUR_US), 2))
        start = day_of(start) if start < hours_from else start
        end = ceil_to(end, DAY_US) if end < hours_from else end
        whole = Window(start, end, end - start)
        expected = counted(month, start, end, pair[1])
        assert counts(read_figures(database, [pair], whole).get(pair, Figures())) == counts(expected)


def test_a_year_of_many_pairs_is_read_in_parts_that_are_the_same_together(
    database: Database, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [
        Told(TODAY - day * DAY_US, version=f"app@{version}", environment=place, user=number(version))
        for version in range(70)
        for place in ("production", "staging")
        for day in (0, 3)
    ]
    write_sessions(database, project, told, days_until=TODAY - DAY_US)
    pairs = [(project.id, f"app@{version}") for version in range(70)]
    window = window_of(Period.LAST_90D, NOW)
    at_once = read_figures(database, pairs, window)
    assert len(at_once) == 70
    assert set(map(counts, at_once.values())) == {(4, 1, 0, 0, 0, 0, 0)}
    monkeypatch.setattr("store.health.figures._MOST_ROWS", 1)
    assert read_figures(database, pairs, window) == at_once


def test_pairs_have_had_sessions_since_their_last_one(database: Database, project: Project) -> None:
    told = [
        Told(NOW - 10 * DAY_US, version="old"),
        Told(NOW - 5 * DAY_US, version="old", environment="staging"),
        Told(NOW, version="new"),
    ]
    write_sessions(database, project, told)
    old, new, none = ((project.id, version) for version in ("old", "new", "none"))
    assert had_sessions(database, [old, new, none], NOW - 5 * DAY_US) == {old, new}
    assert had_sessions(database, [old, new, none], NOW - 5 * DAY_US + 1) == {new}
    assert had_sessions(database, [old, new, none], NOW - 5 * DAY_US, ("production",)) == {new}
    assert session_bounds(database, [old, new, none]) == {
        old: (NOW - 10 * DAY_US, NOW - 5 * DAY_US),
        new: (NOW, NOW),
    }
    assert session_bounds(database, [old], ("staging", "nowhere")) == {old: (NOW - 5 * DAY_US, NOW - 5 * DAY_US)}


def test_shares_are_of_the_last_24_hours_of_the_same_environments(database: Database, project: Project) -> None:
    first = day_of(NOW) + 15 * HOUR_US - 23 * HOUR_US
    told = [
        Told(first, version="one", user=number(1)),
        Told(first - 1, version="one", user=number(2)),
        Told(NOW, version="one", user=number(3), environment="staging"),
        Told(NOW, version="two", user=number(1)),
        Told(NOW, version="two", user=number(4)),
        Told(NOW - 3 * DAY_US, version="gone", user=number(4)),
    ]
    write_sessions(database, project, told, days_until=TODAY - DAY_US)
    one, two, gone, none = ((project.id, version) for version in ("one", "two", "gone", "none"))
    shares = read_shares(database, [one, two, gone, none], NOW)
    assert shares == {
        one: Shares(user_count=2, session_count=2, project_user_count=3, project_session_count=4),
        two: Shares(user_count=2, session_count=2, project_user_count=3, project_session_count=4),
        gone: Shares(project_user_count=3, project_session_count=4),
        none: Shares(project_user_count=3, project_session_count=4),
    }
    assert shares[one].session_adoption == 50.0
    assert shares[one].user_adoption == pytest.approx(66.667, abs=0.001)
    assert (shares[gone].session_adoption, shares[gone].user_adoption) == (None, None)
    there = read_shares(database, [one], NOW, ("production",))
    assert there == {one: Shares(user_count=1, session_count=1, project_user_count=2, project_session_count=3)}
    assert read_shares(database, [one], NOW + 30 * HOUR_US) == {one: Shares()}


def test_a_release_never_has_more_users_than_its_project_though_both_are_estimates(
    database: Database, project: Project
) -> None:
    write_sessions(
        database, project, [Told(NOW, version="one", user=number(1)), Told(NOW, version="one", user=number(2))]
    )
    fewer = rollup_of([Told(NOW, user=number(1))])["users"]
    of_project = HealthSeries.select(HealthSeries.id).where(HealthSeries.version == "")
    database.write(lambda tx: tx.execute(HealthHour.update(users=fewer).where(HealthHour.series_id.in_(of_project))))
    shares = read_shares(database, [(project.id, "one")], NOW)[project.id, "one"]
    assert (shares.user_count, shares.project_user_count, shares.user_adoption) == (1, 1, 100.0)


def test_no_more_users_crash_than_there_are_though_both_are_estimates(database: Database, project: Project) -> None:
    write_sessions(database, project, [Told(NOW, version="one", user=number(1), outcome="crashed")])
    more = rollup_of([Told(NOW, user=number(user), outcome="crashed") for user in (1, 2)])["crashed_users"]
    database.write(lambda tx: tx.execute(HealthHour.update(crashed_users=more)))
    figures = read_figures(database, [(project.id, "one")], window_of(Period.LAST_1H, NOW))[project.id, "one"]
    assert (figures.user_count, figures.crashed_user_count, figures.crash_free_users) == (1, 1, 0.0)
