"""One write on PostgreSQL: the attempts it takes, and when another attempt is safe."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Generic

from store.clock import Clock
from store.database.engine import Configured, Effect, Hook, Transaction
from store.database.failures import ConstraintViolated, DatabaseError
from store.database.postgres_clock import NOW, PostgresClock
from store.database.postgres_connection import LONG_MS, STATEMENT_MS
from store.database.postgres_errors import Remedy
from store.database.postgres_pool import IDLE_MS, Pool
from store.database.postgres_transaction import PostgresSession, PostgresTransaction
from store.database.replays import Vanished, answer_once
from store.database.terms import M, Once, R, Terms
from store.deadlines import unbounded
from store.errors import DatabaseDown
from store.metrics import DATABASE_RETRIES

CONFLICTS = 5
VIOLATIONS = 2
LOSSES = 20
DOUBT_SECONDS = 5.0


class PostgresWrite(Generic[R, M]):
    """A write on its way. `stored` says that its value is the answer already, kept under its request id."""

    def __init__(
        self,
        pool: Pool,
        clock: Clock,
        hooks: list[Hook],
        configured: Configured,
        fn: Callable[[Transaction], R],
        terms: Terms[R, M],
        *,
        long: bool,
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._hooks = hooks
        self._configured = configured
        self._fn = fn
        self._terms = terms
        self._once: Once[M] | None = None if terms.validate_only else terms.once
        self._statement_ms = LONG_MS if long else STATEMENT_MS
        self._conflicts = self._losses = 0
        self._deadline = 0.0
        self._committing = self._ran = self._is_in_doubt = False
        self._prepared: list[Effect] = []
        self._doubtful: list[Effect] = []
        self.stored = self._once is not None
        self.effects: list[Effect] = []
        self.has_written = False
        """Whether a statement that changes rows was committed: one that only reads succeeds on a replica, too."""

    def carry_out(self, deadline: float) -> Any:
        """The value, once committed. Raises what the function raised, or what the database made of it."""
        self._deadline = deadline
        while True:
            take = self._pool.take_again if self._losses else self._pool.take
            connection = take(self._deadline)
            session = PostgresSession(connection, statement_ms=self._statement_ms)
            try:
                return self._attempt(session)
            except Exception as error:
                if not self._may_try_again(error, session):
                    raise
                DATABASE_RETRIES.labels(session.failure.code if session.failure else "vanished").inc()
            finally:
                session.end()
                self._pool.give_up(connection)
            if self._is_in_doubt:
                # The effect may be there: that is found out, whatever the time of the call.
                self._is_in_doubt = False
                with unbounded():
                    return self.carry_out(self._deadline)
            if self._conflicts:
                # Jitter, or the two that ran into each other do so again.
                time.sleep(random.uniform(0.0, 0.005 * 2**self._conflicts))  # noqa: S311 - no secret

    def _attempt(self, session: PostgresSession) -> Any:
        self._committing = self._ran = False
        wait_ms = max(1, int((self._deadline - time.monotonic()) * 1000))  # 0 would mean to wait for ever
        # SET LOCAL, and in one round trip with BEGIN: a pooler hands the session to somebody else after COMMIT.
        begin = (
            b"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = %d; SET LOCAL statement_timeout = %d;"
            b" SET LOCAL idle_in_transaction_session_timeout = %d" % (wait_ms, self._statement_ms, IDLE_MS)
        )
        if isinstance(self._clock, PostgresClock) and self._clock.is_due:
            before = self._clock.steady_us()
            self._clock.told(session.number(b"%b; %b" % (begin, NOW)), before)
        else:
            session.command(begin)
        transaction = PostgresTransaction(session, self._hooks, self._clock.now_us(), self._configured)
        value = self._work(transaction)
        transaction.conclude()
        if session.failure is not None:
            raise session.failure.error
        if self._terms.validate_only:
            session.command(b"ROLLBACK")
            return value
        session.go_on()
        self._committing = True
        self._prepared = transaction.effects
        answer = session.commit()
        if answer != "COMMIT":  # PostgreSQL answers ROLLBACK, and no error, for a transaction that had failed
            raise DatabaseError(f"COMMIT answered {answer}")
        self.has_written = bool(transaction.written)
        # If a repeated answer ran nothing, the effects are those of this write's own attempt whose COMMIT was lost.
        self.effects = self._prepared if self._ran else self._doubtful
        return value

    def _work(self, transaction: PostgresTransaction) -> Any:
        def fn(tx: Transaction) -> R:
            self._ran = True
            return self._fn(tx)

        if self._once is None:
            return fn(transaction)
        return answer_once(transaction, fn, self._terms, self._once)

    def _may_try_again(self, error: Exception, session: PostgresSession) -> bool:
        failure = session.failure
        if isinstance(error, Vanished) or (failure is not None and failure.remedy is Remedy.AGAIN):
            violated = failure is not None and isinstance(failure.error, ConstraintViolated)
            self._conflicts += 1
            return self._conflicts <= (VIOLATIONS if violated else CONFLICTS)
        if failure is None or failure.remedy is not Remedy.RECONNECT:
            return False
        session.connection.close()
        self._pool.discard_idle()
        self._losses += 1
        if self._committing:
            if self._once is None:
                raise DatabaseDown(
                    "The database was lost while the change was being committed, so whether it was made is unknown: "
                    "look before you repeat it, or send a request_id."
                ) from error
            self._doubtful, self._is_in_doubt = self._prepared, True
            # With a request id another attempt is safe: it finds the first one's answer, or waits for it on its key.
            self._deadline = max(self._deadline, time.monotonic() + DOUBT_SECONDS)
        return self._losses <= LOSSES and time.monotonic() < self._deadline
