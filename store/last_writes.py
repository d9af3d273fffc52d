"""How the last writes to a place went: of the database, and of the place where packs are kept."""

from __future__ import annotations

import time
from typing import Final

REFUSED_SECONDS: Final = 60.0
"""So long a refused write speaks for those to come: then a place that nobody writes to may be well again."""


class LastWrites:
    """Whether the last write was refused, lately, because the place is full or takes no writes. For all threads."""

    __slots__ = ("_refused",)

    def __init__(self) -> None:
        self._refused = float("-inf")

    def refuse(self) -> None:
        """A write was refused just now, with READ_ONLY or STORAGE_FULL."""
        self._refused = time.monotonic()

    def succeed(self) -> None:
        """A write is on stable storage."""
        self._refused = float("-inf")

    @property
    def went_well(self) -> bool:
        """False after a refused write, until one succeeds or a minute has passed."""
        return time.monotonic() - self._refused >= REFUSED_SECONDS
