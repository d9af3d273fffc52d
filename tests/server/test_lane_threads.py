"""The threads of a lane: each call runs once, on at most so many of them, and every slot comes back."""

from __future__ import annotations

import queue
import threading
import time

import pytest

from server.lanes.lanes import Lane

WAIT = 60.0


def soon() -> float:
    return time.monotonic() + WAIT


def test_calls_beyond_the_slots_wait_for_a_thread_and_run_in_their_order() -> None:
    lane, go_on, ran = Lane("test", 2), threading.Event(), queue.Queue[int]()
    for _ in range(2):
        lane.submit(go_on.wait, WAIT)
    for number in range(3):
        lane.submit(ran.put, number)
    assert lane.busy == 5
    assert lane.is_full
    assert ran.empty()
    go_on.set()
    assert lane.wait_until_idle(soon())
    assert sorted(ran.get(timeout=WAIT) for _ in range(3)) == [0, 1, 2]
    lane.shutdown()


def test_a_call_after_another_runs_on_the_same_thread() -> None:
    lane, threads = Lane("test", 8), queue.Queue[threading.Thread]()
    for _ in range(20):
        lane.submit(lambda: threads.put(threading.current_thread()))
        assert lane.wait_until_idle(soon())
    assert len({threads.get(timeout=WAIT) for _ in range(20)}) == 1
    lane.shutdown()


def test_many_at_once_all_run_on_no_more_threads_than_slots() -> None:
    lane, threads = Lane("test", 4), queue.Queue[threading.Thread]()

    def submit() -> None:
        for _ in range(500):
            lane.submit(lambda: threads.put(threading.current_thread()))

    submitters = [threading.Thread(target=submit) for _ in range(4)]
    for submitter in submitters:
        submitter.start()
    for submitter in submitters:
        submitter.join()
    assert lane.wait_until_idle(soon())
    assert threads.qsize() == 2000
    assert len({threads.get(timeout=WAIT) for _ in range(2000)}) <= 4
    lane.shutdown()


def test_a_call_that_raises_gives_its_slot_back(caplog: pytest.LogCaptureFixture) -> None:
    lane, ran = Lane("test", 1), queue.Queue[str]()

    def fail() -> None:
        raise SystemExit("of this call only")

    lane.submit(fail)
    lane.submit(ran.put, "after it")
    assert ran.get(timeout=WAIT) == "after it"
    assert lane.wait_until_idle(soon())
    assert "of this call only" in caplog.text
    lane.shutdown()


def test_a_lane_that_is_shut_down_drops_what_waits_ends_its_threads_and_takes_no_more() -> None:
    lane, go_on, begun, ran = Lane("test", 1), threading.Event(), threading.Event(), queue.Queue[threading.Thread]()

    def slow() -> None:
        begun.set()
        go_on.wait(WAIT)
        ran.put(threading.current_thread())

    lane.submit(slow)
    assert begun.wait(WAIT)
    lane.submit(ran.put, threading.current_thread())
    lane.shutdown(wait=False, cancel_futures=True)
    assert lane.busy == 1
    with pytest.raises(RuntimeError):
        lane.submit(ran.put, threading.current_thread())
    go_on.set()
    thread = ran.get(timeout=WAIT)
    thread.join(WAIT)
    assert not thread.is_alive()
    assert ran.empty()
    assert lane.wait_until_idle(soon())


def test_idle_threads_end_with_their_lane() -> None:
    lane, threads = Lane("test", 2), queue.Queue[threading.Thread]()
    lane.submit(lambda: threads.put(threading.current_thread()))
    thread = threads.get(timeout=WAIT)
    assert lane.wait_until_idle(soon())
    lane.shutdown()
    thread.join(WAIT)
    assert not thread.is_alive()
