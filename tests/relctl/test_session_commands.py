"""`relctl sessions send`, and the library below it, against a running server."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from releaseregistry.v1.sessions_pb2 import (
    RecordedSessions,
    RecordSessionsResponse,
    SessionStatus,
    SessionUpdate,
    StreamSessionsRequest,
    StreamSessionsResponse,
)

from relctl import RegistryError
from relctl.client import Client
from store.errors import DatabaseBusy
from tests.relctl.command_line import Relctl
from tests.relctl.scripts import Script
from tests.relctl.telling import line, now_of, rfc, run_adoption, update, write
from tests.rpc.wire import Served


def figures(ctl: Relctl) -> dict[str, object]:
    (answer,) = ctl.json("health", "app@1.0.0")
    (project,) = answer["projects"]
    told: dict[str, object] = project["figures"]
    return told


# --- Sending lines ---


def test_lines_are_recorded_and_counted_once(acme: Served, ctl: Relctl, tmp_path: Path) -> None:
    lines = [
        line(acme, 1, sequence=0, status="ok", duration=None),
        line(acme, 1),
        "",
        line(acme, 2, status="crashed"),
        line(
            acme,
            3,
            session_id=None,
            sequence=None,
            status=None,
            duration=None,
            counts_id="0d8a8c3e-58a5-4c0a-9a5b-6f5c8f3b2d11",
            exited_count=6,
        ),
    ]
    file = write(tmp_path / "s.jsonl", lines)
    assert ctl.ok("sessions", "send", file).out == "4 items recorded\n"
    assert (figures(ctl)["session_count"], figures(ctl)["crashed_session_count"]) == ("8", "1")
    assert ctl.ok("sessions", "send", file).out == "0 items recorded, 4 known before\n"
    assert figures(ctl)["session_count"] == "8"


def test_bad_lines_are_told_in_their_order_and_all_others_kept(acme: Served, ctl: Relctl, tmp_path: Path) -> None:
    old = rfc(now_of(acme) - timedelta(days=40))
    lines = [
        line(acme, 1, session_id="no uuid"),
        "not json",
        line(acme, 2),
        "",
        line(acme, 3, start_time=old),
        line(acme, 4, project="other"),
        line(acme, 5, project=None),
        line(acme, 6, status="gone"),
        line(acme, 7, environment="a/b"),
    ]
    file = write(tmp_path / "s.jsonl", lines)
    ran = ctl("sessions", "send", file)
    assert (ran.code, ran.out) == (1, "1 item recorded\n")
    *told, last = ran.err.splitlines()
    assert last == "relctl: LEFT_OVER: 7 lines refused"
    assert [each.partition(":")[0] for each in told] == [
        "line 1, session_id",
        "line 2",
        "line 5, start_time",
        "line 6, project",
        "line 7, project",
        "line 8",
        "line 9, environment",
    ]
    assert told[3].endswith("(PROJECT_FORBIDDEN)")
    assert figures(ctl)["session_count"] == "1"


@pytest.mark.parametrize("batch", [1, 2, 3, 1000])
def test_a_program_gets_the_refused_lines_and_the_counts(acme: Served, ctl: Relctl, tmp_path: Path, batch: int) -> None:
    counts = {"counts_id": "0d8a8c3e-58a5-4c0a-9a5b-6f5c8f3b2d11", "crashed_count": -1, "start_time": rfc(now_of(acme))}
    lines = [line(acme, 1), counts, line(acme, 2, session_id="no uuid"), "oops", line(acme, 3)]
    file = write(tmp_path / "s.jsonl", lines)
    usual = ("--project", "web", "--release", "app@1.0.0", "--environment", "qa")
    ran = ctl("sessions", "send", file, "--json", "--batch", batch, *usual)
    *refused, last = ran.objects
    assert [(each["line"], each["field"], each["reason"]) for each in refused] == [
        (2, "crashed_count", "INVALID_FIELD"),
        (3, "session_id", "INVALID_FIELD"),
        (4, "", "INVALID_LINE"),
    ]
    assert last == {"recorded_count": 2, "known_count": 0, "refused_count": 3}
    assert ran.code == 1


def test_lines_come_from_stdin_and_say_only_what_differs(acme: Served, ctl: Relctl, tmp_path: Path) -> None:
    file = write(tmp_path / "s.jsonl", [line(acme, 1, project=None, version=None, environment=None)])
    stdin = os.dup(0)
    with file.open("rb") as lines:
        os.dup2(lines.fileno(), 0)
    try:
        usual = ("--project", "web", "--release", "app@1.0.0", "--env", "staging")
        assert ctl.ok("sessions", "send", "-", *usual).out == "1 item recorded\n"
    finally:
        os.dup2(stdin, 0)
        os.close(stdin)
    (answer,) = ctl.json("health", "app@1.0.0", "--environment", "staging")
    assert answer["projects"][0]["figures"]["session_count"] == "1"


def test_of_very_many_bad_lines_the_first_are_told_and_the_others_counted(ctl: Relctl, tmp_path: Path) -> None:
    ran = ctl("sessions", "send", write(tmp_path / "s.jsonl", ["oops"] * 150))
    told = ran.err.splitlines()
    assert (len(told), told[99].partition(":")[0]) == (102, "line 100")
    assert told[100:] == ["and 50 more", "relctl: LEFT_OVER: 150 lines refused"]


def test_nothing_to_send_is_nothing(ctl: Relctl, tmp_path: Path) -> None:
    assert ctl.ok("sessions", "send", write(tmp_path / "s.jsonl", [])).out == "0 items recorded\n"


def test_a_line_without_end_takes_no_memory(ctl: Relctl, acme: Served, tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    file.write_bytes(b"x" * 1_000_000 + b"\n" + json.dumps(line(acme, 1)).encode())
    ran = ctl("sessions", "send", file)
    assert ran.out == "1 item recorded\n"
    assert ran.err.startswith("line 1: the line is longer than 65,536 bytes (INVALID_LINE)\n")


@pytest.mark.parametrize(
    ("code", "reason", "arguments"),
    [
        (2, "USAGE", ()),
        (2, "USAGE", ("s.jsonl", "--batch", "0")),
        (2, "USAGE", ("s.jsonl", "--batch", "10001")),
        (6, "LOCAL", ("not-there.jsonl",)),
        (6, "LOCAL", ("/",)),
    ],
)
def test_what_cannot_be_sent_says_why(ctl: Relctl, code: int, reason: str, arguments: tuple[str, ...]) -> None:
    ctl.fails(code, reason, "sessions", "send", *arguments)


def test_a_token_without_the_scope_sends_nothing(acme: Served, ctl: Relctl, tmp_path: Path) -> None:
    secret = acme.make_token("organizations/acme", "release:read", all_projects=True)
    file = write(tmp_path / "s.jsonl", [line(acme, 1)])
    ctl.at(acme, secret).fails(4, "SCOPE_MISSING", "sessions", "send", file)


@pytest.mark.provokes_defects
def test_what_was_done_before_an_error_is_told(relctl: Relctl, scripted: Script, tmp_path: Path) -> None:
    answers: Iterator[int] = iter(range(10))

    def record(request: object, call: object) -> RecordSessionsResponse:
        if next(answers) == 1:
            raise KeyboardInterrupt
        return RecordSessionsResponse(recorded=RecordedSessions(recorded_count=2))

    server = scripted(RecordSessions=record).server
    file = write(tmp_path / "s.jsonl", [line(server, number) for number in range(5)])
    ran = relctl.at(server)("sessions", "send", file, "--batch", 2, "--org", "acme")
    assert ran.code != 0
    assert ran.out == ""
    assert ran.err.splitlines()[0] == "the first 2 lines are done; what is sent again counts once"


# --- The library ---


def test_sessions_are_recorded_in_batches_each_with_its_answer(acme: Served, client: Client) -> None:
    items = [update(acme, number) for number in range(7)]
    items[4].session_id = "no uuid"
    batches = list(client.health.record_sessions("acme", iter(items), batch_size=3))
    assert [(it.recorded.recorded_count, it.recorded.refused_count) for it in batches] == [(3, 0), (2, 1), (1, 0)]
    (refused,) = batches[1].refused
    assert (refused.place, refused.field, refused.reason) == (1, "session_id", "INVALID_FIELD")
    assert batches[1].items[refused.place] is items[4]


def test_a_stream_takes_what_a_generator_makes(acme: Served, client: Client) -> None:
    left: list[int] = []
    recorded = client.health.stream_sessions(
        "acme", (update(acme, number % 5) for number in range(10)), batch_size=4, progress=left.append
    )
    assert (recorded.recorded_count, recorded.known_count, recorded.refused_count) == (5, 5, 0)
    assert left == [4, 8, 10]


def test_a_stream_of_nothing_is_answered(client: Client) -> None:
    assert client.health.stream_sessions("acme", []) == RecordedSessions()


def test_what_left_before_the_items_failed_is_kept_and_their_error_raised(acme: Served, client: Client) -> None:
    def failing() -> Iterator[SessionUpdate]:
        yield update(acme, 1)
        raise KeyError("the caller's own")

    with pytest.raises(KeyError, match="the caller's own"):
        client.health.stream_sessions("acme", failing(), batch_size=1)
    again = client.health.stream_sessions("acme", [update(acme, 1)])
    assert (again.recorded_count, again.known_count) == (0, 1)


def test_a_stream_that_is_refused_says_why(client: Client, acme: Served) -> None:
    with pytest.raises(RegistryError) as raised:
        client.health.stream_sessions("nobody", [update(acme, 1)])
    assert raised.value.reason == "ORGANIZATION_NOT_FOUND"


class Refusing:
    """A StreamSessions that is unavailable the first so many times."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.seen: list[int] = []

    def __call__(self, requests: Iterator[StreamSessionsRequest], call: object) -> StreamSessionsResponse:
        count = sum(len(request.updates) for request in requests)
        self.seen.append(count)
        if len(self.seen) <= self.times:
            raise DatabaseBusy
        return StreamSessionsResponse(recorded=RecordedSessions(recorded_count=count))


