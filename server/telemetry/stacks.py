"""Where every thread of this process is just now, for the log."""

from __future__ import annotations

import sys
import threading
import traceback


def stacks() -> list[dict[str, object]]:
    """The threads that are at the same place together: their names, and the lines of their stack, innermost last."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    places: dict[str, list[str]] = {}
    for ident, frame in sys._current_frames().items():
        place = "".join(traceback.format_stack(frame))
        places.setdefault(place, []).append(names.get(ident, str(ident)))
    return [{"threads": sorted(threads), "stack": place.splitlines()} for place, threads in places.items()]
