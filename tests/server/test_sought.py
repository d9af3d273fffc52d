"""What is to be looked at for releases that only sessions know."""

from __future__ import annotations

import threading

import pytest

from store.health.sought import Sought
from tests.clocks import ManualClock

WEB, API = b"w" * 16, b"a" * 16


@pytest.fixture
def sought(clock: ManualClock) -> Sought:
    return Sought(clock)


def test_what_is_told_is_taken_once(sought: Sought) -> None:
    sought.in_projects([WEB, API, WEB])
    sought.in_organization("acme", ["web"])
    sought.in_organization("acme")
    assert sought.take() == [WEB, API, ("acme", "web"), ("acme", None)]
    assert sought.take() == []
    assert sought.is_empty


def test_what_was_taken_waits_for_the_rest_of_a_minute(sought: Sought, clock: ManualClock) -> None:
    sought.in_projects([WEB])
    sought.take()
    clock.advance(seconds=20)
    sought.in_projects([WEB, API])
    assert sought.take() == [API]
    assert not sought.is_empty
    clock.advance(seconds=39)
    assert sought.take() == []
    clock.advance(seconds=1)
    assert sought.take() == [WEB]


def test_what_is_put_off_waits_as_long(sought: Sought, clock: ManualClock) -> None:
    sought.put_off(WEB, 15_000_000)
    clock.advance(seconds=14)
    assert sought.take() == []
    clock.advance(seconds=1)
    assert sought.take() == [WEB]


def test_a_project_is_fresh_once_a_minute_by_whatever_name_it_is_found(sought: Sought, clock: ManualClock) -> None:
    assert sought.is_fresh(WEB)
    assert not sought.is_fresh(WEB)
    sought.in_projects([WEB])
    assert sought.take() == []
    clock.advance(seconds=60)
    assert sought.take() == [WEB]
    assert not sought.is_fresh(WEB)
    clock.advance(seconds=60)
    assert sought.is_fresh(WEB)


def test_what_finds_no_room_is_dropped_and_may_come_again(clock: ManualClock) -> None:
    sought = Sought(clock, most=2)
    sought.in_projects([bytes([number]) * 16 for number in range(5)])
    sought.put_off(WEB, 0)
    assert len(sought.take()) == 2
    sought.in_projects([WEB])
    assert sought.take() == [WEB]


def test_no_more_are_remembered_than_there_is_room_for(clock: ManualClock) -> None:
    sought = Sought(clock, most=3)
    for number in range(10):
        sought.in_projects([bytes([number]) * 16])
        sought.take()
    assert len(sought._taken) == 3


def test_whoever_waits_is_woken_by_what_is_to_be_looked_at_now(sought: Sought) -> None:
    woken = threading.Event()

    def wait() -> None:
        sought.wait(60)
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    sought.in_projects([WEB])
    assert woken.wait(30)
    thread.join()
