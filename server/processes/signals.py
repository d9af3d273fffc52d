"""The signals of a process that serves, waited for instead of handled.

A handler would run on the main thread only, and a signal that the system hands to another thread does not wake it.
"""

from __future__ import annotations

import signal
from typing import Final

ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT})
RELOADING: Final = signal.SIGHUP


class Signals:
    """Those that ask the process to end or to reload. Made before any thread is: threads inherit what is blocked."""

    def __init__(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {*ENDING, RELOADING})

    def wait(self) -> signal.Signals:
        """The next one."""
        return signal.Signals(signal.sigwait({*ENDING, RELOADING}))

    def came_again(self) -> bool:
        """Whether another one that asks to end has come since."""
        return signal.sigtimedwait(ENDING, 0) is not None
