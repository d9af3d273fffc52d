"""SQLite: one process, one writer thread, a reading connection a thread."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import apsw

from store.clock import Clock
from store.database import migrations
from store.database.dialect import SQLITE
from store.database.engine import Database, Hook, Reader, Transaction, run_effects
from store.database.failures import CannotOpen
from store.database.query import Query, Row
from store.database.replays import answer_once
from store.database.sqlite_copy import copy_connection, remove_drafts
from store.database.sqlite_errors import DAMAGE, RAISED, read_error, unreadable
from store.database.sqlite_file import SqliteFile
from store.database.sqlite_writer import Job, SqliteWriter, describe
from store.database.terms import PLAIN, M, R, Terms
from store.deadlines import WATCH, Deadline, current
from store.errors import DatabaseBusy, DatabaseDown, DeadlinePassed, ReadOnly, StorageFull
from store.metrics import DATABASE_ENDED, DATABASE_READ, DATABASE_WRITE

log = logging.getLogger("store.database")

READ_SECONDS = 30.0
"""A read that lasts longer is ended: while it has its snapshot, the write-ahead log cannot be emptied."""


class SqliteReader(Reader):
    """One thread's reading connection."""

    def __init__(self, connection: apsw.Connection, hooks: list[Hook]) -> None:
        super().__init__(SQLITE, hooks)
        self.connection = connection
        self._cursor = connection.cursor()
        self.is_sound = True
        """False once the disk failed under it: what it keeps of the file in memory may be garbage."""
        self._lock = threading.Lock()
        self._deadline: Deadline | None = None
        self._since = 0.0  # when what is read now began; 0 when nothing is
        self._took_too_long = False

    def begin_watched(self) -> None:
        """What follows is ended when its time is over. Raises DeadlinePassed when it is."""
        deadline = current()
        if deadline is not None:
            deadline.check()
            self._deadline = deadline
        self._since = time.monotonic()

    def end_watched(self) -> None:
        """Nothing that follows is ended for what went before."""
        with self._lock:  # not while it is being ended
            self._deadline, self._since, self._took_too_long = None, 0.0, False

    def look(self, now: float) -> None:
        """End what takes too long, from another thread: its statement now, or the next one."""
        since = self._since  # first: if it is still the same behind the lock, so was the deadline meanwhile
        deadline = self._deadline
        over = deadline is not None and deadline.look()
        if not since or not (over or now - since > READ_SECONDS):
            return
        with self._lock:
            if self._since == since:  # else it has ended meanwhile
                if not self._took_too_long:
                    DATABASE_ENDED.labels("deadline" if over else "long_read").inc()
                self._took_too_long = True
                self.connection.interrupt()

    def begin(self) -> None:
        """Take the snapshot at the first statement from now on."""
        try:
            self._cursor.execute("BEGIN")
        except RAISED as error:
            raise self._failed(error) from error

    def end(self) -> None:
        """Let the snapshot go: while it is held, the write-ahead log grows."""
        if not self.connection.in_transaction:  # an I/O error may have ended it
            return
        if not self.is_sound:
            with suppress(apsw.Error):
                self.connection.execute("ROLLBACK")
            return
        try:
            self._cursor.execute("COMMIT")
        except RAISED as error:
            raise self._failed(error) from error

    def _read(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        self._go_on()
        try:
            return self._cursor.execute(sql, values).fetchall()
        except RAISED as error:
            raise self._failed(error) from error

    def _describe(self, sql: str, values: Sequence[Any]) -> tuple[Sequence[Any], list[tuple[Any, ...]]]:
        self._go_on()
        try:
            return describe(self._cursor, sql, values)
        except RAISED as error:
            raise self._failed(error) from error

    def _go_on(self) -> None:
        if self._took_too_long:
            raise self._over()
        if self._deadline is not None:
            self._deadline.check()

    def _over(self) -> Exception:
        if self._deadline is not None and self._deadline.is_over:
            return DeadlinePassed()
        return DatabaseBusy("The read took too long. Ask for less at once.")

    def _failed(self, error: BaseException) -> Exception:
        if isinstance(error, apsw.InterruptError):
            return self._over()
        self.is_sound = self.is_sound and not isinstance(error, DAMAGE)
        return read_error(error)


class SqliteDatabase(Database):
    """An SQLite file, held by this process alone."""

    engine = "sqlite"

    def __init__(
        self, path: str, *, clock: Clock, wait_seconds: float, lock_wait_seconds: float, migrations_folder: Path
    ) -> None:
        super().__init__(clock, wait_seconds=wait_seconds)
        self._migrations_folder = migrations_folder
        self._pid = os.getpid()
        self._closed = False
        self._file = SqliteFile(path, lock_wait_seconds=lock_wait_seconds)
        with suppress(OSError):  # they only take room
            remove_drafts(self._file.path)
        try:
            self._writer = SqliteWriter(
                self._file, clock=clock, hooks=self.hooks, configured=self.configured, inside=self._inside
            )
        except BaseException:
            self._file.release()
            raise
        self._local = threading.local()
        # Weak, so that a thread that ends takes its connection with it.
        self._readers: weakref.WeakSet[SqliteReader] = weakref.WeakSet()
        self._opening = threading.Lock()
        self._migrating = threading.Lock()
        # The writer is a daemon: at interpreter exit it would be frozen in the middle of the queue.
        self._at_exit = _closer(weakref.ref(self))
        atexit.register(self._at_exit)

    @DATABASE_READ.measured
    def read(self, fn: Callable[[Reader], R]) -> R:
        """See `Database.read`."""
        reader = self._reader()
        inside = self._inside
        inside.busy = True
        try:
            reader.begin_watched()
            try:
                reader.begin()
            except BaseException:
                reader.end_watched()
                raise
            try:
                return fn(reader)
            finally:
                reader.end_watched()
                reader.end()
        finally:
            inside.busy = False

    @DATABASE_READ.measured
    def rows(self, query: Query[Row], /, **params: Any) -> list[Row]:
        """See `Database.rows`."""
        reader = self._reader()
        reader.begin_watched()
        try:
            return reader.rows(query, **params)
        finally:
            reader.end_watched()

    @DATABASE_READ.measured
    def row(self, query: Query[Row], /, **params: Any) -> Row | None:
        """See `Database.row`."""
        reader = self._reader()
        reader.begin_watched()
        try:
            return reader.row(query, **params)
        finally:
            reader.end_watched()

    def stamp(self, *tables: str) -> Hashable:
        """See `Database.stamp`."""
        writes = self._writer.writes
        return tuple([writes.get(table, 0) for table in tables])

    @property
    def takes_writes(self) -> bool:
        """See `Database.takes_writes`; after damage none are taken until the next start."""
        return not self._writer.has_stopped and super().takes_writes

    @DATABASE_WRITE.measured
    def write(
        self,
        fn: Callable[[Transaction], R],
        terms: Terms[R, M] = PLAIN,
        *,
        wait_seconds: float | None = None,
        long: bool = False,
    ) -> M:
        """See `Database.write`."""
        self._check_usable()
        if getattr(self._inside, "busy", False):
            raise self._nested()
        once = None if terms.validate_only else terms.once
        work: Callable[[Transaction], Any] = fn
        if once is not None:
            stored = once

            def work(tx: Transaction) -> Any:
                return answer_once(tx, fn, terms, stored)

        job = Job(work, keep=not terms.validate_only, long=long, deadline=current())
        self._writer.carry_out(job, self._wait_seconds if wait_seconds is None else wait_seconds)
        if isinstance(job.error, ReadOnly | StorageFull):
            self.last_writes.refuse()
        elif job.error is None and job.written:
            self.last_writes.succeed()
        if job.error is not None:
            try:
                raise job.error
            finally:
                del job  # the traceback holds this frame, and the frame would hold the error
        if job.effects:
            run_effects(job.effects)
        # Without a stored answer the reply is made here, not on the thread that everybody's writes wait for.
        answer: M = job.value if once is not None else terms.reply(job.value)
        return answer

    def migrate(self) -> list[str]:
        """See `Database.migrate`."""
        self._check_usable()
        # The file is ours alone, so other threads are all there is to keep out.
        with self._migrating, migrations.on_sqlite(self._file.connect) as database:
            return migrations.apply(database, self._migrations_folder)

    def pending_migrations(self) -> list[str]:
        """See `Database.pending_migrations`."""
        self._check_usable()
        with migrations.on_sqlite(self._file.connect) as database:
            return migrations.pending(database, self._migrations_folder)

    @property
    def file(self) -> Path:
        """See `Database.file`."""
        return self._file.path

    def copy_file(self, target: Path, *, between: Callable[[], object] = lambda: None) -> None:
        """See `Database.copy_file`."""
        self._check_usable()
        try:
            source = self._file.connect(query_only=True)
        except CannotOpen as error:
            raise unreadable() from error
        with closing(source):
            copy_connection(source, target, between=between)

    def gauges(self) -> Mapping[str, float]:
        """See `Database.gauges`."""
        return {"wal_bytes": self._file.wal_bytes, "writes_waiting": self._writer.waiting}

    def close(self) -> None:
        """See `Database.close`."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self._at_exit)
        self._writer.close()
        with self._opening:
            for reader in list(self._readers):
                WATCH.remove(reader)
                reader.connection.close(True)
        self._file.release()

    def _reader(self) -> SqliteReader:
        self._check_usable()
        if getattr(self._inside, "busy", False):
            raise self._nested()
        reader: SqliteReader | None = getattr(self._local, "reader", None)
        if reader is None or not reader.is_sound:
            self._local.reader = None
            with self._opening:
                if reader is not None:
                    self._readers.discard(reader)
                    WATCH.remove(reader)
                    reader.connection.close(True)
                try:
                    reader = SqliteReader(self._file.connect(query_only=True), self.hooks)
                except CannotOpen as error:  # it could at the start: the disk is gone, or descriptors are used up
                    log.exception("no further connection to the database can be opened")
                    raise unreadable() from error
                self._readers.add(reader)
                WATCH.add(reader)
            self._local.reader = reader
        return reader

    def _check_usable(self) -> None:
        if self._closed:
            raise DatabaseDown("The server is shutting down.")
        if self._pid != os.getpid():
            raise RuntimeError("an SQLite connection must not cross a fork: open the database in the child")


def _closer(database: weakref.ref[SqliteDatabase]) -> Callable[[], None]:
    def close() -> None:
        if (still := database()) is not None:
            still.close()

    return close
