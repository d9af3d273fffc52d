"""Several servers that find out about adoption: one at a time, every hour, whoever of them is stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, get_ident

import pytest

from store import crashpoints
from store.crashpoints import at_crashpoints
from store.database import Database
from store.errors import AdoptionBusy, ReleaseNotFound
from store.health.adoption import TURN_US, AdoptionRun, run_adoption, run_adoption_hourly
from store.leases import Job, JobLease, holding_lease
from store.releases.delete import delete_release
from tests.clocks import ManualClock
from tests.conftest import opened
from tests.contract.adopting import ADOPTED, DAY, HOUR, REPLACED, Days, told

TURN = TURN_US / 1_000_000


@pytest.fixture
def days(database: Database, clock: ManualClock) -> Days:
    return Days(database, clock, "web", "api")


@pytest.fixture
def second(database: Database, database_url: str, clock: ManualClock) -> Iterator[Database]:
    """What another server has the same database open with; an SQLite database is one process's, which has several
    threads."""
    if database.engine == "sqlite":
        yield database
        return
    with opened(database_url, clock) as another:
        yield another


@contextmanager
def at(point: str, act: Callable[[], object]) -> Iterator[None]:
    """The first time that a thread passes the point, `act` happens there; other threads, and `act`, pass it."""
    passed: list[int] = []

    def hook(name: str) -> None:
        if name == point and not passed:
            passed.append(get_ident())
            act()

    at_crashpoints(hook)
    try:
        yield
    finally:
        at_crashpoints(crashpoints._nothing)
    assert passed


def busy(db: Database) -> bool:
    """Whether a run is told that another server is at it."""
    try:
        run_adoption(db)
    except AdoptionBusy:
        return True
    return False


def test_a_second_server_is_told_that_one_is_at_it(days: Days, second: Database) -> None:
    days.sessions("1.0.0", 10)
    refused: list[bool] = []
    with at("adoption.project_read", lambda: refused.append(busy(second))):
        assert days.run() == (1, 1, 0, 1)
    assert refused == [True]
    assert told(run_adoption(second)) == (1, 0, 0, 0)  # the lease was given back


def test_of_two_servers_that_begin_at_once_all_is_done_once(days: Days, second: Database, clock: ManualClock) -> None:
    for day in range(5):
        for number in range(3):
            days.sessions(f"{day}.{number}", 10)
        barrier = Barrier(2)

        def ran(db: Database, barrier: Barrier = barrier) -> AdoptionRun:
            barrier.wait()
            try:
                return run_adoption(db)
            except AdoptionBusy:
                return AdoptionRun()

        with ThreadPoolExecutor(2) as threads:
            runs = list(threads.map(ran, (days.db, second)))
        assert sum(run.adopted for run in runs) == sum(run.created for run in runs) == 3
        assert sum(run.replaced for run in runs) == (3 if day else 0)
        assert [days.stage(f"{day}.{number}") for number in range(3)] == [ADOPTED] * 3
        clock.advance(seconds=DAY)


@pytest.mark.parametrize("point", ["adoption.project_read", "adoption.adopted"])
def test_a_server_that_stood_still_past_its_lease_changes_nothing_more(
    days: Days, second: Database, clock: ManualClock, point: str
) -> None:
    days.sessions("1.0.0", 10)
    days.run()
    since = clock.now_us()
    clock.advance(seconds=DAY)
    days.sessions("2.0.0", 10)  # the sleeper saw this: 2.0.0 is to be adopted, 1.0.0 to be replaced
    after: list[object] = []

    def take_over() -> None:
        expire(second)
        clock.advance(seconds=7 * HOUR)
        days.sessions("1.0.0", 10)
        run = run_adoption(second)
        after.append((run.adopted, run.replaced, days.stages("1.0.0")))

    with at(point, take_over), pytest.raises(AdoptionBusy):
        run_adoption(days.db)
    adopted_by_sleeper = point == "adoption.adopted"
    stays = {"production": (ADOPTED, since, None)}
    assert after == [(0, int(adopted_by_sleeper), stays)]
    assert days.stages("1.0.0") == stays
    if adopted_by_sleeper:
        assert days.stage("2.0.0") is REPLACED
    else:
        with pytest.raises(ReleaseNotFound):
            days.stage("2.0.0")


def test_a_server_that_stood_still_does_not_end_the_turn_of_the_one_that_took_over(
    days: Days, second: Database
) -> None:
    days.sessions("1.0.0", 10)
    with at("adoption.adopted", lambda: expire_and_take(second)), pytest.raises(AdoptionBusy):
        run_adoption(days.db)
    assert told(run_adoption_hourly(second)) == (1, 0, 0, 0)  # still due: nobody has come to its end


def test_the_job_runs_once_an_hour_whichever_server_looks(days: Days, second: Database, clock: ManualClock) -> None:
    days.sessions("1.0.0", 10)
    assert told(run_adoption_hourly(days.db)) == (1, 1, 0, 1)
    assert told(run_adoption_hourly(second)) == (0, 0, 0, 0)
    clock.advance(seconds=TURN - 1)
    assert told(run_adoption_hourly(second)) == (0, 0, 0, 0)
    clock.advance(seconds=1)
    assert told(run_adoption_hourly(second)) == (1, 0, 0, 0)
    assert told(run_adoption_hourly(days.db)) == (0, 0, 0, 0)


def test_a_server_that_looks_a_little_early_misses_no_hour(days: Days, clock: ManualClock) -> None:
    for _ in range(5):
        days.sessions("1.0.0", 10)
        assert run_adoption_hourly(days.db).projects == 1
        clock.advance(seconds=0.9 * HOUR)


def test_a_run_that_was_asked_for_is_a_turn_too_and_needs_none_to_be_due(days: Days) -> None:
    days.sessions("1.0.0", 10)
    assert days.run() == (1, 1, 0, 1)
    assert told(run_adoption_hourly(days.db)) == (0, 0, 0, 0)
    assert days.run() == (1, 0, 0, 0)


def test_a_turn_that_was_cut_is_not_over(days: Days, second: Database) -> None:
    days.sessions("1.0.0", 10)
    days.sessions("1.0.0", 10, project="api")
    asked = iter([False] * 2)  # before the first project, and before what is adopted there
    assert told(run_adoption_hourly(days.db, stopped=lambda: next(asked, True))) == (1, 1, 0, 1)
    assert told(run_adoption_hourly(second)) == (2, 1, 0, 0)
    assert told(run_adoption_hourly(days.db)) == (0, 0, 0, 0)


def test_a_turn_that_failed_is_not_over_and_leaves_the_lease(days: Days, second: Database) -> None:
    days.sessions("1.0.0", 10)

    def fail() -> None:
        raise OSError("the machine has other worries")

    with at("adoption.adopted", fail), pytest.raises(OSError, match="other worries"):
        run_adoption_hourly(days.db)
    assert told(run_adoption_hourly(second)) == (1, 0, 0, 0)


def test_a_clock_that_was_ahead_and_is_set_back_stops_no_turns(days: Days, clock: ManualClock) -> None:
    clock.jump(seconds=30 * DAY)
    days.run()
    clock.jump(seconds=-30 * DAY)
    days.sessions("1.0.0", 10)
    assert told(run_adoption_hourly(days.db)) == (1, 1, 0, 1)


def test_the_leases_of_two_jobs_are_two(days: Days) -> None:
    days.sessions("1.0.0", 10)
    with holding_lease(days.db, Job.COLLECTION):
        assert days.run() == (1, 1, 0, 1)
    with holding_lease(days.db, Job.ADOPTION), pytest.raises(AdoptionBusy):
        days.run()


def test_a_release_that_is_deleted_between_reading_and_writing_is_not_made_again(days: Days) -> None:
    days.sessions("1.0.0", 10)
    days.link()

    def drop() -> None:
        delete_release(days.db, days.everybody, "acme", "1.0.0", force=True)

    with at("adoption.project_read", drop):
        assert days.run() == (1, 0, 0, 0)
    with pytest.raises(ReleaseNotFound):
        days.stages("1.0.0")


def test_a_release_that_is_linked_between_reading_and_writing_is_adopted_once(days: Days) -> None:
    days.sessions("1.0.0", 10)
    with at("adoption.project_read", days.link):
        assert days.run() == (1, 1, 0, 0)
    assert days.stage("1.0.0") is ADOPTED


def expire(db: Database) -> None:
    """The lease of whoever holds it is over."""
    db.write(lambda tx: tx.execute(JobLease.update({JobLease.expire_time: 1}).where(JobLease.id == Job.ADOPTION)))


def expire_and_take(db: Database) -> None:
    """The same, and another holder comes and goes without a run."""
    expire(db)
    with holding_lease(db, Job.ADOPTION):
        pass
