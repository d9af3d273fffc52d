"""Actors that take turns: threads of which one runs at a time, and a choice of who is next at each step."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence


class Violation(Exception):
    """Something happened that must never happen."""


class _Actor(threading.Thread):
    def __init__(self, schedule: Schedule, name: str, work: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self.gate = threading.Lock()
        self.gate.acquire()
        self.done = False
        self.error: BaseException | None = None
        self._schedule, self._work = schedule, work

    def run(self) -> None:
        self.gate.acquire()
        self._schedule.local.actor = self
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - raised by the schedule, on the test's thread
            self.error = error
        self.done = True
        self._schedule.turn.release()


class Schedule:
    """Lets one actor run at a time, and chooses who at each step."""

    def __init__(self, choose: Callable[[Sequence[int]], int]) -> None:
        self.local = threading.local()
        self.turn = threading.Lock()
        self.turn.acquire()
        self.trace: list[str] = []
        self._choose = choose

    def step(self) -> None:
        """What follows may wait for others' steps; nothing for threads that are no actors."""
        actor = getattr(self.local, "actor", None)
        if actor is not None:
            self.turn.release()
            actor.gate.acquire()

    def run(self, works: dict[str, Callable[[], None]]) -> None:
        """Runs all to their ends. Raises the first error of one."""
        actors = [_Actor(self, name, work) for name, work in works.items()]
        for actor in actors:
            actor.start()
        while waiting := [index for index, actor in enumerate(actors) if not actor.done]:
            actor = actors[self._choose(waiting)]
            self.trace.append(actor.name)
            actor.gate.release()
            self.turn.acquire()
        for actor in actors:
            actor.join()
        for actor in actors:
            if actor.error is not None:
                raise actor.error


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


def preempted(*steps: int) -> Callable[[Sequence[int]], int]:
    """The first actor to its end, and then the others, but for these steps: at each the turn goes to the next."""
    count = current = 0

    def choose(waiting: Sequence[int]) -> int:
        nonlocal count, current
        count += 1
        if count in steps or current not in waiting:
            current = next((index for index in waiting if index > current), waiting[0])
        return current

    return choose
