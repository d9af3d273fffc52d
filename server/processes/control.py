"""What a supervisor and a worker say to each other, over a pair of sockets that nobody else has an end of.

Each message is a word and a body. The end of the line tells each that the other one is gone, however it went.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Final, TypeVar

T = TypeVar("T", "Assignment", "Prepared", "Failure")

BEAT_SECONDS: Final = 5.0
"""A worker says so often that it can still speak."""

_HEAD: Final = struct.Struct("!BI")
_READ_BYTES: Final = 1 << 16


class Word(IntEnum):
    """What a message is about."""

    # The supervisor's
    START = 1
    """Begin to serve; the body is an `Assignment`."""
    DRAIN = 2
    """Take no more calls, let the running ones end, and end."""
    HURRY = 3
    """The grace is over: cut what still runs."""
    RELOAD = 4
    """Read again what can be read again."""
    MEASURE = 5
    """Answer METRICS."""

    # The worker's
    BEAT = 16
    """Nothing has happened."""
    PREPARED = 17
    """The database is migrated and the store opened; the body is `Prepared`."""
    READY = 18
    """It serves."""
    FAILED = 19
    """It cannot serve, for a reason that the operator must mend; the body is a `Failure`."""
    METRICS = 20
    """Its metrics, as Prometheus reads them."""
    STUCK = 21
    """A call of it does not end, or cannot begin: it lets the others end, and ends."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where a worker listens, and whether it makes the database ready first."""

    listen: str
    prepare: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """What came of making the database ready."""

    made_operator_token: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a worker cannot serve: one line for the operator, and the exit code that belongs to it."""

    text: str
    code: int


def encoded(body: Assignment | Prepared | Failure) -> bytes:
    """A body as it travels."""
    return json.dumps(asdict(body)).encode()


def decoded(kind: type[T], body: bytes) -> T:
    """A body as it came."""
    return kind(**json.loads(body))


class Line:
    """One end of the line. Any thread may say something; one listens."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lock = threading.Lock()
        self._unread = bytearray()

    def fileno(self) -> int:
        """For a selector."""
        return self._end.fileno()

    def say(self, word: Word, body: bytes = b"") -> None:
        """Send a message. Nothing happens when the other one is gone, or, on an end that does not block, reads
        nothing: whoever listens here learns of that."""
        try:
            with self._lock:
                self._end.sendall(_HEAD.pack(word, len(body)) + body)
        except OSError:
            return

    def heard(self) -> Iterator[tuple[Word, bytes]]:
        """What has come, on an end that does not block. Raises EOFError, after the last message, when the other one is
        gone."""
        ended = False
        while not ended:
            try:
                data = self._end.recv(_READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            ended = not data
            self._unread += data
        yield from self._whole()
        if ended:
            raise EOFError

    def hear(self) -> Iterator[tuple[Word, bytes]]:
        """What comes, on an end that blocks, until the other one is gone."""
        while True:
            try:
                data = self._end.recv(_READ_BYTES)
            except OSError:
                return
            if not data:
                return
            self._unread += data
            yield from self._whole()

    def close(self) -> None:
        """Let the other one know that nobody listens here any more."""
        self._end.close()

    def _whole(self) -> Iterator[tuple[Word, bytes]]:
        while len(self._unread) >= _HEAD.size:
            word, size = _HEAD.unpack_from(self._unread)
            end = _HEAD.size + size
            if len(self._unread) < end:
                return
            body = bytes(self._unread[_HEAD.size : end])
            del self._unread[:end]
            yield Word(word), body
