"""A real worker whose serving thread ends with the first call, as where the system has no memory for it."""

from __future__ import annotations

import sys
from typing import Any, Never

from server.lanes.lanes import Lane
from server.processes.worker import work


def no_memory(*_arguments: Any) -> Never:
    raise MemoryError


if __name__ == "__main__":
    Lane.submit = no_memory  # type: ignore[method-assign]
    number, descriptor, *flags = sys.argv[1:]
    raise SystemExit(work(number, descriptor, flags))
