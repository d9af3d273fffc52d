"""One of several processes that serve together: what the supervisor starts, and listens to."""

from __future__ import annotations

import faulthandler
import logging
import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import replace
from queue import SimpleQueue
from typing import Final

from server.app import join_server, open_server
from server.exits import EX_SOFTWARE, TOLD, told
from server.memory import keep_freed_blocks
from server.processes.control import BEAT_SECONDS, Assignment, Failure, Line, Prepared, Word, decoded, encoded
from server.processes.leaving import end, leave
from server.processes.signals import RELOADING, Signals
from server.serving import Server
from server.settings import Settings, read_settings
from server.telemetry.audit import start_audit
from server.telemetry.logs import start_logging
from server.telemetry.metrics import exposition

log = logging.getLogger("server.worker")

# Beside the supervisor's words: this process alone is to end, others serve on.
_LEAVE: Final = "leave"


def work(number: str, descriptor: str, flags: Sequence[str]) -> int:
    """Serve as the worker of this number, whose end of the line is this descriptor, until asked to end: the exit code.

    What keeps it from serving is told to the supervisor, which tells the operator.
    """
    signals = Signals()
    faulthandler.enable()
    line = Line(socket.socket(fileno=int(descriptor)))
    threading.Thread(target=_beat, args=(line,), name="heartbeat", daemon=True).start()
    try:
        settings = read_settings(flags)
        start_logging(settings.log_level, worker=int(number))
        start_audit(settings.audit, worker=int(number))
        keep_freed_blocks()
        _serve(settings, _Orders(line, signals), line)
    except TOLD as error:
        text, code = told(error)
        line.say(Word.FAILED, encoded(Failure(text, code)))
        return code
    return leave()


class _Orders:
    """What this process is asked for, by its supervisor and by signals, in one queue."""

    def __init__(self, line: Line, signals: Signals) -> None:
        self.queue: SimpleQueue[Word | str] = SimpleQueue()
        self.started: SimpleQueue[Assignment | None] = SimpleQueue()
        self._hurries = threading.Event()
        self._measuring = threading.Event()
        self._line = line
        self._signals = signals
        threading.Thread(target=self._measure, name="metrics", daemon=True).start()
        threading.Thread(target=self._listen, name="control", daemon=True).start()
        threading.Thread(target=self._await_signals, name="signals", daemon=True).start()

    def in_a_hurry(self) -> bool:
        """Whether the grace is over before its time."""
        return self._hurries.is_set()

    def _listen(self) -> None:
        for word, body in self._line.hear():
            match word:
                case Word.START:
                    self.started.put(decoded(Assignment, body))
                case Word.HURRY:
                    self._hurries.set()
                case Word.MEASURE:
                    self._measuring.set()
                case Word.DRAIN:
                    self.started.put(None)
                    self.queue.put(word)
                case _:
                    self.queue.put(word)
        # Nobody would replace it, end it, or keep the address for it: whoever starts the server anew needs that.
        self.started.put(None)
        self.queue.put(_LEAVE)

    def _measure(self) -> None:
        # Not where orders are heard: a disk that does not answer would keep this process from being ended.
        while self._measuring.wait():
            self._measuring.clear()
            try:
                figures = exposition()
            except Exception:
                log.exception("metrics cannot be told")
                figures = b""
            self._line.say(Word.METRICS, figures)

    def _await_signals(self) -> None:
        asked = False
        while True:
            if self._signals.wait() == RELOADING:
                self.queue.put(Word.RELOAD)
            elif asked:
                self._hurries.set()
            else:
                asked = True
                self.started.put(None)
                self.queue.put(_LEAVE)


def _serve(settings: Settings, orders: _Orders, line: Line) -> None:
    assignment = orders.started.get()
    if assignment is None:
        return
    settings = replace(settings, listen=assignment.listen)
    server = open_server(settings, shares_port=True) if assignment.prepare else join_server(settings)
    try:
        line.say(Word.PREPARED, encoded(Prepared(server.made_operator_token)))
        server.on_stuck = lambda: orders.queue.put(Word.STUCK)
        server.on_dead = lambda: leave(EX_SOFTWARE)
        server.start()
    except BaseException:
        server.close()
        raise
    log.info("serving", extra={"fields": {"address": server.address, "pid": os.getpid()}})
    line.say(Word.READY)
    word = _last_order(server, orders, line)
    end(server, grace_seconds=settings.drain_seconds, hurry=orders.in_a_hurry, hand_over=word != Word.DRAIN)


def _last_order(server: Server, orders: _Orders, line: Line) -> Word | str:
    """Do what is asked for until it is to end: that order."""
    while True:
        word = orders.queue.get()
        if word == Word.RELOAD:
            server.reload()
            continue
        if word == Word.STUCK:
            line.say(Word.STUCK)
        return word


def _beat(line: Line) -> None:
    waiting = threading.Event()
    while not waiting.wait(BEAT_SECONDS):
        line.say(Word.BEAT)
