"""PostgreSQL: whole transactions, made again where that is safe."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peewee
import psycopg

from store.clock import Clock
from store.database import migrations
from store.database.engine import Database, Reader, Transaction, run_effects
from store.database.failures import CannotOpen
from store.database.postgres_clock import NOW, PostgresClock
from store.database.postgres_connection import STATEMENT_MS, Connection
from store.database.postgres_errors import Remedy
from store.database.postgres_pool import IDLE_MS, Pool
from store.database.postgres_transaction import PostgresReader, PostgresSession
from store.database.postgres_write import LOSSES, PostgresWrite
from store.database.query import Query, Row
from store.database.terms import PLAIN, M, R, Terms
from store.errors import DatabaseNotAFile, ReadOnly, StorageFull, Unavailable
from store.metrics import DATABASE_READ, DATABASE_RETRIES, DATABASE_WRITE

MIGRATION_LOCK = 0x52656C5265672D31  # any number that nobody else uses in this database

_BEGIN_READ = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_BEGIN_READ_LIMITED = _BEGIN_READ + (
    b"; SET LOCAL statement_timeout = %d; SET LOCAL idle_in_transaction_session_timeout = %d" % (STATEMENT_MS, IDLE_MS)
)


class PostgresDatabase(Database):
    """A PostgreSQL database, shared with other servers. Keeps no session state, so a transaction pooler will do."""

    engine = "postgresql"

    def __init__(
        self, url: str, *, clock: Clock | None, wait_seconds: float, server_side_prepares: bool, migrations_folder: Path
    ) -> None:
        super().__init__(clock or PostgresClock(), wait_seconds=wait_seconds)
        self._migrations_folder = migrations_folder
        self._single_reads = server_side_prepares
        self._begin_read = _BEGIN_READ if server_side_prepares else _BEGIN_READ_LIMITED
        self._pid = os.getpid()
        self._pool = Pool(url, server_side_prepares=server_side_prepares)
        self._pool.check_server()
        try:
            self.now_us()
        except Unavailable as error:
            raise CannotOpen(str(error)) from error

    def read(self, fn: Callable[[Reader], R]) -> R:
        """See `Database.read`."""

        def attempt(session: PostgresSession) -> R:
            session.command(self._begin_read)
            value = fn(PostgresReader(session, self.hooks))
            session.command(b"COMMIT")
            return value

        return self._reading(attempt)

    def rows(self, query: Query[Row], /, **params: Any) -> list[Row]:
        """See `Database.rows`."""
        if not self._single_reads:  # behind a pooler only a transaction can have a statement timeout
            return self.read(lambda reader: reader.rows(query, **params))
        return self._reading(lambda session: PostgresReader(session, self.hooks).rows(query, **params))

    def row(self, query: Query[Row], /, **params: Any) -> Row | None:
        """See `Database.row`."""
        if not self._single_reads:
            return self.read(lambda reader: reader.row(query, **params))
        return self._reading(lambda session: PostgresReader(session, self.hooks).row(query, **params))

    def stamp(self, *_tables: str) -> Hashable:
        """See `Database.stamp`: what other servers write is not known here."""
        return None

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
        write = PostgresWrite(self._pool, self.clock, self.hooks, self.configured, fn, terms, long=long)
        deadline = time.monotonic() + (self._wait_seconds if wait_seconds is None else wait_seconds)
        try:
            with self._alone():
                value = write.carry_out(deadline)
        except (ReadOnly, StorageFull):
            self.last_writes.refuse()
            raise
        if write.has_written:
            self.last_writes.succeed()
        run_effects(write.effects)
        answer: M = value if write.stored else terms.reply(value)
        return answer

    def now_us(self) -> int:
        """See `Database.now_us`."""
        if isinstance(self.clock, PostgresClock):
            before = self.clock.steady_us()
            self.clock.told(self._reading(lambda session: session.number(NOW)), before)
        return self.clock.now_us()

    def migrate(self) -> list[str]:
        """See `Database.migrate`."""
        with self._migration_lock(), migrations.on_postgresql(self._pool.dial) as database:
            try:
                return migrations.apply(database, self._migrations_folder)
            except peewee.DatabaseError as error:
                refusal = getattr(error, "orig", None)
                if not isinstance(refusal, psycopg.errors.InsufficientPrivilege):
                    raise
                text = refusal.diag.message_primary
                raise CannotOpen(f"PostgreSQL does not let this user make the tables: {text}.") from error

    def pending_migrations(self) -> list[str]:
        """See `Database.pending_migrations`."""
        with migrations.on_postgresql(self._pool.dial) as database:
            return migrations.pending(database, self._migrations_folder)

    def dial(self) -> Connection:
        """A connection of its own, for work that lasts; the caller closes it. Raises `DatabaseDown`, `DatabaseBusy`."""
        return self._pool.dial()

    @property
    def file(self) -> Path:
        """See `Database.file`."""
        raise DatabaseNotAFile

    def copy_file(self, target: Path, *, between: Callable[[], object] = lambda: None) -> None:  # noqa: ARG002
        """See `Database.copy_file`."""
        raise DatabaseNotAFile

    def gauges(self) -> Mapping[str, float]:
        """See `Database.gauges`."""
        return self._pool.gauges()

    def close(self) -> None:
        """See `Database.close`."""
        self._pool.close()

    @DATABASE_READ.measured
    def _reading(self, attempt: Callable[[PostgresSession], R]) -> R:
        deadline = time.monotonic() + self._wait_seconds
        losses = 0
        with self._alone():
            while True:
                connection = self._pool.take(deadline) if not losses else self._pool.take_again(deadline)
                session = PostgresSession(connection)
                try:
                    return attempt(session)
                except Exception:
                    if session.failure is None or session.failure.remedy is not Remedy.RECONNECT:
                        raise
                    connection.close()
                    self._pool.discard_idle()
                    losses += 1
                    if losses > LOSSES or time.monotonic() >= deadline:
                        raise
                    DATABASE_RETRIES.labels(session.failure.code).inc()
                finally:
                    session.end()
                    self._pool.give_up(connection)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._pid != os.getpid():
            raise RuntimeError("a PostgreSQL connection must not cross a fork: open the database in the child")
        if getattr(self._inside, "busy", False):
            raise self._nested()
        self._inside.busy = True
        try:
            yield
        finally:
            self._inside.busy = False

    @contextmanager
    def _migration_lock(self) -> Iterator[None]:
        # A transaction's lock on a connection of its own: behind a pooler a session's lock would leak to the next.
        with self._pool.dial() as connection, connection.transaction():
            for setting in ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout"):
                connection.execute(f"SET LOCAL {setting} = 0".encode())
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
            yield
