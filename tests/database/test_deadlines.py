"""Reads and writes end with the call that they are for: nothing is done for nobody, and nothing by halves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from store import deadlines
from store.database import Database, Reader, Transaction, sqlite
from store.deadlines import Deadline, bound_by, carried_out, unbounded
from store.errors import DatabaseBusy, DeadlinePassed
from tests.database.conftest import Plug
from tests.database.ending import SOON, endless, goes_meanwhile, later, soon
from tests.database.things import FIND, NAMES, add, names, put


@pytest.fixture(autouse=True)
def _unbound() -> Iterator[None]:
    yield
    bound_by(None)


def test_a_statement_is_stopped_at_the_deadline(things: Database) -> None:
    add(things, "a")
    soon()
    with pytest.raises(DeadlinePassed):
        things.read(endless)
    bound_by(None)
    assert names(things) == ["a"]
    add(things, "b")
    assert things.read(lambda reader: reader.rows(NAMES)) == ["a", "b"]


def test_a_statement_is_stopped_when_nobody_waits_for_its_answer(things: Database) -> None:
    gone = threading.Event()
    later(is_gone=gone.is_set)

    def read(reader: Reader) -> None:
        reader.rows(NAMES)
        gone.set()
        endless(reader)

    with pytest.raises(DeadlinePassed):
        things.read(read)


def test_nothing_is_asked_once_the_time_is_over(things: Database) -> None:
    statements: list[str] = []
    things.hooks.append(lambda event: statements.append(event.sql))
    later().at = deadlines.OVER
    for call in (
        lambda: names(things),
        lambda: things.row(FIND, name="a"),
        lambda: things.read(lambda reader: reader.rows(NAMES)),
        lambda: add(things, "a"),
    ):
        with pytest.raises(DeadlinePassed):
            call()
    bound_by(None)
    assert statements == []
    assert names(things) == []


def test_a_read_ends_between_two_statements(things: Database) -> None:
    deadline = later()

    def read(reader: Reader) -> None:
        reader.rows(NAMES)
        deadline.at = deadlines.OVER
        reader.rows(NAMES)

    with pytest.raises(DeadlinePassed):
        things.read(read)


def test_a_write_that_ends_between_two_statements_changed_nothing(things: Database) -> None:
    deadline = later()
    effects: list[int] = []

    def write(tx: Transaction) -> None:
        tx.after_commit(lambda: effects.append(1))
        put(tx, "a")
        deadline.at = deadlines.OVER
        put(tx, "b")

    with pytest.raises(DeadlinePassed):
        things.write(write)
    bound_by(None)
    assert names(things) == []
    assert effects == []
    add(things, "c")
    assert names(things) == ["c"]


def test_a_write_cannot_go_on_after_its_time_even_if_it_hides_that(things: Database) -> None:
    deadline = later()

    def write(tx: Transaction) -> None:
        put(tx, "a")
        deadline.at = deadlines.OVER
        with pytest.raises(DeadlinePassed):
            put(tx, "b")

    with pytest.raises(DeadlinePassed):
        things.write(write)
    bound_by(None)
    assert names(things) == []


def test_what_was_committed_stays_and_is_answered(things: Database) -> None:
    deadline = later()

    def write(tx: Transaction) -> str:
        put(tx, "a")
        tx.after_commit(lambda: setattr(deadline, "at", deadlines.OVER))
        return "done"

    assert things.write(write) == "done"
    bound_by(None)
    assert names(things) == ["a"]


def test_a_write_that_shares_its_commit_with_one_whose_time_is_over_is_kept(
    sqlite_things: Database, plug: Callable[[Database], Plug]
) -> None:
    deadline = Deadline(time.monotonic() + 3600)

    def ends(tx: Transaction) -> None:
        put(tx, "a")
        deadline.at = deadlines.OVER
        put(tx, "b")

    def bounded() -> None:
        bound_by(deadline)
        sqlite_things.write(ends)

    jobs = sqlite_things._writer._jobs  # type: ignore[attr-defined]
    with ThreadPoolExecutor(1) as thread:
        with plug(sqlite_things) as plugged:
            ended = thread.submit(bounded)
            while not jobs:
                threading.Event().wait(0.001)
            kept = plugged.queue(lambda tx: put(tx, "c"))
        kept.result()
        assert isinstance(ended.exception(), DeadlinePassed)
    assert names(sqlite_things) == ["c"]


@pytest.mark.parametrize("how", ["time", "cancel"])
def test_a_write_that_waits_for_its_turn_is_withdrawn(
    sqlite_things: Database, plug: Callable[[Database], Plug], how: str
) -> None:
    ran: list[int] = []
    with plug(sqlite_things):
        if how == "time":
            soon()
        else:
            later(is_gone=goes_meanwhile())
        with pytest.raises(DeadlinePassed):
            sqlite_things.write(lambda _: ran.append(1))
        bound_by(None)
    add(sqlite_things, "a")
    assert ran == []


def test_what_leaves_things_in_order_is_done_after_the_deadline(things: Database) -> None:
    later().at = deadlines.OVER
    with unbounded():
        add(things, "a")
    with pytest.raises(DeadlinePassed):
        names(things)
    bound_by(None)
    assert names(things) == ["a"]


def test_a_read_that_lasts_too_long_is_ended_without_any_deadline(
    sqlite_things: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it has its snapshot, the write-ahead log grows."""
    monkeypatch.setattr(sqlite, "READ_SECONDS", SOON)
    with pytest.raises(DatabaseBusy, match="took too long"):
        sqlite_things.read(endless)

    def idle(reader: Reader) -> None:
        reader.rows(NAMES)
        time.sleep(SOON + 0.5)
        reader.rows(NAMES)

    with pytest.raises(DatabaseBusy, match="took too long"):
        sqlite_things.read(idle)
    assert names(sqlite_things) == []


# ----------------------------------------------------------------------------------------- what cannot be interrupted


def test_a_request_that_does_not_end_is_left_to_itself() -> None:
    begun, let_go = threading.Event(), threading.Event()

    def request() -> str:
        begun.set()
        assert let_go.wait(60)
        return "late"

    with ThreadPoolExecutor(1) as executor:
        soon()
        with pytest.raises(DeadlinePassed):
            carried_out(executor, request)
        assert begun.is_set()
        let_go.set()
        bound_by(None)
        assert carried_out(executor, request) == "late"
        later()
        assert carried_out(executor, request) == "late"


def test_a_request_that_fails_says_so() -> None:
    def fail() -> None:
        raise FileNotFoundError

    with ThreadPoolExecutor(1) as executor:
        later()
        with pytest.raises(FileNotFoundError):
            carried_out(executor, fail)
        assert executor.submit(deadlines.current).result() is None


def test_work_is_ended_though_at_first_there_was_no_room_for_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = threading.Event()

    class Endless:
        def look(self, now: float) -> None:
            looked.set()

    def no_room(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    watch, work = deadlines._Watch(), Endless()
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", no_room)
        with pytest.raises(RuntimeError):
            watch.add(work)
    watch.add(work)
    assert looked.wait(60)
