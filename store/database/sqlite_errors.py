"""What SQLite's errors mean."""

from __future__ import annotations

import logging

import apsw

from store.database.failures import BadValue, ConstraintViolated, DatabaseError
from store.errors import DatabaseBusy, DatabaseDown, ReadOnly, StorageFull

log = logging.getLogger("store.database")

# What executing a statement may raise: SQLite's errors, and the driver's for values that cannot be bound.
RAISED = (apsw.Error, OverflowError, TypeError, ValueError)

# After these the state of the file is in doubt (a failed fsync is not repeated by the next one), so writing stops.
DAMAGE = (apsw.IOError, apsw.CorruptError, apsw.NotADBError)


def write_error(error: BaseException) -> Exception:
    """The store's error for what a writing statement raised."""
    match error:
        case apsw.FullError():
            return StorageFull()
        case apsw.IOError() | apsw.CorruptError() | apsw.NotADBError() | apsw.ReadOnlyError():
            return ReadOnly()
        case _:
            return _either_error(error)


def read_error(error: BaseException) -> Exception:
    """The store's error for what a reading statement raised."""
    if isinstance(error, DAMAGE):
        # A disk that is gone shows as either: what is read of it may make no sense before it is an error.
        log.error("the database cannot be read: %s: %s", type(error).__name__, error)
        return unreadable()
    return _either_error(error)


def unreadable() -> DatabaseDown:
    """What a caller is told whose rows cannot be read."""
    return DatabaseDown("The database cannot be read at the moment.")


def _either_error(error: BaseException) -> Exception:
    match error:
        case apsw.BusyError() | apsw.LockedError():
            return DatabaseBusy()
        case apsw.CantOpenError():  # the log beside the file, when the disk is gone or descriptors are used up
            return DatabaseDown("The database cannot be opened at the moment.")
        case apsw.ConstraintError():
            return ConstraintViolated(str(error))
        case apsw.Error():
            return DatabaseError(f"{type(error).__name__}: {error}")
        case _:
            return BadValue(f"{type(error).__name__}: {error}")
