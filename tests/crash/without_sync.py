"""`release-server` with one of its syncs taken out, for the power cut drill's controls: each must be caught.

    python tests/crash/without_sync.py pack-fsync|folder-fsync|full-synchronous serve

What is taken out is taken out here, in this process; the product knows no such switch.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACK = re.compile(r".*/(tmp|packs/[0-9a-f]{2})/[0-9a-f]{32}")


def without_pack_fsync() -> None:
    """A pack counts as synced when it was written."""
    _skip_fsync(lambda path, mode: stat.S_ISREG(mode) and PACK.fullmatch(path) is not None)


def without_folder_fsync() -> None:
    """A folder counts as synced when something in it was renamed."""
    _skip_fsync(lambda _, mode: stat.S_ISDIR(mode))


def without_full_synchronous() -> None:
    """SQLite syncs its log at checkpoints, not at commits."""
    from store.database import sqlite_file

    set_pragma = sqlite_file.set_pragma

    def careless(connection: Any, name: str, value: str, expected: object) -> None:
        if name == "synchronous":
            value, expected = "NORMAL", 1
        set_pragma(connection, name, value, expected)

    sqlite_file.set_pragma = careless


CONTROLS = {
    "pack-fsync": without_pack_fsync,
    "folder-fsync": without_folder_fsync,
    "full-synchronous": without_full_synchronous,
}


def _skip_fsync(skipped: Callable[[str, int], bool]) -> None:
    fsync = os.fsync

    def careless(fd: Any) -> None:
        number = fd if isinstance(fd, int) else fd.fileno()
        if not skipped(str(Path(f"/proc/self/fd/{number}").readlink()), os.fstat(number).st_mode):
            fsync(number)

    os.fsync = careless


if __name__ == "__main__":
    CONTROLS[sys.argv[1]]()

    from server.__main__ import main

    main(sys.argv[2:])
