"""SQLite: one process, one writer thread, a reading connection a thread."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
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
from store.database.sqlite_errors import DAMAGE, RAISED, read_error, unreadable
from store.database.sqlite_file import SqliteFile
from store.database.sqlite_writer import Job, SqliteWriter, describe
from store.database.terms import PLAIN, M, R, Terms
from store.errors import DatabaseDown

log = logging.getLogger("store.database")


class SqliteReader(Reader):
    """One thread's reading connection."""

    def __init__(self, connection: apsw.Connection, hooks: list[Hook]) -> None:
        super().__init__(SQLITE, hooks)
        self.connection = connection
        self._cursor = connection.cursor()
        self.busy = False
        self.is_sound = True
        """False once the disk failed under it: what it keeps of the file in memory may be garbage."""

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
        try:
            return self._cursor.execute(sql, values).fetchall()
        except RAISED as error:
            raise self._failed(error) from error

    def _describe(self, sql: str, values: Sequence[Any]) -> tuple[Sequence[Any], list[tuple[Any, ...]]]:
        try:
            return describe(self._cursor, sql, values)
        except RAISED as error:
            raise self._failed(error) from error

    def _failed(self, error: BaseException) -> Exception:
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
        try:
            self._writer = SqliteWriter(self._file, clock=clock, hooks=self.hooks, inside=self._inside)
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

    def read(self, fn: Callable[[Reader], R]) -> R:
        """See `Database.read`."""
        reader = self._reader()
        inside = self._inside
        inside.busy = True
        try:
            reader.begin()
            try:
                return fn(reader)
            finally:
                reader.end()
        finally:
            inside.busy = False

    def rows(self, query: Query[Row], /, **params: Any) -> list[Row]:
        """See `Database.rows`."""
        return self._reader().rows(query, **params)

    def row(self, query: Query[Row], /, **params: Any) -> Row | None:
        """See `Database.row`."""
        return self._reader().row(query, **params)

    def stamp(self, *tables: str) -> Hashable:
        """See `Database.stamp`."""
        writes = self._writer.writes
        return tuple([writes.get(table, 0) for table in tables])

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

        job = Job(work, keep=not terms.validate_only, long=long)
        self._writer.carry_out(job, self._wait_seconds if wait_seconds is None else wait_seconds)
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

    def close(self) -> None:
        """See `Database.close`."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self._at_exit)
        self._writer.close()
        with self._opening:
            for reader in list(self._readers):
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
                    reader.connection.close(True)
                try:
                    reader = SqliteReader(self._file.connect(query_only=True), self.hooks)
                except CannotOpen as error:  # it could at the start: the disk is gone, or descriptors are used up
                    log.exception("no further connection to the database can be opened")
                    raise unreadable() from error
                self._readers.add(reader)
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
