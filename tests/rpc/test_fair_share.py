"""One organization leaves slots to others, and what it is told when it has its share."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from releaseregistry.v1 import tokens_pb2

from server.servicers.organizations import OrganizationServicer
from server.servicers.tokens import TokenServicer
from store.database import Database
from tests.clocks import ManualClock
from tests.rpc.serving import served
from tests.rpc.test_lanes import WAIT, Idle, Uploads, answer_whoami, check_health, wait_until, whoami
from tests.rpc.wire import Metadata, Served, bearer, raises_reason


class As:
    """The served registry, called with another token: `Idle` and `whoami` call with what it says is the operator's."""

    def __init__(self, served: Served, metadata: Metadata) -> None:
        self.channel, self.tokens, self.operator = served.channel, served.tokens, metadata


def make_tokens(running: Served, script: dict[str, Any]) -> dict[str, str]:
    """Tokens of two organizations, two of the first; none of them was used yet."""
    script["CreateOrganization"] = OrganizationServicer(running.server.store).CreateOrganization
    script["CreateToken"] = TokenServicer(running.server.store).CreateToken
    acme, other = running.make_organization("acme"), running.make_organization("other")
    scopes = ("release:read", "release:write")
    return {
        "acme": running.make_token(acme, *scopes, all_projects=True),
        "acme too": running.make_token(acme, *scopes, all_projects=True),
        "other": running.make_token(other, *scopes, all_projects=True),
    }


def test_an_organization_with_its_share_of_the_streams_is_told_so_and_others_go_on(
    sqlite: Database, clock: ManualClock, tmp_path: Path
) -> None:
    uploads = Uploads()
    script: dict[str, Any] = {"UploadReleaseFile": uploads, "WhoAmI": answer_whoami}
    with served(sqlite, clock, tmp_path, script=script, stream_slots=4, organization_percent=50) as running:
        secrets = make_tokens(running, script)
        acme, too, other = (As(running, bearer(secrets[name])) for name in ("acme", "acme too", "other"))
        taken: Any = Idle(acme)  # type: ignore[arg-type]
        taken.open(2)
        uploads.wait_for(2)
        # At first the server cannot know whose the other token is before it has checked it; the second time it does.
        for metadata in (acme, too, too):
            with raises_reason("ORGANIZATION_BUSY", "UNAVAILABLE") as refusal:
                late = Idle(metadata)  # type: ignore[arg-type]
                late.open(1)
                late.calls[0].result(WAIT)
            assert refusal.metadata == {"kind": "streams", "limit": "2"}
            assert refusal.retry_seconds is not None
        assert whoami(acme) == "answered"  # type: ignore[arg-type]
        wait_until(lambda: running.server.running_calls == 2)  # a slot is given back a moment after the answer
        beside = [Idle(other), Idle(running)]  # type: ignore[arg-type]
        for each in beside:
            each.open(1)
        uploads.wait_for(4)
        for each in (taken, *beside):
            each.let_go()
            for call in each.calls:
                call.result(WAIT)
        wait_until(lambda: running.server.running_calls == 0)
        again = Idle(too)  # type: ignore[arg-type]
        again.open(2)
        uploads.wait_for(2)
        again.let_go()


