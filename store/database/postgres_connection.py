"""A connection to PostgreSQL that another thread ends when what it does takes too long.

The server ends statements by itself after 15 seconds, and libpq notices a link that is gone; but a server that takes
what it is sent and never answers (a hanging proxy, a host that stands still) would keep a thread for ever. And a call
whose time is over has its statement cancelled, so that the server does not work for nobody.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any, Final, Self

import psycopg
from psycopg import pq

from store.deadlines import WATCH, Deadline, current
from store.errors import DeadlinePassed
from store.metrics import DATABASE_ENDED

log = logging.getLogger("store.database")

STATEMENT_MS = 15_000
LONG_MS = 60_000
"""How long a statement may take: in a usual transaction, and in one that says that it is long."""

ANSWER_SECONDS = 2.0
"""How long after that the server may stay silent. Then it is taken for gone, and so is one that does not cancel."""

CANCEL_SECONDS: Final = 1.0


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """Used by one thread at a time, between `begin_watched` and `end_watched`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.is_committing = False
        """From the COMMIT on: what the deadline no longer ends, because the effect may be there."""
        self.was_cancelled = False
        """Whether the deadline ended what it did. It is of no more use: a late cancel would meet what comes next."""
        self._watching = threading.Lock()
        self._stream = 0  # what the system calls the stream below, whatever its descriptor's number is given to later
        self._deadline: Deadline | None = None
        self._patience_seconds = 0.0
        self._asked = 0.0  # when the last statement was sent; 0 before the first
        self._cancelled = 0.0

    def begin_watched(self, *, statement_ms: float = STATEMENT_MS) -> None:
        """What is asked from now on is ended when the time of the call is over, or when no answer comes."""
        self._deadline = current()
        self._patience_seconds = statement_ms / 1000 + ANSWER_SECONDS
        self.is_committing = False

    def asks(self) -> None:
        """A statement is about to be sent. Raises DeadlinePassed instead when the time is over."""
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline.at and not self.is_committing:
            raise DeadlinePassed
        self._asked = now

    def commits(self) -> None:
        """From here on no deadline ends what is under way. Raises DeadlinePassed when one just did."""
        with self._watching:  # behind it `look` looks again
            if self.was_cancelled:
                raise DeadlinePassed
            self.is_committing = True

    def tidies_up(self) -> None:
        """What is sent from now on is sent whatever the deadline."""
        self.is_committing = True
        self._asked = time.monotonic()

    def end_watched(self) -> None:
        """Nothing that follows is ended for what went before."""
        if self._asked or self._deadline is not None:
            with self._watching:  # not while it is being ended
                self._asked, self._deadline = 0.0, None

    def close(self) -> None:
        """Close it; nobody ends it any more."""
        self.end_watched()
        super().close()

    def look(self, now: float) -> None:
        """End what takes too long, from another thread.

        Meanwhile what took too long may end, and the connection do something else, for the same call or for another
        one: only behind the lock is it certain what is ended, for whoever begins anything else passes it before.
        """
        asked, deadline = self._asked, self._deadline
        if not asked:
            return
        over = deadline is not None and not self.is_committing and deadline.look()
        if not over and now - asked < self._patience_seconds:
            return
        with self._watching:
            if not self._asked or self.pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
                return  # it has ended, or works on this side, and looks at its deadline by itself
            if not over:
                if self._asked == asked:
                    log.error("the database does not answer: its connection was closed")
                    DATABASE_ENDED.labels("silence").inc()
                    self._cut()
            elif self._deadline is not deadline or self.is_committing:
                return
            elif not self._cancelled:
                self.was_cancelled = True
                self._cancelled = now
                DATABASE_ENDED.labels("deadline").inc()
                threading.Thread(target=self._cancel, name="cancel", daemon=True).start()
            elif now - self._cancelled > CANCEL_SECONDS:
                self._cut()

    def _cancel(self) -> None:
        with suppress(psycopg.Error):  # then it is cut
            self.cancel_safe(timeout=CANCEL_SECONDS)

    def _cut(self) -> None:
        """End the stream below it: whoever waits for an answer gets an error at once."""
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.pgconn.socket)) as stream:
            # libpq may just have found it broken and closed it: its number is somebody else's file then.
            if os.fstat(stream.fileno()).st_ino == self._stream:
                stream.shutdown(socket.SHUT_RDWR)

    def watched(self) -> Self:
        """The same, looked at from now on."""
        with suppress(OSError, psycopg.Error):  # it broke just now: whoever uses it is told so
            self._stream = os.fstat(self.pgconn.socket).st_ino
        WATCH.add(self)
        return self
