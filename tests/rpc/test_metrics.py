"""What the metrics tell of calls, and what they never tell."""

from __future__ import annotations

import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import MethodOptions
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from releaseregistry.v1 import organizations_pb2, releases_pb2, sessions_pb2

from server.telemetry import metrics
from server.telemetry.metrics import MethodFigures, exposition, serve_metrics
from server.transport import CannotListen
from store.database import Database
from store.errors import DatabaseBusy
from store.metrics import DATABASE_READ
from tests.clocks import ManualClock
from tests.rpc.sending import upload
from tests.rpc.serving import SERVICES, served
from tests.rpc.wire import Served, bearer, raises_reason

MOST_SERIES = 2000
GET = "ReleaseService/GetRelease"


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"release_registry_{name}", labels) or 0.0


class Moved:
    """By how much a figure has gone up since this was made."""

    def __init__(self, name: str, **labels: str) -> None:
        self._name, self._labels = name, labels
        self._before = value(name, **labels)

    @property
    def by(self) -> float:
        return value(self._name, **self._labels) - self._before


def settled(server: Served) -> None:
    """Returns when no call is under way: what is counted at its end was counted."""
    for lane in server.server.lanes:
        assert lane.wait_until_idle(time.monotonic() + 30)


@pytest.fixture
def release(server: Served) -> str:
    organization = server.make_organization(projects=["web"])
    return server.make_release(organization, "app@1.0.0", "web").name


def test_a_call_is_counted_once_by_its_method_code_and_reason(server: Served, release: str) -> None:
    good = Moved("calls_total", method=GET, code="OK", reason="")
    bad = Moved("calls_total", method=GET, code="NOT_FOUND", reason="RELEASE_NOT_FOUND")
    took = Moved("call_seconds_count", method=GET)
    begun = Moved("lane_calls_begun_total", lane="calls")
    for _ in range(3):
        server.releases.GetRelease(releases_pb2.GetReleaseRequest(name=release), metadata=server.operator)
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
        server.releases.GetRelease(releases_pb2.GetReleaseRequest(name=release + "-rc"), metadata=server.operator)
    settled(server)
    assert (good.by, bad.by, took.by, begun.by) == (3, 1, 4, 4)


def test_messages_are_counted_by_their_bytes(server: Served, release: str) -> None:
    came, went = Moved("received_bytes_total"), Moved("sent_bytes_total")
    request = releases_pb2.GetReleaseRequest(name=release)
    answer = server.releases.GetRelease(request, metadata=server.operator)
    assert (came.by, went.by) == (request.ByteSize(), answer.ByteSize())


def test_a_credential_that_is_none_is_counted_by_its_reason(server: Served) -> None:
    missing = Moved("authentication_failures_total", reason="CREDENTIALS_MISSING")
    invalid = Moved("authentication_failures_total", reason="CREDENTIALS_INVALID")
    for metadata in ((), bearer("rr_nobodys-token-at-all")):
        with pytest.raises(grpc.RpcError):
            server.releases.GetRelease(releases_pb2.GetReleaseRequest(), metadata=metadata)
    assert (missing.by, invalid.by) == (1, 1)


def test_an_upload_and_a_second_one_of_the_same_bytes(server: Served, release: str) -> None:
    content = bytes(range(256)) * 400
    open_before = value("upload_streams_open")  # other tests leave some, as processes that are killed do
    began, done = Moved("uploads_total", event="started"), Moved("uploads_total", event="finished")
    came, known = Moved("upload_received_bytes_total"), Moved("upload_known_bytes_total")
    stored, again = Moved("chunks_total", event="stored"), Moved("chunks_total", event="known")
    upload(server, content, "first.bin")
    assert (came.by, known.by, stored.by > 0, again.by) == (len(content), 0, True, 0)
    upload(server, content, "second.bin")
    settled(server)
    assert (came.by, known.by) == (2 * len(content), len(content))
    assert (began.by, done.by) == (2, 2)
    assert again.by == stored.by
    assert value("upload_streams_open") == open_before


def test_a_refused_call_is_counted_by_why(database: Database, clock: ManualClock, tmp_path: Path) -> None:
    with served(database, clock, tmp_path) as server:
        server.server._router.drain()
        refused = Moved("refusals_total", reason="DRAINING")
        with raises_reason("DRAINING", "UNAVAILABLE"):
            server.releases.GetRelease(releases_pb2.GetReleaseRequest(), metadata=server.operator)
        assert refused.by == 1


def test_a_method_that_there_is_not_has_no_label_of_its_own(server: Served) -> None:
    unknown = Moved("unknown_methods_total")
    with pytest.raises(grpc.RpcError):
        server.raw.unary_unary("/releaseregistry.v1.ReleaseService/Invented")(b"", metadata=server.operator)
    assert unknown.by == 1
    assert b"Invented" not in exposition()


