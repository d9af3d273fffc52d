"""The SQLite file: who may open it, and connections whose settings were answered, not merely asked for."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

import apsw

from store.database.failures import CannotOpen

OLDEST = (3, 51, 3)
BUSY_MS = 5000
WAL_LIMIT_BYTES = 64 * 1024 * 1024
# Frames (of a page each) after which a commit also copies the log into the file, which takes two syncs more. SQLite's
# own 1000 are some thirty new releases; the index of 4062 frames fits into one page, so reading costs the same.
CHECKPOINT_FRAMES = 4000
MOUNTS = Path("/proc/self/mountinfo")
# File locks and shared memory do not work between hosts: two servers would each believe to be alone.
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "fuse.sshfs", "afs"}


def check_library(version: str) -> None:
    """Refuse an SQLite older than 3.51.3: resetting its write-ahead log can lose commits.

    https://sqlite.org/wal.html#walresetbug
    """
    if tuple(int(part) for part in version.split(".")) < OLDEST:
        wanted = ".".join(str(part) for part in OLDEST)
        raise CannotOpen(f"SQLite {version} is too old, {wanted} is needed: install apsw {wanted} or newer.")


class SqliteFile:
    """One database file, held by this process alone until `release`.

    The lock is a file beside it, because SQLite's own locks are lost when anything in the process opens and closes
    the database file by other means. It ends with the process, however that ends.
    """

    def __init__(self, path: str, *, lock_wait_seconds: float = 0.0) -> None:
        check_library(apsw.sqlite_lib_version())
        self.path = Path(path)
        self._log = Path(f"{path}-wal")
        if not self.path.parent.is_dir():
            raise CannotOpen(f"The folder of the database does not exist: {self.path.parent}")
        kind = _file_system(self.path.parent.resolve())
        if kind in NETWORK:
            raise CannotOpen(f"{self.path} lies on a network file system ({kind}): use a local disk, or PostgreSQL.")
        self._lock = self._take_lock(lock_wait_seconds)
        try:
            # Only its owner reads it; SQLite gives -wal and -shm the same mode.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._identity = self._identify()
        except OSError as error:
            self.release()
            raise CannotOpen(f"{self.path} cannot be opened: {os.strerror(error.errno or errno.EIO)}.") from error

    def connect(self, *, query_only: bool = False) -> apsw.Connection:
        """A connection with every setting verified. Raises `CannotOpen`."""
        try:
            connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=512)
            connection.set_busy_timeout(BUSY_MS)
            # Without the stability guarantee, a library built with STAT4 (apsw's is) compiles every join anew each
            # time its parameters change, in case another plan were better: five times what executing it costs.
            # https://sqlite.org/c3ref/c_dbconfig_defensive.html#sqlitedbconfigenableqpsg
            connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
            set_pragma(connection, "journal_mode", "wal", "wal")
            set_pragma(connection, "synchronous", "FULL", 2)
            set_pragma(connection, "wal_autocheckpoint", str(CHECKPOINT_FRAMES), CHECKPOINT_FRAMES)
            set_pragma(connection, "foreign_keys", "ON", 1)
            set_pragma(connection, "temp_store", "MEMORY", 2)
            set_pragma(connection, "journal_size_limit", str(WAL_LIMIT_BYTES), WAL_LIMIT_BYTES)
            if query_only:
                set_pragma(connection, "query_only", "ON", 1)
        except apsw.Error as error:
            why = "it is no SQLite database" if isinstance(error, apsw.NotADBError) else type(error).__name__
            raise CannotOpen(f"{self.path} cannot be opened: {why}.") from error
        return connection

    def is_the_same(self) -> bool:
        """Whether the path still leads to the file that was opened: not deleted, not replaced."""
        try:
            return self._identify() == self._identity
        except OSError:
            return False

    @property
    def wal_bytes(self) -> int:
        """How large the write-ahead log is."""
        try:
            return self._log.stat().st_size
        except OSError:  # there is none, or a disk that is gone: whatever else is asked of it tells
            return 0

    def release(self) -> None:
        """Let another process open the file."""
        os.close(self._lock)

    def _identify(self) -> tuple[int, int]:
        status = self.path.stat()
        return status.st_dev, status.st_ino

    def _take_lock(self, wait_seconds: float) -> int:
        path = f"{self.path}.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CannotOpen(f"{path} cannot be opened: {os.strerror(error.errno or errno.EIO)}.") from error
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except OSError as error:
                if time.monotonic() >= deadline:
                    os.close(descriptor)
                    raise CannotOpen(
                        f"{self.path} is in use by another server process (it holds {path}): "
                        "stop that one first, or use PostgreSQL to run several."
                    ) from error
            time.sleep(0.05)


def set_pragma(connection: apsw.Connection, name: str, value: str, expected: object) -> None:
    """Set a PRAGMA and insist on the answer: a PRAGMA that fails says so by its answer only, not by an error."""
    connection.pragma(name, value)
    answer = connection.pragma(name)
    if answer != expected:
        raise CannotOpen(f"SQLite did not accept PRAGMA {name} = {value}: it answers {answer!r}.")


def _file_system(folder: Path) -> str:
    """The kind of file system that a folder lies on, empty where the system does not tell."""
    try:
        mounts = MOUNTS.read_text().splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    for line in mounts:
        left, _, right = line.partition(" - ")
        point = left.split(" ")[4].encode().decode("unicode_escape")
        if folder.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, right.split(" ")[0]
    return kind
