"""What clients tell, as messages: good ones, and ones that are spoiled in a field."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any, Final

from releaseregistry.v1 import health_pb2, sessions_pb2

from store.health.figures import Figures
from store.health.items import SessionCounts, SessionUpdate

ORGANIZATION: Final = "organizations/acme"

Spoil = Callable[[Any], object]


def update_message(update: SessionUpdate) -> sessions_pb2.SessionUpdate:
    """An update."""
    message = sessions_pb2.SessionUpdate(
        session_id=str(uuid.UUID(bytes=update.session_id)),
        distinct_user_id=update.user,
        sequence=update.sequence,
        status=sessions_pb2.SessionStatus.Name(update.status),
        error_count=update.error_count,
        version=update.version,
        environment=update.environment,
        project=f"{ORGANIZATION}/projects/{update.project}",
    )
    message.start_time.FromMicroseconds(update.start_time)
    if update.duration is not None:
        message.duration.FromMicroseconds(update.duration)
    return message


def counts_message(counts: SessionCounts) -> sessions_pb2.SessionCounts:
    """Counts."""
    message = sessions_pb2.SessionCounts(
        counts_id=str(uuid.UUID(bytes=counts.counts_id)),
        exited_count=counts.exited_count,
        errored_count=counts.errored_count,
        abnormal_count=counts.abnormal_count,
        crashed_count=counts.crashed_count,
        distinct_user_id=counts.user,
        version=counts.version,
        environment=counts.environment,
        project=f"{ORGANIZATION}/projects/{counts.project}",
    )
    message.start_time.FromMicroseconds(counts.start_time)
    return message


def _set(field: str, value: Any) -> tuple[str, Spoil]:
    return field, lambda message: setattr(message, field, value)


_OF_BOTH: Final[tuple[tuple[str, Spoil], ...]] = (
    _set("distinct_user_id", "u" * 201),
    _set("version", ""),
    _set("version", "1.2.3\n"),
    _set("version", "v" * 201),
    _set("environment", "a/b"),
    _set("environment", " production"),
    _set("environment", "e" * 65),
    _set("project", ""),
    _set("project", "web"),
    _set("project", f"{ORGANIZATION}/releases/web"),
    ("start_time", lambda message: message.ClearField("start_time")),
    ("start_time", lambda message: setattr(message.start_time, "nanos", 2_000_000_000)),
    ("start_time", lambda message: setattr(message.start_time, "seconds", -(10**12))),
)
_OF_UPDATES: Final[tuple[tuple[str, Spoil], ...]] = (
    *_OF_BOTH,
    _set("session_id", ""),
    _set("session_id", "1f0e8c7a-3b52-4d6e-9a10"),
    _set("sequence", -1),
    _set("status", 9),
    _set("error_count", -1),
    _set("error_count", 10**9 + 1),
    ("duration", lambda message: message.duration.FromMicroseconds(-1)),
    ("duration", lambda message: message.duration.FromSeconds(366 * 86_400)),
)
_OF_COUNTS: Final[tuple[tuple[str, Spoil], ...]] = (
    *_OF_BOTH,
    _set("counts_id", ""),
    _set("counts_id", "no-uuid"),
    _set("exited_count", -1),
    _set("crashed_count", 10**9 + 1),
)


def spoil(message: Any, chance: random.Random) -> str:
    """Makes the message bad; which field is wrong then."""
    kinds = _OF_UPDATES if isinstance(message, sessions_pb2.SessionUpdate) else _OF_COUNTS
    field, change = chance.choice(kinds)
    change(message)
    return field


def told_figures(message: health_pb2.HealthFigures) -> Figures:
    """What a message says. Shares are told beside the numbers that they are of, and must be right."""
    figures = Figures(
        message.session_count,
        message.user_count,
        message.crashed_session_count,
        message.abnormal_session_count,
        message.errored_session_count,
        message.error_count,
        message.crashed_user_count,
        _seconds(message, "duration_p50"),
        _seconds(message, "duration_p90"),
    )
    for name in ("crash_free_sessions", "crash_free_users"):
        told = getattr(message, name) if message.HasField(name) else None
        assert told == getattr(figures, name)
    return figures


def _seconds(message: health_pb2.HealthFigures, name: str) -> float | None:
    if not message.HasField(name):
        return None
    duration = getattr(message, name)
    return float(duration.ToMicroseconds()) / 1_000_000
