"""A handler that never notices that its call's time is over."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from releaseregistry.v1 import tokens_pb2, tokens_pb2_grpc

import server.edge.guard
from store.database import Database
from tests.clocks import ManualClock
from tests.processes.supervising import supervised, until
from tests.rpc.serving import served
from tests.server_process import OPERATOR_TOKEN

METADATA = (("authorization", f"Bearer {OPERATOR_TOKEN}"),)


def test_its_stacks_are_logged_once_and_it_is_counted(
    sqlite: Database,
    clock: ManualClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(server.edge.guard, "OVERDUE_SECONDS", 0.5)
    noticed = threading.Event()

    def handler_that_hangs(_request: object, _call: object) -> tokens_pb2.WhoAmIResponse:
        noticed.wait()
        return tokens_pb2.WhoAmIResponse()

    with (
        caplog.at_level(logging.ERROR, "server.serving"),
        served(sqlite, clock, tmp_path, script={"WhoAmI": handler_that_hangs}, call_seconds=1) as running,
    ):
        calls = [running.tokens.WhoAmI.future(tokens_pb2.WhoAmIRequest(), metadata=running.operator) for _ in range(3)]
        until(lambda: running.server.stuck_calls == 3)
        noticed.set()
        for call in calls:
            call.result(60)
    logged: list[Any] = [record for record in caplog.records if record.message == "calls do not end"]
    [fields] = [record.fields for record in logged]
    places = ["".join(group["stack"]) for group in fields["stacks"]]
    [place] = [group for group in fields["stacks"] if "handler_that_hangs" in "".join(group["stack"])]
    assert len(place["threads"]) == 3
    assert all(name.startswith("lane-calls") for name in place["threads"])
    assert len(places) == len(set(places))


def test_a_call_that_ends_in_its_time_is_not_told_of(
    sqlite: Database, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.edge.guard, "OVERDUE_SECONDS", 0.5)
    with served(sqlite, clock, tmp_path, call_seconds=1) as running:
        running.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=running.operator)
        threading.Event().wait(3.0)  # two looks after its time would have been over
        assert running.server.stuck_calls == 0


def test_the_worker_that_has_it_is_replaced(postgres_url: str, tmp_path: Path) -> None:
    settings = {
        "RELEASES_DATABASE": postgres_url,
        "RELEASES_BOOTSTRAP_TOKEN": OPERATOR_TOKEN,
        "RELEASES_CALL_SECONDS": "1",
        "RELEASES_DRAIN_SECONDS": "1",
    }
    with supervised(tmp_path, worker="stuck_worker.py", settings=settings) as program:
        [ready] = program.wait_for(message="all workers serve")
        with grpc.insecure_channel(ready["address"]) as channel:
            stub = tokens_pb2_grpc.TokenServiceStub(channel)
            call = stub.WhoAmI.future(tokens_pb2.WhoAmIRequest(), metadata=METADATA)
            [stuck] = program.wait_for(message="calls do not end")
            [ended] = program.wait_for(message="a worker ended")
            assert call.exception(60) is not None
        assert "wait_for_ever" in str(stuck["stacks"])
        assert (ended["worker"], ended["exit_code"]) == (stuck["worker"], 0)
        assert len(program.lines(message="a worker is stuck: it is replaced")) == 1
        program.wait_for(2, logger="server.worker", message="serving", worker=stuck["worker"])
        assert program.end() == 0
        for line in program.lines(logger="server.worker", message="serving"):
            with pytest.raises(ProcessLookupError):
                os.kill(line["pid"], 0)


def test_a_worker_that_takes_no_calls_any_more_is_replaced(postgres_url: str, tmp_path: Path) -> None:
    settings = {"RELEASES_DATABASE": postgres_url, "RELEASES_BOOTSTRAP_TOKEN": OPERATOR_TOKEN}
    with supervised(tmp_path, worker="deaf_worker.py", settings=settings) as program:
        [ready] = program.wait_for(message="all workers serve")
        with grpc.insecure_channel(ready["address"], [("grpc.enable_retries", 0)]) as channel:
            stub = tokens_pb2_grpc.TokenServiceStub(channel)
            with pytest.raises(grpc.RpcError) as refused:
                stub.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=METADATA, timeout=60)
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        [told] = program.wait_for(level="critical")
        [ended] = program.wait_for(message="a worker ended")
        assert told["message"].startswith("calls are not served any more")
        assert (ended["worker"], ended["exit_code"]) == (told["worker"], 70)
        program.wait_for(2, message="all workers serve")


def test_a_server_that_ends_takes_that_for_no_death(sqlite: Database, clock: ManualClock, tmp_path: Path) -> None:
    died = threading.Event()
    with served(sqlite, clock, tmp_path) as running:
        running.server.on_dead = died.set
        [watch] = [thread for thread in threading.enumerate() if thread.name == "serving-watch"]
    watch.join(60)
    assert not watch.is_alive()
    assert not died.is_set()


def test_a_worker_in_which_no_call_can_begin_is_told_of(
    sqlite: Database, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = threading.Event()
    start = threading.Thread.start

    def no_room(thread: threading.Thread) -> None:
        if thread.name.startswith("lane-calls"):
            raise RuntimeError("can't start new thread")
        start(thread)

    with served(sqlite, clock, tmp_path) as running:
        running.server.on_stuck = stuck.set
        monkeypatch.setattr(threading.Thread, "start", no_room)
        call = running.tokens.WhoAmI.future(tokens_pb2.WhoAmIRequest(), metadata=running.operator)
        assert stuck.wait(60)
        monkeypatch.undo()
        assert call.result(60).token.name  # there is room again, and it was not forgotten