def test_what_can_be_walked_again_is_sent_again_and_a_generator_is_not(scripted: Script) -> None:
    stream = Refusing(1)
    script = scripted(StreamSessions=stream)
    items = [SessionUpdate(session_id=str(number)) for number in range(3)]
    assert script.client.health.stream_sessions("acme", items, batch_size=2).recorded_count == 3
    assert stream.seen == [3, 3]
    stream.times = 9
    with pytest.raises(RegistryError) as raised:
        script.client.health.stream_sessions("acme", iter(items))
    assert raised.value.code is grpc.StatusCode.UNAVAILABLE
    assert stream.seen == [3, 3, 3]


def test_users_and_crashes_are_told_by_the_library(acme: Served, client: Client) -> None:
    crashed = SessionStatus.SESSION_STATUS_CRASHED
    items = [update(acme, 1), update(acme, 2, status=crashed), update(acme, 3, environment="staging")]
    assert client.health.stream_sessions("acme", items).recorded_count == 3
    (project,) = client.health.get_release_health("acme", "app@1.0.0", projects=["web"]).projects
    assert (project.figures.session_count, project.figures.user_count) == (3, 3)
    (staging,) = client.health.get_release_health("acme", "app@1.0.0", environments=["staging"]).projects
    assert (staging.figures.session_count, staging.figures.crashed_session_count) == (1, 0)
    run_adoption(acme)
    stages = client.health.get_adoption("acme", "app@1.0.0", environments=["production"])
    assert [(it.adoption.environment, it.shares.session_count) for it in stages] == [("production", 2)]
