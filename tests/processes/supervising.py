"""Running the program that supervises as a test wants it, and reading what it and its workers said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from server.processes.child import Patience
from tests.server_process import own_port

HERE = Path(__file__).parent
WAIT = 60.0
QUICK = Patience(first_pause=0.05, longest_pause=0.4, settled=60.0, silence=30.0, last_words=0.5, end=30.0)


class Supervised:
    """The program, its output, and its workers' lives."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], log: Path) -> None:
        self.folder = folder
        self.process = process
        self._log = log

    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def lines(self, **having: object) -> list[dict[str, Any]]:
        """What was said as JSON and has these values.

        The stacks of a worker that is ended are written in pieces, between which others write their lines.
        """
        found = []
        for text in self.output().splitlines(keepends=True):
            with suppress(ValueError):
                line = json.loads(text[text.index("{") :])
                if text.endswith("\n") and all(line.get(name) == value for name, value in having.items()):
                    found.append(line)
        return found

    def wait_for(self, count: int = 1, **having: object) -> list[dict[str, Any]]:
        """Wait until so many lines have these values."""
        found: list[dict[str, Any]] = until(
            lambda: lines if len(lines := self.lines(**having)) >= count else None, self.output
        )
        return found

    @property
    def outcome(self) -> dict[str, Any]:
        """What the supervisor knew in the end."""
        [line] = [line for line in self.lines() if "restarts" in line]
        return line

    def pids(self, number: int) -> list[int]:
        """The processes that were the worker of this number, the first one first."""
        texts = [path.read_text() for path in sorted(self.folder.glob(f"life-{number}-*"))]
        return [int(text) for text in texts if text]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return self.process.wait(WAIT)


def until(look: Callable[[], Any], told: Callable[[], str] = str) -> Any:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + WAIT
    while not (found := look()):
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)
    return found


@contextmanager
def supervised(
    folder: Path,
    *,
    workers: int = 2,
    lives: Mapping[str, Sequence[str]] | None = None,
    patience: Patience = QUICK,
    worker: str = "fake_worker.py",
    flags: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
) -> Iterator[Supervised]:
    """The program, killed at the end with all of its workers."""
    folder.mkdir(exist_ok=True)
    log = folder / "log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RELEASES_", "RELCTL_"))}
    environment = {
        **clean,
        "PYTHONPATH": str(HERE.parents[1]),
        "RELEASES_DATA": str(folder / "data"),
        "RELEASES_DATABASE": "postgresql://nobody@127.0.0.1:1/none",
        "RELEASES_LISTEN": f"127.0.0.1:{own_port()}",
        "RELEASES_WORKERS": str(workers),
        "RELCTL_FAKE": json.dumps(lives or {}),
        **(settings or {}),
    }
    command = [sys.executable, str(HERE / "supervised.py"), str(HERE / worker), json.dumps(asdict(patience)), *flags]
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=output, stderr=output)
    try:
        yield Supervised(folder, process, log)
    finally:
        process.kill()
        process.wait()
        for path in folder.glob("life-*"):
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(path.read_text()), signal.SIGKILL)
