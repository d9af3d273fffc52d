"""The machine: folders, room, rights, descriptors, the port and who answers there."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from server.doctor.findings import Finding, ok, problem, warning
from server.settings import Settings
from server.transport import CannotListen, try_to_listen

FREE_SHARE: Final = 0.05
FREE_BYTES: Final = 2**30
FREE_INODES: Final = 10_000
DESCRIPTORS: Final = 4096
"""Each connection takes one, and each upload some more."""


def look_at_data(settings: Settings) -> Iterator[Finding]:
    """The data folder: whether the server may work in it, who else may, and how much room it has."""
    folder = settings.data
    if not folder.exists():
        parent = next(each for each in folder.parents if each.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            yield ok("data folder", f"{folder} will be made at the first start")
        else:
            yield problem("data folder", f"{folder} is not there, and {parent} does not let this user make it")
        yield from look_at_room(parent, "disk")
        return
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        yield problem("data folder", f"the file system of {folder} is read-only: mend the disk, or remount it")
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield problem("data folder", f"this user may not work in {folder}: run as its owner, or chown it")
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        yield warning("data folder", f"others of this machine may enter {folder} (mode {mode:04o}): chmod 700")
    else:
        yield ok("data folder", str(folder))
    yield from look_at_room(folder, "disk")
    yield from _look_at_token(settings)


def look_at_room(folder: Path, topic: str) -> Iterator[Finding]:
    """Free bytes and inodes of the file system."""
    about = os.statvfs(folder)
    free, whole = about.f_bavail * about.f_frsize, about.f_blocks * about.f_frsize
    told = f"{free:,} of {whole:,} bytes are free for {folder}"
    if free < FREE_BYTES / 16:
        yield problem(topic, f"{told}: uploads will be refused with STORAGE_FULL; make room")
    elif free < FREE_BYTES or free < whole * FREE_SHARE:
        yield warning(topic, f"{told}: make room")
    elif about.f_files and about.f_favail < FREE_INODES:  # some file systems have no such number
        yield warning(topic, f"{about.f_favail:,} inodes are free for {folder}: make room")
    else:
        yield ok(topic, told)


def look_at_descriptors() -> Iterator[Finding]:
    """How many files and connections a process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS:
        yield warning("descriptors", f"a process may open {soft:,}: allow {DESCRIPTORS:,} (ulimit -n, LimitNOFILE=)")
    else:
        yield ok("descriptors", "a process may open enough")


def look_at_port(settings: Settings, status_of: Callable[[], str]) -> Iterator[Finding]:
    """Whether the address is free, or a server of ours answers there."""
    try:
        try_to_listen(settings.listen)
    except CannotListen as error:
        status = status_of()
        if status == "SERVING":
            yield ok("address", f"a server on {settings.listen} answers SERVING")
        elif status == "NOT_SERVING":
            yield problem("address", f"a server on {settings.listen} answers NOT_SERVING: its log says why")
        else:
            yield problem("address", f"{str(error).rstrip('.')}, and {status}: something else has it")
        return
    yield ok("address", f"{settings.listen} is free")


def _look_at_token(settings: Settings) -> Iterator[Finding]:
    file = settings.operator_token_file
    if not file.exists():
        return
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        yield problem(
            "operator's token", f"others may read {file} (mode {mode:04o}): chmod 600, and make a new token if they did"
        )
    else:
        yield ok("operator's token", f"only its owner reads {file}")
