"""The log: one JSON object a line on standard error, each with the request id of the call it belongs to."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from server.guard import request_id_of_call


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of ASCII: whatever a text holds, it can neither begin a line nor move a cursor."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        request_id = request_id_of_call.get()
        if request_id:
            line["request_id"] = request_id
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # json escapes C0 and all that is not ASCII, so only DEL is left.
        return json.dumps(line, ensure_ascii=True, default=str).replace("\x7f", "\\u007f")


def start_logging(level: str, stream: TextIO | None = None) -> None:
    """Send every logger's records of this level and above to standard error, or `stream`."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Warnings of libraries become records, too; each would else be a line of its own format.
    logging.captureWarnings(capture=True)
