"""Packs in a local folder, published so that a power cut at any moment loses nothing that was acknowledged.

    registry          the id of the installation that the folder belongs to
    tmp/<id>          packs being written, each locked by the process that writes it
    packs/<xx>/<id>   published packs, spread by the last two digits of their id

A pack is written to tmp, synced, renamed, and the folder it now lies in synced; only then do rows mention it. The 256
folders are made (and synced) at start and never removed, so publishing makes no folder. See behaviour.md, Files.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from store.blobs.packs import PACK_ID_BYTES, PackMissing, PackReader, PackStore, PackWriter
from store.database.failures import CannotOpen
from store.database.ids import new_id
from store.errors import BlobsDown, ReadOnly, StorageFull

log = logging.getLogger(__name__)

MARKER = "registry"
STAGE_BYTES = 2**20
"""What is written at once: past the page cache where the file system takes that. A third of the processor time of
writing through it, no cache full of what nobody reads, and a sync at the end that finds nothing to do."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECT = getattr(os, "O_DIRECT", 0)  # Linux; elsewhere the page cache will do
_FILE_MODE, _FOLDER_MODE = 0o600, 0o700


class BlobFolderRefused(CannotOpen):
    """The blob folder is not this registry's, or not fit to be one; the message is one line for the operator."""


