"""One transaction on one PostgreSQL connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import pq
from psycopg.pq.abc import PGresult

from store.database.dialect import POSTGRESQL
from store.database.engine import Configured, Effect, Hook, Reader, Transaction
from store.database.postgres_connection import STATEMENT_MS, Connection
from store.database.postgres_errors import RAISED, Failure, Remedy, failure_of
from store.database.query import BoundRows
from store.errors import DeadlinePassed

_DONE = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


class PostgresSession:
    """Statements on a connection; remembers the first error, after which nothing more is sent."""

    def __init__(self, connection: Connection, *, statement_ms: float = STATEMENT_MS) -> None:
        connection.begin_watched(statement_ms=statement_ms)
        self.connection = connection
        self.failure: Failure | None = None
        self._cursor: psycopg.Cursor[tuple[Any, ...]] = connection.cursor()

    def command(self, text: bytes) -> str:
        """Execute commands without parameters in one round trip; what the last of them answered."""
        return (self._execute(text).command_status or b"").decode()

    def number(self, text: bytes) -> int:
        """Like `command`, where the last is a query for one whole number."""
        return int(self._execute(text).get_value(0, 0) or b"")

    def read(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of a statement that is worth preparing."""
        self.go_on()
        try:
            return self._cursor.execute(sql, values, prepare=True, binary=True).fetchall()
        except RAISED as error:
            raise self._failed(error) from error

    def describe(self, sql: str, values: Sequence[Any]) -> tuple[Sequence[Any], list[tuple[Any, ...]]]:
        """Columns and rows of a statement that comes once."""
        self.go_on()
        try:
            self._cursor.execute(sql, values, prepare=False, binary=True)
            return self._cursor.description or (), self._cursor.fetchall()
        except RAISED as error:
            raise self._failed(error) from error

    def write(self, sql: str, values: Sequence[Any], *, prepare: bool) -> int:
        """Affected rows of a statement."""
        self.go_on()
        try:
            self._cursor.execute(sql, values, prepare=prepare)
        except RAISED as error:
            raise self._failed(error) from error
        return self._cursor.rowcount

    def write_many(self, sql: str, values: BoundRows) -> int:
        """Affected rows of a statement once an element, without waiting for one answer before the next is sent."""
        self.go_on()
        try:
            self._cursor.executemany(sql, values)
        except RAISED as error:
            raise self._failed(error) from error
        return self._cursor.rowcount

    def end(self) -> None:
        """Refuse further statements: the connection belongs to somebody else soon."""
        if self.failure is None:
            self.failure = failure_of(RuntimeError("the transaction is over"), connection_closed=False)

    def commit(self) -> str:
        """Like `command`, and from here on no deadline ends it: what it answers is what happened."""
        self._unless_over(self.connection.commits)
        return self.command(b"COMMIT")

    def _execute(self, text: bytes) -> PGresult:
        self._ask()
        try:
            result = self.connection.pgconn.exec_(text)
            if result.status not in _DONE:
                raise psycopg.errors.error_from_result(result)
        except RAISED as error:
            raise self._failed(error) from error
        return result

    def go_on(self) -> None:
        """Return while more may be sent. Raises what ended the attempt, DeadlinePassed when its time is over."""
        # PostgreSQL refuses statements after an error; the first error says more than that refusal.
        if self.failure is not None:
            raise self.failure.error
        self._ask()

    def _ask(self) -> None:
        self._unless_over(self.connection.asks)

    def _unless_over(self, step: Callable[[], None]) -> None:
        try:
            step()
        except DeadlinePassed as passed:
            if self.failure is None:
                self.failure = Failure(passed, Remedy.NONE)
            raise

    def _failed(self, error: BaseException) -> Exception:
        if self.failure is None:
            if self.connection.was_cancelled:
                self.failure = Failure(DeadlinePassed(), Remedy.NONE)
            else:
                failure = failure_of(error, connection_closed=self.connection.closed)
                self.failure = replace(failure, code=getattr(error, "sqlstate", None) or "connection")
        return self.failure.error


class PostgresReader(Reader):
    """Reads on a connection, in a transaction or as single statements."""

    def __init__(self, session: PostgresSession, hooks: list[Hook]) -> None:
        super().__init__(POSTGRESQL, hooks)
        self._session = session

    def _read(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._session.read(sql, values)

    def _describe(self, sql: str, values: Sequence[Any]) -> tuple[Sequence[Any], list[tuple[Any, ...]]]:
        return self._session.describe(sql, values)


class PostgresTransaction(Transaction):
    """One attempt at a write."""

    def __init__(self, session: PostgresSession, hooks: list[Hook], now: int, configured: Configured) -> None:
        super().__init__(POSTGRESQL, hooks, now, configured)
        self._session = session

    @property
    def effects(self) -> list[Effect]:
        """What is to happen after the commit."""
        return self._effects

    def _read(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._session.read(sql, values)

    def _describe(self, sql: str, values: Sequence[Any]) -> tuple[Sequence[Any], list[tuple[Any, ...]]]:
        return self._session.describe(sql, values)

    def _write(self, sql: str, values: Sequence[Any]) -> int:
        return self._session.write(sql, values, prepare=True)

    def _write_rarely(self, sql: str, values: Sequence[Any]) -> int:
        return self._session.write(sql, values, prepare=False)

    def _write_many(self, sql: str, values: BoundRows) -> int:
        return self._session.write_many(sql, values)
