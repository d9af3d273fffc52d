"""Starts the workers, looks after them, and hands on to them what signals ask for. It serves nothing itself."""

from __future__ import annotations

import logging
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from server.exits import WorkersFailed
from server.processes.address import Reservation
from server.processes.child import Child, Patience, worker_command
from server.processes.control import Assignment, Prepared, Word, encoded
from server.processes.signals import ENDING, RELOADING
from server.settings import Settings

log = logging.getLogger("server.supervisor")

LOOK_SECONDS: Final = 0.5
"""Between two looks at what no message tells of."""

NEVER: Final = float("inf")

OnReady = Callable[[str, bool], None]
"""Takes the address, and whether the operator's token was made just now."""


class Supervisor:
    """`run` it on the main thread, once. `flags` are those of the program, which its workers get as well.

    `command` starts a worker, but for its number, its line and the flags.
    """

    def __init__(
        self,
        settings: Settings,
        flags: Sequence[str] = (),
        *,
        command: Sequence[str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.settings = settings
        self._flags = tuple(flags)
        self._patience = patience or Patience()
        command = worker_command() if command is None else command
        self.children = [Child(number, command, self._patience) for number in range(1, settings.workers + 1)]
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        self._listen = settings.listen
        self._prepared: Prepared | None = None
        self._greeted = self._complete = False
        self._end_at = NEVER
        self._hurries = False
        self._measuring = threading.Lock()
        self._asked = threading.Event()
        self._answered = threading.Condition()

    @property
    def running(self) -> int:
        """How many workers serve."""
        return sum(child.serves for child in self.children)

    def run(self, on_ready: OnReady = lambda _address, _made: None) -> int:
        """Serve with all workers until a signal asks to end: the exit code.

        Raises CannotListen, and WorkersFailed when the first start cannot succeed.
        """
        with Reservation(self.settings.listen) as reserved:
            self._listen = reserved.listen
            self._take_signals()
            try:
                self._supervise(on_ready)
            except BaseException:
                self._end_all()
                raise
        log.info("stopped")
        return 0

    def expositions(self, *, seconds: float = 2.0) -> Mapping[int, bytes]:
        """What each worker that answers in time measured, as Prometheus reads it, by its number. For any thread."""
        with self._measuring:
            asked = [child for child in self.children if child.serves]
            with self._answered:
                for child in asked:
                    child.metrics = None
                self._asked.set()
                self._wake()
                self._answered.wait_for(
                    lambda: all(child.metrics is not None or not child.serves for child in asked), seconds
                )
                return {child.number: child.metrics for child in asked if child.metrics is not None}

    def _supervise(self, on_ready: OnReady) -> None:
        looked = time.monotonic()
        while True:
            if time.monotonic() - looked > self._patience.late:
                for child in self.children:
                    child.forgive()
            looked = time.monotonic()
            for child in self.children:
                self._look_at(child)
            if self._ends and not any(child.runs for child in self.children):
                return
            self._assign()
            self._tell(on_ready)
            for key, _ in self._selector.select(min(child.wait_seconds(LOOK_SECONDS) for child in self.children)):
                key.data()
            if self._asked.is_set():
                self._asked.clear()
                for child in self.children:
                    child.say(Word.MEASURE)

    @property
    def _ends(self) -> bool:
        return self._end_at < NEVER

    def _look_at(self, child: Child) -> None:
        """Start its process, or see how it is."""
        if child.has_exited:
            self._hear(child)  # its last words
            self._hang_up(child)
            child.bury(asked=self._ends)
            self._tell_measurer()
            if child.failure is not None and not self._greeted and not self._ends:
                raise WorkersFailed(child.failure.text, child.failure.code)
        elif child.runs:
            child.look_after()
            if time.monotonic() > self._end_at:
                child.kill()
        elif not self._ends and not child.wait_seconds(LOOK_SECONDS):
            self._start(child)

    def _start(self, child: Child) -> None:
        try:
            line = child.start(self._flags)
        except OSError:
            log.exception("a worker cannot be started", extra={"fields": {"worker": child.number}})
            return
        self._selector.register(line, selectors.EVENT_READ, lambda: self._hear(child))

    def _hear(self, child: Child) -> None:
        if child.line is not None and not child.listen(self._on_prepared):
            self._hang_up(child)
        self._tell_measurer()

    def _tell_measurer(self) -> None:
        with self._answered:
            self._answered.notify_all()

    def _hang_up(self, child: Child) -> None:
        if child.line is not None:
            self._selector.unregister(child.line)
            child.hang_up()

    def _on_prepared(self, prepared: Prepared) -> None:
        if self._prepared is None:
            self._prepared = prepared

    def _assign(self) -> None:
        """Let one worker make the database ready, the others meanwhile get so far that they can begin."""
        for child in self.children:
            if not child.runs or child.assigned or self._ends:
                continue
            prepare = self._prepared is None
            if prepare and any(other.runs and other.assigned for other in self.children):
                continue
            child.assigned = True
            child.say(Word.START, encoded(Assignment(self._listen, prepare)))

    def _tell(self, on_ready: OnReady) -> None:
        """Tell when all serve, each time anew; and greet, once, when the first start is over.

        One that dies in a loop must not keep that from being over: the others serve, and what keeps it from starting
        later would end them all.
        """
        if self._ends:
            return
        complete = all(child.serves for child in self.children)
        if complete and not self._complete:
            fields = {"address": self._listen, "workers": len(self.children)}
            log.info("all workers serve", extra={"fields": fields})
        self._complete = complete
        if not self._greeted and self.running and all(child.serves or child.restarts for child in self.children):
            self._greeted = True
            on_ready(self._listen, self._prepared is not None and self._prepared.made_operator_token)

    def _take_signals(self) -> None:
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        # Told by a byte, whichever thread the system hands a signal to; the handlers themselves have nothing to do.
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (*ENDING, RELOADING, signal.SIGCHLD):
            signal.signal(number, lambda _number, _frame: None)
        self._selector.register(self._woken, selectors.EVENT_READ, self._on_signals)

    def _on_signals(self) -> None:
        for number in self._woken.recv(4096):
            if number in ENDING:
                self._on_ending()
            elif number == RELOADING:
                log.info("reloading")
                for child in self.children:
                    child.say(Word.RELOAD)
                    child.hasten()

    def _on_ending(self) -> None:
        now = time.monotonic()
        if not self._ends:
            log.info("draining", extra={"fields": {"workers": self.running}})
            self._end_at = now + self.settings.drain_seconds + self._patience.end
            word = Word.DRAIN
        elif not self._hurries:
            self._hurries = True
            self._end_at = now + self._patience.end
            word = Word.HURRY
        else:
            self._end_at = now
            return
        for child in self.children:
            child.say(word)

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # then it wakes anyway
            self._waker.send(b"\0")

    def _end_all(self) -> None:
        for child in self.children:
            child.kill()
            child.bury(asked=True)
