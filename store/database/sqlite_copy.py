"""Copying an SQLite database while it is written to: one moment of it, as a file of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from store.database.ids import new_id
from store.database.sqlite_errors import DAMAGE, RAISED, read_error, write_error

_DRAFT: Final = ".copy-"

STEP_PAGES: Final = 2000
"""So many pages (of 4 KiB) are copied between two looks at whether the copy is still wanted."""


def copy_connection(source: apsw.Connection, target: Path, *, between: Callable[[], object]) -> None:
    """Copy what `source` sees to the new file `target`, and sync it; `between` is called between two steps.

    The source holds one read transaction throughout, so writers are not held up, and what they write meanwhile is not
    in the copy: without it SQLite would begin anew at each of their commits. Until it ends, the write-ahead log is not
    reset and grows by what is written. Raises StorageFull, DatabaseDown, and what `between` raises.
    """
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.close(descriptor)
    try:
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # the moment of the copy
        with closing(apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READWRITE)) as copy:
            copy.pragma("synchronous", "OFF")
            with copy.backup("main", source, "main") as backup:
                while not backup.done:
                    backup.step(STEP_PAGES)
                    between()
            # The copy says that it has a write-ahead log beside it; a file that travels has none.
            copy.pragma("journal_mode", "DELETE")
    except RAISED as error:
        raise (read_error(error) if isinstance(error, DAMAGE) else write_error(error)) from error
    finally:
        if source.in_transaction:
            source.execute("ROLLBACK")
    sync_file(target)


def draft_beside(path: Path) -> Path:
    """A new name for a copy of the database beside it, which the next start removes if nobody else does."""
    return path.with_name(f"{path.name}{_DRAFT}{new_id().hex()}")


def remove_drafts(path: Path) -> None:
    """Remove the copies that a killed process left behind; for one who has the database to itself."""
    for draft in path.parent.glob(f"{path.name}{_DRAFT}*"):
        draft.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Return when the file is on stable storage."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
