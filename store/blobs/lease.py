"""One at a time: the lease that a job of the blob store holds while it works.

On PostgreSQL it is timed by the database's own clock, so that servers need not agree on the time. On SQLite one process
has the database to itself: what another process left behind is over. Each holder gets a fencing number, and every write
of the job checks it: a holder that slept longer than its lease (a stopped process, a machine asleep) changes nothing.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final, NamedTuple

import peewee

from store.blobs.models import CollectorLease
from store.crashpoints import crashpoint
from store.database import Database, Query, Statement, Transaction, hole
from store.errors import CollectorBusy, Unavailable

COLLECTOR: Final = 1
"""The row of the collector."""

SCRUB: Final = 2
"""The row of the scrub."""

HOLD_US: Final = 120 * 1_000_000
"""How long a lease lasts without a word of its holder: longer than the longest write, the copy of one pack included."""

_RENEW_SECONDS: Final = HOLD_US / 1_000_000 / 10
_PROCESS: Final = secrets.token_hex(8)


class _Held(NamedTuple):
    holder: str
    fence: int
    expire_time: int


_MAKE: Final = Statement(
    CollectorLease.insert(
        {
            CollectorLease.id: hole(CollectorLease.id),
            CollectorLease.holder: "",
            CollectorLease.fence: 0,
            CollectorLease.expire_time: 0,
        }
    ).on_conflict(action="nothing", conflict_target=[CollectorLease.id])
)
_FIND: Final = Query(
    CollectorLease.select(CollectorLease.holder, CollectorLease.fence, CollectorLease.expire_time).where(
        CollectorLease.id == hole(CollectorLease.id)
    ),
    row=_Held,
)
_HOLD: Final = Statement(
    CollectorLease.update(
        {
            CollectorLease.holder: hole(CollectorLease.holder),
            CollectorLease.fence: hole(CollectorLease.fence),
            CollectorLease.expire_time: hole(CollectorLease.expire_time),
        }
    ).where(CollectorLease.id == hole(CollectorLease.id))
)


class Lease:
    """A lease that is held; `guard` it in every write, or it runs out."""

    def __init__(self, database: Database, fence: int, *, job: int = COLLECTOR) -> None:
        self.fence = fence
        self._database = database
        self._job = job
        self._renewed = time.monotonic()

    def guard(self, tx: Transaction) -> None:
        """Holds on; what this transaction does happens only if nobody else took over. Raises CollectorBusy."""
        held = tx.lock(_FIND, id=self._job)
        if held is None or held.fence != self.fence:
            raise CollectorBusy
        expire_time = _now(self._database, tx) + HOLD_US
        tx.run(_HOLD, id=self._job, holder=held.holder, fence=self.fence, expire_time=expire_time)

    def renew(self) -> None:
        """Holds on while nothing is written. Raises CollectorBusy."""
        self._database.write(self.guard)
        self._renewed = time.monotonic()

    def keep(self) -> None:
        """Renews it when that is due; to be called now and then. Raises CollectorBusy."""
        if time.monotonic() - self._renewed > _RENEW_SECONDS:
            self.renew()

    def _release(self, tx: Transaction) -> None:
        held = tx.lock(_FIND, id=self._job)
        if held is not None and held.fence == self.fence:
            tx.run(_HOLD, id=self._job, holder="", fence=self.fence, expire_time=0)


@contextmanager
def holding_lease(database: Database, *, job: int = COLLECTOR) -> Iterator[Lease]:
    """Holds the lease of a job while the block runs. Raises CollectorBusy when another holds it."""
    fence: int = database.write(partial(_take, database=database, job=job))
    crashpoint("collect.lease_taken")
    lease = Lease(database, fence, job=job)
    try:
        yield lease
    finally:
        with suppress(Unavailable):  # it runs out by itself
            database.write(lease._release)


def next_turn(tx: Transaction, *, every_us: int, job: int = SCRUB) -> int | None:
    """The number of the turn that is due, None when none is. Nobody else gets it before `every_us` have passed, and
    after that the same again unless it is done by then."""
    tx.run(_MAKE, id=job)
    held = tx.lock(_FIND, id=job)
    assert held is not None, "it was made just now, and is never removed"
    if tx.now < held.expire_time <= tx.now + every_us:
        return None
    tx.run(_HOLD, id=job, holder=_PROCESS, fence=held.fence, expire_time=tx.now + every_us)
    return held.fence


def turn_done(tx: Transaction, *, turn: int, job: int = SCRUB) -> None:
    """The next turn is another."""
    held = tx.lock(_FIND, id=job)
    if held is not None and held.fence == turn:
        tx.run(_HOLD, id=job, holder="", fence=turn + 1, expire_time=held.expire_time)


def _take(tx: Transaction, *, database: Database, job: int) -> int:
    tx.run(_MAKE, id=job)
    held = tx.lock(_FIND, id=job)
    assert held is not None, "it was made just now, and is never removed"
    now = _now(database, tx)
    # One that lasts longer than any holder asks for was written before the clock was set back.
    lasts = now < held.expire_time <= now + HOLD_US
    if lasts and (database.engine == "postgresql" or held.holder == _PROCESS):
        raise CollectorBusy
    tx.run(_HOLD, id=job, holder=_PROCESS, fence=held.fence + 1, expire_time=now + HOLD_US)
    return held.fence + 1


def _now(database: Database, tx: Transaction) -> int:
    if database.engine == "sqlite":
        return tx.now
    epoch = peewee.SQL("(extract(epoch from clock_timestamp()) * 1000000)::bigint")
    found = tx.fetch(CollectorLease.select(epoch.alias("now")).limit(1).tuples())
    now: int = found[0][0]
    return now
