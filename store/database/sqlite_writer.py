"""The one writer of an SQLite database: a thread that commits what is queued, up to sixteen jobs at a time.

SQLite's own waiting for the write lock is a sleep without a queue: with eight threads some wait for seconds. Here
jobs wait in line, and one fsync makes a whole group of them durable.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import apsw

from store.clock import Clock
from store.database.dialect import SQLITE
from store.database.engine import Configured, Effect, Hook, Transaction
from store.database.failures import DatabaseError
from store.database.query import BoundRows
from store.database.sqlite_errors import DAMAGE, RAISED, write_error
from store.database.sqlite_file import SqliteFile
from store.deadlines import LOOK_SECONDS, Deadline
from store.errors import DatabaseBusy, DatabaseDown, DeadlinePassed, ReadOnly
from store.metrics import DATABASE_ENDED, DATABASE_GROUP

log = logging.getLogger("store.database")

GROUP = 16
QUEUE_LIMIT = 1000
ROWS_TOGETHER = 16
LOG_MOST_BYTES = 2**30
"""Nothing more is written while the write-ahead log is so long and cannot be emptied, or it would fill the disk."""

_INSERTS_ROW = re.compile(r"INSERT INTO [^()]* \([^()]*\) VALUES (\((?:\?, )*\?\))")


class SqliteTransaction(Transaction):
    """A job's hold on the writer's connection."""

    def __init__(self, connection: apsw.Connection, hooks: list[Hook], now: int, configured: Configured) -> None:
        super().__init__(SQLITE, hooks, now, configured)
        self._connection = connection
        self._cursor = connection.cursor()
        self.deadline: Deadline | None = None
        """When the attempt is over, whatever the job would still do."""
        self.failure: BaseException | None = None
        """The first error of SQLite; with it the attempt is over, whatever the job makes of it."""

    @property
    def effects(self) -> list[Effect]:
        """What is to happen after the commit."""
        return self._effects

    def end(self) -> None:
        """Refuse further statements: whoever kept this transaction would write into somebody else's."""
        self._cursor.close(True)
        if self.failure is None:
            self.failure = RuntimeError("the transaction is over")

    def _read(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        self._go_on()
        try:
            return self._cursor.execute(sql, values).fetchall()
        except RAISED as error:
            raise self._failed(error) from error

    def _read_first(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        # Without asking for the row behind it: at each step of SQLite this thread loses its turn to run Python.
        self._go_on()
        try:
            row = self._cursor.execute(sql, values).fetchone()
        except RAISED as error:
            raise self._failed(error) from error
        return [] if row is None else [row]

    def _describe(self, sql: str, values: Sequence[Any]) -> tuple[Sequence[Any], list[tuple[Any, ...]]]:
        self._go_on()
        try:
            return describe(self._cursor, sql, values)
        except RAISED as error:
            raise self._failed(error) from error

    def _write(self, sql: str, values: Sequence[Any]) -> int:
        self._go_on()
        try:
            self._cursor.execute(sql, values)
        except RAISED as error:
            raise self._failed(error) from error
        return self._connection.changes()

    def _write_rarely(self, sql: str, values: Sequence[Any]) -> int:
        return self._write(sql, values)

    def _write_many(self, sql: str, values: BoundRows) -> int:
        self._go_on()
        together = _several(sql, len(values)) if len(values) <= ROWS_TOGETHER else None
        before = self._connection.total_changes()
        try:
            if together is None:
                self._cursor.executemany(sql, values)
            else:
                self._cursor.execute(together, list(chain.from_iterable(values)))
        except RAISED as error:
            raise self._failed(error) from error
        return self._connection.total_changes() - before

    def _go_on(self) -> None:
        # A full disk ends the whole transaction. A statement after that would be committed by itself, at once.
        if self.failure is not None:
            raise self.failure
        if self.deadline is not None and self.deadline.is_over:
            self.failure = DeadlinePassed()
            raise self.failure

    def _failed(self, error: BaseException) -> BaseException:
        self.failure = write_error(error)
        return self.failure


@lru_cache(maxsize=512)
def _several(sql: str, count: int) -> str | None:
    """The statement for so many rows at once, where it inserts one: a step of SQLite instead of one a row."""
    found = _INSERTS_ROW.fullmatch(sql)
    return None if found is None else sql + f", {found[1]}" * (count - 1)


def describe(cursor: apsw.Cursor, sql: str, values: Sequence[Any]) -> tuple[Sequence[Any], list[tuple[Any, ...]]]:
    """Execute, and read the columns' descriptions before the rows: afterwards SQLite has forgotten them."""
    cursor.execute(sql, values)
    try:
        description: Sequence[Any] = cursor.get_description()
    except apsw.ExecutionCompleteError:
        description = ()
    return description, cursor.fetchall()


class Job:
    """One write on its way."""

    __slots__ = ("_done", "deadline", "effects", "error", "keep", "long", "value", "work", "written")

    def __init__(
        self, work: Callable[[Transaction], Any], *, keep: bool, long: bool, deadline: Deadline | None = None
    ) -> None:
        self.work = work
        self.keep = keep
        self.long = long
        self.deadline = deadline
        self.value: Any = None
        self.error: BaseException | None = None
        self.effects: list[Effect] = []
        self.written: Collection[str] = ()
        self._done = threading.Lock()
        self._done.acquire()

    def finish(self) -> None:
        """Wake the caller."""
        self._done.release()

    def wait(self, seconds: float) -> bool:
        """Whether it was finished in that time; a negative time waits for ever."""
        return self._done.acquire(timeout=seconds)


class SqliteWriter:
    """Owns the writing connection, and with it BEGIN, SAVEPOINT and COMMIT."""

    def __init__(
        self,
        file: SqliteFile,
        *,
        clock: Clock,
        hooks: list[Hook],
        configured: Configured,
        inside: threading.local,
    ) -> None:
        self._file = file
        self._clock = clock
        self._hooks = hooks
        self._configured = configured
        self._inside = inside
        self._connection = file.connect()
        self._execute = self._connection.cursor().execute
        self._jobs: deque[Job] = deque()
        self._arrived = threading.Condition(threading.Lock())
        self._closing = False
        self.writes: dict[str, int] = {}
        """How many jobs wrote each table, counted when they were committed and before anybody was told."""
        self._stopped: str | None = None
        """Why nothing is written any more, until the next start."""
        self._thread = threading.Thread(target=self._serve, name="sqlite-writer", daemon=True)
        self._thread.start()

    def carry_out(self, job: Job, wait_seconds: float) -> None:
        """Have the job done and committed, or its error set. Raises `DatabaseBusy` when its turn did not come,
        `DeadlinePassed` when its time was over before that.

        One that has begun is not interrupted, because it shares its transaction with others; it ends by itself at its
        next statement.
        """
        deadline = job.deadline
        if deadline is not None:
            deadline.begin()
        with self._arrived:
            if self._closing:
                raise DatabaseDown("The server is shutting down.")
            if len(self._jobs) >= QUEUE_LIMIT:
                raise DatabaseBusy
            self._jobs.append(job)
            self._arrived.notify()
        until = time.monotonic() + max(0.0, wait_seconds)
        while not job.wait(max(0.0, min(LOOK_SECONDS, until - time.monotonic()))):
            over = deadline is not None and deadline.look()
            if not over and time.monotonic() < until:
                continue
            with self._arrived:
                withdrawn = job in self._jobs
                if withdrawn:
                    self._jobs.remove(job)
            if withdrawn:
                if not over:
                    raise DatabaseBusy
                DATABASE_ENDED.labels("deadline").inc()
                raise DeadlinePassed
            job.wait(-1)  # it has begun, and will be told apart from what was never done
            return

    @property
    def has_stopped(self) -> bool:
        """Whether nothing is written any more, until the next start."""
        return self._stopped is not None

    @property
    def waiting(self) -> int:
        """How many jobs have not begun."""
        return len(self._jobs)

    def close(self) -> None:
        """Do what is queued, then end."""
        with self._arrived:
            self._closing = True
            self._arrived.notify()
        self._thread.join()
        self._connection.close()

    def _serve(self) -> None:
        self._inside.busy = True  # a job that calls db.read or db.write would wait for itself
        while jobs := self._take():
            self._commit(jobs)
            for job in jobs:
                job.finish()
            del jobs

    def _take(self) -> list[Job]:
        with self._arrived:
            while not self._jobs and not self._closing:
                self._arrived.wait()
            if not self._jobs:
                return []
            jobs = [self._jobs.popleft()]
            while not jobs[0].long and len(jobs) < GROUP and self._jobs and not self._jobs[0].long:
                jobs.append(self._jobs.popleft())
            return jobs

    def _commit(self, jobs: list[Job]) -> None:
        """Commit all jobs but those that fail; no job's outcome is told before COMMIT returned."""
        if not self._stopped and not self._file.is_the_same():
            self._stop("the database file was deleted or replaced")
        waiting = jobs
        while waiting:
            if self._stopped:
                for job in waiting:
                    self._fail(job, ReadOnly())
                return
            if not self._has_room():
                for job in waiting:
                    self._fail(job, DatabaseBusy("The database's log is too long; nothing was changed. Try again."))
                return
            try:
                waiting = self._attempt(waiting)
            except Exception as error:  # a bug here, or SQLite refusing a SAVEPOINT: nobody may wait for ever
                log.exception("the writer failed")
                self._abandon()
                self._note_damage(error)
                for job in waiting:
                    self._fail(job, DatabaseError(f"the writer failed: {error}"))
                return

    def _has_room(self) -> bool:
        """Whether the log may grow: it is short enough, or can be copied into the file, which no reader hinders."""
        if self._file.wal_bytes < LOG_MOST_BYTES:
            return True
        try:
            frames, copied = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except RAISED as error:
            self._note_damage(error)
            return False
        if frames != copied:
            log.error("no writes: a reader keeps the write-ahead log from being emptied")
        return frames == copied

    def _attempt(self, jobs: list[Job]) -> list[Job]:
        """One transaction; the jobs that it must be tried again for, because the transaction was lost."""
        try:
            self._execute("BEGIN IMMEDIATE")
        except RAISED as error:
            self._note_damage(error)
            for job in jobs:
                self._fail(job, write_error(error))
            return []
        for job in jobs:
            lost = self._run(job, nested=len(jobs) > 1)
            if self._stopped:
                self._abandon()
                return jobs
            if lost:
                # Not only this job: everything before it is gone too, and even an error may rest on what was undone.
                return [other for other in jobs if other is not job]
        self._finish(jobs)
        return []

    def _finish(self, jobs: list[Job]) -> None:
        """COMMIT; if that fails, nobody can say whose pages did not fit, so each job is committed by itself."""
        try:
            if self._connection.in_transaction:
                self._execute("COMMIT")
        except RAISED as error:
            self._abandon()
            self._note_damage(error)
            if len(jobs) == 1 or self._stopped:
                for job in jobs:
                    self._fail(job, write_error(error))
            else:
                for job in jobs:
                    self._commit([job])
            return
        DATABASE_GROUP.observe(len(jobs))
        writes = self.writes
        for job in jobs:
            for table in job.written:
                writes[table] = writes.get(table, 0) + 1

    def _run(self, job: Job, *, nested: bool) -> bool:
        """Run one job up to, not including, COMMIT; whether it lost the transaction."""
        if nested:
            self._execute("SAVEPOINT job")
        transaction = SqliteTransaction(self._connection, self._hooks, self._clock.now_us(), self._configured)
        transaction.deadline = job.deadline
        job.error, job.effects, job.written = None, [], ()
        try:
            job.value = job.work(transaction)
            transaction.conclude()
            job.error = transaction.failure
        except BaseException as error:  # noqa: BLE001 - the caller's, whatever it is; this thread serves the others
            job.error = error
        if transaction.failure is not None and transaction.failure.__cause__ is not None:
            self._note_damage(transaction.failure.__cause__)
        transaction.end()
        if not self._connection.in_transaction:
            # A full disk rolls back the whole transaction, savepoints and all, without a word to the other jobs.
            if job.error is None:
                job.error = DatabaseBusy()
            return True
        kept = job.error is None and job.keep
        if kept:
            job.effects = transaction.effects
            job.written = transaction.written
        if nested:
            if not kept:
                self._execute("ROLLBACK TO job")
            self._execute("RELEASE job")
        elif not kept:
            self._execute("ROLLBACK")
        return False

    def _abandon(self) -> None:
        if self._connection.in_transaction:
            try:
                self._execute("ROLLBACK")
            except apsw.Error:
                log.exception("the transaction could not be rolled back")
                self._stop("a transaction could not be rolled back")

    def _note_damage(self, error: BaseException) -> None:
        if isinstance(error, DAMAGE):
            self._stop(f"{type(error).__name__}: {error}")

    def _stop(self, why: str) -> None:
        if self._stopped is None:
            self._stopped = why
            log.error("no more writes until the next start: %s", why)

    @staticmethod
    def _fail(job: Job, error: Exception) -> None:
        job.value, job.error, job.effects = None, error, []
