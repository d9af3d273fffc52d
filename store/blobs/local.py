"""Packs in a local folder, published so that a power cut at any moment loses nothing that was acknowledged.

    registry          the id of the installation that the folder belongs to
    tmp/<id>          packs of which nothing is synced yet, each locked by the process that writes it
    packs/<xx>/<id>   packs that rows may mention, spread by the last two digits of their id

A pack is written to tmp, synced, renamed, and the folder it now lies in synced; only then do rows mention it. From then
on it grows where it is, and rows mention what was synced. The 256 folders are made (and synced) at start and never
removed, so a sync makes no folder. See behaviour.md, Durability.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from store.blobs.local_reader import LocalPackReader
from store.blobs.local_sink import LocalSink, sync_folder
from store.blobs.packs import PACK_BYTES, PACK_ID_BYTES, PackMissing, PackReader, PackSink, PackStore, StoredPack
from store.database.failures import CannotOpen
from store.database.ids import new_id
from store.errors import BlobsDown, ReadOnly, StorageFull
from store.last_writes import LastWrites
from store.metrics import BLOB_LIST, BLOB_OPEN, BLOB_REMOVE

log = logging.getLogger(__name__)

MARKER = "registry"

_LATELY = 4096
_PIECE = 2**20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
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
        self._last_writes = LastWrites()
        self._opened = _Lately()
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

    @property
    def takes_writes(self) -> bool:
        """See `PackStore.takes_writes`."""
        return self.writable and self._last_writes.went_well

    def sink(self, *, pack_bytes: int = PACK_BYTES) -> PackSink:
        """Writes packs in tmp, locked as long as this process lives, and renames each at its first sync."""
        return LocalSink(self, self._tmp, pack_bytes=pack_bytes)

    @BLOB_OPEN.measured
    def open(self, pack_id: bytes, *, first: tuple[int, int] = (0, 0)) -> PackReader:  # noqa: ARG002 - all is near
        """The published pack, open for reading."""
        try:
            fd = os.open(self.path_of(pack_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise PackMissing from error
        except OSError as error:
            log.exception("a pack cannot be opened", extra={"fields": {"pack_id": pack_id.hex()}})
            raise BlobsDown from error
        return LocalPackReader(fd, once=not self._opened.again(pack_id), beside=self.folder / MARKER)

    @BLOB_REMOVE.measured
    def remove(self, pack_id: bytes) -> None:
        """Unlinks a published pack; that it is gone after a power cut is not promised."""
        try:
            self.path_of(pack_id).unlink(missing_ok=True)
        except OSError as error:
            log.exception("a pack cannot be removed", extra={"fields": {"pack_id": pack_id.hex()}})
            raise BlobsDown from error

    def put_back(self, pack_id: bytes, source: Path) -> None:
        """Copies a pack from a file, durably; under its name it is whole. Raises StorageFull, ReadOnly, BlobsDown."""
        draft, target = self._tmp / f"{pack_id.hex()}.{new_id().hex()}", self.path_of(pack_id)
        with self.writing(promised=False), source.open("rb") as read:
            fd = os.open(draft, _NEW_FILE | os.O_WRONLY, _FILE_MODE)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                while piece := read.read(_PIECE):
                    _write_all(fd, piece)
                os.fsync(fd)
                draft.rename(target)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
            finally:
                os.close(fd)
            sync_folder(target.parent)

    def list_packs(self) -> Iterator[StoredPack]:
        """Every file of packs that is named like one, folder by folder. First, what streams that ended could not remove
        of tmp is removed."""
        with suppress(OSError):  # it is no part of the list, and there will be another one
            self._reap()
        for number in range(256):
            try:
                with BLOB_LIST.timed():
                    names = [path.name for path in (self._packs / f"{number:02x}").iterdir()]
            except OSError as error:
                log.exception("a folder of packs cannot be listed", extra={"fields": {"folder": f"{number:02x}"}})
                raise BlobsDown from error
            for name in names:
                with suppress(ValueError, FileNotFoundError):  # not ours, or removed just now
                    pack_id = bytes.fromhex(name)
                    if len(pack_id) == PACK_ID_BYTES and (path := self.path_of(pack_id)).name == name:
                        about = path.stat(follow_symlinks=False)
                        yield StoredPack(pack_id, about.st_size, about.st_mtime_ns // 1000)

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
                self._last_writes.refuse()
                log.warning("the blob folder is full", extra={"fields": {"folder": str(self.folder)}})
                raise StorageFull from error
            if error.errno == errno.EROFS:
                self._last_writes.refuse()
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

    def synced(self) -> None:
        """Bytes are on stable storage."""
        self._last_writes.succeed()

    def path_of(self, pack_id: bytes) -> Path:
        """Where a synced pack lies."""
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
        sync_folder(self.folder)
        sync_folder(self.folder.parent)

    def _make_folders(self) -> None:
        self._tmp.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        self._packs.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        if self._tmp.stat().st_dev != self._packs.stat().st_dev:
            raise BlobFolderRefused(f"{self._tmp} and {self._packs} must lie on one file system.")
        for number in range(256):
            (self._packs / f"{number:02x}").mkdir(mode=_FOLDER_MODE, exist_ok=True)
        sync_folder(self._packs)
        sync_folder(self.folder)

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


class _Lately:
    """Remembers the last 4,096 packs that were opened. For several threads."""

    def __init__(self) -> None:
        self._packs: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def again(self, pack_id: bytes) -> bool:
        """Whether it was opened lately; from now on it was."""
        with self._lock:
            known = pack_id in self._packs
            self._packs[pack_id] = None
            self._packs.move_to_end(pack_id)
            if len(self._packs) > _LATELY:
                self._packs.popitem(last=False)
            return known


def _write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


assert len(new_id()) == PACK_ID_BYTES
