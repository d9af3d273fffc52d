"""Who is slow stops nobody else: lanes, their slots, and what is told when they are taken."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from releaseregistry.v1 import commits_pb2, files_pb2, releases_pb2, tokens_pb2

from server.edge.calls import Call
from server.edge.errors import CallEnded
from server.servicers.releases import ReleaseRpcs
from store.database import Database
from tests.clocks import ManualClock
from tests.rpc.serving import CHANNEL_OPTIONS, served
from tests.rpc.test_health_and_reflection import reflect
from tests.rpc.wire import Served, raises_reason

WAIT = 60.0


class Idle:
    """Client streams that send a first message and then nothing until they are let go."""

    def __init__(self, served: Served, *, channel: grpc.Channel | None = None) -> None:
        self._served = served
        self._channel: Any = channel or served.channel
        self._queues: list[queue.Queue[bytes | None]] = []
        self.calls: list[Any] = []

    def open(self, count: int) -> None:
        for _ in range(count):
            waiting: queue.Queue[bytes | None] = queue.Queue()
            waiting.put(b"")
            method = self._channel.stream_unary("/releaseregistry.v1.ReleaseService/UploadReleaseFile")
            self.calls.append(method.future(iter(waiting.get, None), metadata=self._served.operator))
            self._queues.append(waiting)

    def let_go(self) -> None:
        for waiting in self._queues:
            waiting.put(None)


class Uploads:
    """A handler of uploads that tells how many are in it, and how they ended."""

    def __init__(self) -> None:
        self.inside = 0
        self.ended: queue.Queue[str] = queue.Queue()
        self._changed = threading.Condition()

    def __call__(self, requests: Iterator[Any], _: Call) -> files_pb2.UploadReleaseFileResponse:
        next(requests)
        self._count(1)
        try:
            for _request in requests:
                pass
        except CallEnded:
            self.ended.put("gone")
            raise
        else:
            self.ended.put("finished")
        finally:
            self._count(-1)
        return files_pb2.UploadReleaseFileResponse()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.inside == count, WAIT), self.inside

    def _count(self, step: int) -> None:
        with self._changed:
            self.inside += step
            self._changed.notify_all()


def answer_whoami(*_: object) -> tokens_pb2.WhoAmIResponse:
    return tokens_pb2.WhoAmIResponse(caller="answered")


def whoami(served: Served) -> str:
    return served.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=served.operator, timeout=WAIT).caller


def check_health(channel: grpc.Channel) -> int:
    status: int = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=WAIT).status
    return status


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_four_idle_uploads_stop_neither_a_unary_call_nor_a_health_check(
    sqlite: Database, clock: ManualClock, tmp_path: Path
) -> None:
    uploads = Uploads()
    script: dict[str, Callable[..., Any]] = {"UploadReleaseFile": uploads, "WhoAmI": answer_whoami}
    with served(sqlite, clock, tmp_path, script=script, stream_slots=4, call_slots=4) as running:
        idle = Idle(running)
        idle.open(4)
        uploads.wait_for(4)
        assert whoami(running) == "answered"
        assert check_health(running.channel) == health_pb2.HealthCheckResponse.SERVING
        idle.let_go()
        for call in idle.calls:
            call.result(WAIT)


def test_while_every_stream_slot_is_taken_reflection_and_cheap_reads_answer(
    sqlite: Database, clock: ManualClock, tmp_path: Path
) -> None:
    uploads = Uploads()
    script: dict[str, Callable[..., Any]] = {"UploadReleaseFile": uploads}
    with served(sqlite, clock, tmp_path, script=script, stream_slots=4, call_slots=4) as running:
        servicer = ReleaseRpcs(running.server.store)
        script |= {"GetRelease": servicer.GetRelease, "ListReleases": servicer.ListReleases}
        idle = Idle(running)
        idle.open(4)
        uploads.wait_for(4)
        service = "grpc.reflection.v1alpha.ServerReflection"
        listed = reflect(running.channel, service, list_services="").list_services_response.service
        assert "releaseregistry.v1.ReleaseService" in {each.name for each in listed}
        with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
            get = releases_pb2.GetReleaseRequest(name="organizations/acme/releases/app@1.0.0")
            running.releases.GetRelease(get, metadata=running.operator, timeout=WAIT)
        with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
            request = releases_pb2.ListReleasesRequest(parent="organizations/acme")
            running.releases.ListReleases(request, metadata=running.operator, timeout=WAIT)
        assert uploads.inside == 4
        idle.let_go()
        for call in idle.calls:
            call.result(WAIT)


def test_when_all_stream_slots_are_taken_the_next_stream_is_refused_at_once_and_taken_later(
    sqlite: Database, clock: ManualClock, tmp_path: Path
) -> None:
    uploads = Uploads()
    with served(sqlite, clock, tmp_path, script={"UploadReleaseFile": uploads}, stream_slots=4) as running:
        idle = Idle(running)
        idle.open(4)
        uploads.wait_for(4)
        for _ in range(3):
            # Its client has sent nothing yet, and its iterator would block for ever.
            with raises_reason("STREAMS_BUSY", "UNAVAILABLE") as refusal:
                late = Idle(running)
                late.open(1)
                late.calls[0].result(WAIT)
            assert refusal.metadata == {"limit": "4"}
            assert refusal.retry_seconds is not None
        request = files_pb2.DownloadReleaseFileRequest(name="organizations/acme/releases/a/files/b")
        with raises_reason("STREAMS_BUSY", "UNAVAILABLE"):
            list(running.releases.DownloadReleaseFile(request, metadata=running.operator))
        idle.let_go()
        for call in idle.calls:
            call.result(WAIT)
        wait_until(lambda: running.server.running_calls == 0)
        again = Idle(running)
        again.open(4)
        uploads.wait_for(4)
        again.let_go()


def test_a_cancelled_stream_gives_its_slot_back(sqlite: Database, clock: ManualClock, tmp_path: Path) -> None:
    uploads = Uploads()
    with served(sqlite, clock, tmp_path, script={"UploadReleaseFile": uploads}, stream_slots=2) as running:
        for _ in range(5):
            idle = Idle(running)
            idle.open(2)
            uploads.wait_for(2)
            for call in idle.calls:
                call.cancel()
            uploads.wait_for(0)
            wait_until(lambda: running.server.running_calls == 0)
            idle.let_go()


def test_a_stream_whose_client_vanishes_gives_its_slot_back(
    sqlite: Database, clock: ManualClock, tmp_path: Path
) -> None:
    uploads = Uploads()
    with served(sqlite, clock, tmp_path, script={"UploadReleaseFile": uploads}, stream_slots=1) as running:
        with grpc.insecure_channel(running.address, options=CHANNEL_OPTIONS) as channel:
            idle = Idle(running, channel=channel)
            idle.open(1)
            uploads.wait_for(1)
        uploads.wait_for(0)
        wait_until(lambda: running.server.running_calls == 0)
        idle.let_go()


def test_a_call_that_is_cancelled_before_its_message_comes_gives_its_slot_back(edge: Served) -> None:
    call = edge.raw.stream_unary("/releaseregistry.v1.TokenService/WhoAmI")
    silent: queue.Queue[bytes] = queue.Queue()
    waiting = call.future(iter(silent.get, b""), metadata=edge.operator)
    wait_until(lambda: edge.server.running_calls == 1)
    waiting.cancel()
    wait_until(lambda: edge.server.running_calls == 0)
    silent.put(b"")


def test_when_all_call_slots_are_taken_the_next_call_is_refused_and_health_is_not(
    sqlite: Database, clock: ManualClock, tmp_path: Path
) -> None:
    go_on = threading.Event()

    def slow(*_: object) -> tokens_pb2.WhoAmIResponse:
        assert go_on.wait(WAIT)
        return tokens_pb2.WhoAmIResponse(caller="slow")

    with served(sqlite, clock, tmp_path, script={"WhoAmI": slow}, call_slots=3, stream_slots=3) as running:
        with ThreadPoolExecutor(3) as pool:
            calls = [pool.submit(whoami, running) for _ in range(3)]
            wait_until(lambda: running.server.running_calls == 3)
            with raises_reason("CALLS_BUSY", "UNAVAILABLE") as refusal:
                whoami(running)
            assert refusal.metadata == {"limit": "3"}
            assert refusal.retry_seconds is not None
            assert check_health(running.channel) == health_pb2.HealthCheckResponse.SERVING
            go_on.set()
            assert [call.result(WAIT) for call in calls] == ["slow"] * 3


def test_a_hundred_streams_over_one_connection_are_taken_or_refused_and_none_waits(
    sqlite: Database, clock: ManualClock, tmp_path: Path
) -> None:
    uploads = Uploads()
    with served(sqlite, clock, tmp_path, script={"UploadReleaseFile": uploads}) as running:
        idle = Idle(running)
        idle.open(100)
        slots = running.server.settings.stream_slots
        uploads.wait_for(slots)
        wait_until(lambda: sum(call.done() for call in idle.calls) == 100 - slots)
        assert {call.code() for call in idle.calls if call.done()} == {grpc.StatusCode.UNAVAILABLE}
        idle.let_go()


def test_a_download_whose_client_goes_away_ends_its_handler(
    sqlite: Database, clock: ManualClock, tmp_path: Path
) -> None:
    ended = threading.Event()

    def endless(*_: object) -> Iterator[files_pb2.DownloadReleaseFileResponse]:
        try:
            while True:
                yield files_pb2.DownloadReleaseFileResponse(data=bytes(1 << 18))
        finally:
            ended.set()

    with served(sqlite, clock, tmp_path, script={"DownloadReleaseFile": endless}) as running:
        request = files_pb2.DownloadReleaseFileRequest(name="organizations/acme/releases/a/files/b")
        answers = running.releases.DownloadReleaseFile(request, metadata=running.operator)
        next(answers)
        answers.cancel()
        assert ended.wait(WAIT)
        wait_until(lambda: running.server.running_calls == 0)


def test_a_stream_that_keeps_silent_too_long_is_cut(sqlite: Database, clock: ManualClock, tmp_path: Path) -> None:
    uploads = Uploads()
    # 5 seconds are the least that the setting takes; the watch looks every second.
    with served(sqlite, clock, tmp_path, script={"UploadReleaseFile": uploads}, silence_seconds=5) as running:
        idle = Idle(running)
        idle.open(1)
        uploads.wait_for(1)
        # A cut may look to the handler like the client's half-close (https://github.com/grpc/grpc/issues/33038):
        # which is why a stream of the contract is complete only by its finish message.
        assert uploads.ended.get(timeout=WAIT) in ("gone", "finished")
        with pytest.raises(grpc.RpcError) as raised:
            idle.calls[0].result(WAIT)
        assert raised.value.code() == grpc.StatusCode.CANCELLED
        idle.let_go()


def test_a_handler_is_told_the_callers_deadline_and_never_more_than_the_servers(
    sqlite: Database, clock: ManualClock, tmp_path: Path
) -> None:
    told: list[float | None] = []

    def handler(_: object, call: Call) -> tokens_pb2.WhoAmIResponse:
        told.append(call.remaining_seconds())
        return tokens_pb2.WhoAmIResponse()

    with served(sqlite, clock, tmp_path, script={"WhoAmI": handler}, call_seconds=500) as running:
        for timeout in (60.0, None, 5000.0):
            running.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=running.operator, timeout=timeout)
    # On the wire grpc rounds a timeout of a minute up to tenths of a second.
    assert [told[0] is not None and told[0] <= 60.1, told[1] is not None and 400 < told[1] <= 500] == [True, True]
    assert told[2] is not None
    assert 400 < told[2] <= 500


def test_a_call_that_outlives_the_servers_own_deadline_is_told_so(
    sqlite: Database, clock: ManualClock, tmp_path: Path
) -> None:
    def handler(_: object, call: Call) -> tokens_pb2.WhoAmIResponse:
        while call.remaining_seconds():
            time.sleep(0.05)
        call.check()
        raise AssertionError("the check let it pass")

    with served(sqlite, clock, tmp_path, script={"WhoAmI": handler}, call_seconds=1) as running:
        with raises_reason("DEADLINE_PASSED", "DEADLINE_EXCEEDED"):
            whoami(running)


def test_a_handler_notices_that_its_caller_is_gone(sqlite: Database, clock: ManualClock, tmp_path: Path) -> None:
    inside, given_up = threading.Event(), threading.Event()
    outcome: list[str] = []

    def handler(_: object, call: Call) -> tokens_pb2.WhoAmIResponse:
        inside.set()
        try:
            while not given_up.wait(0.01):
                call.check()
        except CallEnded:
            outcome.append("gone")
            raise
        return tokens_pb2.WhoAmIResponse()

    with served(sqlite, clock, tmp_path, script={"WhoAmI": handler}) as running:
        call = running.tokens.WhoAmI.future(tokens_pb2.WhoAmIRequest(), metadata=running.operator)
        assert inside.wait(WAIT)
        call.cancel()
        try:
            wait_until(lambda: running.server.running_calls == 0)
        finally:
            given_up.set()
    assert outcome == ["gone"]


def test_checked_messages_reach_the_handler_of_a_stream_in_order(
    sqlite: Database, clock: ManualClock, tmp_path: Path
) -> None:
    def handler(requests: Iterator[commits_pb2.SetCommitsRequest], _: Call) -> releases_pb2.SetCommitsResponse:
        ids = [commit.id for request in requests for commit in request.commits]
        return releases_pb2.SetCommitsResponse(release=releases_pb2.Release(owner=" ".join(ids)))

    def messages() -> Iterator[commits_pb2.SetCommitsRequest]:
        for number in range(50):
            yield commits_pb2.SetCommitsRequest(commits=[commits_pb2.Commit(id=str(number))])

    with served(sqlite, clock, tmp_path, script={"SetCommits": handler}) as running:
        answer = running.releases.SetCommits(messages(), metadata=running.operator)
    assert answer.release.owner.split() == [str(number) for number in range(50)]
