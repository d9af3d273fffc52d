"""Who is not known is told nothing, whatever the method: every RPC with every kind of bad credential."""

from __future__ import annotations

import uuid
from typing import Any

import grpc
import pytest
from releaseregistry.v1 import tokens_pb2

from server.edge.methods import Method, methods_of
from store.access.scopes import SCOPES, WIDEST, with_included
from tests.rpc.serving import SERVICES
from tests.rpc.wire import Metadata, Served, bearer, raises_reason, refusal_of

METHODS = [method for service in SERVICES for method in methods_of(service)]
UNKNOWN_SECRET = "nobody-was-ever-given-this-secret"


def call(channel: grpc.Channel, method: Method, metadata: Metadata) -> None:
    """Call a method with an empty request, and take all that it answers."""
    codecs: dict[str, Any] = {
        "request_serializer": method.request_type.SerializeToString,
        "response_deserializer": method.response_type.FromString,
    }
    request = method.request_type()
    requests = iter([request])
    if method.client_streams:
        channel.stream_unary(method.path, **codecs)(requests, metadata=metadata, timeout=60)
    elif method.server_streams:
        list(channel.unary_stream(method.path, **codecs)(request, metadata=metadata, timeout=60))
    else:
        channel.unary_unary(method.path, **codecs)(request, metadata=metadata, timeout=60)


@pytest.fixture
def organization(edge: Served) -> str:
    return edge.make_organization("acme", projects=["web"])


def test_a_call_without_a_token_is_refused_by_every_method(edge: Served) -> None:
    for method in METHODS:
        with raises_reason("CREDENTIALS_MISSING", "UNAUTHENTICATED"):
            call(edge.channel, method, ())


@pytest.mark.parametrize(
    "header",
    [
        "Basic dXNlcjpwYXNz",
        "Bearer",
        "Bearer short",
        "operator-of-the-rpc-tests",
        f"Bearer {'x' * 500}",
        "Bearer two words here",
    ],
)
def test_a_malformed_credential_is_refused_by_every_method(edge: Served, header: str) -> None:
    for method in METHODS:
        with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED"):
            call(edge.channel, method, (("authorization", header),))


def test_an_unknown_expired_or_revoked_token_looks_the_same_to_every_method(edge: Served, organization: str) -> None:
    expired = edge.make_token(
        organization, *(SCOPES - {"installation:admin"}), expire_us=edge.clock.now_us() + 1_000_000
    )
    revoked = edge.make_token(organization, *(SCOPES - {"installation:admin"}))
    # Each works before it stops: else the test would pass for tokens that never did.
    for secret in (expired, revoked):
        edge.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(secret))
    name = edge.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=bearer(revoked)).token.name
    edge.tokens.RevokeToken(tokens_pb2.RevokeTokenRequest(name=name), metadata=edge.operator)
    edge.clock.advance(seconds=1)
    for method in METHODS:
        told = set()
        for secret in (UNKNOWN_SECRET, expired, revoked):
            with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED") as refusal:
                call(edge.channel, method, bearer(secret))
            told.add((refusal.message, tuple(refusal.metadata)))
        assert len(told) == 1


def test_a_token_without_the_scope_is_refused_by_every_method_that_needs_one(edge: Served, organization: str) -> None:
    for method in METHODS:
        if method.scope == "any":
            continue
        others = [scope for scope in SCOPES - {"installation:admin"} if method.scope not in with_included([scope])]
        secret = edge.make_token(organization, *others)
        with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED") as refusal:
            call(edge.channel, method, bearer(secret))
        assert refusal.metadata == {"scope": method.scope}


def test_a_token_with_just_the_scope_gets_past_the_check_of_every_method(edge: Served, organization: str) -> None:
    for method in METHODS:
        if method.scope == "any":
            continue
        owner = "" if method.scope == "installation:admin" else organization
        secret = edge.make_token(owner, method.scope)
        try:
            call(edge.channel, method, bearer(secret))
        except grpc.RpcError as error:
            refusal = refusal_of(error)
            # The empty request is refused, but for what it lacks.
            assert refusal.code != grpc.StatusCode.UNAUTHENTICATED, method.path
            assert refusal.metadata.get("scope") != method.scope, method.path


def test_the_scheme_of_the_credential_is_read_in_any_case(edge: Served) -> None:
    secret = edge.operator[0][1].removeprefix("Bearer ")
    edge.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=(("authorization", f"bearer {secret}"),))


def test_who_has_no_token_does_not_have_its_request_read(edge: Served) -> None:
    whoami = edge.raw.unary_unary("/releaseregistry.v1.TokenService/WhoAmI")
    with raises_reason("CREDENTIALS_MISSING", "UNAUTHENTICATED"):
        whoami(b"\xff\xff", timeout=60)


def test_whoami_tells_the_caller_that_the_call_came_for(edge: Served) -> None:
    metadata = (*edge.operator, ("x-caller", "ada"))
    assert edge.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=metadata).caller == "ada"


def test_a_caller_of_more_than_200_characters_is_refused(edge: Served) -> None:
    edge.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=(*edge.operator, ("x-caller", "x" * 200)))
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        edge.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=(*edge.operator, ("x-caller", "x" * 201)))
    assert list(refusal.violations) == ["x-caller"]


def test_the_operators_first_token_holds_every_scope(edge: Served) -> None:
    token = edge.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=edge.operator).token
    assert with_included(token.scopes) == with_included(WIDEST) == SCOPES


def test_a_request_id_of_the_callers_comes_back_and_another_is_made_when_it_is_unfit(edge: Served) -> None:
    sent = f"job-17:{uuid.uuid4()}"
    whoami = edge.tokens.WhoAmI.with_call
    _, done = whoami(tokens_pb2.WhoAmIRequest(), metadata=(*edge.operator, ("x-request-id", sent)))
    assert ("x-request-id", sent) in done.trailing_metadata()
    for unfit in ("x" * 65, "with space", 'quote"'):
        with raises_reason("CREDENTIALS_MISSING", "UNAUTHENTICATED") as refusal:
            whoami(tokens_pb2.WhoAmIRequest(), metadata=(("x-request-id", unfit),))
        assert len(refusal.request_id) == 32
