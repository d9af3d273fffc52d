"""CI's share of the drill of two servers; `make drill-two-servers` runs the full count, on a real S3 service."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from examples.two_servers.run import FOLDER, Haproxy, find_haproxy
from relctl.errors import decode_error
from tests.crash.test_kill_on_a_bucket import environment
from tests.crash.workload import ORGANIZATION
from tests.postgres_server import PostgresServer
from tests.two_servers.drill import UPLOAD_BYTES, Drill, report
from tests.two_servers.pair import MIB, Pair, Upload, pair

__all__ = ["environment"]  # a fixture

SEED = 1
HEALTH_PATH = b"/grpc.health.v1.Health/Check"


@pytest.fixture
def haproxy() -> Haproxy | None:
    """The proxy, where there is one: without it the servers are called directly, which CI must not make do with."""
    found = find_haproxy()
    assert found is not None or os.environ.get("CI") != "true", "haproxy is missing, and CI calls through it"
    return found


@pytest.fixture
def both(
    postgres_server: PostgresServer, tmp_path: Path, environment: dict[str, str], haproxy: Haproxy | None
) -> Iterator[Pair]:
    settings = {**environment, "RELEASES_WORKERS": "1"}
    with (
        postgres_server.fresh_database() as url,
        pair(tmp_path, database=url, environment=settings, haproxy=haproxy) as running,
    ):
        yield running


@pytest.mark.timeout(300)
def test_what_one_of_two_servers_acknowledged_is_with_the_other_when_it_is_killed_and_when_it_is_drained(
    both: Pair,
) -> None:
    drill = Drill(both, SEED)
    drill.prepare()
    drill.killed(0)
    drill.drained(1)
    drill.across()
    drill.rows()

    assert report(drill, None), "a goal was missed; its line stands in the output"


def test_a_stream_that_is_refused_before_its_end_tells_why_by_the_proxy_too(both: Pair) -> None:
    """Without a proxy the same holds: then this asks a server itself."""
    way = both.door
    parent, upload_id = f"{ORGANIZATION}/releases/missing", str(uuid.uuid4())
    upload = Upload(parent, "app.bin", upload_id, bytes(32 * MIB))
    with way.channel() as channel, pytest.raises(grpc.RpcError) as raised:
        upload.begin(way, channel, stop=UPLOAD_BYTES).result(60)
    error = decode_error(raised.value)
    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "ORGANIZATION_NOT_FOUND")


def test_the_proxy_asks_the_health_that_servers_tell() -> None:
    """The bytes in haproxy.cfg are what its comments say."""
    sent = b"".join(
        bytes.fromhex(found)
        for found in re.findall(r"^\s*tcp-check send-binary (\w+)$", (FOLDER / "haproxy.cfg").read_text(), re.MULTILINE)
    )
    preface, frames = sent[:24], sent[24:]
    assert preface == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    kinds = []
    while frames:
        length, kind, flags = int.from_bytes(frames[:3], "big"), frames[3], frames[4]
        body, frames = frames[9 : 9 + length], frames[9 + length :]
        kinds.append((kind, flags, body))
    (settings, headers, data) = kinds
    assert settings == (4, 0, b"")
    assert (headers[0], headers[1]) == (1, 4)
    assert HEALTH_PATH in headers[2]
    assert b"application/grpc" in headers[2]
    assert data == (0, 1, bytes(5))
