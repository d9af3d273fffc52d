"""Between `google.protobuf.Timestamp` and the store's microseconds since 1970-01-01 UTC; durations, too."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


def to_micros(timestamp: Timestamp) -> int:
    """Microseconds of a timestamp; what is finer is dropped, towards the past. Its range was validated before."""
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1000


def to_timestamp(micros: int) -> Timestamp:
    """The timestamp of microseconds; times before 1970 are negative."""
    seconds, rest = divmod(micros, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def duration_micros(duration: Duration) -> int:
    """Microseconds of a duration, 0 for one that is not set; what is finer is dropped, downwards."""
    return duration.seconds * 1_000_000 + duration.nanos // 1000


def optional_micros(message: Message, field: str) -> int | None:
    """Microseconds of a message's timestamp field, or None when it is not set."""
    return to_micros(getattr(message, field)) if message.HasField(field) else None


def optional_timestamp(micros: int | None) -> Timestamp | None:
    """The timestamp of microseconds, or None, which a message's constructor takes as not set."""
    return None if micros is None else to_timestamp(micros)
