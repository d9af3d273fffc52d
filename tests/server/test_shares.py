"""What an organization may have of a lane: a share of its slots, and its turns while others call."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from server.edge import idle
from server.edge.idle import Patience
from server.lanes import lanes, shares
from server.lanes.lanes import Lane
from server.lanes.shares import NOBODY, Holder, Holders

WAIT = 60.0
ACME: Holder = b"acme"
OTHER: Holder = b"other"


class Busy:
    """A lane whose calls run until they are let go."""

    def __init__(self, *, slots: int = 8, percent: int = 100, turns: int | None = None) -> None:
        self.lane = Lane("test", slots, percent=percent, turns=turns)
        self.began: queue.Queue[str] = queue.Queue()
        self._go_on: dict[str, threading.Event] = {}

    def call(self, holder: Holder, name: str) -> None:
        self._go_on[name] = threading.Event()
        self.lane.next_holder = holder
        self.lane.submit(self._run, name)

    def end(self, name: str) -> None:
        self._go_on[name].set()

    def running(self, count: int) -> set[str]:
        return {self.began.get(timeout=WAIT) for _ in range(count)}

    def end_all(self) -> None:
        for event in self._go_on.values():
            event.set()
        assert self.lane.wait_until_idle(time.monotonic() + WAIT)
        self.lane.shutdown()

    def _run(self, name: str) -> None:
        self.began.put(name)
        assert self._go_on[name].wait(WAIT)


@pytest.fixture
def always_contested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever called once is reckoned with from then on."""
    monkeypatch.setattr(shares, "OTHERS_SECONDS", 1e6)


@pytest.fixture
def busy() -> Iterator[Callable[..., Busy]]:
    made: list[Busy] = []

    def make(slots: int = 8, percent: int = 100, turns: int | None = None) -> Busy:
        made.append(Busy(slots=slots, percent=percent, turns=turns))
        return made[-1]

    yield make
    for each in made:
        each.end_all()


def test_an_organization_has_its_share_and_no_more(busy: Callable[..., Busy]) -> None:
    lane = busy(slots=4, percent=75)
    for number in range(3):
        assert not lane.lane.shares.is_taken(ACME)
        lane.call(ACME, f"acme {number}")
    lane.running(3)
    assert lane.lane.shares.is_taken(ACME)
    assert not lane.lane.shares.is_taken(OTHER)
    assert not lane.lane.shares.is_taken(None), "the installation counts as one more"
    lane.end("acme 0")
    assert lane.lane.wait_until_idle(time.monotonic()) is False
    deadline = time.monotonic() + WAIT
    while lane.lane.shares.is_taken(ACME):
        assert time.monotonic() < deadline


def test_the_smallest_share_is_one_slot() -> None:
    assert Lane("test", 3, percent=1).shares.limit == 1


@pytest.mark.usefixtures("always_contested")
def test_while_others_call_an_organization_runs_so_many_calls_as_it_has_turns(busy: Callable[..., Busy]) -> None:
    lane = busy(turns=2)
    lane.call(OTHER, "other")
    for name in ("first", "second", "third", "fourth"):
        lane.call(ACME, name)
    assert lane.running(3) == {"other", "first", "second"}
    assert lane.began.empty()
    assert lane.lane.busy == 5
    lane.end("second")
    assert lane.running(1) == {"third"}
    lane.call(OTHER, "other again")
    assert lane.running(1) == {"other again"}
    lane.end("first")
    assert lane.running(1) == {"fourth"}


def test_who_is_alone_never_waits(busy: Callable[..., Busy], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "OTHERS_SECONDS", 0.0)
    lane = busy(turns=1)
    for number in range(5):
        lane.call(ACME, str(number))
    assert len(lane.running(5)) == 5


