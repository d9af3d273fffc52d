"""File systems that lose power: ext4 in an image of its own, mounted by a loop device, shut down in the middle of work.

`FileSystem.cut` is ext4's own shutdown: from that moment on nothing reaches the image, not even the journal, and every
call on it fails. What was not synced is gone with the next mount, which replays the journal as it would after a power
cut. The journal is not written by itself before: `commit=1000` seconds, and nobody else uses the file system.

Databases and packs lie on two of them. On one, a sync of the database would commit the folders of the packs with it,
and a missing sync of those could not be seen.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = struct.pack("I", 2)
TOOLS = ("mkfs.ext4", "mount", "umount", "losetup")
SEARCHED = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
BLOB_BYTES, DATABASE_BYTES = 2 * 2**30, 2**30  # sparse: they take what is written to them
BUSY_SECONDS = 60.0


class CannotCutPower(Exception):
    """This machine does not let the test make a file system and shut it down; the message is one line that says why."""


class FileSystem:
    """An ext4 of `size` bytes at `path`, made and mounted by `make`, unmounted and forgotten by `free`."""

    def __init__(self, folder: Path, name: str, *, size: int) -> None:
        self.path = folder / name
        self._image = folder / f"{name}.img"
        self._size = size
        self._mounted = False

    def make(self) -> None:
        """An empty one, mounted. Raises `CannotCutPower`."""
        self.path.mkdir(exist_ok=True)
        with self._image.open("wb") as image:
            image.truncate(self._size)
        run("mkfs.ext4", "-q", "-F", "-m", "0", str(self._image))
        self.mount()

    def mount(self) -> None:
        """Mount it, which replays the journal where it was cut. Raises `CannotCutPower`."""
        assert not self._mounted, f"{self.path} is mounted"
        # Inode tables are not filled in the background: it would be the one thing that writes besides the server.
        run("mount", "-t", "ext4", "-o", "loop,commit=1000,noinit_itable", str(self._image), str(self.path))
        self._mounted = True

    def cut(self) -> None:
        """From now on nothing is written any more. Raises `CannotCutPower` where the kernel does not know how."""
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(folder, FS_IOC_SHUTDOWN, NO_LOG_FLUSH)
        except OSError as error:
            raise CannotCutPower(f"FS_IOC_SHUTDOWN of ext4: {error.strerror}") from error
        finally:
            os.close(folder)

    def turn_read_only(self) -> None:
        """What ext4 does of itself when it finds that it is damaged: from now on it can be read, and that is all."""
        run("mount", "-o", "remount,abort", str(self.path))

    def unmount(self) -> None:
        """Unmount it, as soon as the processes that were killed are gone. Whatever is dirty and not cut is written."""
        deadline = time.monotonic() + BUSY_SECONDS
        while self._mounted:
            try:
                run("umount", str(self.path))
            except CannotCutPower:
                if time.monotonic() > deadline:
                    run("umount", "--lazy", str(self.path))  # nothing of it stays once its last file is closed
                    self._mounted = False
                    raise
                time.sleep(0.02)
            else:
                self._mounted = False

    def free(self) -> None:
        """Give back the mount, the loop device and the image."""
        try:
            self.unmount()
            # The device goes with the mount. One that does not would keep the image for ever.
            for line in run("losetup", "--associated", str(self._image)).splitlines():
                run("losetup", "--detach", line.partition(":")[0])
        finally:
            self._image.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Disks:
    """The two file systems, and a folder of the machine that the test runs on."""

    blobs: FileSystem
    database: FileSystem
    outside: Path

    def make(self) -> None:
        """Both anew and empty, whatever was on them."""
        for disk in (self.blobs, self.database):
            disk.free()
            disk.make()

    def unmount(self) -> None:
        """Both."""
        self.blobs.unmount()
        self.database.unmount()

    def mount(self) -> None:
        """Both."""
        self.blobs.mount()
        self.database.mount()


@contextmanager
def disks() -> Iterator[Disks]:
    """Two file systems in a temporary folder, not made yet; given back whatever happens. Raises `CannotCutPower`."""
    folder = Path(tempfile.mkdtemp(prefix="registry-power-"))
    folder.chmod(0o711)  # the user that runs PostgreSQL passes through
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        blobs = FileSystem(folder, "blobs", size=BLOB_BYTES)
        stack.callback(blobs.free)
        database = FileSystem(folder, "database", size=DATABASE_BYTES)
        stack.callback(database.free)
        outside = folder / "outside"
        outside.mkdir(mode=0o755)
        yield Disks(blobs, database, outside)


def obstacle() -> str | None:
    """What keeps this machine from cutting power, in one line; None when it does: it was tried just now.

    Raises AssertionError when a cut keeps what it must lose, or loses what it must keep.
    """
    if missing := missing_tools():
        return f"not installed: {', '.join(missing)} (packages e2fsprogs and mount)"
    if os.geteuid() != 0:
        return "only root may mount a file system"
    try:
        with disks() as found:
            disk = found.blobs
            disk.make()
            for name in ("synced", "forgotten"):
                with (disk.path / name).open("wb") as file:
                    file.write(b"bytes")
                    file.flush()
                    if name == "synced":
                        os.fsync(file.fileno())
            disk.cut()
            disk.unmount()
            disk.mount()
            assert (disk.path / "synced").read_bytes() == b"bytes", "a cut loses what was synced"
            assert not (disk.path / "forgotten").exists(), "a cut keeps what was not synced"
    except CannotCutPower as why:
        return str(why)
    return None


def missing_tools() -> list[str]:
    """The programs of the rig that are not installed."""
    return [tool for tool in TOOLS if shutil.which(tool, path=SEARCHED) is None]


def run(tool: str, *arguments: str) -> str:
    """What the tool prints. Raises `CannotCutPower` with what it complains about."""
    program = shutil.which(tool, path=SEARCHED)
    if program is None:
        raise CannotCutPower(f"{tool} is not installed")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise CannotCutPower(" ".join(f"{tool}: {done.stderr or done.returncode}".split()))
    return done.stdout
