"""Turns come in the order in which they were asked for, and none is lost."""

from __future__ import annotations

import threading
import time
from functools import partial

from store.database.turns import Turns
from tests.database.conftest import Crowd

LONG = 60.0


def wait_until_waiting(turns: Turns, count: int) -> None:
    deadline = time.monotonic() + LONG
    while turns.waiting != count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_turn_goes_to_who_has_waited_longest_not_to_who_gives_it_back(crowd: Crowd) -> None:
    turns, came, go_on = Turns(1), [], threading.Event()

    def take(name: str) -> None:
        assert turns.acquire(timeout=LONG)
        came.append(name)
        assert go_on.wait(LONG)
        turns.release()

    assert turns.acquire(timeout=0)
    taking = []
    for number, name in enumerate(("first", "second", "third"), start=1):
        taking.append(crowd.start(partial(take, name)))
        wait_until_waiting(turns, number)
    turns.release()
    assert not turns.acquire(timeout=0)
    go_on.set()
    for each in taking:
        each.result()
    assert came == ["first", "second", "third"]


def test_who_waits_no_longer_is_passed_over(crowd: Crowd) -> None:
    turns = Turns(1)
    assert turns.acquire(timeout=0)
    assert not turns.acquire(timeout=0.01)
    taking = crowd.start(lambda: turns.acquire(timeout=LONG))
    wait_until_waiting(turns, 1)
    turns.release()
    assert taking.result()
    assert not turns.acquire(timeout=0)
    turns.release()
    assert turns.acquire(timeout=0)


def test_no_more_than_so_many_have_a_turn_and_none_is_lost(crowd: Crowd) -> None:
    turns, lock = Turns(3), threading.Lock()
    having = most = 0

    def work(seconds: float) -> int:
        nonlocal having, most
        done = 0
        for _ in range(200):
            if not turns.acquire(timeout=seconds):
                continue
            with lock:
                having += 1
                most = max(most, having)
            done += 1
            with lock:
                having -= 1
            turns.release()
        return done

    working = [crowd.start(partial(work, seconds)) for seconds in (0.0, 0.0001, 0.001, LONG, LONG, LONG)]
    done = [each.result() for each in working]
    assert done[3:] == [200, 200, 200]
    assert most <= 3
    assert [turns.acquire(timeout=0) for _ in range(4)] == [True, True, True, False]
