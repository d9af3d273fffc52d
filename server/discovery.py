"""Creates the releases that only sessions know, behind the back of the calls that would show them."""

from __future__ import annotations

import logging
import threading
from typing import Final

from server.telemetry.metrics import DISCOVERY_FAILURES
from store.database import Database
from store.errors import RegistryError
from store.health.discovery import discover, named_projects_with_sessions
from store.health.sought import Sought

log = logging.getLogger("server.discovery")

# What is put off comes due by itself: looked for so often while something is.
TICK_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 60.0


class Discovery:
    """Looks at the projects that calls tell of, one after another, on a thread of its own.

    A failure is logged, and what was to be looked at is dropped: the next call that shows a project tells of it again.
    """

    def __init__(self, db: Database, sought: Sought) -> None:
        self._db = db
        self._sought = sought
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="discovery", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, *, seconds: float) -> None:
        """Begin no further write, and wait this long for the running one."""
        self._stopped.set()
        self._sought.wake()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def run_once(self) -> None:
        """Look at all that is to be looked at now, on this thread."""
        ids: set[bytes] = set()
        for key in self._sought.take():
            if isinstance(key, bytes):
                ids.add(key)
                continue
            slug, project = key
            named = named_projects_with_sessions(self._db, slug, () if project is None else (project,))
            ids.update(filter(self._sought.is_fresh, named))
        if not ids:
            return
        done = discover(self._db, ids, stopped=self._stopped.is_set)
        for project_id, wait_us in done.waiting.items():
            self._sought.put_off(project_id, wait_us)
        fields = {"projects": len(ids), "created": done.created, "linked": done.linked, "skipped": done.skipped}
        log.log(
            logging.INFO if done.created or done.linked else logging.DEBUG,
            "releases of sessions",
            extra={"fields": fields},
        )

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.run_once()
            except RegistryError as error:
                DISCOVERY_FAILURES.inc()
                log.warning("projects were not looked at", extra={"fields": {"reason": error.reason}})
            except Exception:
                DISCOVERY_FAILURES.inc()
                log.exception("projects were not looked at")
            self._sought.wait(IDLE_SECONDS if self._sought.is_empty else TICK_SECONDS)
