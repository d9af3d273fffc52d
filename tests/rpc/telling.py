"""Telling a server of sessions over the wire."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import sessions_pb2 as pb

from store.health.models import HealthHour, HealthSeries
from tests.clocks import START_US
from tests.rpc.wire import Metadata, Served

PARENT = "organizations/acme"
WEB = f"{PARENT}/projects/web"
BEGAN_US = START_US - 600_000_000


def uid(number: int) -> str:
    """The UUID of a session, or of counts, by a number that tests can read."""
    return str(uuid.UUID(int=number))


def moment(time_us: int) -> Timestamp:
    """The timestamp of microseconds."""
    return Timestamp(seconds=time_us // 1_000_000, nanos=time_us % 1_000_000 * 1000)


def update(number: int, **fields: Any) -> pb.SessionUpdate:
    """An update of the session with this number, as `fields` say."""
    usual: dict[str, Any] = {
        "session_id": uid(number),
        "distinct_user_id": f"user-{number}",
        "sequence": 1,
        "status": pb.SESSION_STATUS_EXITED,
        "start_time": moment(BEGAN_US),
        "duration": Duration(seconds=3),
        "version": "web@1.0.0",
        "environment": "production",
        "project": WEB,
    }
    return pb.SessionUpdate(**{**usual, **fields})


def counts(number: int, **fields: Any) -> pb.SessionCounts:
    """Counts with this number for their id, as `fields` say."""
    usual: dict[str, Any] = {
        "counts_id": uid(number),
        "start_time": moment(BEGAN_US),
        "version": "web@1.0.0",
        "environment": "production",
        "project": WEB,
    }
    return pb.SessionCounts(**{**usual, **fields})


def record(
    server: Served,
    *items: pb.SessionUpdate | pb.SessionCounts,
    parent: str = PARENT,
    metadata: Metadata | None = None,
) -> pb.RecordedSessions:
    """Record updates and counts in one call."""
    updates = [item for item in items if isinstance(item, pb.SessionUpdate)]
    counted = [item for item in items if isinstance(item, pb.SessionCounts)]
    request = pb.RecordSessionsRequest(parent=parent, updates=updates, counts=counted)
    return server.health.RecordSessions(request, metadata=metadata or server.operator).recorded


def stream(
    server: Served, messages: Iterable[pb.StreamSessionsRequest], metadata: Metadata | None = None
) -> pb.RecordedSessions:
    """Record sessions by messages."""
    sent: Iterator[pb.StreamSessionsRequest] = iter(messages)
    return server.health.StreamSessions(sent, metadata=metadata or server.operator, timeout=60).recorded


def done(recorded: pb.RecordedSessions) -> tuple[int, int, int]:
    """How many items said something new, were known, and were refused."""
    return recorded.recorded_count, recorded.known_count, recorded.refused_count


def refusals(recorded: pb.RecordedSessions) -> list[tuple[str, str]]:
    """Field and reason of each refusal that was told."""
    return [(refusal.field, refusal.reason) for refusal in recorded.refused]


def sessions(server: Served, version: str = "web@1.0.0", environment: str = "production") -> tuple[int, int]:
    """How many sessions of the version are counted, and how many of them crashed."""
    of_series = (HealthSeries.version == version) & (HealthSeries.environment == environment)
    query = (
        HealthHour.select(HealthHour.session_count, HealthHour.crashed_count)
        .join(HealthSeries, on=(HealthSeries.id == HealthHour.series_id))
        .where(of_series)
        .tuples()
    )
    rows: list[tuple[int, int]] = server.database.read(lambda reader: reader.fetch(query))
    return sum(row[0] for row in rows), sum(row[1] for row in rows)
