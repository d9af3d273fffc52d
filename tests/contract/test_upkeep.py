"""Upkeep of release health: days are built of hours, and what is old goes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from store.crashpoints import at_crashpoints
from store.database import Database
from store.health import upkeep
from store.health.items import SessionLimits, SessionStatus
from store.health.models import CountedSessions, HealthDay, HealthHour, HealthSeries, Session
from store.health.sketches import Durations, Users
from store.health.upkeep import KeptUp, keep_up
from store.health.windows import DAY_US, HOUR_US, day_of
from tests.clocks import START_US, ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import at_once, errors_in
from tests.contract.telling import COUNT_NAMES, Telling, counts, update

LIMITS = SessionLimits()
YESTERDAY = START_US - DAY_US
"""Its beginning: the clock stands at that of a day."""
VERSION = "web@1.0.0"


@pytest.fixture
def web(database: Database) -> Telling:
    return Telling(Acme(database, "web", "api"))


def days(web: Telling, version: str = VERSION, **of: str) -> dict[int, tuple[int, ...]]:
    return web.sums(version, model=HealthDay, **of)


def count(web: Telling, model: Any) -> int:
    return len(web.db.read(lambda reader: reader.fetch(model.select().tuples())))


def days_are_their_hours(web: Telling) -> bool:
    """Every row of a day is the sum of its hours, to the last byte of its sketch of users."""
    series = web.db.read(lambda reader: reader.fetch(HealthSeries.select()))
    hours = web.db.read(lambda reader: reader.fetch(HealthHour.select()))
    kept = {
        (row.series_id, row.start_time): row for row in web.db.read(lambda reader: reader.fetch(HealthDay.select()))
    }
    until = {row.id: row.days_until for row in series}
    wanted: dict[tuple[bytes, int], list[Any]] = {}
    for row in hours:
        if row.start_time < until[row.series_id]:
            wanted.setdefault((row.series_id, day_of(row.start_time)), []).append(row)
    assert kept.keys() == wanted.keys()
    return all(
        [getattr(kept[key], name) for name in COUNT_NAMES]
        == [sum(getattr(row, name) for row in rows) for name in COUNT_NAMES]
        and users(kept[key].users) == users(*(row.users for row in rows))
        and users(kept[key].crashed_users) == users(*(row.crashed_users for row in rows))
        and longest(kept[key].durations) == longest(*(row.durations for row in rows))
        for key, rows in wanted.items()
    )


def users(*sketches: bytes | None) -> int:
    merged = Users.of(None)
    for data in sketches:
        merged.merge(data)
    return merged.estimate()


def longest(*sketches: bytes | None) -> float | None:
    merged = Durations.of(None)
    for data in sketches:
        merged.merge(data)
    return merged.quantile(1.0)


def a_month(web: Telling, *, sessions: int = 300, seed: int = 1) -> None:
    """Sessions of all kinds all over the last 30 days."""
    chosen = random.Random(seed)
    web.tell(
        *(
            update(
                number,
                start_time=START_US - chosen.randrange(30 * DAY_US),
                status=chosen.choice(list(SessionStatus)),
                error_count=chosen.choice([0, 0, 3]),
                user=f"user-{chosen.randrange(40)}",
                duration=chosen.choice([None, 5_000_000, 9_000_000]),
                version=chosen.choice([VERSION, "web@2"]),
                project=chosen.choice(["web", "api"]),
            )
            for number in range(sessions)
        )
    )


def test_hours_before_yesterday_become_days(web: Telling) -> None:
    web.tell(
        update(1, start_time=YESTERDAY - 1, status=SessionStatus.CRASHED, error_count=2),
        update(2, start_time=YESTERDAY - DAY_US, status=SessionStatus.EXITED, duration=4_000_000),
        update(3, start_time=YESTERDAY - 3 * DAY_US),
        update(4, start_time=YESTERDAY),
        update(5, start_time=START_US),
    )
    hours = web.sums(VERSION)
    # Late ones are in days at once, the first of a series excepted: only what lies before it is late.
    keep_up(web.db, LIMITS)
    assert (
        days(web)
        == days(web, "")
        == {
            YESTERDAY - 3 * DAY_US: (1, 0, 0, 0, 0),
            YESTERDAY - DAY_US: (2, 1, 0, 0, 2),
        }
    )
    assert web.sums(VERSION) == hours, "hours stay beside them"
    assert [series.days_until for series in (web.series(VERSION), web.series("")) if series] == [YESTERDAY] * 2
    assert days_are_their_hours(web)


def test_another_run_finds_nothing_to_do(web: Telling) -> None:
    a_month(web)
    assert keep_up(web.db, LIMITS).built > 50
    before = web.everything()
    assert keep_up(web.db, LIMITS) == KeptUp()
    assert web.everything() == before


def test_a_late_update_changes_hour_and_day(web: Telling) -> None:
    start = START_US - 10 * DAY_US
    web.tell(update(1, start_time=start), update(2))
    keep_up(web.db, LIMITS)
    web.tell(
        update(1, sequence=2, start_time=start, status=SessionStatus.CRASHED), update(3, start_time=start + HOUR_US)
    )
    assert days(web) == {start: (2, 1, 0, 0, 0)}
    assert days_are_their_hours(web)
    assert keep_up(web.db, LIMITS) == KeptUp()


def test_a_quiet_series_is_gone_on_with_when_it_wakes(web: Telling, clock: ManualClock) -> None:
    web.tell(update(1, start_time=START_US - 5 * DAY_US))
    assert keep_up(web.db, LIMITS).built == 2
    clock.advance(seconds=20 * 86_400)
    assert keep_up(web.db, LIMITS).built == 0
    web.tell(update(2, start_time=clock.now_us()))
    clock.advance(seconds=3 * 86_400)
    assert keep_up(web.db, LIMITS).built == 2
    assert days(web) == {START_US - 5 * DAY_US: (1, 0, 0, 0, 0), START_US + 20 * DAY_US: (1, 0, 0, 0, 0)}


@pytest.mark.parametrize("most", [1, 25, 60, 480])
def test_however_little_is_done_at_a_time_it_comes_to_the_same(
    web: Telling, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    web.tell(*(update(number, start_time=START_US - number * HOUR_US) for number in range(9 * 24)))
    a_month(web, seed=2)
    monkeypatch.setattr(upkeep, "MOST_HOURS", most)
    monkeypatch.setattr(upkeep, "_SERIES_AT_ONCE", 3)
    keep_up(web.db, LIMITS)
    assert days_are_their_hours(web)
    open_series = HealthSeries.select().where(
        HealthSeries.last_time >= HealthSeries.days_until, HealthSeries.days_until < YESTERDAY
    )
    assert web.db.read(lambda reader: reader.fetch(open_series)) == []


def test_sessions_stay_a_day_longer_than_they_may_be_told_of(web: Telling, clock: ManualClock) -> None:
    early = update(1, start_time=START_US - 31 * DAY_US)
    counted = counts(1, exited_count=5, start_time=START_US - 31 * DAY_US)
    web.tell(early, counted, update(2))
    clock.advance(seconds=86_400)
    assert keep_up(web.db, LIMITS).sessions == 0
    clock.advance(seconds=3600)
    assert keep_up(web.db, LIMITS).sessions == 2
    assert (count(web, Session), count(web, CountedSessions)) == (1, 0)
    assert web.total() == (7, 0, 0, 0, 0), "what they came to stays"


def test_hours_and_days_go_when_they_are_old_and_the_series_with_the_last(web: Telling, clock: ManualClock) -> None:
    first, later = START_US - 20 * DAY_US, START_US - 2 * DAY_US
    web.tell(update(1, start_time=first), update(2, start_time=later), update(3, version="web@2", start_time=first))
    keep_up(web.db, LIMITS)
    clock.advance(seconds=15 * 86_400)
    assert keep_up(web.db, LIMITS).hours == 0
    clock.advance(seconds=86_400)
    # Those of both versions, and of all together.
    assert keep_up(web.db, LIMITS).hours == 3
    assert web.sums(VERSION).keys() == {later}
    assert days(web).keys() == {first, later}
    clock.advance(seconds=(400 - 20 - 16) * 86_400)
    assert keep_up(web.db, LIMITS).days == 0
    clock.advance(seconds=86_400)
    done = keep_up(web.db, LIMITS)
    assert (done.days, done.series) == (3, 1)
    assert web.series("web@2") is None
    assert days(web).keys() == {later}
    clock.advance(seconds=18 * 86_400)
    done = keep_up(web.db, LIMITS)
    assert (done.days, done.series) == (2, 2)
    assert count(web, HealthSeries) == count(web, HealthHour) == count(web, HealthDay) == 0
    web.tell(update(4, start_time=clock.now_us()))
    assert web.total() == (1, 0, 0, 0, 0), "and what comes then begins anew"


def test_hours_that_are_in_no_day_yet_are_kept_however_old(web: Telling, clock: ManualClock) -> None:
    web.tell(update(1), update(2, start_time=START_US - 30 * DAY_US))
    clock.advance(seconds=100 * 86_400)
    calls = iter([*[False] * 3, *[True] * 100])
    assert keep_up(web.db, LIMITS, stopped=lambda: next(calls)).hours == 0
    assert keep_up(web.db, LIMITS).built > 0
    assert days(web).keys() == {START_US - 30 * DAY_US, day_of(START_US - 1)}
    assert count(web, HealthHour) == 0


def test_not_even_a_run_that_builds_nothing_removes_them(
    web: Telling, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.tell(update(1, start_time=START_US - DAY_US))
    clock.advance(seconds=100 * 86_400)
    monkeypatch.setattr(upkeep, "_open_series", lambda *_: iter(()))
    assert keep_up(web.db, LIMITS) == KeptUp(sessions=1)
    assert count(web, HealthHour) == 2


def test_other_limits_are_kept_to(web: Telling, clock: ManualClock) -> None:
    web.limits = SessionLimits(session_days=2, hour_days=3, days=92)
    web.tell(update(1, start_time=START_US - DAY_US))
    clock.advance(seconds=3 * 86_400)
    assert keep_up(web.db, web.limits) == KeptUp(built=2, sessions=1, hours=2)
    clock.advance(seconds=89 * 86_400)
    assert keep_up(web.db, web.limits) == KeptUp(days=2, series=2)


@pytest.mark.parametrize("most", [1, 7])
def test_purges_take_some_rows_at_a_time(
    web: Telling, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    a_month(web, sessions=60)
    monkeypatch.setattr(upkeep, "MOST_ROLLUPS", most)
    monkeypatch.setattr(upkeep, "MOST_SESSIONS", most)
    clock.advance(seconds=500 * 86_400)
    done = keep_up(web.db, LIMITS)
    assert done.sessions == 60
    assert done.days == done.built
    for model in (Session, HealthHour, HealthDay, HealthSeries):
        assert count(web, model) == 0


class Cut(Exception):
    """The process died here."""


def cut_at(nth: int) -> Callable[[str], None]:
    """What ends a run at its nth named moment."""
    left = iter(range(nth))

    def die(name: str) -> None:
        if name.startswith("upkeep.") and next(left, None) is None:
            raise Cut

    return die


def test_a_run_that_is_cut_anywhere_is_gone_on_with(
    web: Telling, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(lambda: at_crashpoints(lambda _name: None))
    monkeypatch.setattr(upkeep, "MOST_HOURS", 30)
    monkeypatch.setattr(upkeep, "MOST_ROLLUPS", 5)
    monkeypatch.setattr(upkeep, "MOST_SESSIONS", 20)
    a_month(web, sessions=80)
    clock.advance(seconds=12 * 86_400)
    limits = replace(LIMITS, days=92)
    cuts = 0
    for nth in range(400):
        at_crashpoints(cut_at(nth % 17))
        try:
            keep_up(web.db, limits)
        except Cut:
            cuts += 1
            continue
        break
    at_crashpoints(lambda _name: None)
    assert cuts > 5
    assert keep_up(web.db, limits) == KeptUp()
    series = web.db.read(lambda reader: reader.fetch(HealthSeries.select()))
    total = {row.id: row.version for row in series}
    built = web.db.read(lambda reader: reader.fetch(HealthDay.select()))
    assert sum(row.session_count for row in built if total[row.series_id] == "") == 80
    assert sum(row.session_count for row in built if total[row.series_id] != "") == 80


def test_sessions_told_meanwhile_and_two_servers_lose_nothing(web: Telling) -> None:
    a_month(web, sessions=100, seed=3)

    def work(index: int) -> None:
        if index % 2:
            keep_up(web.db, LIMITS)
            return
        start = START_US - index * DAY_US
        web.tell(*(update(10_000 * (index + 1) + number, start_time=start, user=f"{number}") for number in range(50)))

    assert errors_in(at_once(8, work)) == []
    keep_up(web.db, LIMITS)
    assert days_are_their_hours(web)
    assert (
        sum(sums[0] for sums in web.sums("").values()) + sum(sums[0] for sums in web.sums("", project="api").values())
        == 300
    )
