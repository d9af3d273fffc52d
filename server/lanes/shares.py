"""What one organization may have of a lane, so that others find room in it, and an interpreter that has time for them.

Two rules. An organization has at most a share of the slots; its next call is refused. And a call is slow less for what
it computes than for how many others want the interpreter at the same moment: so while several organizations call, each
of them runs only a few calls at a time, and the rest wait in their slots for a turn. Who is alone never waits. See
behaviour.md, Limits, and docs/decisions/0023.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias

TURNS: Final = 2
"""So many unary calls of an organization run at a time while others call, too."""
OTHERS_SECONDS: Final = 0.25
"""So long after its last call an organization is reckoned with."""
MOST_KNOWN: Final = 1000
"""Of so many credentials it is remembered whose they are; one more, and all are forgotten. Of so many organizations
what they hold is kept when it is nothing."""

Holder: TypeAlias = bytes | None
"""The id of an organization; None for the installation, whose credentials count as one more."""
NOBODY: Final = b""
"""Holds what is not known to be anybody's, such as the first call with a token, or those that bring none."""

_Work: TypeAlias = Callable[[], Any]


class Pause(threading.Event):
    """Stands among the waiting calls for one that runs, and waits itself now that its caller is known."""


_NONE: Final[list[Any]] = []


class Held:
    """What a holder has of a lane: slots, calls that run in them, and calls that wait there."""

    __slots__ = ("ended", "holder", "running", "slots", "waiting")

    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        self.ended = False
        """Whether a call ended, while others waited, since the last look for calls that do not end."""
        self.slots = self.running = 0
        self.waiting: deque[_Work | Pause] = deque()


class Shares:
    """How the slots of one lane are shared. The lane calls everything but `is_taken` under its own lock.

    Without `turns` everything in a slot runs, as streams do: they last for hours, and mostly wait for their peers.
    """

    def __init__(self, slots: int, *, percent: int, turns: int | None) -> None:
        self.limit = max(1, slots * percent // 100)
        self._turns = slots if turns is None else turns
        self._held: dict[Holder, Held] = {}
        self._latest: Holder = NOBODY
        self._latest_at = self._others_until = float("-inf")

    def slots_of(self, holder: Holder) -> int:
        """How many slots a holder has."""
        held = self._held.get(holder)
        return 0 if held is None else held.slots

    def is_taken(self, holder: Holder) -> bool:
        """Whether the holder has all that it may have. Nobody's share is the whole lane: whose a call is turns out."""
        held = self._held.get(holder)
        return held is not None and held.slots >= self.limit and holder != NOBODY

    def enter(self, holder: Holder) -> Held:
        """Take a slot."""
        held = self._held.get(holder)
        if held is None:
            if len(self._held) >= MOST_KNOWN:
                self._held = {key: each for key, each in self._held.items() if each.slots}
            held = self._held[holder] = Held(holder)
        held.slots += 1
        if holder != NOBODY:
            now = time.monotonic()
            if holder != self._latest:
                if now < self._latest_at + OTHERS_SECONDS:
                    self._others_until = now + OTHERS_SECONDS
                self._latest = holder
            self._latest_at = now
        return held

    def may_run(self, held: Held) -> bool:
        """Whether the call that has just entered has its turn, and then it runs."""
        if held.running >= self._turns and held.holder != NOBODY and self._others_call():
            return False
        held.running += 1
        return True

    def move(self, held: Held, holder: Holder) -> tuple[Held, Pause | None] | None:
        """Give a running call to whose it turned out to be; None when that one has its share already.

        With a pause it is to wait until that is set: others of its holder have their turns.
        """
        if self.is_taken(holder):
            return None
        moved = self.enter(holder)
        self._let_go(held)
        if self.may_run(moved):
            return moved, None
        pause = Pause()
        moved.waiting.append(pause)
        return moved, pause

    def let_go_on(self, held: Held, pause: Pause) -> None:
        """Let a call run that pauses, before its turn."""
        if not pause.is_set():
            held.waiting.remove(pause)
            held.running += 1
            pause.set()

    def leave(self, held: Held) -> list[tuple[_Work, Held]]:
        """Give back the slot of a call that has run; the calls whose turn it is by that."""
        self._let_go(held)
        if not held.waiting:
            return _NONE
        held.ended = True
        return self._begin(held, self._turns - held.running if self._others_call() else len(held.waiting))

    def stalled(self) -> list[tuple[_Work, Held]]:
        """The calls whose turn it is for another reason: since the last time none of those ended that run.

        Such calls wait for something themselves, and do not keep the interpreter from anybody.
        """
        begun: list[tuple[_Work, Held]] = []
        for held in self._held.values():
            if held.waiting and not held.ended:
                begun += self._begin(held, self._turns)
            held.ended = False
        return begun

    def drop_waiting(self) -> int:
        """Forget the calls that wait; how many these were. Those that pause have their threads, and go on."""
        dropped = 0
        for held in self._held.values():
            forgotten = len(self._begin(held, len(held.waiting)))
            held.running -= forgotten
            held.slots -= forgotten
            dropped += forgotten
        return dropped

    def _begin(self, held: Held, most: int) -> list[tuple[_Work, Held]]:
        begun: list[tuple[_Work, Held]] = []
        for _ in range(min(most, len(held.waiting))):
            held.running += 1
            work = held.waiting.popleft()
            if isinstance(work, Pause):
                work.set()
            else:
                begun.append((work, held))
        return begun

    def _let_go(self, held: Held) -> None:
        held.slots -= 1
        held.running -= 1

    def _others_call(self) -> bool:
        return time.monotonic() < self._others_until


class Holders:
    """Whose the credentials are that were seen before: what is told of a call before anyone has checked it.

    It remembers no credential, only hashes that differ from process to process. A guess is good for counting only.
    """

    def __init__(self) -> None:
        self._known: dict[int, Holder] = {}

    def guess(self, credential: str | bytes) -> Holder:
        """Whose a call with this credential is, as far as is known."""
        return self._known.get(hash(credential), NOBODY)

    def remember(self, credential: str | bytes, holder: Holder) -> None:
        """Keep in mind whose a credential is, that was checked."""
        known = hash(credential)
        if known not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known = {}
            self._known[known] = holder
