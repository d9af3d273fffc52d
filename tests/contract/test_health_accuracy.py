"""How far figures are from what was told: users and durations are estimates with a stated error."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

import pytest

from store.database import Database, Statement, Transaction, holes_for, new_id
from store.health.figures import Figures, read_figures, read_series
from store.health.models import HealthDay, HealthHour, HealthSeries
from store.health.series import Pair
from store.health.sketches import RANK_ERROR, USER_ERROR, Durations, Users
from store.health.users import user_numbers
from store.health.windows import DAY_US, HOUR_US, Window
from tests.clocks import START_US
from tests.contract.acme import Acme

VERSION = "app@1.0.0"
HOURS = 72
SPAN = Window(START_US, START_US + HOURS * HOUR_US, DAY_US)

_SERIES = Statement(HealthSeries.insert(holes_for(*HealthSeries._meta.sorted_fields)))
_HOUR = Statement(HealthHour.insert(holes_for(*HealthHour._meta.sorted_fields)))
_DAY = Statement(HealthDay.insert(holes_for(*HealthDay._meta.sorted_fields)))


@pytest.fixture
def acme(database: Database) -> Acme:
    return Acme(database, "web")


def numbers(count: int) -> list[int]:
    """Users as they are counted: by the digests of their names; here with a key that is always the same."""
    names = [f"user-{index}@acme.dev" for index in range(count)]
    found = user_numbers(bytes(range(32)), names)
    return [found[name] for name in names]


def write_hours(acme: Acme, hours: Sequence[Sequence[int]]) -> Pair:
    """Write the users of each hour as ingest does, and days of the first two thirds as upkeep adds them up."""
    pair = (acme.projects["web"], VERSION)
    days = 2 * len(hours) // 3 // 24

    def row(series_id: bytes, start: int, count: int, users: Users) -> dict[str, object]:
        nothing = dict.fromkeys(("crashed_count", "abnormal_count", "errored_count", "error_count"), 0)
        empty = dict.fromkeys(("crashed_users", "durations"))
        told = {"series_id": series_id, "start_time": start, "session_count": count, "users": users.data()}
        return told | nothing | empty

    def write(tx: Transaction) -> None:
        id_ = new_id()
        tx.run(
            _SERIES,
            id=id_,
            project_id=pair[0],
            version=VERSION,
            environment="production",
            organization_id=acme.id,
            release_id=None,
            first_time=START_US,
            last_time=START_US + len(hours) * HOUR_US - 1,
            days_until=START_US + days * DAY_US,
        )
        rows = []
        for place, told in enumerate(hours):
            users = Users.of(None)
            # A batch at a time, each read, changed and kept again.
            middle = len(told) // 2
            for part in (told[:middle], told[middle:]):
                users = Users.of(users.data())
                users.add(part)
            rows.append(row(id_, START_US + place * HOUR_US, len(told), users))
        tx.run_many(_HOUR, rows)
        for day in range(days):
            together, count = Users.of(None), 0
            for hour in rows[day * 24 : day * 24 + 24]:
                together.merge(hour["users"])  # type: ignore[arg-type]
                count += hour["session_count"]  # type: ignore[operator]
            tx.run(_DAY, **row(id_, START_US + day * DAY_US, count, together))

    acme.db.write(write, long=True)
    return pair


def spread(users: Sequence[int], times: int, seed: int) -> list[list[int]]:
    """Each user in so many hours by chance."""
    chance = random.Random(seed)
    hours: list[list[int]] = [[] for _ in range(HOURS)]
    for user in users:
        for hour in chance.choices(range(HOURS), k=times):
            hours[hour].append(user)
    return hours


def whole(acme: Acme, pair: Pair) -> Figures:
    return read_figures(acme.db, [pair], SPAN)[pair]


def test_a_hundred_users_are_counted_exactly(acme: Acme) -> None:
    pair = write_hours(acme, spread(numbers(100), times=20, seed=1))
    figures = whole(acme, pair)
    assert (figures.session_count, figures.user_count) == (2_000, 100)


@pytest.mark.parametrize("users", [10_000, 1_000_000])
def test_many_users_are_counted_within_the_stated_error(acme: Acme, users: int) -> None:
    told = spread(numbers(users), times=1, seed=users)
    for hour in range(0, HOURS, 3):  # a third of all come back in the hour after
        told[(hour + 1) % HOURS] += told[hour]
    exact = [len({user for hour in told[day : day + 24] for user in hour}) for day in range(0, HOURS, 24)]
    pair = write_hours(acme, told)
    figures = whole(acme, pair)
    assert figures.session_count == sum(map(len, told)) > users
    # Nineteen of twenty are within two standard errors, and nearly all within three; these are always the same.
    assert figures.user_count == pytest.approx(users, rel=2 * USER_ERROR)
    days = [day.user_count for day in read_series(acme.db, [pair], SPAN)[pair]]
    assert days == pytest.approx(exact, rel=3 * USER_ERROR)


@pytest.mark.parametrize("users", [100, 10_000])
def test_the_standard_error_is_what_is_stated(users: int) -> None:
    chance = random.Random(users)
    errors = []
    for _ in range(100):
        merged = Users.of(None)
        each = [chance.getrandbits(64) - 2**63 for _ in range(users)]
        for first, last in pairwise([0, users // 5, users // 2, users]):
            part = Users.of(None)
            part.add(each[first:last])
            merged.merge(part.data())
        errors.append(merged.estimate() / users - 1)
    # Of a hundred, the mean square is within a fifth of the true one in all but one case in a thousand; the numbers
    # are always the same.
    assert fmean(error * error for error in errors) ** 0.5 <= 1.2 * USER_ERROR * (users > 1_000)
    assert abs(fmean(errors)) <= 0.4 * USER_ERROR


def test_durations_are_within_the_stated_rank_error() -> None:
    chance = random.Random(5)
    far = 0
    for _ in range(30):
        merged = Durations.of(None)
        told = [chance.expovariate(1 / 300) for _ in range(20_000)]
        for first in range(0, len(told), 1_000):
            part = Durations.of(None)
            part.add(told[first : first + 1_000])
            merged.merge(part.data())
        for share in (0.5, 0.9):
            answered = merged.quantile(share)
            assert answered is not None
            rank = sum(seconds <= answered for seconds in told) / len(told)
            assert abs(rank - share) <= 3 * RANK_ERROR
            far += abs(rank - share) > RANK_ERROR
    # One in a hundred may be further off: of sixty, seven or more once in a hundred million runs.
    assert far <= 6
