"""A folder that is there whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from store.backup.errors import BackupRefused
from store.blobs.local_sink import sync_folder

SUFFIX: Final = ".unfinished"
_LOCK: Final = "lock"


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """An empty folder to fill, which gets the name `target` when the block ends well, and goes when it does not.

    One that a killed process left behind goes, too; one that a living process fills is not touched. Whoever fills it
    syncs what is in it. Raises BackupRefused: `target` is there already, or cannot be made.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise BackupRefused(f"{target} is there already: name a folder that is not.")
    draft = target.with_name(target.name + SUFFIX)
    try:
        draft.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(draft / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BackupRefused(f"{draft} cannot be made: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BackupRefused(f"{draft} is being filled by another backup just now.") from None
        for left in draft.iterdir():
            if left.name != _LOCK:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        try:
            yield draft
            (draft / _LOCK).unlink()
            sync_folder(draft)
            draft.rename(target)
            sync_folder(target.parent)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    finally:
        os.close(lock)