def test_who_calls_first_or_long_after_the_others_is_alone(
    busy: Callable[..., Busy], monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = busy(turns=1)
    for number in range(3):
        lane.call(ACME, str(number))
    assert len(lane.running(3)) == 3
    monkeypatch.setattr(shares, "time", SimpleNamespace(monotonic=lambda: 1e12))
    for number in range(3):
        lane.call(OTHER, f"other {number}")
    assert len(lane.running(3)) == 3


@pytest.mark.usefixtures("always_contested")
def test_calls_do_not_wait_for_ever_behind_one_that_does_not_end(busy: Callable[..., Busy]) -> None:
    lane = busy(turns=1)
    lane.call(OTHER, "other")
    for name in ("slow", "second", "third"):
        lane.call(ACME, name)
    assert lane.running(2) == {"other", "slow"}
    lane.lane.look_after()
    assert lane.running(1) == {"second"}
    lane.end("second")
    lane.end("slow")
    assert lane.running(1) == {"third"}


@pytest.mark.usefixtures("always_contested")
def test_calls_that_wait_for_their_turn_are_dropped_with_the_lane(busy: Callable[..., Busy]) -> None:
    lane = busy(turns=1)
    lane.call(OTHER, "other")
    lane.call(ACME, "first")
    lane.call(ACME, "second")
    assert lane.running(2) == {"other", "first"}
    lane.lane.shutdown(wait=False, cancel_futures=True)
    assert lane.lane.busy == 2
    lane.end("first")
    lane.end("other")
    assert lane.lane.wait_until_idle(time.monotonic() + WAIT)
    assert lane.began.empty()


@pytest.mark.usefixtures("always_contested")
@pytest.mark.parametrize("how", ["a turn ends", "those that run do not end", "the lane ends", "nobody waits for it"])
def test_a_call_waits_for_its_turn_once_it_is_known_whose_it_is(
    busy: Callable[..., Busy], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "LOOK_SECONDS", 0.01)
    lane, told, known, gone = busy(turns=1), queue.Queue[bool](), threading.Event(), threading.Event()

    def claim() -> None:
        known.wait(WAIT)
        told.put(lane.lane.claim(ACME, is_awaited=lambda: not gone.is_set()))

    lane.call(OTHER, "other")
    lane.call(ACME, "first")
    lane.running(2)
    lane.lane.next_holder = NOBODY
    lane.lane.submit(claim)
    known.set()
    deadline = time.monotonic() + WAIT
    while lane.lane.shares.slots_of(ACME) < 2:
        assert time.monotonic() < deadline
    with pytest.raises(queue.Empty):
        told.get(timeout=0.05)
    match how:
        case "a turn ends":
            lane.end("first")
        case "those that run do not end":
            lane.lane.look_after()
        case "nobody waits for it":
            gone.set()
        case _:
            lane.lane.shutdown(wait=False, cancel_futures=True)
    assert told.get(timeout=WAIT)
    lane.end_all()
    assert lane.lane.busy == lane.lane.shares.slots_of(ACME) == 0


def test_a_call_is_counted_for_whose_it_turns_out_to_be() -> None:
    lane, told = Lane("test", 4, percent=25), queue.Queue[tuple[bool, int, int]]()
    go_on, entered = threading.Event(), threading.Event()

    def claim(holder: Holder) -> None:
        told.put(
            (lane.claim(holder, is_awaited=lambda: True), lane.shares.slots_of(NOBODY), lane.shares.slots_of(holder))
        )

    def claim_and_stay() -> None:
        claim(ACME)
        entered.set()
        go_on.wait(WAIT)

    lane.submit(claim_and_stay)
    assert entered.wait(WAIT)
    assert told.get(timeout=WAIT) == (True, 0, 1)
    lane.submit(claim, ACME)
    assert told.get(timeout=WAIT) == (False, 1, 1), "it has its one slot, and the call is nobody's still"
    lane.submit(claim, OTHER)
    assert told.get(timeout=WAIT)[0]
    go_on.set()
    assert lane.wait_until_idle(time.monotonic() + WAIT)
    assert {holder: lane.shares.slots_of(holder) for holder in (ACME, OTHER, NOBODY)} == {ACME: 0, OTHER: 0, NOBODY: 0}
    lane.shutdown()


def test_strangers_may_have_all_slots(busy: Callable[..., Busy]) -> None:
    lane = busy(slots=4, percent=25, turns=1)
    for number in range(4):
        assert not lane.lane.shares.is_taken(NOBODY)
        lane.call(NOBODY, str(number))
    assert len(lane.running(4)) == 4


def test_what_an_organization_held_is_forgotten_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "MOST_KNOWN", 10)
    known = shares.Shares(4, percent=100, turns=None)
    kept = known.enter(ACME)
    for number in range(100):
        held = known.enter(str(number).encode())
        held.running += 1
        known.leave(held)
    assert len(known._held) <= 11
    assert known.slots_of(ACME) == kept.slots == 1


def test_a_credential_is_known_once_it_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    holders = Holders()
    assert holders.guess("Bearer secret") == holders.guess("") == NOBODY
    holders.remember("Bearer secret", None)
    assert holders.guess("Bearer secret") is None
    assert "secret" not in repr(holders._known)
    monkeypatch.setattr(shares, "MOST_KNOWN", 1)
    holders.remember("Bearer another", ACME)
    assert holders.guess("Bearer secret") == NOBODY


class Clocked:
    """Patience of a stream, with a clock that a test turns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, least_rate: float | None) -> None:
        self.now = 1000.0
        monkeypatch.setattr(idle, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.patience = Patience(None, least_rate=least_rate)  # type: ignore[arg-type]

    def left(self) -> float:
        self.patience.wait(60.0)
        return self.patience.until - self.now

    def message(self, size: int, *, after: float) -> None:
        self.patience.wait(60.0)
        self.now += after
        self.patience.came(size, 60.0)


def test_messages_of_next_to_nothing_use_patience_up(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Clocked(monkeypatch, least_rate=16384)
    stream.message(1, after=29.0)
    assert 30.9 < stream.left() < 31.1
    stream.message(1, after=29.0)
    assert 1.9 < stream.left() < 2.1


def test_bytes_give_patience_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Clocked(monkeypatch, least_rate=16384)
    stream.message(0, after=50.0)
    stream.message(20 * 16384, after=1.0)
    assert stream.left() == pytest.approx(29.0)
    stream.message(10 * 2**20, after=1.0)
    assert stream.left() == 60.0


def test_without_a_rate_every_message_restores_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Clocked(monkeypatch, least_rate=None)
    stream.message(0, after=59.0)
    assert stream.left() == 60.0
