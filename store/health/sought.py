"""Which projects are to be looked at for releases that only sessions know: told by calls, which never wait for it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

from cachetools import TTLCache

from store.clock import Clock, SystemClock

if TYPE_CHECKING:
    from store.access.projects import ProjectSlugText

EVERY_US: Final = 60 * 1_000_000
"""No project is looked at more often than this."""
MOST: Final = 10_000
"""How many of them wait at most, and how many are remembered to have been looked at."""

InOrganization: TypeAlias = "tuple[str, ProjectSlugText | None]"
"""A project of the organization with this slug; None: all of its projects."""
Key: TypeAlias = "bytes | InOrganization"
"""A project by its id, or as callers name it."""


class Sought:
    """A bounded set of what is to be looked at; safe to use on several threads.

    What was taken less than a minute ago, or is put off, waits for the rest of it. What finds no room is dropped: the
    next call asks for it again.
    """

    def __init__(self, clock: Clock | None = None, *, most: int = MOST) -> None:
        steady_us = (clock or SystemClock()).steady_us
        self._now = steady_us
        self._most = most
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._waiting: dict[Key, int] = {}
        self._taken: TTLCache[Key, int] = TTLCache(most, EVERY_US, steady_us)

    def in_projects(self, ids: Iterable[bytes]) -> None:
        """Look at these projects."""
        with self._lock:
            for project_id in ids:
                self._add(project_id)

    def in_organization(self, slug: str, projects: Iterable[ProjectSlugText] = ()) -> None:
        """Look at these projects of the organization, or at all of them."""
        with self._lock:
            for project in tuple(projects) or (None,):
                self._add((slug, project))

    def put_off(self, project_id: bytes, wait_us: int) -> None:
        """Look at the project, which somebody else looked at, when this time has passed."""
        with self._lock:
            if len(self._waiting) < self._most:
                self._waiting[project_id] = self._now() + wait_us

    def take(self) -> list[Key]:
        """All that is to be looked at now. It is not to be taken again for a minute."""
        with self._lock:
            now = self._now()
            due = [key for key, due_us in self._waiting.items() if due_us <= now]
            for key in due:
                del self._waiting[key]
                self._taken[key] = now
            return due

    def is_fresh(self, project_id: bytes) -> bool:
        """Whether the project was not taken yet within a minute; now it is."""
        with self._lock:
            if project_id in self._taken:
                return False
            self._taken[project_id] = self._now()
            self._waiting.pop(project_id, None)
            return True

    def wait(self, seconds: float) -> None:
        """Return when something was added that is to be looked at now, or this time has passed."""
        if self._news.wait(seconds):
            self._news.clear()

    def wake(self) -> None:
        """Whoever waits returns."""
        self._news.set()

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def _add(self, key: Key) -> None:
        if key in self._waiting or len(self._waiting) >= self._most:
            return
        taken_us = self._taken.get(key)
        self._waiting[key] = 0 if taken_us is None else taken_us + EVERY_US
        if taken_us is None:
            self._news.set()
