"""Where the lines of the log go: to a descriptor, by a thread of its own, so that nobody who logs waits for its reader.

A reader that is gone, or slow, or a full disk loses lines, which are counted, and nothing else. See behaviour.md, Logs.
"""

from __future__ import annotations

import atexit
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from server.telemetry.metrics import LOG_DROPPED_LINES

STDERR: Final = 2
MOST_BYTES: Final = 8 * 2**20
"""So much waits for its reader at most; what comes then is dropped."""
BATCH_BYTES: Final = 64 * 2**10
EXIT_SECONDS: Final = 2.0


class LineSink:
    """Takes lines and has them written, in their order. Nothing here waits or raises but `flush`, which waits.

    `tell_dropped` makes the line that says how many lines are missing before it.
    """

    def __init__(
        self, fd: int = STDERR, *, most_bytes: int = MOST_BYTES, tell_dropped: Callable[[int], bytes] | None = None
    ) -> None:
        self._fd = fd
        self._most_bytes = most_bytes
        self._tell_dropped = tell_dropped
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._writing = False
        self._untold = 0
        self._torn = False
        # Reentrant: what is collected as garbage while it is held may log, too.
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None

    def put(self, line: bytes) -> None:
        """Have the line, which ends in a line feed, written; or drop it when too much waits already."""
        with self._changed:
            if self._bytes + len(line) > self._most_bytes:
                self._drop(1)
                return
            self._lines.append(line)
            self._bytes += len(line)
            if self._thread is None:
                self._start()
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until all is written, so long at most; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lines and not self._writing, seconds)

    def _start(self) -> None:
        # Set first: what is collected as garbage meanwhile, and logs, must not start another one.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        try:
            self._thread.start()
        except (RuntimeError, MemoryError):  # no room for a thread: the next line tries again
            self._thread = None
        else:
            atexit.register(self.flush, EXIT_SECONDS)

    def _drop(self, count: int) -> None:
        self._untold += count
        LOG_DROPPED_LINES.inc(count)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._lines)
                self._writing = True
                batch = self._batch()
            self._write(batch)

    def _batch(self) -> list[bytes]:
        batch, size = [], 0
        if self._untold and self._tell_dropped is not None:
            batch.append(self._tell_dropped(self._untold))
        self._untold = 0
        while self._lines and (not batch or size + len(self._lines[0]) <= BATCH_BYTES):
            line = self._lines.popleft()
            batch.append(line)
            size += len(line)
        self._bytes -= size
        return batch

    def _write(self, batch: list[bytes]) -> None:
        data = b"\n" * self._torn + b"".join(batch)
        written = 0
        try:
            while written < len(data):
                try:
                    written += os.write(self._fd, memoryview(data)[written:])
                except BlockingIOError:  # whoever gave us the descriptor does not want to wait for it
                    self._wait()
            self._torn = False
        except OSError:
            kept = data[:written]
            self._torn = bool(kept) and not kept.endswith(b"\n")
            with self._changed:
                self._drop(data.count(b"\n") - kept.count(b"\n"))

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        if not poll.poll(1000):
            time.sleep(0.01)


class SinkHandler(logging.Handler):
    """Formats records, and hands them to a sink. It neither waits nor raises."""

    def __init__(self, sink: LineSink) -> None:
        super().__init__()
        self.sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        """Have it written; a record that cannot be formatted counts as dropped."""
        try:
            self.sink.put(f"{self.format(record)}\n".encode())
        except Exception:  # noqa: BLE001 - whatever it is, a log line is not worth a call
            LOG_DROPPED_LINES.inc()

    def flush(self) -> None:
        """Nothing: at exit the sink flushes itself, and nobody else has to wait."""
