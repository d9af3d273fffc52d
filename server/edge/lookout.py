"""A thread that looks at many things together, again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Lookout:
    """Calls `look`, which must not raise, about every so many seconds, from `start` to `stop`."""

    def __init__(self, name: str, look: Callable[[], object], *, every_seconds: float) -> None:
        self._look = look
        self._every_seconds = every_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_stopped(self) -> bool:
        """Whether a look that is under way is to end."""
        return self._stopped.is_set()

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more, and return when nothing is being looked at."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_seconds):
            self._look()
