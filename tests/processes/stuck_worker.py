"""A real worker in which a call of WhoAmI never ends, and is known not to a second after its time is over."""

from __future__ import annotations

import sys
import threading
from typing import Any

import server.edge.guard
import server.serving
from server.processes.worker import work
from server.servicers.tokens import TokenServicer

FOREVER = threading.Event()


def wait_for_ever(_servicer: object, _request: object, _call: object) -> Any:
    FOREVER.wait()


if __name__ == "__main__":
    server.edge.guard.OVERDUE_SECONDS = 1.0  # type: ignore[misc]
    server.serving.CUT_SECONDS = 0.5  # type: ignore[misc]
    TokenServicer.WhoAmI = wait_for_ever  # type: ignore[method-assign, assignment]
    number, descriptor, *flags = sys.argv[1:]
    raise SystemExit(work(number, descriptor, flags))
