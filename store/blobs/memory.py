"""Memory for large buffers."""

from __future__ import annotations

import mmap


def anonymous_memory(size_bytes: int) -> memoryview:
    """Zeroed memory that takes room as it is written to, and gives it back to the system with its last reference.

    A large bytearray does so once: when it is freed, the allocator learns to keep memory of that size for itself.
    """
    return memoryview(mmap.mmap(-1, size_bytes))
