"""The end of a process that served."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NoReturn

from server.exits import EX_SOFTWARE
from server.telemetry.logs import flush_log

if TYPE_CHECKING:  # a supervisor has no gRPC
    from server.serving import Server

log = logging.getLogger("server.main")

FLUSH_SECONDS: Final = 2.0


def end(server: Server, *, grace_seconds: float, hurry: Callable[[], bool], hand_over: bool = False) -> None:
    """Drain and close a server whose process leaves next; see `Server.drain`.

    One that has no memory left cannot: its process ends here, with EX_SOFTWARE.
    """
    try:
        server.drain(seconds=grace_seconds, hurry=hurry, hand_over=hand_over)
        server.close(leaves=True)
    except (RuntimeError, MemoryError):  # to let go of the address, grpc needs a thread
        log.exception("the server cannot end in good order: its process ends")
        leave(EX_SOFTWARE)
    log.info("stopped")


def leave(code: int = 0) -> NoReturn:
    """End this process at once with this exit code, when its log is written.

    Its connections end with it, and calls that came last of all with UNAVAILABLE, which clients repeat; grpc would end
    them with CANCELLED. Nor does this wait for threads of handlers that do not notice that their calls were cut.
    """
    try:
        sys.stdout.flush()
        flush_log(FLUSH_SECONDS)
    finally:
        os._exit(code)  # also when standard output is a pipe that nobody reads any more, or nothing is left of memory
