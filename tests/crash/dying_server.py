"""A program around `release-server`: the real server, which dies where it is told to.

    python dying_server.py NAME serve

What it is told comes over connections to an abstract socket of this name, one JSON list each, answered when it is
done:

    ["at", POINT, NTH, ...]                does the rest at the nth pass of a crash point from now on
    ["signal", NUMBER]                     sends the process this signal
    ["fail", CALL, PLACE, NUMBER, TIMES]   has so many calls of os.CALL fail on files whose path contains PLACE
    ["database", CALL, TIMES]              has so many calls of SQLite's xSync or xWrite fail; 0: none any more
    ["tidy"]                               runs the jobs of housekeeping once; by themselves they never run
    ["passed"]                             answers how often which points were passed

Beside that it differs from the server in sizes and times only, so that a few megabytes pass every point and a test
need not wait: groups of chunks, the grace time, the leases, when what is deleted may be forgotten, how long sessions
are kept, and how often they are looked at for releases.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

import apsw

import server.app
import server.discovery
import server.jobs
import server.serving
import store.blobs.writing
import store.health.discovery
import store.health.sought
import store.leases
import store.organizations.drain
from server.__main__ import main
from server.housekeeping import Housekeeping
from server.settings import Settings
from store.blobs.blobs import Blobs
from store.blobs.collector import Collector
from store.crashpoints import at_crashpoints
from store.database import Database
from store.health import upkeep
from store.health.items import SessionLimits

GROUP_BYTES = 2**20
GRACE_SECONDS = 0.001
LEASE_US = 2_000_000
SOUGHT_US = 100_000
KEPT = SessionLimits(session_days=5, hour_days=10, days=20)
FAILURES = {"xSync": apsw.IOError, "xWrite": apsw.FullError}


class Points:
    """What happens at crash points."""

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._armed: tuple[str, int] | None = None
        self._act: Callable[[], object] = lambda: None

    def arm(self, name: str, nth: int, act: Callable[[], object]) -> None:
        """Do this at the nth pass from now on."""
        with self._lock:
            self._armed, self._act = (name, self.passed[name] + nth), act

    def __call__(self, name: str) -> None:
        with self._lock:
            self.passed[name] += 1
            if self._armed == (name, self.passed[name]):
                self._act()


class Calls:
    """Calls of the system that fail."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[str, int, int]] = {}
        for name in ("fsync", "pwrite", "rename", "unlink"):
            setattr(os, name, self._failing(name, getattr(os, name)))

    def fail(self, name: str, place: str, number: int, times: int) -> None:
        """Have so many calls fail on files whose path contains `place`."""
        self._left[name] = (place, number, times)

    def _failing(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Any, *args: Any, **options: Any) -> Any:
            place, number, times = self._left.get(name, ("", 0, 0))
            path = Path(f"/proc/self/fd/{target}").readlink() if isinstance(target, int) and times else target
            if times and place in str(path):
                self._left[name] = (place, number, times - 1)
                raise OSError(number, os.strerror(number))
            return real(target, *args, **options)

        return call


class Disk(apsw.VFS):
    """SQLite's disk, whose calls can be made to fail; the bytes of a failed sync are written all the same."""

    def __init__(self) -> None:
        self.left: Counter[str] = Counter()
        super().__init__("dying", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> DiskFile:  # noqa: N802
        return DiskFile(self, name, flags)

    def call(self, name: str) -> None:
        """Raises when this call is to fail."""
        if self.left[name] > 0:
            self.left[name] -= 1
            raise FAILURES[name](f"{name} failed")


class DiskFile(apsw.VFSFile):
    """A file of that disk."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.call("xSync")
        super().xSync(flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.call("xWrite")
        super().xWrite(data, offset)


class TidyWhenTold(Housekeeping):
    """Housekeeping that does nothing by itself."""

    here: TidyWhenTold | None = None

    def start(self) -> None:
        TidyWhenTold.here = self


class Orders:
    """Does what is told."""

    def __init__(self) -> None:
        self._points, self._calls, self._disk = Points(), Calls(), Disk()
        at_crashpoints(self._points)

    def listen(self, name: str) -> None:
        """One connection after another."""
        with Listener(f"\0{name}", family="AF_UNIX") as listener:
            while True:
                with listener.accept() as connection:
                    answer = self._carried_out(json.loads(connection.recv_bytes()))
                    connection.send_bytes(json.dumps(answer).encode())

    def _carried_out(self, order: list[Any]) -> Any:
        match order:
            case ["at", name, nth, *rest]:
                self._points.arm(name, nth, partial(self._carried_out, rest))
            case ["signal", number]:
                os.kill(os.getpid(), number)
            case ["fail", name, place, number, times]:
                self._calls.fail(name, place, number, times)
            case ["database", name, times]:
                self._disk.left[name] = times
            case ["tidy"]:
                assert TidyWhenTold.here is not None, "the server has not started"
                TidyWhenTold.here.run_once()
            case ["passed"]:
                return self._points.passed
        return None


def collector(_: Settings, db: Database, blobs: Blobs) -> Collector:
    """The server's, with hardly any grace time."""
    return Collector(db, blobs.packs, grace_seconds=GRACE_SECONDS)


def kept_up(db: Database, _: SessionLimits, *, stopped: Callable[[], bool]) -> upkeep.KeptUp:
    """The server's, of a month that is told of."""
    return upkeep.keep_up(db, KEPT, stopped=stopped)


def run() -> None:
    """Hang everything in, and be the server."""
    name, *words = sys.argv[1:]
    # The server waits for these on its main thread; threads that are made before it does must not get them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    vars(store.blobs.writing).update(GROUP_BYTES=GROUP_BYTES, GROUP_SECONDS=3600.0)
    vars(store.leases).update(HOLD_US=LEASE_US)
    vars(store.organizations.drain).update(SETTLED_US=0)
    vars(store.health.sought).update(EVERY_US=SOUGHT_US)
    vars(store.health.discovery).update(EVERY_US=SOUGHT_US)
    vars(server.discovery).update(TICK_SECONDS=0.05)
    vars(server.serving).update(Housekeeping=TidyWhenTold)
    vars(server.app).update(settings_collector=collector)
    vars(server.jobs).update(keep_up=kept_up)
    threading.Thread(target=Orders().listen, args=(name,), daemon=True).start()
    main(words)


if __name__ == "__main__":
    # Run by its path: the folder it lies in is none of modules.
    sys.path.remove(str(Path(__file__).parent))
    run()
