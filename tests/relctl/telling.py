"""Sessions for the tests of the command line, as lines and as messages."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from releaseregistry.v1 import admin_pb2, admin_pb2_grpc
from releaseregistry.v1.sessions_pb2 import SessionStatus, SessionUpdate

from relctl.names import project_name
from tests.rpc.wire import Served


def now_of(server: Served) -> datetime:
    """The time by the server's clock."""
    return datetime.fromtimestamp(server.clock.now_us() / 1_000_000, UTC)


def rfc(moment: datetime) -> str:
    """A time as people and JSON write it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def session_of(number: int) -> str:
    """The same id for the same number."""
    return str(uuid.UUID(int=number, version=4))


def line(server: Served, number: int, **fields: Any) -> dict[str, Any]:
    """A session of app@1.0.0 of web that exited an hour ago; fields say otherwise, and None leaves one out."""
    usual = {
        "session_id": session_of(number),
        "distinct_user_id": f"user-{number}",
        "sequence": 1,
        "status": "exited",
        "duration": 60,
        "start_time": rfc(now_of(server) - timedelta(hours=1)),
        "version": "app@1.0.0",
        "environment": "production",
        "project": "web",
    }
    return {key: value for key, value in {**usual, **fields}.items() if value is not None}


def write(file: Path, lines: Sequence[object]) -> Path:
    """A file of these lines, text as it is and all else as JSON."""
    file.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in lines))
    return file


def update(server: Served, number: int, *, hours_ago: float = 1, **fields: Any) -> SessionUpdate:
    """The same as a message."""
    made = SessionUpdate(
        session_id=session_of(number),
        distinct_user_id=f"user-{number}",
        sequence=1,
        status=SessionStatus.SESSION_STATUS_EXITED,
        version="app@1.0.0",
        environment="production",
        project=project_name("acme", "web"),
    )
    made.start_time.FromDatetime(now_of(server) - timedelta(hours=hours_ago))
    made.MergeFrom(SessionUpdate(**fields))
    return made


def run_adoption(server: Served) -> None:
    """Find out now who is adopted, as the hourly job does."""
    stub = admin_pb2_grpc.AdminServiceStub(server.channel)
    stub.RunAdoption(admin_pb2.RunAdoptionRequest(), metadata=server.operator)
