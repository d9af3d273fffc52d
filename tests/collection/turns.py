"""Actors that take turns: threads of which one runs at a time, and a choice of who is next at each step."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from typing import Self


class Violation(Exception):
    """Something happened that must never happen."""


class _Actor:
    """One of those who take turns in a run."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self.work = work
        self.gate = threading.Lock()
        self.gate.acquire()
        self.done = False
        self.error: BaseException | None = None


_LOCAL = threading.local()


class _Hand:
    """A thread that plays one actor after another: a new one for each would cost more than what the actor does."""

    def __init__(self) -> None:
        self._wanted = threading.Lock()
        self._wanted.acquire()
        self._part: tuple[Schedule, _Actor] | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def play(self, schedule: Schedule, actor: _Actor) -> None:
        """Begins when the actor's turn comes."""
        self._part = (schedule, actor)
        self._wanted.release()

    def dismiss(self) -> None:
        """Ends the thread."""
        self._part = None
        self._wanted.release()

    def _serve(self) -> None:
        while True:
            self._wanted.acquire()
            if self._part is None:
                return
            schedule, actor = self._part
            actor.gate.acquire()
            _LOCAL.part = self._part
            try:
                actor.work()
            except BaseException as error:  # noqa: BLE001 - raised by the schedule, on the test's thread
                actor.error = error
            _LOCAL.part = None
            schedule.left(actor)


class Company:
    """The threads of many runs, one after another; a context manager."""

    def __init__(self) -> None:
        self._hands: list[_Hand] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for hand in self._hands:
            hand.dismiss()

    def hands(self, count: int) -> list[_Hand]:
        """So many threads, all of them free."""
        self._hands += [_Hand() for _ in range(count - len(self._hands))]
        return self._hands[:count]


def step() -> None:
    """What follows may wait for others' steps; nothing on threads that play no actor."""
    part = getattr(_LOCAL, "part", None)
    if part is not None:
        schedule, actor = part
        schedule.turn(actor)


class Schedule:
    """Lets one actor run at a time, and chooses who at each step. `trace` is who had the turn."""

    def __init__(self, choose: Callable[[Sequence[int]], int]) -> None:
        self.trace: list[str] = []
        self._choose = choose
        self._actors: list[_Actor] = []
        self._ended = threading.Lock()
        self._ended.acquire()

    def run(self, company: Company, works: dict[str, Callable[[], None]]) -> None:
        """Runs all to their ends. Raises the first error of one."""
        self._actors = [_Actor(name, work) for name, work in works.items()]
        for hand, actor in zip(company.hands(len(works)), self._actors, strict=True):
            hand.play(self, actor)
        self._next().gate.release()
        self._ended.acquire()
        for actor in self._actors:
            if actor.error is not None:
                raise actor.error

    def turn(self, actor: _Actor) -> None:
        """Hands the turn on; comes back when it is this actor's again."""
        chosen = self._next()
        if chosen is not actor:
            chosen.gate.release()
            actor.gate.acquire()

    def left(self, actor: _Actor) -> None:
        """This actor is through."""
        actor.done = True
        if all(each.done for each in self._actors):
            self._ended.release()
        else:
            self._next().gate.release()

    def _next(self) -> _Actor:
        waiting = [index for index, actor in enumerate(self._actors) if not actor.done]
        chosen = self._actors[self._choose(waiting)]
        self.trace.append(chosen.name)
        return chosen


def at_random(rng: random.Random) -> Callable[[Sequence[int]], int]:
    """Anyone, at each step."""
    return rng.choice


def by_priority(rng: random.Random) -> Callable[[Sequence[int]], int]:
    """The first of a random order, which changes three times: finds what few changes at the right moments need."""
    order = rng.sample(range(16), 16)
    changes = {rng.randrange(1, 120) for _ in range(3)}
    count = 0

    def choose(waiting: Sequence[int]) -> int:
        nonlocal count
        count += 1
        first = min(waiting, key=order.__getitem__)
        if count in changes:
            order[first] = max(order) + 1
            first = min(waiting, key=order.__getitem__)
        return first

    return choose


class Preempted:
    """One of two actors to its end and then the other, but for these steps: at each the turn goes to the other.

    Only steps at which both could go on are counted, in `count`: at others there is nothing to choose.
    """

    def __init__(self, first: int, *steps: int) -> None:
        self.count = 0
        self._current, self._steps = first, steps

    def __call__(self, waiting: Sequence[int]) -> int:
        """Whose turn it is."""
        if len(waiting) == 1:
            return waiting[0]
        self.count += 1
        if self.count in self._steps:
            self._current = 1 - self._current
        return self._current
