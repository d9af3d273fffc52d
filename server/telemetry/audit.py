"""The audit trail: who changed what, a line of JSON for each call that may change something.

To a file that is only appended to, or, without one, into the log, whatever its level. The line is written after the
change and before its answer: a server that dies between the two has changed something that nobody was told of, and
whoever repeats the call has a line. A line is not synced. See behaviour.md, Audit trail.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from server.telemetry.logs import JsonFormatter
from server.telemetry.metrics import AUDIT_DROPPED_LINES, AUDIT_LINES
from store.database.failures import CannotOpen

log = logging.getLogger("server.audit")

CHANGE: Final = "change"
"""A call that may change something ended, well or not."""
AUTHENTICATION: Final = "authentication failed"
"""A call came without a good credential."""
COMMAND: Final = "command"
"""The operator changed or copied something by a command on the server's machine."""

FAILURES_A_SECOND: Final = 10
"""Of calls without a good credential so many a second have a line; the next line says how many had none."""
TOLD_SECONDS: Final = 60.0
_FILE_MODE: Final = 0o600

_trail: Final = logging.getLogger("audit")
_trail.setLevel(logging.INFO)  # its own, so that no level of the log keeps a line back


def write_audit(kind: str, fields: dict[str, Any]) -> None:
    """Write a line. Raises nothing."""
    AUDIT_LINES.labels(kind).inc()
    _trail.info(kind, extra={"fields": fields})


@contextmanager
def audited_command(path: Path | None, command: str) -> Iterator[dict[str, Any]]:
    """Write a line of a command of `release-server` when the block has ended, well or not, with what it has put into
    the fields. Raises CannotOpen before anything is done.

    Only where the trail has a file: else it would come out on somebody's terminal.
    """
    fields: dict[str, Any] = {"command": command, "uid": os.getuid(), "outcome": "failed"}
    if path is None:
        yield fields
        return
    start_audit(path)
    try:
        yield fields
        fields["outcome"] = "done"
    finally:
        write_audit(COMMAND, fields)


class FailureQuota:
    """Bounds the lines that callers without a credential can have written. For several threads."""

    def __init__(self, most: int = FAILURES_A_SECOND) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._second = 0
        self._count = self._omitted = 0

    def take(self, now: float) -> int | None:
        """None when this one is to be left out; else how many were before it, since the last one that was not."""
        with self._lock:
            if int(now) != self._second:
                self._second, self._count = int(now), 0
            if self._count >= self._most:
                self._omitted += 1
                return None
            self._count += 1
            omitted, self._omitted = self._omitted, 0
            return omitted


class AuditFile(logging.Handler):
    """Appends lines to a file, each in one write, so that several processes may share it. Raises CannotOpen."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._torn = False
        self._told = -TOLD_SECONDS
        self._fd = self._opened()

    def reopen(self) -> None:
        """Go on in the file that is at the path now: the old one was moved away. Else in the old one."""
        try:
            fd = self._opened()
        except CannotOpen as error:
            log.error("%s", error)
            return
        with self._guarded():
            fd, self._fd = self._fd, fd
            self._torn = False
        os.close(fd)

    def emit(self, record: logging.LogRecord) -> None:
        """Append it; what cannot be written is counted, and told in the log once a minute."""
        try:
            line = b"\n" * self._torn + f"{self.format(record)}\n".encode()
            written = os.write(self._fd, line)
            # The rest would fail as well: a short write to a file is what a full disk leaves.
            self._torn = written < len(line)
            if not self._torn:
                return
            why = "the disk is full"
        except OSError as error:
            why = error.strerror or "I/O error"
        except Exception as error:  # noqa: BLE001 - whatever it is, the call has happened
            why = type(error).__name__
        AUDIT_DROPPED_LINES.inc()
        if time.monotonic() - self._told >= TOLD_SECONDS:
            self._told = time.monotonic()
            log.error("the audit trail cannot be written", extra={"fields": {"file": str(self._path), "why": why}})

    def close(self) -> None:
        """Close the file."""
        with self._guarded():
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
        super().close()

    def _guarded(self) -> threading.RLock:
        assert self.lock is not None, "every handler has one"
        return self.lock

    def _opened(self) -> int:
        try:
            return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        except OSError as error:
            raise CannotOpen(f"The audit trail cannot be written to {self._path}: {error.strerror}.") from error


def start_audit(path: Path | None, *, worker: int | None = None) -> None:
    """Write the trail to this file from now on, or, for None, into the log. Raises CannotOpen."""
    for handler in _trail.handlers[:]:
        _trail.removeHandler(handler)
        handler.close()
    _trail.propagate = path is None
    if path is not None:
        file = AuditFile(path)
        file.setFormatter(JsonFormatter(worker))
        _trail.addHandler(file)


def reopen_audit() -> None:
    """Go on in a new file where the old one was moved away."""
    for handler in _trail.handlers:
        if isinstance(handler, AuditFile):
            handler.reopen()
