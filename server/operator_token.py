"""The operator's first token, and the file beside the data that keeps it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from store.access.credentials import authenticate
from store.access.operators import ensure_operator_token
from store.access.secrets import new_secret
from store.database import CannotOpen, Database
from store.errors import CredentialsInvalid, InvalidField

OWNER_ONLY: Final = 0o600


def keep_operator_token(db: Database, file: Path, *, bootstrap_token: str | None) -> bool:
    """See to it that an empty database gets its operator's token; whether this call wrote `file` with a new one.

    With a bootstrap token that one is used and nothing is written. A file that is there already says which secret an
    empty database gets, so that a new database beside old data keeps its operator.

    The secret is on disk before the database knows it: killed in between, the next start goes on with it.
    Raises InvalidField for a bootstrap token that could never be used, CannotOpen for a file that holds none.
    """
    if bootstrap_token is not None:
        ensure_operator_token(db, bootstrap_token)
        return False
    if file.exists():
        try:
            ensure_operator_token(db, file.read_text().strip())
        except (InvalidField, UnicodeDecodeError):
            raise CannotOpen(f"{file} holds no secret that a token can have: write one there, or remove it.") from None
        return False
    pending = file.with_name(file.name + ".new")
    if not pending.exists():
        _write(pending, new_secret())
    secret = pending.read_text().strip()
    ensure_operator_token(db, secret)
    if not _is_good(db, secret):  # the database had its token before, from here or from another server
        pending.unlink()
        return False
    pending.replace(file)
    _sync(file.parent)
    return True


def _is_good(db: Database, secret: str) -> bool:
    try:
        db.read(lambda reader: authenticate(reader, secret, db.clock.now_us()))
    except CredentialsInvalid:
        return False
    return True


def _write(file: Path, secret: str) -> None:
    _remove_leftovers(file)
    unfinished = file.with_name(file.name + f".{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, OWNER_ONLY)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secret + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.replace(file)
    _sync(file.parent)


def _remove_leftovers(file: Path) -> None:
    """Of starts that were killed while they wrote: secrets that no database ever knew."""
    for leftover in file.parent.glob(f"{file.name}.*"):
        pid = leftover.suffix[1:]
        try:
            if pid.isdecimal():
                os.kill(int(pid), 0)  # nothing happens but the question whether it lives
        except ProcessLookupError:
            leftover.unlink(missing_ok=True)
        except PermissionError:
            continue  # it lives, and is somebody else's


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
