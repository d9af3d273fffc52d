"""What PostgreSQL's errors mean, and what to do about them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import psycopg

from store.database.failures import BadValue, ConstraintViolated, DatabaseError
from store.errors import DatabaseBusy, DatabaseDown, LockTimeout, ReadOnly, StorageFull

log = logging.getLogger("store.database")

# What executing a statement may raise: the server's and the driver's errors, and the driver's for values.
RAISED = (psycopg.Error, OverflowError, TypeError, ValueError)


_ANSWERS: dict[str, Callable[[], Exception]] = {
    "25006": ReadOnly,  # a replica, or a primary that was made read-only
    "53100": StorageFull,
    "53300": DatabaseBusy,
    "55P03": LockTimeout,
    "57014": lambda: DatabaseBusy("The database took too long; nothing was changed."),
}


class Remedy(Enum):
    """What helps against a failed attempt."""

    NONE = "none"
    AGAIN = "again"  # the whole transaction once more: it ran into another one
    RECONNECT = "reconnect"  # the connection is gone, or of no more use


@dataclass(frozen=True, slots=True)
class Failure:
    """What ended an attempt: the error to report if nothing helps, and what may help."""

    error: Exception
    remedy: Remedy
    code: str = ""
    """The server's SQLSTATE, or `connection` for an error of the driver's own."""


def failure_of(error: BaseException, *, connection_closed: bool) -> Failure:
    """What an error of the driver means."""
    state = getattr(error, "sqlstate", None) or ""
    refused = isinstance(error, psycopg.ProgrammingError | psycopg.DataError) and not state
    if refused or not isinstance(error, psycopg.Error):  # by the driver, before anything was sent
        return Failure(BadValue(f"{type(error).__name__}: {error}"), Remedy.NONE)
    if state in _ANSWERS:
        return Failure(_ANSWERS[state](), Remedy.NONE)
    if state in ("40001", "40P01"):
        return Failure(DatabaseBusy("Too many writes ran into each other; nothing was changed."), Remedy.AGAIN)
    if state == "0A000" and "cached plan" in str(error):
        # A migration changed a table under a prepared statement.
        return Failure(DatabaseBusy(), Remedy.RECONNECT)
    # The server names a state with every error. One without is the driver's own: it found the connection broken, though
    # it may not call it closed yet.
    broken = not state and type(error) in (psycopg.DatabaseError, psycopg.OperationalError)
    if connection_closed or broken or state.startswith(("08", "57P")) or state == "25P03":
        return Failure(DatabaseDown(), Remedy.RECONNECT)
    if state.startswith("58") or state in ("XX001", "XX002"):
        # Its disk fails, or what is read of it makes no sense. The transaction is over; a failed commit is a panic.
        log.error("the database cannot read or write: %s: %s", type(error).__name__, error)
        return Failure(DatabaseDown(), Remedy.NONE)
    if state.startswith("23"):
        # Again, because a unique key or a foreign key is mostly a race: the second attempt sees the other's row and
        # decides differently. What is no race fails again and is reported.
        return Failure(ConstraintViolated(f"{type(error).__name__}: {error}"), Remedy.AGAIN)
    if state.startswith("22"):
        return Failure(BadValue(f"{type(error).__name__}: {error}"), Remedy.NONE)
    return Failure(DatabaseError(f"{type(error).__name__} {state}: {error}"), Remedy.NONE)
