"""Reading packs of a local folder: past the page cache the first time, through it from then on."""

from __future__ import annotations

import errno
import fcntl
import logging
import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from store.blobs.packs import PackReader
from store.errors import BlobsDown
from store.metrics import BLOB_READ

log = logging.getLogger(__name__)

_DIRECT: Final = getattr(os, "O_DIRECT", 0)  # Linux; elsewhere the page cache will do
_PAGE: Final = mmap.PAGESIZE


class LocalPackReader(PackReader):
    """A pack file that is open for reading; it closes `fd`.

    With `once` the bytes are read past the page cache where the file system can do that: most of what is downloaded is
    downloaded once, soon after it was uploaded past the cache too, and to find pages for it takes more processor time
    than everything else that a download does.

    `beside` is a file of the same medium that holds something: when that cannot be read either, the medium is gone.
    """

    def __init__(self, fd: int, *, once: bool, beside: Path | None = None) -> None:
        self._fd = fd
        self._beside = beside
        self._buffer: mmap.mmap | None = None
        self._direct = once and self._set_direct(True)
        if not self._direct and hasattr(os, "posix_fadvise"):
            with suppress(OSError):  # a hint: chunks of a file lie behind one another
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    @BLOB_READ.measured
    def read(self, offset: int, length: int) -> bytes:
        """The bytes; a medium that cannot give them back ends the pack there. Raises BlobsDown, also when the medium
        gives nothing back at all: it may be there again some time, with all that was on it."""
        try:
            if self._direct:
                data = self._read_directly(offset, length)
                if len(data) == length:
                    return data
                # The file ends, or cannot be read so after all.
                self._direct = False
                self._set_direct(False)
            return self._read_cached(offset, length)
        except OSError as error:
            log.exception("a pack cannot be read")
            if error.errno == errno.EIO and self._medium_is_there():
                return b""
            raise BlobsDown from error

    def close(self) -> None:
        """Closes the file."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._buffer = None
            os.close(fd)

    def _medium_is_there(self) -> bool:
        if self._beside is None:
            return True
        try:
            with LocalPackReader(os.open(self._beside, os.O_RDONLY | os.O_CLOEXEC), once=True) as reader:
                return bool(reader.read(0, 1))
        except (OSError, BlobsDown):
            return False

    def _read_cached(self, offset: int, length: int) -> bytes:
        data = os.pread(self._fd, length, offset)
        while data and len(data) < length:
            more = os.pread(self._fd, length - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def _read_directly(self, offset: int, length: int) -> bytes:
        """What one read of whole pages brings of it."""
        before = offset % _PAGE
        needed = -(-(before + length) // _PAGE) * _PAGE
        if self._buffer is None or len(self._buffer) < needed:
            self._buffer = mmap.mmap(-1, needed)  # begins at a page, as direct reading demands
        with memoryview(self._buffer) as buffer:
            try:
                count = os.preadv(self._fd, [buffer[:needed]], offset - before)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                return b""
            return bytes(buffer[before : min(count, before + length)])

    def _set_direct(self, wanted: bool) -> bool:
        """Whether the file is now read past the page cache, or not, as wanted."""
        if not _DIRECT:
            return not wanted
        try:
            flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
            fcntl.fcntl(self._fd, fcntl.F_SETFL, flags | _DIRECT if wanted else flags & ~_DIRECT)
        except OSError:  # a file system without direct reading
            return not wanted
        return True
