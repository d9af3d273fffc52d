"""Faults of the database layer that no caller is told about: bugs, and reasons not to start.

They are no `RegistryError`: the server answers INTERNAL with an id, and the text stays in the log. What a caller may
see stands in `store/errors`.
"""

from __future__ import annotations


class DatabaseError(Exception):
    """The database refused what we sent it: a bug of ours, or damage. The driver's exception is the cause."""


class BadValue(DatabaseError):
    """A value that the column cannot hold: validation upstream should have refused it."""


class ConstraintViolated(DatabaseError):
    """A unique key, foreign key, check or NOT NULL was violated.

    Operations avoid it: they upsert, or look first inside the write. On PostgreSQL the race between look and insert
    is retried, so the second attempt sees what the first ran into.
    """


class CannotOpen(Exception):
    """The database may not or cannot be used: wrong version, in use by another process, newer schema.

    The message is one line for the operator and says what to do.
    """
