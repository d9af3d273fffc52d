"""A worker, as its supervisor sees it: its process, the line to it, and when it is to be replaced."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.processes.control import Failure, Line, Prepared, Word, decoded

log = logging.getLogger("server.supervisor")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a supervisor waits for what, in seconds."""

    first_pause: float = 0.1
    """Before a worker that ended by itself is started again; each time twice as long."""
    longest_pause: float = 30.0
    settled: float = 60.0
    """A worker that lived so long is started again as if it were the first time."""
    silence: float = 60.0
    """A worker that said nothing for so long does not live any more."""
    last_words: float = 2.0
    """For it to log its stacks, before it is killed."""
    late: float = 5.0
    """A supervisor that looks so late was stopped itself, and knows nothing of the time between."""
    end: float = 20.0
    """Beyond the grace, for a worker to end that was asked to."""


class Child:
    """One worker's place: the process that fills it now, and what is known of those before.

    `command` starts it, but for the number, the line and the flags. `serves` tells whether it takes calls, `assigned`
    whether it was told to begin, `failure` why the last one could not, `restarts` how many ended by themselves, and
    `metrics` what it answered last.
    """

    def __init__(self, number: int, command: Sequence[str], patience: Patience) -> None:
        self.number = number
        self.restarts = 0
        self.serves = False
        self.assigned = False
        self.failure: Failure | None = None
        self.metrics: bytes | None = None
        self.line: Line | None = None
        self._command = tuple(command)
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._started = self._heard = 0.0
        self._pause = patience.first_pause
        self._start_at = 0.0
        self._kill_at: float | None = None

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    @property
    def has_exited(self) -> bool:
        """Whether there is a process that has come to its end."""
        return self._process is not None and self._process.poll() is not None

    def wait_seconds(self, longest: float) -> float:
        """How long there is nothing to do here, as far as is known."""
        return longest if self.runs else min(longest, max(0.0, self._start_at - time.monotonic()))

    def start(self, flags: Sequence[str]) -> Line:
        """Start a process: the line to it. Raises OSError when the system has no room for one."""
        self._start_at = time.monotonic() + self._patience.longest_pause  # if this fails
        ours, its = socket.socketpair()
        try:
            with its:
                # A session of its own: the terminal's Ctrl-C is the supervisor's, who ends its workers in good order.
                self._process = subprocess.Popen(
                    [*self._command, str(self.number), str(its.fileno()), *flags],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(its.fileno(),),
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)
        self.line = Line(ours)
        self.serves = self.assigned = False
        self.failure = None
        self._started = self._heard = time.monotonic()
        self._kill_at = None
        return self.line

    def say(self, word: Word, body: bytes = b"") -> None:
        """Tell the process, if there is one."""
        if self.line is not None:
            self.line.say(word, body)

    def listen(self, on_prepared: Callable[[Prepared], None]) -> bool:
        """Take what it says; False when it says nothing more, because it has ended."""
        assert self.line is not None, "whoever listens has a line"
        self._heard = time.monotonic()
        try:
            for word, body in self.line.heard():
                match word:
                    case Word.PREPARED:
                        on_prepared(decoded(Prepared, body))
                    case Word.READY:
                        self.serves = True
                    case Word.FAILED:
                        self.failure = decoded(Failure, body)
                    case Word.METRICS:
                        self.metrics = body
                    case Word.STUCK:
                        log.error("a worker is stuck: it is replaced", extra=self._fields())
                        self.serves = False
                    case _:
                        pass
        except EOFError:
            self.serves = False
            return False
        return True

    def hang_up(self) -> None:
        """Say and hear nothing more; a process that lives on notices, and ends."""
        if self.line is not None:
            self.line.close()
            self.line = None

    def bury(self, *, asked: bool) -> None:
        """Wait for its end, and empty its place. One that ended without being asked gets a successor."""
        if self._process is None:
            return
        exit_code = self._process.wait()
        lived = time.monotonic() - self._started
        self.hang_up()
        self.serves = False
        if not asked:
            if lived >= self._patience.settled or exit_code == 0:
                self._pause = self._patience.first_pause
            pause = self._pause if exit_code else 0.0  # of 0: it was asked to leave, by a signal of its own
            self._start_at = time.monotonic() + pause
            fields = self._fields(exit_code=exit_code, seconds=round(lived, 1), pause_seconds=pause)
            if self.failure is not None:
                fields["fields"]["reason"] = self.failure.text
            log.log(logging.INFO if exit_code == 0 else logging.ERROR, "a worker ended", extra=fields)
            if exit_code:
                self._pause = min(self._pause * 2, self._patience.longest_pause)
            self.restarts += 1
        self._process = None

    def look_after(self) -> None:
        """Put an end to a process that has been silent for long, once its stacks are in the log."""
        now = time.monotonic()
        if self._process is None:
            return
        if self._kill_at is not None:
            if now >= self._kill_at:
                self.kill()
        elif now - self._heard > self._patience.silence:
            log.error("a worker does not answer: it is replaced", extra=self._fields())
            self.serves = False
            self._process.send_signal(signal.SIGABRT)
            self._kill_at = now + self._patience.last_words

    def forgive(self) -> None:
        """Begin to wait anew: it was us who did not listen."""
        self._heard = time.monotonic()

    def hasten(self) -> None:
        """Start it at once, if it is to be started: what kept it from starting may be mended."""
        self._start_at = 0.0

    def kill(self) -> None:
        """End the process at once, if there is one."""
        if self._process is not None:
            self._process.kill()

    def _fields(self, **fields: object) -> dict[str, dict[str, Any]]:
        pid = {} if self._process is None else {"pid": self._process.pid}
        return {"fields": {"worker": self.number, **pid, **fields}}


def worker_command() -> list[str]:
    """What starts a worker, but for its number, its line and its flags: this program, with this interpreter."""
    import server

    # `-m` puts the working folder before all others, and so whatever lies there: only if this program came from it.
    found = Path(str(server.__file__)).resolve().parents[1] == Path.cwd()
    return [sys.executable, *([] if found else ["-P"]), "-m", "server", "worker"]
