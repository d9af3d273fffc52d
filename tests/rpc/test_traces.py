"""Traces: a span for each call, with the tags of its log lines, where an endpoint is set; else nothing of it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from releaseregistry.v1 import releases_pb2

from server import serving
from server.settings import SettingWrong, read_settings
from server.telemetry.tracing import Tracing
from store.database import Database
from tests.clocks import ManualClock
from tests.rpc.sending import upload
from tests.rpc.serving import served
from tests.rpc.wire import Served, bearer, raises_reason

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(
    database: Database,
    clock: ManualClock,
    tmp_path: Path,
    exporter: InMemorySpanExporter,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Served]:
    def tracing(endpoint: str) -> Tracing:
        return Tracing(endpoint, processor=SimpleSpanProcessor(exporter))

    monkeypatch.setattr(serving, "Tracing", tracing)
    with served(database, clock, tmp_path, otlp_endpoint="http://127.0.0.1:9") as server:
        server.make_release(server.make_organization(projects=["web"]), "app@1.0.0", "web")
        settle(server)
        exporter.clear()
        yield server


def settle(server: Served) -> None:
    for lane in server.server.lanes:
        assert lane.wait_until_idle(threading.TIMEOUT_MAX)


def spans(server: Served, exporter: InMemorySpanExporter) -> tuple[ReadableSpan, list[ReadableSpan]]:
    """The span of the one call, and those below it."""
    settle(server)
    finished = exporter.get_finished_spans()
    (call,) = [span for span in finished if span.kind is SpanKind.SERVER]
    return call, [span for span in finished if span is not call]


def test_a_call_is_a_span_with_its_tags_below_that_of_its_caller(
    traced: Served, exporter: InMemorySpanExporter
) -> None:
    request = releases_pb2.GetReleaseRequest(name="organizations/acme/releases/app@1.0.0")
    metadata = (*traced.operator, ("traceparent", PARENT), ("x-request-id", "build-17"))
    traced.releases.GetRelease(request, metadata=metadata)
    call, below = spans(traced, exporter)
    assert call.name == "ReleaseService/GetRelease"
    assert call.attributes is not None
    tags = dict(call.attributes)
    assert tags.pop("token_id")
    assert tags == {
        "rpc.system": "grpc",
        "rpc.service": "releaseregistry.v1.ReleaseService",
        "rpc.method": "GetRelease",
        "rpc.grpc.status_code": 0,
        "request_id": "build-17",
        "code": "OK",
        "organization": "acme",
    }
    assert call.parent is not None
    assert f"{call.parent.trace_id:032x}-{call.parent.span_id:016x}" == PARENT[3:-3]
    assert {span.name for span in below} == {"database read"}
    assert all(span.parent == call.context for span in below)


def test_a_call_that_fails_tells_why(traced: Served, exporter: InMemorySpanExporter) -> None:
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
        traced.releases.GetRelease(
            releases_pb2.GetReleaseRequest(name="organizations/acme/releases/missing"), metadata=traced.operator
        )
    call, _ = spans(traced, exporter)
    assert call.attributes is not None
    assert (call.attributes["code"], call.attributes["reason"]) == ("NOT_FOUND", "RELEASE_NOT_FOUND")
    assert call.status.status_code is StatusCode.UNSET  # its caller's mistake, not ours


def test_a_stream_has_its_writes_below_it(traced: Served, exporter: InMemorySpanExporter) -> None:
    upload(traced, b"content")
    call, below = spans(traced, exporter)
    assert call.name == "ReleaseService/UploadReleaseFile"
    assert call.attributes is not None
    assert call.attributes["organization"] == "acme"
    assert "database write" in {span.name for span in below}


def test_no_span_holds_a_secret(traced: Served, exporter: InMemorySpanExporter) -> None:
    secret = traced.make_token("organizations/acme", "release:read", all_projects=True)
    settle(traced)
    traced.releases.GetRelease(
        releases_pb2.GetReleaseRequest(name="organizations/acme/releases/app@1.0.0"), metadata=bearer(secret)
    )
    settle(traced)
    assert all(secret not in span.to_json() for span in exporter.get_finished_spans())


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """The address of a collector, and what it got."""
    got: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}", got
        finally:
            http.shutdown()
            thread.join()


def test_a_collector_gets_them_by_the_end_of_the_server(database: Database, clock: ManualClock, tmp_path: Path) -> None:
    with receiver() as (endpoint, got):
        with served(database, clock, tmp_path, otlp_endpoint=endpoint) as server:
            server.make_organization()
        assert {path for path, _ in got} == {"/v1/traces"}
        names = set()
        for _, body in got:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                names |= {span.name for scope in resource.scope_spans for span in scope.spans}
    assert "OrganizationService/CreateOrganization" in names


def test_a_collector_that_is_away_fails_no_call(database: Database, clock: ManualClock, tmp_path: Path) -> None:
    with served(database, clock, tmp_path, otlp_endpoint="http://127.0.0.1:9") as server:
        server.make_organization()


def test_without_an_endpoint_nothing_of_it_is_imported() -> None:
    modules = "sys, server.app, server.telemetry.tracing"
    program = f"import {modules}; sys.exit(any('opentelemetry' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_an_endpoint_without_the_extra_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SettingWrong, match=r"release-registry\[otel\]") as raised:
        read_settings((), {"RELEASES_OTLP_ENDPOINT": "http://127.0.0.1:4318"})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("wrong", ["127.0.0.1:4318", "ftp://host", "http://", "http://host:port", "http://u:p@host"])
def test_an_endpoint_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(SettingWrong, match="RELEASES_OTLP_ENDPOINT"):
        read_settings((), {"RELEASES_OTLP_ENDPOINT": wrong})
