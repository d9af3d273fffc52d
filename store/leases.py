"""One at a time: the lease that a job holds while it works, and the turns that servers take at it.

On PostgreSQL a lease is timed by the database's own clock, so that servers need not agree on the time. On SQLite one
process has the database to itself: what another process left behind is over. Each holder gets a fencing number, and
every write of the job checks it: a holder that slept longer than its lease (a stopped process, a machine asleep)
changes nothing.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import IntEnum
from functools import partial
from typing import Final, NamedTuple

import peewee
from peewee import Model

from store.database import Database, Query, Statement, Transaction, hole
from store.database.fields import CountField, TextField, TimeField
from store.deadlines import unbounded
from store.errors import AdoptionBusy, CollectorBusy, RegistryError, Unavailable


class Job(IntEnum):
    """What one server does at a time: its row."""

    COLLECTION = 1
    SCRUB = 2
    ADOPTION = 3


class JobLease(Model):
    """One row for each job that one server does at a time. fence is raised by each new holder of the row, and checked
    by every write of the job; of the scrub, which holds no lease, it says which share of the chunks is next. due_time
    is when the next turn of a job is due that takes turns, 0 before the first."""

    id = CountField(primary_key=True)
    holder = TextField()
    fence = CountField()
    expire_time = TimeField()
    due_time = TimeField()

    class Meta:
        table_name = "job_lease"


HOLD_US: Final = 120 * 1_000_000
"""How long a lease lasts without a word of its holder: longer than the longest write, the copy of one pack included."""

_RENEW_SECONDS: Final = HOLD_US / 1_000_000 / 10
_PROCESS: Final = secrets.token_hex(8)

_BUSY: Final[Mapping[Job, Callable[[], RegistryError]]] = {Job.COLLECTION: CollectorBusy, Job.ADOPTION: AdoptionBusy}


def _busy(job: Job) -> RegistryError:
    return _BUSY[job]()


class _Held(NamedTuple):
    holder: str
    fence: int
    expire_time: int
    due_time: int


_MAKE: Final = Statement(
    JobLease.insert(
        {
            JobLease.id: hole(JobLease.id),
            JobLease.holder: "",
            JobLease.fence: 0,
            JobLease.expire_time: 0,
            JobLease.due_time: 0,
        }
    ).on_conflict(action="nothing", conflict_target=[JobLease.id])
)
_FIND: Final = Query(
    JobLease.select(JobLease.holder, JobLease.fence, JobLease.expire_time, JobLease.due_time).where(
        JobLease.id == hole(JobLease.id)
    ),
    row=_Held,
)
_HOLD: Final = Statement(
    JobLease.update(
        {
            JobLease.holder: hole(JobLease.holder),
            JobLease.fence: hole(JobLease.fence),
            JobLease.expire_time: hole(JobLease.expire_time),
        }
    ).where(JobLease.id == hole(JobLease.id))
)
_SET_DUE: Final = Statement(
    JobLease.update({JobLease.due_time: hole(JobLease.due_time)}).where(JobLease.id == hole(JobLease.id))
)


class Lease:
    """A lease that is held; `guard` it in every write, or it runs out."""

    def __init__(self, database: Database, job: Job, fence: int) -> None:
        self.fence = fence
        self._database = database
        self._job = job
        self._renewed = time.monotonic()

    def guard(self, tx: Transaction) -> None:
        """Holds on; what this transaction does happens only if nobody else took over. Raises the error of the job."""
        held = tx.lock(_FIND, id=self._job)
        if held is None or held.fence != self.fence:
            raise _busy(self._job)
        expire_time = _now(self._database, tx) + HOLD_US
        tx.run(_HOLD, id=self._job, holder=held.holder, fence=self.fence, expire_time=expire_time)

    def renew(self) -> None:
        """Holds on while nothing is written. Raises the error of the job."""
        self._database.write(self.guard)
        self._renewed = time.monotonic()

    def keep(self) -> None:
        """Renews it when that is due; to be called now and then. Raises the error of the job."""
        if time.monotonic() - self._renewed > _RENEW_SECONDS:
            self.renew()

    def is_due(self, *, every_us: int) -> bool:
        """Whether the next turn of the job has come, by `turn_done`; one that is further away than `every_us` was
        written before the clock was set back."""
        return bool(self._database.write(partial(self._is_due, every_us=every_us)))

    def turn_done(self, *, every_us: int) -> None:
        """The next turn is due after `every_us`. Raises the error of the job."""
        self._database.write(partial(self._turn_done, every_us=every_us))

    def _is_due(self, tx: Transaction, *, every_us: int) -> bool:
        held = tx.row(_FIND, id=self._job)
        return held is None or not tx.now < held.due_time <= tx.now + every_us

    def _turn_done(self, tx: Transaction, *, every_us: int) -> None:
        self.guard(tx)
        tx.run(_SET_DUE, id=self._job, due_time=tx.now + every_us)

    def _release(self, tx: Transaction) -> None:
        held = tx.lock(_FIND, id=self._job)
        if held is not None and held.fence == self.fence:
            tx.run(_HOLD, id=self._job, holder="", fence=self.fence, expire_time=0)


@contextmanager
def holding_lease(database: Database, job: Job) -> Iterator[Lease]:
    """Holds the lease of a job while the block runs.

    Raises when another holds it, or took it over: CollectorBusy of the collection, AdoptionBusy of adoption.
    """
    fence: int = database.write(partial(_take, database=database, job=job))
    lease = Lease(database, job, fence)
    try:
        yield lease
    finally:
        with suppress(Unavailable), unbounded():  # else it runs out by itself
            database.write(lease._release)


def next_turn(tx: Transaction, job: Job, *, every_us: int) -> int | None:
    """The number of the turn that is due, None when none is. Nobody else gets it before `every_us` have passed, and
    after that the same again unless it is done by then."""
    tx.run(_MAKE, id=job)
    held = tx.lock(_FIND, id=job)
    assert held is not None, "it was made just now, and is never removed"
    if tx.now < held.due_time <= tx.now + every_us:
        return None
    tx.run(_SET_DUE, id=job, due_time=tx.now + every_us)
    return held.fence


def turn_done(tx: Transaction, job: Job, *, turn: int) -> None:
    """The next turn is another."""
    held = tx.lock(_FIND, id=job)
    if held is not None and held.fence == turn:
        tx.run(_HOLD, id=job, holder="", fence=turn + 1, expire_time=0)


def _take(tx: Transaction, *, database: Database, job: Job) -> int:
    tx.run(_MAKE, id=job)
    held = tx.lock(_FIND, id=job)
    assert held is not None, "it was made just now, and is never removed"
    now = _now(database, tx)
    # One that lasts longer than any holder asks for was written before the clock was set back.
    lasts = now < held.expire_time <= now + HOLD_US
    if lasts and (database.engine == "postgresql" or held.holder == _PROCESS):
        raise _busy(job)
    tx.run(_HOLD, id=job, holder=_PROCESS, fence=held.fence + 1, expire_time=now + HOLD_US)
    return held.fence + 1


def _now(database: Database, tx: Transaction) -> int:
    if database.engine == "sqlite":
        return tx.now
    epoch = peewee.SQL("(extract(epoch from clock_timestamp()) * 1000000)::bigint")
    found = tx.fetch(JobLease.select(epoch.alias("now")).limit(1).tuples())
    now: int = found[0][0]
    return now
