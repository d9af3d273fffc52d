"""The time of the PostgreSQL server, carried on between two answers."""

from __future__ import annotations

import pytest

from store.clock import SystemClock
from store.database import postgres_clock
from store.database.postgres_clock import ASK_US, PostgresClock
from tests.conftest import opened
from tests.postgres_server import PostgresServer

HOUR_US = 3600 * 1_000_000


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steady time of the machine, to be set."""
    time = [1000]
    monkeypatch.setattr(SystemClock, "steady_us", lambda self: time[0])
    return time


def test_the_servers_time_goes_on_between_two_answers(steady: list[int]) -> None:
    clock = PostgresClock()
    assert clock.is_due
    clock.told(HOUR_US, before=1000)
    steady[0] += ASK_US - 1
    assert (clock.now_us(), clock.is_due) == (HOUR_US + ASK_US - 1, False)
    steady[0] += 1
    assert clock.is_due


def test_an_answer_that_came_late_sets_no_time_back(steady: list[int]) -> None:
    clock = PostgresClock()
    clock.told(HOUR_US, before=1000)
    steady[0] += 500_000
    clock.told(HOUR_US + 10, before=1000)  # read at once, and half a second on its way
    assert clock.now_us() == HOUR_US + 500_000


def test_a_clock_of_the_server_that_was_set_is_followed(steady: list[int]) -> None:
    clock = PostgresClock()
    clock.told(HOUR_US, before=1000)
    for now in (HOUR_US - 5_000_000, 2 * HOUR_US):
        clock.told(now, before=steady[0])
        assert clock.now_us() == now


def test_writes_ask_the_server_only_when_it_is_time(
    postgres_server: PostgresServer, postgres_template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    told = PostgresClock.told

    def noted(self: PostgresClock, now: int, before: int) -> None:
        asked.append(now)
        told(self, now, before)

    monkeypatch.setattr(PostgresClock, "told", noted)
    monkeypatch.setattr(postgres_clock, "ASK_US", HOUR_US)
    with postgres_server.recycled_database(postgres_template) as url, opened(url) as database:
        times: list[int] = [database.write(lambda tx: tx.now) for _ in range(5)]
        assert len(asked) == 1
        assert times == sorted(times)
        assert asked[0] <= times[0]
        monkeypatch.setattr(postgres_clock, "ASK_US", 0)
        database.write(lambda tx: tx.now)
        assert len(asked) == 2
