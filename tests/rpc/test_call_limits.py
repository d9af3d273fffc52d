"""The limits that calls have when nobody sets any, and that they are in force."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from releaseregistry.v1 import files_pb2

from server.edge.calls import Call
from server.edge.edge import CallLimits
from server.settings import read_settings
from server.transport import grpc_options
from store.database import Database
from tests.clocks import ManualClock
from tests.floods.wire import WHO_AM_I
from tests.rpc.serving import served


def test_calls_and_connections_have_the_limits_that_are_documented() -> None:
    settings = read_settings((), {})
    limits = CallLimits(unary=settings.call_seconds, silence=settings.silence_seconds)
    assert limits == CallLimits(unary=60, stream=24 * 3600, message=30, silence=60)
    options = dict(grpc_options(settings, shares_port=False))
    assert options["grpc.server_handshake_timeout_ms"] == 10_000
    assert options["grpc.max_connection_idle_ms"] == 15 * 60_000
    assert options["grpc.max_connection_age_ms"] == 3600_000


def test_a_stream_without_a_deadline_has_a_day(sqlite: Database, clock: ManualClock, tmp_path: Path) -> None:
    told: list[float | None] = []

    def handler(_: object, call: Call) -> files_pb2.UploadReleaseFileResponse:
        told.append(call.remaining_seconds())
        return files_pb2.UploadReleaseFileResponse()

    with served(sqlite, clock, tmp_path, script={"UploadReleaseFile": handler}) as running:
        running.releases.UploadReleaseFile(iter(()), metadata=running.operator)
    (seconds,) = told
    assert seconds is not None
    assert 23 * 3600 < seconds <= 24 * 3600


def test_a_unary_call_whose_message_does_not_come_is_cut(
    sqlite: Database, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.serving.CallLimits", partial(CallLimits, message=1.0))
    never: queue.Queue[bytes | None] = queue.Queue()

    def messages() -> Iterator[bytes]:
        yield from iter(never.get, None)

    with served(sqlite, clock, tmp_path) as running:
        with pytest.raises(grpc.RpcError) as raised:
            # Less than what a unary call may take: it is not that which cuts it.
            running.raw.stream_unary(WHO_AM_I)(messages(), metadata=running.operator, timeout=40)
        never.put(None)
    assert raised.value.code() == grpc.StatusCode.CANCELLED
