"""RotateToken: another secret for the same token, told once."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from releaseregistry.v1 import releases_pb2
from releaseregistry.v1 import tokens_pb2 as pb

from server.edge.edge import Edge
from store.access import Access
from tests.rpc.wire import Metadata, Served, bearer, raises_reason

DAYS = 24 * 3600


def rotate(
    server: Served,
    name: str,
    *,
    overlap: int = 0,
    metadata: Metadata | None = None,
    request_id: str | None = None,
    validate_only: bool = False,
) -> pb.RotateTokenResponse:
    request = pb.RotateTokenRequest(
        name=name,
        request_id=str(uuid.uuid4()) if request_id is None else request_id,
        validate_only=validate_only,
    )
    request.overlap.seconds = overlap
    return server.tokens.RotateToken(request, metadata=metadata or server.operator)


def whoami(server: Served, secret: str) -> pb.Token:
    return server.tokens.WhoAmI(pb.WhoAmIRequest(), metadata=bearer(secret)).token


def test_a_token_gives_itself_another_secret_and_the_old_one_goes_on_for_the_overlap(server: Served) -> None:
    old = server.make_token(server.make_organization(), "health:read")
    name = whoami(server, old).name
    answer = rotate(server, name, overlap=60, metadata=bearer(old))
    assert answer.secret.endswith(answer.token.secret_suffix)
    assert answer.token.old_secret_expire_time.ToMicroseconds() == server.clock.now_us() + 60_000_000
    assert whoami(server, old) == whoami(server, answer.secret) == answer.token
    server.clock.advance(seconds=60)
    with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED"):
        whoami(server, old)
    told = whoami(server, answer.secret)
    assert (told.name, told.HasField("old_secret_expire_time")) == (name, False)


def test_a_repeated_rotation_tells_the_token_without_its_secret(server: Served) -> None:
    old = server.make_token(server.make_organization(), "health:read")
    name, request_id = whoami(server, old).name, str(uuid.uuid4())
    first = rotate(server, name, overlap=60, request_id=request_id)
    again = rotate(server, name, overlap=60, request_id=request_id)
    assert (again.token, again.secret) == (first.token, "")
    assert whoami(server, first.secret) == whoami(server, old)
    with raises_reason("REQUEST_ID_REUSED", "FAILED_PRECONDITION"):
        rotate(server, name, overlap=61, request_id=request_id)


def test_a_rotation_without_request_id_is_refused(edge: Served) -> None:
    name = whoami(edge, edge.make_token(edge.make_organization(), "health:read")).name
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        rotate(edge, name, request_id="")
    assert list(refusal.violations) == ["request_id"]


@pytest.mark.parametrize("overlap", [-1, 7 * DAYS + 1, 2**62])
def test_the_overlap_is_at_most_7_days(edge: Served, overlap: int) -> None:
    name = whoami(edge, edge.make_token(edge.make_organization(), "health:read")).name
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        rotate(edge, name, overlap=overlap)
    assert list(refusal.violations) == ["overlap"]
    rotate(edge, name, overlap=7 * DAYS)


def test_a_rehearsal_tells_no_secret_and_rotates_nothing(server: Served) -> None:
    old = server.make_token(server.make_organization(), "health:read")
    answer = rotate(server, whoami(server, old).name, validate_only=True)
    assert answer.secret == ""
    assert whoami(server, old).name == answer.token.name


def test_another_token_needs_token_admin_and_no_more_rights_than_ones_own(server: Served) -> None:
    acme = server.make_organization()
    strong = server.make_token(acme, "release:admin", all_projects=True)
    admin = server.make_token(acme, "token:admin", "release:write", all_projects=True)
    plain = server.make_token(acme, "release:admin", all_projects=True)
    name = whoami(server, strong).name
    for secret, scope in ((plain, "token:admin"), (admin, "release:admin")):
        with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED") as refusal:
            rotate(server, name, metadata=bearer(secret))
        assert refusal.metadata == {"scope": scope}
    assert whoami(server, strong).name == name


def test_a_token_that_ended_gets_no_other_secret(server: Served) -> None:
    secret = server.make_token(server.make_organization(), "health:read")
    name = whoami(server, secret).name
    server.tokens.RevokeToken(pb.RevokeTokenRequest(name=name), metadata=server.operator)
    with raises_reason("TOKEN_ENDED", "FAILED_PRECONDITION") as refusal:
        rotate(server, name)
    assert refusal.metadata == {"name": name}


def test_a_token_that_is_not_mine_is_told_like_one_that_is_not_there(server: Served) -> None:
    acme, other = server.make_organization(), server.make_organization("other")
    mine = bearer(server.make_token(acme, "token:admin", "health:read", all_projects=True))
    theirs = whoami(server, server.make_token(other, "health:read")).uid
    for uid in (theirs, str(uuid.uuid4())):
        with raises_reason("TOKEN_NOT_FOUND", "NOT_FOUND"):
            rotate(server, f"{acme}/tokens/{uid}", metadata=mine)
        with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
            rotate(server, f"{other}/tokens/{uid}", metadata=mine)


def test_a_stream_of_an_old_secret_ends_with_it(edge: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.edge.vigil.ASK_SECONDS", 0.2)
    old = edge.make_token(edge.make_organization(), "release:write", all_projects=True)
    begun, found = threading.Event(), Edge.caller

    def seen(*arguments: Any) -> Access:
        access = found(*arguments)
        begun.set()
        return access

    def silent() -> Iterator[releases_pb2.Release]:
        time.sleep(60)
        yield releases_pb2.Release()

    name = whoami(edge, old).name
    monkeypatch.setattr(Edge, "caller", seen)
    stream = edge.releases.SetCommits.future(silent(), metadata=bearer(old), timeout=60)  # type: ignore[arg-type]
    assert begun.wait(30)
    rotate(edge, name, overlap=3600)
    stream_goes_on = not stream.done()
    rotate(edge, name, overlap=3600)
    assert stream_goes_on
    with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED"):
        stream.result(30)
