"""Writing packs in a local folder, past the page cache where the file system takes that."""

from __future__ import annotations

import errno
import fcntl
import logging
import mmap
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final, Protocol

from store.blobs.packs import GrownPack, PackSink, Place
from store.crashpoints import crashpoint
from store.database.ids import new_id
from store.metrics import BLOB_SYNC, BLOB_WRITE

log = logging.getLogger(__name__)

STAGE_BYTES: Final = 2**20
"""What is written at once: past the page cache where the file system takes that. A third of the processor time of
writing through it, no cache full of what nobody reads, and a sync at the end that finds nothing to do."""

PAGE_BYTES: Final = 4096
"""Where the writing goes on after a sync: writing past the page cache begins at such places only."""

_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECT = getattr(os, "O_DIRECT", 0)  # Linux; elsewhere the page cache will do
_FILE_MODE = 0o600


class Folder(Protocol):
    """What a sink needs of the folder that it writes to."""

    def writing(self, *, promised: bool = True) -> AbstractContextManager[None]:
        """Turns what a failed system call means into an error of the registry."""

    def synced(self) -> None:
        """Told when bytes are on stable storage."""

    def path_of(self, pack_id: bytes) -> Path:
        """Where a synced pack lies."""


class LocalSink(PackSink):
    """One pack after another: made in `tmp`, renamed to its name at its first sync, appended to until it is full."""

    def __init__(self, folder: Folder, tmp: Path, *, pack_bytes: int) -> None:
        self._folder, self._tmp, self._pack_bytes = folder, tmp, pack_bytes
        self._files: list[_PackFile] = []  # the last is written to, the others wait for the next sync
        self._failed = False

    @BLOB_WRITE.measured
    def write(self, data: bytes | bytearray | memoryview) -> Place:
        """Appends all of `data` to the newest pack, or to a new one when that is full."""
        if not self._files or self._files[-1].end >= self._pack_bytes:
            with self._folder.writing(promised=False):
                self._files.append(_PackFile(self._tmp))
            crashpoint("pack.created")
        file = self._files[-1]
        with self._folder.writing():
            return Place(file.id, file.write(data))

    @BLOB_SYNC.measured
    def sync(self) -> Sequence[GrownPack]:
        """Syncs every file that grew, renames the new ones, and syncs the folders that they now lie in."""
        assert not self._failed, "a sink that failed takes no more"
        self._failed = True
        grown = [file for file in self._files if file.end > file.synced]
        with self._folder.writing():
            folders = set()
            for file in grown:
                file.sync()
                crashpoint("pack.synced")
                if not file.synced:
                    target = self._folder.path_of(file.id)
                    file.move(target)
                    crashpoint("pack.renamed")
                    folders.add(target.parent)
            for folder in sorted(folders):
                sync_folder(folder)
                crashpoint("pack.folder_synced")
        if grown:
            self._folder.synced()
        packs = [GrownPack(file.id, file.end, is_new=not file.synced) for file in grown]
        for file in grown:
            file.synced = file.end
        while len(self._files) > 1 or (self._files and self._files[0].end >= self._pack_bytes):
            self._files.pop(0).close()
        self._failed = False
        return packs

    def discard(self) -> None:
        """Unlinks what was never synced, and cuts off what was appended since."""
        files, self._files = self._files, []
        for file in files:
            file.discard()


class _PackFile:
    """A file being written: `end` is where its bytes end, `synced` how far they are on stable storage."""

    def __init__(self, tmp: Path) -> None:
        self._stage: memoryview | None = None
        self._staged = 0
        self._at = 0  # where in the file the stage begins
        self.synced = 0
        while True:
            self.id = new_id()
            self._path = tmp / self.id.hex()
            self._fd = os.open(self._path, _NEW_FILE | os.O_WRONLY, _FILE_MODE)
            try:
                # Held for as long as it is written: a server that starts meanwhile sees that it is no leftover.
                fcntl.flock(self._fd, fcntl.LOCK_EX)
                if os.fstat(self._fd).st_nlink:
                    return
            except OSError:
                self.discard()
                raise
            os.close(self._fd)  # another server started between open and flock, and took it for one

    @property
    def end(self) -> int:
        """Where its bytes end."""
        return self._at + self._staged

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Appends all of `data`; where it begins."""
        if self._stage is None:
            self._stage = memoryview(mmap.mmap(-1, STAGE_BYTES))  # begins at a page, as direct writing demands
        if self.end == self.synced:
            self._at = -(-self._at // PAGE_BYTES) * PAGE_BYTES
        offset = self.end
        rest = memoryview(data)
        while rest:
            part = rest[: STAGE_BYTES - self._staged]
            self._stage[self._staged : self._staged + len(part)] = part
            self._staged += len(part)
            rest = rest[len(part) :]
            if self._staged == STAGE_BYTES:
                self._write_stage()
        return offset

    def sync(self) -> None:
        """Returns when all of it is on stable storage, under the name that it has."""
        if self._staged:
            self._write_rest(0)
        crashpoint("pack.written")
        os.fsync(self._fd)

    def move(self, target: Path) -> None:
        """Renames the file to `target`."""
        self._path.rename(target)
        self._path = target

    def discard(self) -> None:
        """Removes what was not synced, and closes the file."""
        try:
            if not self.synced:
                self._path.unlink(missing_ok=True)
            elif self.end > self.synced:
                os.ftruncate(self._fd, self.synced)
        except OSError:
            log.exception("an unfinished pack stays for now", extra={"fields": {"pack_id": self.id.hex()}})
        self.close()

    def close(self) -> None:
        """Closes the file, and lets go of its lock."""
        with suppress(OSError):
            os.close(self._fd)

    def _write_stage(self) -> None:
        self._set_direct(True)
        try:
            written = os.pwrite(self._fd, self._stage or b"", self._at)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            written = 0  # the flag was taken, and direct writing is refused all the same
        self._write_rest(written)

    def _write_rest(self, written: int) -> None:
        """Writes what is staged behind the first `written` bytes through the page cache, and begins a new stage."""
        assert self._stage is not None
        if written < self._staged:
            self._set_direct(False)
        while written < self._staged:
            written += os.pwrite(self._fd, self._stage[written : self._staged], self._at + written)
        self._at += self._staged
        self._staged = 0

    def _set_direct(self, wanted: bool) -> None:
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
        changed = flags | _DIRECT if wanted else flags & ~_DIRECT
        if changed != flags:
            with suppress(OSError):  # a file system without direct writing: through the page cache, then
                fcntl.fcntl(self._fd, fcntl.F_SETFL, changed)


def sync_folder(folder: Path) -> None:
    """Returns when the names in the folder are on stable storage."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
