"""Deadlines that come, that do not, and callers that go, for tests of reads and writes that end with their calls."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from store.database import Reader
from store.deadlines import Deadline, bound_by

ENDLESS = {
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
    "postgresql": "SELECT pg_sleep(86400)",
}
LASTS = "SELECT 'lasted' FROM pg_sleep(0.3)"
SOON = 0.2


def soon() -> Deadline:
    """A deadline that comes while something is waited for."""
    deadline = Deadline(time.monotonic() + SOON)
    bound_by(deadline)
    return deadline


def later(*, is_gone: Callable[[], bool] = lambda: False) -> Deadline:
    """A deadline that does not come by itself."""
    deadline = Deadline(time.monotonic() + 3600, is_gone)
    bound_by(deadline)
    return deadline


def goes_meanwhile() -> Callable[[], bool]:
    """A caller that is there at the beginning, and then no more."""
    asked = itertools.count()
    return lambda: next(asked) > 0


def endless(reader: Reader) -> Any:
    return reader._read(ENDLESS[reader.engine], ())
