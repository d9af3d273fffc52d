"""Errors of the database: busy, out of reach, read-only or full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from store.errors.kinds import FailedPrecondition, ResourceExhausted, Unavailable


class DatabaseBusy(Unavailable):
    """The write or read waited for its turn as long as it may; nothing was changed."""

    def __init__(
        self,
        message: str = "The database is busy; nothing was changed. Try again.",
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = 1.0,
    ) -> None:
        super().__init__(message, metadata=metadata, retry_after_seconds=retry_after_seconds)


class LockTimeout(DatabaseBusy):
    """Another transaction held the row for the whole wait.

    Operations that know which row it was translate this (SetCommits answers COMMITS_BUSY); untranslated it is
    DATABASE_BUSY, because it has no reason of its own.
    """

    reason: ClassVar[str] = "DATABASE_BUSY"


class DatabaseDown(Unavailable):
    """The database cannot be reached, or was lost while the outcome of a commit was still unknown."""

    def __init__(
        self,
        message: str = "The database cannot be reached. Try again.",
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = 2.0,
    ) -> None:
        super().__init__(message, metadata=metadata, retry_after_seconds=retry_after_seconds)


class ReadOnly(Unavailable):
    """Writes are refused: after an I/O error until the server is restarted, or because the database is a replica."""

    def __init__(
        self,
        message: str = "The registry accepts no writes at the moment; reading works. Its operator has to act.",
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = 30.0,
    ) -> None:
        super().__init__(message, metadata=metadata, retry_after_seconds=retry_after_seconds)


class StorageFull(ResourceExhausted):
    """The database has no space left; nothing was changed, and writing works again when there is space."""

    def __init__(
        self,
        message: str = "The registry's storage is full; nothing was changed. Its operator has to make space.",
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = 30.0,
    ) -> None:
        super().__init__(message, metadata=metadata, retry_after_seconds=retry_after_seconds)


class DatabaseNotAFile(FailedPrecondition):
    """A copy of the database file was asked for, and the database is PostgreSQL."""

    reason: ClassVar[str] = "DATABASE_NOT_A_FILE"  # else its capitals would make it NOT_AFILE

    def __init__(
        self,
        message: str = "The database is PostgreSQL, which is no file: `release-server backup` copies it where it is.",
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, metadata=metadata, retry_after_seconds=retry_after_seconds)
