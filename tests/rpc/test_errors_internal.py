"""A defect of ours: the client gets an id and nothing else, the log has the rest."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from releaseregistry.v1 import commits_pb2, files_pb2, releases_pb2, tokens_pb2, tokens_pb2_grpc

from server.telemetry.logs import JsonFormatter
from store.database import Database
from tests.clocks import ManualClock
from tests.rpc.serving import served
from tests.rpc.wire import Served, bearer, raises_reason
from tests.server_process import ServerProcess, defects_told

pytestmark = pytest.mark.provokes_defects

CANARY = "canary-5f3a: password=hunter2"


@pytest.fixture
def log() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What the server logged so far, a dict a line."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


Log = Callable[[], list[dict[str, Any]]]


class Secret(Exception):
    def __str__(self) -> str:
        return CANARY


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError(CANARY)


def boom(*_: object) -> Any:
    raise Secret(CANARY)


def half_a_download(*_: object) -> Iterator[files_pb2.DownloadReleaseFileResponse]:
    yield files_pb2.DownloadReleaseFileResponse(data=b"first")
    raise Secret(CANARY)


def boom_after_a_message(requests: Iterator[Any], _: object) -> Any:
    next(requests)
    raise Secret(CANARY)


def download(running: Served) -> None:
    request = files_pb2.DownloadReleaseFileRequest(name="organizations/acme/releases/a/files/b")
    list(running.releases.DownloadReleaseFile(request, metadata=running.operator))


def set_commits(running: Served) -> None:
    request = commits_pb2.SetCommitsRequest(name="organizations/acme/releases/a")
    running.releases.SetCommits(iter([request]), metadata=running.operator)


def whoami(running: Served) -> None:
    running.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=running.operator)


def unprintable(*_: object) -> Any:
    raise Unprintable


def stop(*_: object) -> Any:
    raise StopIteration


def leave(*_: object) -> Any:
    raise SystemExit(3)


def rpc_error(*_: object) -> Any:
    raise grpc.RpcError(CANARY)


DEFECTS: list[tuple[str, Callable[..., Any], Callable[[Served], None]]] = [
    ("WhoAmI", boom, whoami),
    ("WhoAmI", unprintable, whoami),
    ("WhoAmI", stop, whoami),
    ("WhoAmI", leave, whoami),
    ("WhoAmI", rpc_error, whoami),
    ("WhoAmI", lambda *_: None, whoami),
    ("WhoAmI", lambda *_: releases_pb2.Release(owner=CANARY), whoami),
    ("SetCommits", boom, set_commits),
    ("SetCommits", boom_after_a_message, set_commits),
    ("DownloadReleaseFile", boom, download),
    ("DownloadReleaseFile", half_a_download, download),
    ("DownloadReleaseFile", lambda *_: iter([None]), download),
    ("DownloadReleaseFile", lambda *_: None, download),
]


def test_a_defect_answers_internal_with_an_id_that_the_log_has_too(
    sqlite: Database, clock: ManualClock, tmp_path: Path, log: Log
) -> None:
    script: dict[str, Callable[..., Any]] = {}
    with served(sqlite, clock, tmp_path, script=script) as running:
        for method, handler, call in DEFECTS:
            script[method] = handler
            with raises_reason("INTERNAL", "INTERNAL") as refusal:
                call(running)
            assert "canary" not in f"{refusal.message} {refusal.metadata} {refusal.trailing}"
            lines = [line for line in log() if line.get("error_id") == refusal.metadata["error_id"]]
            assert [line["request_id"] for line in lines] == [refusal.request_id]
            assert "Traceback" in lines[0]["exception"]


def test_what_was_streamed_before_a_defect_arrives(sqlite: Database, clock: ManualClock, tmp_path: Path) -> None:
    request = files_pb2.DownloadReleaseFileRequest(name="organizations/acme/releases/a/files/b")
    with served(sqlite, clock, tmp_path, script={"DownloadReleaseFile": half_a_download}) as running:
        answers = running.releases.DownloadReleaseFile(request, metadata=running.operator)
        assert next(answers).data == b"first"
        with raises_reason("INTERNAL", "INTERNAL"):
            next(answers)


def test_a_token_never_reaches_the_log(edge: Served, log: Log) -> None:
    secret = dict(edge.operator)["authorization"].removeprefix("Bearer ")
    edge.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=edge.operator)
    organization = edge.make_organization("acme")
    made = edge.make_token(organization, "org:read")
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
        edge.tokens.ListTokens(tokens_pb2.ListTokensRequest(parent=organization), metadata=bearer(made))
    with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED"):
        edge.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer("a-wrong-secret-of-somebody"))
    lines = log()
    assert {"SCOPE_MISSING", "CREDENTIALS_INVALID"} <= {line.get("reason") for line in lines}
    logged = json.dumps(lines)
    for told in (secret, made, "a-wrong-secret-of-somebody"):
        assert told not in logged


def test_every_log_line_of_a_call_carries_its_request_id(
    sqlite: Database, clock: ManualClock, tmp_path: Path, log: Log
) -> None:
    def handler(*_: object) -> tokens_pb2.WhoAmIResponse:
        logging.getLogger("store.anything").warning("from deep inside")
        return tokens_pb2.WhoAmIResponse()

    with served(sqlite, clock, tmp_path, script={"WhoAmI": handler}) as running:
        for sent in ("first", "second"):
            metadata = (*running.operator, ("x-request-id", sent))
            running.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=metadata)
    inside = [line["request_id"] for line in log() if line["message"] == "from deep inside"]
    assert inside == ["first", "second"]


BROKEN = """
from server.__main__ import main
from server.servicers.tokens import TokenServicer

def boom(*_):
    raise RuntimeError("of a test")

TokenServicer.WhoAmI = boom
main()
"""


def test_a_defect_in_a_process_of_its_own_is_seen_by_the_tests(tmp_path: Path) -> None:
    assert defects_told() == []
    with ServerProcess(tmp_path / "server", program=(sys.executable, "-c", BROKEN)) as process:
        with process.channel() as channel, raises_reason("INTERNAL", "INTERNAL") as refusal:
            tokens_pb2_grpc.TokenServiceStub(channel).WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=process.metadata)
        assert process.stop() == 0  # every line is written

    (line,) = defects_told()
    assert json.loads(line)["error_id"] == refusal.metadata["error_id"]
    assert defects_told() == [], "each is told once"
