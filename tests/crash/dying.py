"""A real server that dies at a crash point, or whose disk fails, as a test tells it."""

from __future__ import annotations

import json
import signal
import sys
import time
import uuid
from collections.abc import Mapping
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

from tests.server_process import ServerProcess

PROGRAM = Path(__file__).with_name("dying_server.py")


class DyingServer(ServerProcess):
    """`tests/crash/dying_server.py` as a process; what it is told is forgotten when it ends."""

    def __init__(
        self, folder: Path, *, database: str | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._name = f"dying-server-{uuid.uuid4()}"
        program = (sys.executable, str(PROGRAM), self._name)
        super().__init__(folder, database=database, environment=environment, program=program)

    def kill_at(self, point: str, nth: int = 1) -> None:
        """kill -9 at the nth pass of the point from now on."""
        self._told("at", point, nth, "signal", int(signal.SIGKILL))

    def stop_at(self, point: str) -> None:
        """SIGSTOP at the next pass of the point: the process stands still until it gets SIGCONT."""
        self._told("at", point, 1, "signal", int(signal.SIGSTOP))

    def fail(self, call: str, place: str, number: int, *, times: int = 1) -> None:
        """Have the next calls of os.`call` fail with this error number on files whose path contains `place`."""
        self._told("fail", call, place, number, times)

    def fail_database(self, call: str, *, times: int = 1) -> None:
        """Have the next calls of SQLite's `call` (xSync, xWrite) fail; none with 0 `times`."""
        self._told("database", call, times)

    def fail_database_at(self, point: str, call: str) -> None:
        """The same for one call, from the next pass of the point on."""
        self._told("at", point, 1, "database", call, 1)

    def tidy(self) -> None:
        """Run the jobs of housekeeping once. Raises EOFError or ConnectionError when the server dies meanwhile."""
        self._told("tidy")

    def passed(self) -> dict[str, int]:
        """How often which points were passed since the start."""
        answer: dict[str, int] = self._told("passed")
        return answer

    def _told(self, *words: Any) -> Any:
        with Client(f"\0{self._name}", family="AF_UNIX") as connection:
            connection.send_bytes(json.dumps(words).encode())
            return json.loads(connection.recv_bytes())


def is_stopped(pid: int) -> bool:
    """Whether the process stands still after SIGSTOP."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def wait_until_stopped(server: DyingServer, *, seconds: float = 60.0) -> None:
    """Return when the server has stopped itself."""
    deadline = time.monotonic() + seconds
    while not is_stopped(server.pid):
        assert time.monotonic() < deadline, f"the server did not stop itself:\n{server.output()[-2000:]}"
        time.sleep(0.01)
