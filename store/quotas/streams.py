"""How many streams an organization may run, remembered for seconds: a stream that begins reads no row for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Final, NamedTuple

from store.database import Database, Query, hole
from store.organizations.models import Organization
from store.quotas.usage import default_quota

KEPT_SECONDS: Final = 5.0
"""So long a quota is remembered where other processes may change it. What this one writes alone is seen at once."""
MOST_KNOWN: Final = 10_000
"""So many organizations are remembered; one more, and all are looked up again."""

_QUOTA: Final = Query(
    Organization.select(Organization.quota_stream_count).where(Organization.id == hole(Organization.id))
)
_TABLE: Final = Organization._meta.table_name


class _Known(NamedTuple):
    stream_count: int | None
    stamp: Hashable
    until: float


class StreamQuotas:
    """The stream quotas of the organizations of one database. Safe for several threads."""

    def __init__(self, db: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._db, self._clock = db, clock
        self._known: dict[bytes, _Known] = {}

    def __call__(self, organization_id: bytes) -> int | None:
        """How many streams the organization may run on this process; None: as many as there is room for.

        Raises DatabaseBusy, DatabaseDown where it has to be read.
        """
        stamp, now = self._db.stamp(_TABLE), self._clock()
        known = self._known.get(organization_id)
        if known is None or known.stamp != stamp or (stamp is None and now >= known.until):
            row = self._db.row(_QUOTA, id=organization_id)
            known = _Known(None if row is None else row[0], stamp, now + KEPT_SECONDS)
            if len(self._known) >= MOST_KNOWN:
                self._known = {}
            self._known[organization_id] = known
        return default_quota(self._db).stream_count if known.stream_count is None else known.stream_count
