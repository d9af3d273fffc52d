"""The streams of uploads that run in this process, so that one that loses its turn is told at once.

Who has the turn is decided by rows alone (`turns`): a stream that is not told here, because another process took its
upload over, learns it when it next commits, or is asked. Ids are unique everywhere, so one register serves whatever
databases a process has open.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from store.errors import RegistryError, UploadClosed, UploadTakenOver
from store.metrics import UPLOADS, UPLOADS_OPEN
from store.uploads.models import CANCELLED
from store.uploads.rows import Turn
from store.uploads.turns import text_of

End = Callable[[RegistryError], object]
"""Ends a stream with an error, from any thread; nothing when it has ended."""


class Running:
    """One stream that has a turn, from here until `leave`; the streams before it end with UploadTakenOver."""

    def __init__(self, turn: Turn, end: End) -> None:
        self._key = turn.organization_id, turn.upload_id
        self._fence, self.end = turn.fence, end
        with _lock:
            streams = _running.setdefault(self._key, [])
            earlier = [stream for stream in streams if stream._fence < turn.fence]
            streams.append(self)
        UPLOADS_OPEN.inc()
        UPLOADS.labels("started" if turn.begins else "resumed").inc()
        for stream in earlier:
            UPLOADS.labels("taken_over").inc()
            stream.end(UploadTakenOver(text_of(turn.upload_id)))

    def leave(self) -> None:
        """The stream is over. Again is nothing."""
        with _lock:
            streams = _running.get(self._key, [])
            if self in streams:
                streams.remove(self)
                UPLOADS_OPEN.dec()
            if not streams:
                _running.pop(self._key, None)


_lock: Final = threading.Lock()
_running: Final[dict[tuple[bytes, bytes], list[Running]]] = {}
"""By organization and upload."""


def end_cancelled(organization_id: bytes, upload_id: bytes) -> None:
    """The upload was cancelled: its streams end with UploadClosed."""
    with _lock:
        streams = list(_running.get((organization_id, upload_id), ()))
    for stream in streams:
        stream.end(UploadClosed(text_of(upload_id), CANCELLED.upper()))