class LocalPacks(PackStore):
    """Packs in `folder`, which belongs to the installation `registry_id` (16 bytes).

    `expected` says whether the database already knows packs: a folder without a marker is then refused, because it is
    more likely an unmounted disk than a new store. Leftovers of dead processes are removed. Raises CannotOpen.
    """

    def __init__(self, folder: Path, *, registry_id: bytes, expected: bool) -> None:
        self.folder = folder
        self._tmp = folder / "tmp"
        self._packs = folder / "packs"
        self._failed = False
        try:
            self._claim(registry_id, expected)
            self._make_folders()
            self.reaped_count = self._reap()
        except OSError as error:
            raise BlobFolderRefused(
                f"The blob folder {folder} cannot be used: {error.strerror or 'I/O error'}."
            ) from error

    @property
    def writable(self) -> bool:
        """False once a sync or write failed: what the disk kept of it is unknown, so nothing more is promised."""
        return not self._failed

    def create(self) -> PackWriter:
        """A new pack in tmp, locked as long as this process lives."""
        with self.writing(promised=False):
            return _LocalPackWriter(self, self._tmp)

    def publish(self, packs: Sequence[PackWriter]) -> None:
        """Renames sealed packs to their names and syncs each folder that took one."""
        with self.writing():
            folders = set()
            for pack in packs:
                assert isinstance(pack, _LocalPackWriter)
                target = self._path(pack.id)
                pack.move(target)
                folders.add(target.parent)
            for folder in sorted(folders):
                _sync_folder(folder)

    def open(self, pack_id: bytes) -> PackReader:
        """The published pack, open for reading."""
        try:
            return _LocalPackReader(os.open(self._path(pack_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
        except FileNotFoundError as error:
            raise PackMissing from error
        except OSError as error:
            log.exception("a pack cannot be opened", extra={"fields": {"pack_id": pack_id.hex()}})
            raise BlobsDown from error

    def remove(self, pack_id: bytes) -> None:
        """Unlinks a published pack; that it is gone after a power cut is not promised."""
        try:
            self._path(pack_id).unlink(missing_ok=True)
        except OSError as error:
            log.exception("a pack cannot be removed", extra={"fields": {"pack_id": pack_id.hex()}})
            raise BlobsDown from error

    def close(self) -> None:
        """Holds nothing between calls."""

    @contextmanager
    def writing(self, *, promised: bool = True) -> Iterator[None]:
        """What a failed system call means for the caller and, once bytes are `promised`, for all who come after."""
        if self._failed:
            raise ReadOnly
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                log.warning("the blob folder is full", extra={"fields": {"folder": str(self.folder)}})
                raise StorageFull from error
            if error.errno == errno.EROFS:
                log.warning("the blob folder is read-only", extra={"fields": {"folder": str(self.folder)}})
                raise ReadOnly from error
            if not promised or error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}:
                log.exception("a pack cannot be written")
                raise BlobsDown from error
            # Whether earlier writes reached the disk is unknown now, and asking again would answer "yes" wrongly:
            # https://www.usenix.org/conference/atc20/presentation/rebello
            self._failed = True
            log.critical("writing a pack failed: files are read-only until a restart", exc_info=error)
            raise ReadOnly from error

    def _path(self, pack_id: bytes) -> Path:
        name = pack_id.hex()
        return self._packs / name[-2:] / name

    def _claim(self, registry_id: bytes, expected: bool) -> None:
        self.folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        about = self.folder.stat()
        if about.st_uid != os.geteuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise BlobFolderRefused(
                f"The blob folder {self.folder} must belong to the server's user, and nobody else may write to it."
            )
        marker = self.folder / MARKER
        try:
            owner = marker.read_text("ascii", errors="replace").strip()
        except FileNotFoundError:
            if expected:
                raise BlobFolderRefused(
                    f"The blob folder {self.folder} is empty or not mounted: the database has files whose bytes "
                    "should lie in it."
                ) from None
            if any(not entry.name.startswith(f"{MARKER}.") for entry in self.folder.iterdir()):
                raise BlobFolderRefused(
                    f"The blob folder {self.folder} holds something else; name an empty folder."
                ) from None
            self._write_marker(marker, registry_id)
            return
        if owner != registry_id.hex():
            raise BlobFolderRefused(f"The blob folder {self.folder} belongs to another registry.")

    def _write_marker(self, marker: Path, registry_id: bytes) -> None:
        draft = self.folder / f"{MARKER}.{new_id().hex()}"
        fd = os.open(draft, _NEW_FILE | os.O_WRONLY, _FILE_MODE)
        try:
            _write_all(fd, f"{registry_id.hex()}\n".encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        draft.rename(marker)
        _sync_folder(self.folder)
        _sync_folder(self.folder.parent)

    def _make_folders(self) -> None:
        self._tmp.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        self._packs.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        if self._tmp.stat().st_dev != self._packs.stat().st_dev:
            raise BlobFolderRefused(f"{self._tmp} and {self._packs} must lie on one file system.")
        for number in range(256):
            (self._packs / f"{number:02x}").mkdir(mode=_FOLDER_MODE, exist_ok=True)
        _sync_folder(self._packs)
        _sync_folder(self.folder)

    def _reap(self) -> int:
        """Removes packs that nobody writes any more: whoever does holds the lock until it dies."""
        count = 0
        for path in self._tmp.iterdir():
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # published or discarded by another server just now
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            else:
                # Published just now and not ours to remove, unless it still is what lies there.
                with suppress(FileNotFoundError):
                    if path.stat().st_ino == os.fstat(fd).st_ino:
                        path.unlink()
                        count += 1
            finally:
                os.close(fd)
        if count:
            log.info("removed unfinished packs of ended processes", extra={"fields": {"count": count}})
        return count


class _LocalPackWriter(PackWriter):
    def __init__(self, store: LocalPacks, tmp: Path) -> None:
        self._store = store
        self._stage: memoryview | None = None
        self._staged = 0
        self.size_bytes = 0
        while True:
            self.id = new_id()
            self._path: Path | None = tmp / self.id.hex()
            self._fd = os.open(self._path, _NEW_FILE | os.O_WRONLY, _FILE_MODE)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            if os.fstat(self._fd).st_nlink:
                return
            os.close(self._fd)  # another server started between open and flock, and took it for a leftover

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Appends all of `data`."""
        offset = self.size_bytes
        if self._stage is None:
            self._stage = memoryview(mmap.mmap(-1, STAGE_BYTES))  # begins at a page, as direct writing demands
        rest = memoryview(data)
        while rest:
            part = rest[: STAGE_BYTES - self._staged]
            self._stage[self._staged : self._staged + len(part)] = part
            self._staged += len(part)
            rest = rest[len(part) :]
            if self._staged == STAGE_BYTES:
                with self._store.writing():
                    self._write_stage()
        self.size_bytes += len(data)
        return offset

    def seal(self) -> None:
        """Syncs the file. It stays open, and locked, until it is published or discarded."""
        with self._store.writing():
            if self._staged:
                self._set_direct(False)
                _write_all(self._fd, self._taken())
            os.fsync(self._fd)

    def _write_stage(self) -> None:
        self._set_direct(True)
        try:
            written = os.write(self._fd, self._stage or b"")
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            written = 0  # the flag was taken, and direct writing is refused all the same
        rest = self._taken()[written:]
        if rest:
            self._set_direct(False)
            _write_all(self._fd, rest)

    def _taken(self) -> memoryview:
        assert self._stage is not None
        staged, self._staged = self._staged, 0
        return self._stage[:staged]

    def _set_direct(self, wanted: bool) -> None:
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
        changed = flags | _DIRECT if wanted else flags & ~_DIRECT
        if changed != flags:
            with suppress(OSError):  # a file system without direct writing: through the page cache, then
                fcntl.fcntl(self._fd, fcntl.F_SETFL, changed)

    def move(self, target: Path) -> None:
        """Renames the file to `target` and closes it."""
        assert self._path is not None, "published or discarded before"
        self._path.rename(target)
        self._path = None
        self._close()

    def discard(self) -> None:
        """Unlinks the file, unless it is published."""
        path, self._path = self._path, None
        if path is not None:
            try:
                path.unlink(missing_ok=True)
            except OSError:
                log.exception(
                    "an unfinished pack stays until the next start", extra={"fields": {"pack_id": self.id.hex()}}
                )
            with suppress(OSError):
                self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        os.close(fd)


class _LocalPackReader(PackReader):
    def __init__(self, fd: int) -> None:
        self._fd = fd
        if hasattr(os, "posix_fadvise"):
            # Chunks of a file lie behind one another. A hint: cold reads took a fifth of the processor time with it.
            with suppress(OSError):
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def read(self, offset: int, length: int) -> bytes:
        """The bytes; a medium that cannot give them back ends the pack there."""
        try:
            data = os.pread(self._fd, length, offset)
            while data and len(data) < length:
                more = os.pread(self._fd, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            log.exception("a pack cannot be read")
            if error.errno == errno.EIO:
                return b""
            raise BlobsDown from error
        return data

    def close(self) -> None:
        """Closes the file."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


def _write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


assert len(new_id()) == PACK_ID_BYTES
