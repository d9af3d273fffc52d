"""Jobs that the server does by itself."""

from __future__ import annotations

import threading

from server.housekeeping import Housekeeping


def test_a_job_that_fails_stops_no_other() -> None:
    done: list[str] = []

    def fail() -> None:
        done.append("failed")
        raise RuntimeError("on purpose")

    Housekeeping({"first": fail, "second": lambda: done.append("second")}).run_once()
    assert done == ["failed", "second"]


def test_jobs_run_by_themselves_soon_after_the_start() -> None:
    ran = threading.Event()
    housekeeping = Housekeeping({"job": ran.set}, first_seconds=0.01)
    housekeeping.start()
    assert ran.wait(20)
    housekeeping.stop(seconds=20)


def test_after_stop_no_further_job_begins() -> None:
    done: list[str] = []
    housekeeping = Housekeeping(
        {"first": lambda: housekeeping.stop(seconds=0), "second": lambda: done.append("second")}
    )
    housekeeping.run_once()
    assert done == []
