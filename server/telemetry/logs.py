"""The log: one JSON object a line on standard error, each with the tags of the call that it belongs to."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final

from server.telemetry.call_tags import tags_of_call
from server.telemetry.log_sink import STDERR, LineSink, SinkHandler

_ENCODER: Final = json.JSONEncoder(ensure_ascii=True, default=str)


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of ASCII: whatever a text holds, it can neither begin a line nor move a cursor.

    `worker` is the number of the worker process, where there are several.
    """

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if self._worker is not None:
            line["worker"] = self._worker
        tags = tags_of_call.get()
        if tags is not None:
            line.update(tags.fields())
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # json escapes C0 and all that is not ASCII, so only DEL is left.
        return _ENCODER.encode(line).replace("\x7f", "\\u007f")


def start_logging(level: str, *, worker: int | None = None, fd: int = STDERR) -> None:
    """Send every logger's records of this level and above to standard error."""
    formatter = JsonFormatter(worker)
    handler = SinkHandler(LineSink(fd, tell_dropped=lambda count: _told_dropped(formatter, count)))
    handler.setFormatter(formatter)
    # What no line tells need not be found out: https://docs.python.org/3/howto/logging.html#optimization
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Warnings of libraries become records, too; each would else be a line of its own format.
    logging.captureWarnings(capture=True)


def set_log_level(level: str) -> None:
    """From now on the log holds records of this level and above."""
    logging.getLogger().setLevel(level.upper())


def flush_log(seconds: float) -> None:
    """Wait until the log is written, so long at most: for a process that ends without its exit."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, SinkHandler):
            handler.sink.flush(seconds)


def _told_dropped(formatter: logging.Formatter, count: int) -> bytes:
    record = logging.LogRecord("server.logs", logging.WARNING, "", 0, "lines of the log were dropped", (), None)
    record.fields = {"count": count}
    return f"{formatter.format(record)}\n".encode()