def test_an_organization_with_its_share_of_the_calls_is_told_so_and_others_go_on(
    sqlite: Database, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.lanes.shares.OTHERS_SECONDS", 0.0)
    go_on = threading.Event()
    organizations: list[bytes | None] = []

    def slow(_: object, call: Any) -> tokens_pb2.WhoAmIResponse:
        organizations.append(call.access.organization_id)
        assert len(organizations) > 3 or go_on.wait(WAIT)
        return tokens_pb2.WhoAmIResponse(caller="answered")

    script: dict[str, Any] = {"WhoAmI": slow}
    with served(
        sqlite, clock, tmp_path, script=script, call_slots=4, stream_slots=4, organization_percent=75
    ) as running:
        secrets = make_tokens(running, script)
        acme, other = (As(running, bearer(secrets[name])) for name in ("acme", "other"))
        with ThreadPoolExecutor(3) as pool:
            calls = [pool.submit(whoami, acme) for _ in range(3)]  # type: ignore[arg-type]
            wait_until(lambda: len(organizations) == 3)
            with raises_reason("ORGANIZATION_BUSY", "UNAVAILABLE") as refusal:
                whoami(acme)  # type: ignore[arg-type]
            assert refusal.metadata == {"kind": "calls", "limit": "3"}
            for another in (other, running):
                wait_until(lambda: running.server.running_calls == 3)  # a slot is given back a moment after the answer
                assert whoami(another) == "answered"  # type: ignore[arg-type]
            assert check_health(running.channel)
            go_on.set()
            assert [call.result(WAIT) for call in calls] == ["answered"] * 3
        assert len(organizations) == 5


@pytest.mark.parametrize("ends", ["its caller is gone", "its caller's time", "the server's time", "the server"])
def test_a_call_that_waits_for_its_turn_gives_its_slot_back_when_it_is_over(
    sqlite: Database, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    monkeypatch.setattr("server.lanes.shares.OTHERS_SECONDS", 1e6)
    monkeypatch.setattr("server.lanes.shares.Shares.stalled", lambda _: [])
    monkeypatch.setattr("server.serving.TURNS", 1)
    began, go_on = threading.Event(), threading.Event()

    def slow(_: object, call: Any) -> tokens_pb2.WhoAmIResponse:
        began.set()
        assert go_on.wait(WAIT)
        return tokens_pb2.WhoAmIResponse()

    script: dict[str, Any] = {"WhoAmI": answer_whoami}
    seconds = 2 if ends == "the server's time" else 60
    with served(sqlite, clock, tmp_path, script=script, call_slots=4, stream_slots=4, call_seconds=seconds) as running:
        secrets = make_tokens(running, script)
        assert whoami(As(running, bearer(secrets["other"]))) == "answered"  # type: ignore[arg-type]
        script["WhoAmI"] = slow

        def call(name: str, timeout: float) -> Any:
            return running.tokens.WhoAmI.future(
                tokens_pb2.WhoAmIRequest(), metadata=bearer(secrets[name]), timeout=timeout
            )

        runs = call("acme", WAIT)
        assert began.wait(WAIT)
        waits = call("acme too", 2.0 if ends == "its caller's time" else WAIT)
        shares = running.server.lanes[0].shares
        try:
            wait_until(lambda: 2 in (held.slots for held in shares._held.values()))
            match ends:
                case "its caller is gone":
                    waits.cancel()
                case "the server":
                    running.server.drain(seconds=0.0)
                    with raises_reason("DRAINING", "UNAVAILABLE"):
                        waits.result(WAIT)
                case "the server's time":
                    with raises_reason("DEADLINE_PASSED", "DEADLINE_EXCEEDED"):
                        waits.result(WAIT)
                case _:
                    with pytest.raises(grpc.RpcError):
                        waits.result(WAIT)
            wait_until(lambda: running.server.running_calls == 1)
            assert not any(held.waiting for held in shares._held.values())
        finally:
            go_on.set()
        with suppress(grpc.RpcError):  # what ended the one may have ended the other
            runs.result(WAIT)
        wait_until(lambda: not running.server.running_calls)
        assert {held.slots for held in shares._held.values()} == {held.running for held in shares._held.values()} == {0}


def test_a_wrong_token_counts_for_nobody(sqlite: Database, clock: ManualClock, tmp_path: Path) -> None:
    script: dict[str, Any] = {"WhoAmI": answer_whoami}
    with served(
        sqlite, clock, tmp_path, script=script, call_slots=2, stream_slots=2, organization_percent=50
    ) as running:
        secrets = make_tokens(running, script)
        for _ in range(5):
            with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED"):
                whoami(As(running, bearer("rr_" + "x" * 40)))  # type: ignore[arg-type]
            wait_until(lambda: running.server.running_calls == 0)  # a slot is given back a moment after the answer
        assert whoami(As(running, bearer(secrets["acme"]))) == "answered"  # type: ignore[arg-type]


def test_more_metadata_than_a_call_may_bring_is_refused_though_grpc_let_it_by(
    edge: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.lanes.lanes.MAX_METADATA_BYTES", 1_000)  # grpc goes by its own limit, now and then
    many = tuple((f"x-{number:03}", "v" * 4) for number in range(30))
    with raises_reason("METADATA_TOO_LARGE", "RESOURCE_EXHAUSTED") as refusal:
        edge.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=(*edge.operator, *many))
    assert refusal.metadata == {"limit": "8192"}
    assert edge.server.running_calls == 0
