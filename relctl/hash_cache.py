"""The SHA-256 of files, remembered for as long as they look unchanged."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final, Self

# A file that was changed so shortly before it was read may be changed again without looking it: file systems keep times
# in steps, the coarsest of them (FAT) of two seconds.
SETTLED_NS: Final = 3_000_000_000
# So many files are remembered; the file of the cache has at most twice as many lines.
MAX_FILES: Final = 20_000

LINE: Final = re.compile(r'([0-9a-f]{64}) (\d+) (\d+) (\d+) (\d+) (\d+) (".*")')


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """What a file looks like from outside. Two that are equal are of one file that was not written in between."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        """The state in the answer of `stat` or `fstat`."""
        return cls(
            device=found.st_dev,
            inode=found.st_ino,
            size_bytes=found.st_size,
            mtime_ns=found.st_mtime_ns,
            ctime_ns=found.st_ctime_ns,
        )


class HashCache:
    """SHA-256 of files by their path and state, in one file of lines; threads and processes may share it.

    It only ever saves work: what cannot be read or written is as if it were not there, and nothing is raised. Without a
    path nothing is remembered.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = Lock()
        self._entries: dict[str, tuple[FileState, str]] | None = None

    def find(self, path: Path, state: FileState) -> str | None:
        """The SHA-256 (64 hexadecimal digits) of the file at the path; None unless it was read in this very state."""
        with self._lock:
            known = self._loaded().get(os.path.realpath(path))
        return known[1] if known is not None and known[0] == state else None

    def remember(self, path: Path, state: FileState, sha256: str) -> None:
        """Keep the SHA-256 that the file had in this state, unless it was written just before."""
        if time.time_ns() - max(state.mtime_ns, state.ctime_ns) < SETTLED_NS:
            return
        place = os.path.realpath(path)
        with self._lock:
            entries = self._loaded()
            entries.pop(place, None)
            entries[place] = (state, sha256)
            self._append(_line(place, state, sha256))

    def _loaded(self) -> dict[str, tuple[FileState, str]]:
        if self._entries is None:
            self._entries = {}
            lines = self._lines()
            for line in lines:
                found = LINE.fullmatch(line)
                if found is None:
                    continue  # two processes wrote at once, or somebody else did
                sha256, *numbers, place = found.groups()
                device, inode, size_bytes, mtime_ns, ctime_ns = map(int, numbers)
                state = FileState(
                    device=device, inode=inode, size_bytes=size_bytes, mtime_ns=mtime_ns, ctime_ns=ctime_ns
                )
                try:
                    path = str(json.loads(place))
                except ValueError:
                    continue
                self._entries.pop(path, None)  # the newest come last
                self._entries[path] = (state, sha256)
            if len(lines) > 2 * MAX_FILES:
                self._entries = dict(list(self._entries.items())[-MAX_FILES:])
                self._rewrite()
        return self._entries

    def _lines(self) -> list[str]:
        if self._path is None:
            return []
        try:
            return self._path.read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError):
            return []

    def _append(self, line: str) -> None:
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                file.write(line.encode("ascii"))  # at once, so that those of two processes stay apart
        except OSError:
            pass

    def _rewrite(self) -> None:
        assert self._path is not None
        assert self._entries is not None
        lines = [_line(place, state, sha256) for place, (state, sha256) in self._entries.items()]
        scratch = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            scratch.write_text("".join(lines), encoding="ascii")
            scratch.replace(self._path)
        except OSError:
            scratch.unlink(missing_ok=True)


def default_cache_path() -> Path | None:
    """Where `relctl` remembers: `$XDG_CACHE_HOME/relctl/sha256`, else below `~/.cache`; None without a home."""
    said = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # By the rules of XDG a relative path is as good as none.
        folder = Path(said) if Path(said).is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return folder / "relctl" / "sha256"


def _line(place: str, state: FileState, sha256: str) -> str:
    # JSON in ASCII: no path, however odd, breaks a line.
    numbers = f"{state.device} {state.inode} {state.size_bytes} {state.mtime_ns} {state.ctime_ns}"
    return f"{sha256} {numbers} {json.dumps(place)}\n"
