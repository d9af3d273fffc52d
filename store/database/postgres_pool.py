"""Connections to PostgreSQL: at most eight a process, checked out per operation, replaced when they break.

Not psycopg_pool: it dials on threads of its own and answers "timeout" both when all connections are in use and when
the server is gone, which a caller must be able to tell apart (DATABASE_BUSY, DATABASE_DOWN).
"""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper, NumericBinaryLoader

from store.database.failures import CannotOpen
from store.database.postgres_connection import STATEMENT_MS, Connection
from store.database.turns import Turns
from store.deadlines import current
from store.errors import DatabaseBusy, DatabaseDown
from store.metrics import DATABASE_CONNECTIONS

SIZE = 8
CONNECT_SECONDS = 3
IDLE_MS = 10_000
AGAIN_SECONDS = 0.1
OLDEST = 15
# A refused connection comes without an SQLSTATE, so 53300 is told by its words.
_FULL = ("too many connections", "too many clients", "remaining connection slots")


def check_driver(implementation: str) -> None:
    """Refuse psycopg's pure-Python fallback, which is twenty times slower and comes without a word."""
    if implementation == "python":
        raise CannotOpen("psycopg runs without its compiled part: install psycopg[binary].")


def parameters_of(url: str) -> dict[str, Any]:
    """What a URL says, as psycopg takes it. Raises `CannotOpen`, without the URL, which may hold a password."""
    try:
        return dict(conninfo_to_dict(url))
    except psycopg.Error:
        raise CannotOpen("The database URL is malformed: postgresql://user@host/name is expected.") from None


class _IntegerOrDecimal(NumericBinaryLoader):
    """PostgreSQL's sum of bigints is a numeric; SQLite's is an integer, and so is ours."""

    def load(self, data: Any) -> Any:
        value = super().load(data)
        return int(value) if value.is_finite() and value == value.to_integral_value() else value


class Pool:
    """Connections kept open and handed out, the last one returned first, to whoever has waited longest."""

    def __init__(self, url: str, *, server_side_prepares: bool) -> None:
        check_driver(pq.__impl__)
        self._prepares = server_side_prepares
        self._parameters = parameters_of(url)
        self._parameters.setdefault("connect_timeout", CONNECT_SECONDS)
        self._parameters.setdefault("application_name", "release-registry")
        # A server that accepts and then never answers, or a link that is gone, is noticed within half a minute.
        self._parameters.setdefault("keepalives_idle", 10)
        self._parameters.setdefault("tcp_user_timeout", 20_000)
        if server_side_prepares and "options" not in self._parameters:
            # A pooler refuses these; reads need not set them each time, and single reads could not.
            self._parameters["options"] = (
                f"-c statement_timeout={STATEMENT_MS} -c idle_in_transaction_session_timeout={IDLE_MS}"
            )
        self._turns = Turns(SIZE)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False

    def take(self, deadline: float) -> Connection:
        """A connection, to be given back. Raises `DatabaseBusy` at the deadline, `DatabaseDown` when none is made,
        `DeadlinePassed` when the time of the call is over before that."""
        of_call = current()
        if of_call is not None:
            of_call.begin()
        if not self._turns.acquire(
            timeout=max(0.0, deadline - time.monotonic()), given_up=None if of_call is None else of_call.look
        ):
            if of_call is not None:
                of_call.check()
            raise DatabaseBusy
        try:
            while True:
                with self._lock:
                    if self._closed:
                        raise DatabaseDown("The server is shutting down.")
                    connection = self._idle.pop() if self._idle else None
                if connection is None:
                    return self.dial()
                if not connection.closed:
                    return connection
        except BaseException:
            self._turns.release()
            raise

    def take_again(self, deadline: float) -> Connection:
        """Like `take`, after one was lost: a server that restarts is back in less than a second, so wait for it."""
        while True:
            try:
                return self.take(deadline)
            except DatabaseDown:
                if time.monotonic() + AGAIN_SECONDS >= deadline:
                    raise
            time.sleep(AGAIN_SECONDS)

    def give_up(self, connection: Connection) -> None:
        """Take a connection back from whatever it was in the middle of."""
        try:
            status = connection.pgconn.transaction_status
            if status in (pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR) and not connection.was_cancelled:
                connection.tidies_up()
                connection.rollback()
        except psycopg.Error:
            connection.close()
        finally:
            self.give(connection)

    def give(self, connection: Connection) -> None:
        """Take a connection back; one that is broken, or in the middle of something, is closed."""
        try:
            connection.end_watched()
            if (
                not connection.was_cancelled
                and not connection.closed
                and connection.pgconn.transaction_status == pq.TransactionStatus.IDLE
            ):
                with self._lock:
                    if not self._closed:
                        self._idle.append(connection)
                        return
            connection.close()
        finally:
            self._turns.release()

    def discard_idle(self) -> None:
        """Close what lies idle: when one connection was lost the server went away, and with it the others."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def gauges(self) -> dict[str, float]:
        """How many connections there may be, how many are in use, and how many callers wait for one."""
        turns = self._turns
        return {
            "pool_connections_max": SIZE,
            "pool_connections_used": SIZE - turns.free,
            "pool_callers_waiting": turns.waiting,
        }

    def close(self) -> None:
        """Close what lies idle, and what comes back."""
        with self._lock:
            self._closed = True
        self.discard_idle()

    def dial(self) -> Connection:
        """A new connection, in autocommit: BEGIN and COMMIT are ours. Raises `DatabaseDown`, `DatabaseBusy`."""
        try:
            connection = Connection.connect(
                **self._parameters,
                autocommit=True,
                prepare_threshold=0 if self._prepares else None,
            )
        except psycopg.OperationalError as error:
            if any(words in str(error) for words in _FULL):
                raise DatabaseBusy("The database has no free connection. Try again.") from error
            raise DatabaseDown from error
        DATABASE_CONNECTIONS.inc()
        connection.prepared_max = 512
        # Every int goes as a bigint. By default its size picks smallint, integer or bigint, and each is a prepared
        # statement, and a plan, of its own.
        connection.adapters.register_dumper(int, Int8Dumper)
        connection.adapters.register_dumper(int, Int8BinaryDumper)
        connection.adapters.register_loader("numeric", _IntegerOrDecimal)
        return connection.watched()

    def check_server(self) -> None:
        """Refuse a server that is too old or keeps text in another encoding. Raises `CannotOpen`."""
        try:
            connection = self.dial()
        except (DatabaseDown, DatabaseBusy) as error:
            raise CannotOpen(f"PostgreSQL cannot be reached at {self._where()}: {_why(error)}.") from error
        with connection:
            version = connection.info.server_version // 10000
            encoding = connection.info.parameter_status("server_encoding")
        if version < OLDEST:
            raise CannotOpen(f"PostgreSQL {version} is too old, {OLDEST} or newer is needed.")
        if encoding != "UTF8":
            raise CannotOpen(f"The PostgreSQL database keeps text as {encoding}: create it with encoding UTF8.")

    def _where(self) -> str:
        # Never the URL: it may hold a password.
        host, port, name = (str(self._parameters.get(key) or "") for key in ("host", "port", "dbname"))
        return f"{host}:{port}/{name}" if port else f"{host}/{name}"


def _why(error: BaseException) -> str:
    """What PostgreSQL, or else the system, says of a connection that it refused, in one line; never a secret."""
    text = str(error.__cause__ or error)
    for mark in ("FATAL:", "failed: ", "error: "):
        if mark in text:
            text = text.rpartition(mark)[2]
            break
    return text.strip().partition("\n")[0].rstrip(".")
