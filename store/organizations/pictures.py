"""Pictures that people send: checked, made anew and scaled by a process of their own (see `picture_process`)."""

from __future__ import annotations

import errno
import json
import logging
import signal
import subprocess
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from store.errors import AvatarInvalid, StorageFull
from store.organizations import picture_process
from store.organizations.picture_process import ANSWER_BYTES, FORMATS, FULL, MAX_SIDE, MIN_SIDE, SIZES

log = logging.getLogger(__name__)

AT_ONCE: Final = 2
"""How many pictures are worked on at a time; each may take half a gigabyte."""

CACHE_BYTES: Final = 4 * 2**20
"""Scaled pictures of some hundred organizations, or of 24 of the worst."""

WAIT_SECONDS: Final = 30.0
"""When a process is given up that ought to have ended by its own limit of computing time."""

_HEAD_BYTES: Final = 1000
_ERROR_BYTES: Final = 2000
_PROGRAM: Final = Path(picture_process.__file__)
_PROBLEMS: Final = {
    "format": f"is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]}",
    "undecodable": "is damaged, or not finished",
    "animated": "moves, and only of a GIF the first frame is taken",
    "memory": "needs too much memory to be decoded",
    "time": "takes too long to be decoded",
}


class Pictures:
    """Takes pictures in and scales them. Safe for several threads; needs no memory of this process for pictures but
    `cache_bytes` for scaled ones."""

    def __init__(self, *, at_once: int = AT_ONCE, cache_bytes: int = CACHE_BYTES) -> None:
        self._turns = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._cache: OrderedDict[bytes, dict[int, bytes]] = OrderedDict()
        self._cached_bytes = 0
        self._cache_bytes = cache_bytes

    def take(self, source: BinaryIO, target: BinaryIO) -> None:
        """Write the picture in `source`, a file, into `target`, another: made anew as PNG, without metadata.

        Raises AvatarInvalid for what is no square PNG, JPEG, GIF or WEBP of 256 to 1,024 pixels a side, StorageFull.
        """
        with room(), tempfile.TemporaryFile() as answer:
            head = self._run("take", source, answer)
            problem = head.get("problem")
            if problem is not None:
                raise AvatarInvalid(_described(problem, head))
            _copy(answer, target, int(head["bytes"]))

    def scaled(self, uid: bytes, side: int, pieces: Callable[[], Iterable[bytes]]) -> bytes:
        """The picture known by `uid` as a PNG of `side` pixels, one of SIZES; `pieces` gives what `take` made of it.

        Raises StorageFull.
        """
        found = self._cached(uid)
        if found is None:
            with room(), tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as answer:
                with self._turns:
                    found = self._cached(uid)  # of those who waited, the first one's work serves all
                    if found is None:
                        for piece in pieces():
                            source.write(piece)
                        head = self._run_now("scale", source, answer)
                        if "problem" in head:
                            raise RuntimeError(f"a picture that was taken cannot be scaled: {head['problem']}")
                        found = {size: answer.read(int(head["bytes"][str(size)])) for size in SIZES}
                        self._keep(uid, found)
        return found[side]

    def _cached(self, uid: bytes) -> dict[int, bytes] | None:
        with self._lock:
            found = self._cache.get(uid)
            if found is not None:
                self._cache.move_to_end(uid)
            return found

    def _keep(self, uid: bytes, made: dict[int, bytes]) -> None:
        with self._lock:
            self._cache[uid] = made
            self._cached_bytes += _size(made)
            while self._cached_bytes > self._cache_bytes:
                _, oldest = self._cache.popitem(last=False)
                self._cached_bytes -= _size(oldest)

    def _run(self, task: str, source: BinaryIO, answer: BinaryIO) -> dict[str, Any]:
        with self._turns:
            return self._run_now(task, source, answer)

    def _run_now(self, task: str, source: BinaryIO, answer: BinaryIO) -> dict[str, Any]:
        """What the process said first; what it wrote behind that is next to be read from `answer`."""
        source.flush()
        source.seek(0)
        with tempfile.TemporaryFile() as errors:
            code = _exit_code([sys.executable, "-I", "-B", str(_PROGRAM), task], source, answer, errors)
            if code is None or code in (-signal.SIGXCPU, -signal.SIGKILL):
                return {"problem": "time"}
            if code < 0:
                log.warning("the decoder of pictures crashed", extra={"fields": {"signal": -code}})
                return {"problem": "undecodable"}
            if code == FULL:
                raise StorageFull
            answer.seek(0)
            head = answer.readline(_HEAD_BYTES)
            if code or not head.endswith(b"\n"):
                errors.seek(0)
                raise RuntimeError(f"the decoder of pictures failed: {errors.read()[-_ERROR_BYTES:]!r}")
        said: dict[str, Any] = json.loads(head)
        return said


@contextmanager
def room() -> Iterator[None]:
    """What is inside writes temporary files. Raises StorageFull when the disk where they lie is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        log.warning("the disk of temporary files is full", extra={"fields": {"folder": tempfile.gettempdir()}})
        raise StorageFull from error


def nearest_size(side: int) -> int:
    """The one of SIZES that is nearest, of two the larger; the largest for 0."""
    return min(reversed(SIZES), key=lambda size: abs(size - side)) if side else SIZES[-1]


def _exit_code(command: list[str], source: BinaryIO, answer: BinaryIO, errors: BinaryIO) -> int | None:
    """How the command ended, negative for a signal; None when it had to be ended."""
    # Nothing of our environment: it may hold secrets, and whoever takes over a decoder would find them first.
    process = subprocess.Popen(command, stdin=source, stdout=answer, stderr=errors, env={}, cwd="/")
    try:
        return process.wait(WAIT_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _described(problem: str, head: dict[str, Any]) -> str:
    """The problem in words of ours: a decoder that was taken over chooses no text."""
    if problem == "size":
        width, height = int(head["width"]), int(head["height"])
        return f"is {width} by {height} pixels, not square or not of {MIN_SIDE} to {MAX_SIDE} a side"
    return _PROBLEMS[problem]


def _copy(source: BinaryIO, target: BinaryIO, count: int) -> None:
    if not 0 < count <= ANSWER_BYTES:
        raise RuntimeError(f"the decoder of pictures announced {count} bytes")
    while count:
        piece = source.read(min(count, 2**18))
        if not piece:
            raise RuntimeError("the decoder of pictures wrote less than it announced")
        target.write(piece)
        count -= len(piece)


def _size(made: dict[int, bytes]) -> int:
    return sum(map(len, made.values()))
