"""How long this process keeps memory that its code gave back, where the C library can be told.

A stream takes and gives back blocks of a quarter of a MiB to two MiB, some ten times for each MiB that it carries. Left
to itself, glibc returns many of them to the kernel, and to get them back costs a page fault for every 4 KiB; and it
makes up to eight heaps for each processor, each of which keeps what its threads gave back (docs/decisions/0015).
"""

from __future__ import annotations

import ctypes
from typing import Final

LARGEST_BLOCK_BYTES: Final = 4 * 2**20
KEPT_BYTES: Final = 8 * 2**20
"""What may lie unused at the end of a heap."""

HEAPS: Final = 2
"""Few threads allocate at once: all but grpc's own hold the interpreter's lock while they do."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8


def keep_freed_blocks() -> bool:
    """From now on keep blocks of up to 4 MiB that are given back, 8 MiB of them in each of 2 heaps.

    Answers whether the C library does. For the beginning of a process: heaps that there are stay.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another library than glibc: it has ways of its own
        return False
    wanted = {_M_MMAP_THRESHOLD: LARGEST_BLOCK_BYTES, _M_TRIM_THRESHOLD: KEPT_BYTES, _M_ARENA_MAX: HEAPS}
    return all(mallopt(name, value) for name, value in wanted.items())
