"""What the server does by itself now and then: remove what was deleted, and what has expired."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from server.telemetry.metrics import JOB_CHANGES, JOB_DONE_TIMESTAMP, JOB_FAILURES, JOB_SECONDS

log = logging.getLogger("server.housekeeping")

EVERY_SECONDS: Final = 3600.0
# Soon after the start, because a server that was killed may have left half a drain behind.
FIRST_SECONDS: Final = 5.0

Job = Callable[[], object]


class Housekeeping:
    """Runs jobs one after another on a thread of its own, every hour.

    A job works in short writes and can be cut at any point: what is left is done the next time, by any server. One
    that fails is logged and stops no other.
    """

    def __init__(self, jobs: Mapping[str, Job], *, first_seconds: float = FIRST_SECONDS) -> None:
        self._jobs = dict(jobs)
        for name in self._jobs:
            JOB_FAILURES.labels(name)  # shown as 0: an increase is seen from the first failure on
        self._first_seconds = first_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, *, seconds: float) -> None:
        """Begin no further job, and wait this long for the running one."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def run_once(self) -> None:
        """All jobs, now, on this thread."""
        for name, job in self._jobs.items():
            if self._stopped.is_set():
                return
            started = time.monotonic()
            try:
                done = job()
            except Exception:
                JOB_FAILURES.labels(name).inc()
                log.exception("a job of housekeeping failed", extra={"fields": {"job": name}})
            else:
                JOB_DONE_TIMESTAMP.labels(name).set_to_current_time()
                if isinstance(done, int):
                    JOB_CHANGES.labels(name).inc(done)
                seconds = round(time.monotonic() - started, 3)
                fields = {"job": name, "done": done, "seconds": seconds}
                log.log(logging.INFO if done else logging.DEBUG, "housekeeping", extra={"fields": fields})
            finally:
                JOB_SECONDS.labels(name).observe(time.monotonic() - started)

    def _run(self) -> None:
        wait = self._first_seconds
        while not self._stopped.wait(wait):
            self.run_once()
            # Servers of one database started together do not stay in step.
            wait = EVERY_SECONDS * random.uniform(0.9, 1.1)  # noqa: S311 - no secret
