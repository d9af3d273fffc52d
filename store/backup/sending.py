"""A copy of the SQLite database, for one who asks a running server for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO, Final

from store.database import Database
from store.database.sqlite_copy import draft_beside

PIECE_BYTES: Final = 256 * 2**10


@dataclass(frozen=True, slots=True)
class CopiedDatabase:
    """The database as it was at `copy_time`, in microseconds since 1970; `data` is read once."""

    copy_time: int
    size_bytes: int
    sha256: bytes
    data: Iterator[bytes]


@contextmanager
def copied_database(database: Database, *, between: Callable[[], object]) -> Iterator[CopiedDatabase]:
    """Copies the database to a file beside it that has no name once it is whole: it goes with the process.

    `between` is called between two steps of the copy; what it raises ends it. Raises DatabaseNotAFile, StorageFull,
    DatabaseDown.
    """
    draft = draft_beside(database.file)
    copy_time = database.now_us()
    try:
        database.copy_file(draft, between=between)
        stream = draft.open("rb")
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
    with stream:
        digest = hashlib.sha256()
        for piece in _pieces(stream):
            digest.update(piece)
            between()
        size = stream.tell()
        stream.seek(0)
        yield CopiedDatabase(copy_time, size, digest.digest(), _pieces(stream))


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(PIECE_BYTES):
        yield piece