@pytest.mark.provokes_defects
def test_a_defect_is_counted_and_is_in_no_other_way_an_error(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    def fail(*_: object) -> Any:
        raise ZeroDivisionError

    with served(database, clock, tmp_path, script={"GetRelease": fail}) as server:
        defects = Moved("internal_errors_total")
        with raises_reason("INTERNAL", "INTERNAL"):
            server.releases.GetRelease(releases_pb2.GetReleaseRequest(name="x"), metadata=server.operator)
        assert defects.by == 1


def test_a_slow_call_is_counted_and_has_a_warning(
    database: Database, clock: ManualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def slow(*_: object) -> releases_pb2.GetReleaseResponse:
        time.sleep(1.1)
        return releases_pb2.GetReleaseResponse()

    with served(database, clock, tmp_path, script={"GetRelease": slow}, slow_seconds=1) as server:
        counted = Moved("slow_calls_total")
        with caplog.at_level("WARNING"):
            server.releases.GetRelease(releases_pb2.GetReleaseRequest(name="x"), metadata=server.operator)
            settled(server)
        assert counted.by == 1
        (record,) = [record for record in caplog.records if record.message == "call ended"]
        assert record.__dict__["fields"]["slow"] is True


def test_what_the_database_cannot_do_is_counted_and_what_callers_do_wrong_is_not() -> None:
    failed = Moved("database_failures_total", reason="DATABASE_BUSY")
    reads = Moved("database_seconds_count", kind="read")

    @DATABASE_READ.measured
    def busy() -> None:
        raise DatabaseBusy

    with pytest.raises(DatabaseBusy):
        busy()
    with pytest.raises(KeyError), DATABASE_READ.timed():
        raise KeyError
    assert (failed.by, reads.by) == (1, 2)


def test_sessions_are_counted_by_what_became_of_them(server: Served, release: str) -> None:
    recorded, refused = (
        Moved("session_items_total", outcome="recorded"),
        Moved("session_items_refused_total", reason="PROJECT_FORBIDDEN"),
    )
    items = [
        sessions_pb2.SessionCounts(counts_id=str(uuid.uuid4()), project=project, version="app@1.0.0", exited_count=1)
        for project in ("organizations/acme/projects/web", "organizations/acme/projects/other")
    ]
    for item in items:
        item.start_time.FromMicroseconds(server.clock.now_us())
    request = sessions_pb2.RecordSessionsRequest(parent="organizations/acme", counts=items)
    server.health.RecordSessions(request, metadata=server.operator)
    assert (recorded.by, refused.by) == (1, 1)


def test_no_label_tells_of_anybody(server: Served, release: str) -> None:
    """Every method is called, with names that must not be found again, and by a token that must not either."""
    organization = server.make_organization("canary-organization", projects=["canary-project"])
    secret = server.make_token(organization, "org:admin", "release:admin", "health:write", all_projects=True)
    server.make_release(organization, "canary@1.2.3", "canary-project")
    for service in SERVICES:
        for method in service.methods:
            call_with_names(server, method, secret)
    settled(server)
    server.server.housekeeping.run_once()
    text = exposition().decode()
    assert "canary" not in text
    assert secret not in text
    assert "organizations/" not in text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert len(samples) <= MOST_SERIES
    methods = {sample.labels["method"] for sample in samples if sample.name == "release_registry_calls_total"}
    assert methods == {f"{service.name}/{method.name}" for service in SERVICES for method in service.methods}


def call_with_names(server: Served, method: Any, secret: str) -> None:
    request = method.input_type._concrete_class()
    if "name" in request.DESCRIPTOR.fields_by_name:
        request.name = "organizations/canary-organization/releases/canary@1.2.3"
    if "parent" in request.DESCRIPTOR.fields_by_name:
        request.parent = "organizations/canary-organization"
    path = f"/{method.containing_service.full_name}/{method.name}"
    name = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    encoded = request.SerializeToString()
    try:
        answer = getattr(server.raw, name)(path)(
            iter([encoded]) if method.client_streaming else encoded, metadata=bearer(secret), timeout=60
        )
        if method.server_streaming:
            list(answer)
    except grpc.RpcError:
        return


def test_series_of_calls_are_bounded_whatever_ends_they_come_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_outcomes", set())
    monkeypatch.setattr(metrics, "MOST_OUTCOMES", 3)
    figures = MethodFigures("/releaseregistry.v1.TestService/Bounded")
    for number in range(10):
        figures.ended("ABORTED", f"REASON_{number}", 0.1)
    assert [
        value("calls_total", method="TestService/Bounded", code="ABORTED", reason=reason)
        for reason in ("REASON_2", "REASON_3", "OTHER")
    ] == [1, 0, 7]
    figures.ended("OK", "", 0.1)
    assert value("calls_total", method="TestService/Bounded", code="OK", reason="") == 1


def test_the_gauges_show_the_server_that_runs(server: Served) -> None:
    assert value("lane_slots", lane="calls") == server.server.settings.call_slots
    assert value("blobs_writable") == 1
    assert value("draining") == 0
    assert value("disk_free_bytes", place="data") > 0
    if server.database.engine == "sqlite":
        assert value("database_wal_bytes") > 0
    else:
        assert value("database_pool_connections_max") == 8
    server.server.drain(seconds=0)
    assert value("draining") == 1


@pytest.fixture
def endpoint() -> Iterator[int]:
    port, end = serve_metrics("127.0.0.1:0")
    yield port
    end()


def test_prometheus_reads_them_over_http(endpoint: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{endpoint}/metrics", timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert b"release_registry_build_info{version=" in answer.read()


def test_a_port_that_is_taken_is_told_in_one_line(endpoint: int) -> None:
    with pytest.raises(CannotListen, match=rf"Cannot listen on 127\.0\.0\.1:{endpoint} for metrics: "):
        serve_metrics(f"127.0.0.1:{endpoint}")


def test_what_the_methods_of_the_contract_can_show_stays_below_the_bound() -> None:
    methods = [method for service in SERVICES for method in service.methods]
    buckets = len(metrics._CALL_SECONDS.labels("ReleaseService/GetRelease")._buckets) + 2
    assert len(methods) * buckets + metrics.MOST_OUTCOMES + len(methods) < MOST_SERIES - 250
    assert any(method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS for method in methods)
    assert organizations_pb2.DESCRIPTOR.services_by_name["OrganizationService"] in SERVICES
