"""How many streams each organization runs on this process, and that they are no more than its quota allows.

Counted are streams that were let in, by the organization of their credential; those of the installation are nobody's.
A share of the slots (shares.py) is what others leave; a quota holds on an idle server, too. See behaviour.md, Quotas.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from store.errors import QuotaExceeded
from store.quotas.quota import STREAM_COUNT

RETRY_SECONDS: Final = 5.0
"""After so long one of the organization's streams may have ended."""


class StreamCounts:
    """Counts the streams of organizations; `quota_of` answers how many one may run, None for any number."""

    def __init__(self, quota_of: Callable[[bytes], int | None] = lambda _: None) -> None:
        self._quota_of = quota_of
        self._lock = threading.Lock()
        self._running: dict[bytes, int] = {}

    def running(self, organization_id: bytes) -> int:
        """How many streams the organization runs now."""
        return self._running.get(organization_id, 0)

    def enter(self, organization_id: bytes) -> None:
        """Count one more, until `leave`. Raises QuotaExceeded, and what asking for the quota raises: nothing is counted
        then."""
        quota = self._quota_of(organization_id)
        with self._lock:
            running = self._running.get(organization_id, 0)
            if quota is not None and running >= quota:
                raise QuotaExceeded(STREAM_COUNT, limit=quota, used=running, retry_after_seconds=RETRY_SECONDS)
            self._running[organization_id] = running + 1

    def leave(self, organization_id: bytes) -> None:
        """Count one less."""
        with self._lock:
            self._running[organization_id] -= 1
            if not self._running[organization_id]:
                del self._running[organization_id]
