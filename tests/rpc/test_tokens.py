"""CreateToken, ListTokens, RevokeToken, WhoAmI."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import tokens_pb2 as pb

from tests.rpc.wire import Metadata, Served, bearer, raises_reason

ACME = "organizations/acme"


def create(
    server: Served,
    token: pb.Token,
    *,
    parent: str = ACME,
    metadata: Metadata | None = None,
    request_id: str | None = None,
    validate_only: bool = False,
) -> pb.CreateTokenResponse:
    request = pb.CreateTokenRequest(
        parent=parent,
        token=token,
        request_id=str(uuid.uuid4()) if request_id is None else request_id,
        validate_only=validate_only,
    )
    return server.tokens.CreateToken(request, metadata=metadata or server.operator)


def listed(
    server: Served, *, parent: str = ACME, metadata: Metadata | None = None, page_size: int = 0, page_token: str = ""
) -> pb.ListTokensResponse:
    request = pb.ListTokensRequest(parent=parent, page_size=page_size, page_token=page_token)
    return server.tokens.ListTokens(request, metadata=metadata or server.operator)


def revoke(server: Served, name: str, metadata: Metadata | None = None) -> pb.Token:
    return server.tokens.RevokeToken(pb.RevokeTokenRequest(name=name), metadata=metadata or server.operator).token


def whoami(server: Served, metadata: Metadata) -> pb.WhoAmIResponse:
    return server.tokens.WhoAmI(pb.WhoAmIRequest(), metadata=metadata)


def projects(*slugs: str) -> Sequence[str]:
    return [f"{ACME}/projects/{slug}" for slug in slugs]


def test_a_created_token_is_answered_in_full_and_its_bearer_is_let_in(server: Served) -> None:
    server.make_organization(projects=["web", "api"])
    expires = Timestamp()
    expires.FromMicroseconds(server.clock.now_us() + 1_000_000)
    asked = pb.Token(
        display_name="ci", scopes=["release:write", "org:read"], projects=projects("web", "api"), expire_time=expires
    )
    answer = create(server, asked)
    token = answer.token
    assert token.name == f"{ACME}/tokens/{uuid.UUID(token.uid)}"
    assert token.display_name == "ci"
    assert list(token.scopes) == ["org:read", "release:write"]
    assert list(token.projects) == projects("api", "web")
    assert (token.all_projects, token.expire_time, token.HasField("revoke_time")) == (False, expires, False)
    assert token.create_time.ToMicroseconds() == server.clock.now_us()
    assert answer.secret.startswith("rr_")
    assert answer.secret.endswith(token.secret_suffix)
    me = whoami(server, bearer(answer.secret, x_caller="deploy bot"))
    assert (me.token, me.organization, me.caller) == (token, ACME, "deploy bot")


def test_whoami_of_an_operator_names_no_organization(server: Served) -> None:
    me = whoami(server, server.operator)
    assert (me.organization, me.caller, me.token.name) == ("", "", f"tokens/{me.token.uid}")
    assert "installation:admin" in me.token.scopes


def test_any_token_may_ask_who_it_is(server: Served) -> None:
    secret = server.make_token(server.make_organization(), "health:read")
    assert whoami(server, bearer(secret)).token.scopes == ["health:read"]


def test_a_repeated_creation_tells_the_token_without_its_secret(server: Served) -> None:
    server.make_organization()
    request_id = str(uuid.uuid4())
    first = create(server, pb.Token(scopes=["org:read"]), request_id=request_id)
    again = create(server, pb.Token(scopes=["org:read"]), request_id=request_id)
    assert (again.token, again.secret) == (first.token, "")
    assert len(listed(server).tokens) == 1
    with raises_reason("REQUEST_ID_REUSED", "FAILED_PRECONDITION"):
        create(server, pb.Token(scopes=["org:write"]), request_id=request_id)


def test_a_creation_without_request_id_is_refused(edge: Served) -> None:
    edge.make_organization()
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        create(edge, pb.Token(scopes=["org:read"]), request_id="")
    assert list(refusal.violations) == ["request_id"]


def test_a_rehearsal_tells_no_secret_and_makes_no_token(server: Served) -> None:
    server.make_organization()
    answer = create(server, pb.Token(scopes=["org:read"]), validate_only=True)
    assert (answer.secret, list(answer.token.scopes)) == ("", ["org:read"])
    assert list(listed(server).tokens) == []


def test_a_token_grants_no_scope_it_lacks(server: Served) -> None:
    acme = server.make_organization()
    secret = bearer(server.make_token(acme, "token:admin", "release:admin", all_projects=True))
    assert create(server, pb.Token(scopes=["release:read"]), metadata=secret).secret
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED") as refusal:
        create(server, pb.Token(scopes=["org:read"]), metadata=secret)
    assert refusal.metadata == {"scope": "org:read"}
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED") as refusal:
        create(server, pb.Token(scopes=["release:read"]), parent="", metadata=secret)
    assert refusal.metadata == {"scope": "installation:admin"}


def test_a_token_grants_no_project_it_is_no_member_of(server: Served) -> None:
    acme = server.make_organization(projects=["web", "api"], open_membership=True)
    secret = bearer(server.make_token(acme, "token:admin", "release:read", projects=["web"]))
    told = []
    for slug in ("api", "nobody"):
        with raises_reason("PROJECT_FORBIDDEN", "PERMISSION_DENIED") as refusal:
            create(server, pb.Token(scopes=["release:read"], projects=projects("web", slug)), metadata=secret)
        assert refusal.metadata == {"projects": slug}
        told.append(refusal.message.replace(slug, "*"))
    assert told[0] == told[1]
    with raises_reason("PROJECT_FORBIDDEN", "PERMISSION_DENIED"):
        create(server, pb.Token(scopes=["release:read"], all_projects=True), metadata=secret)
    assert create(server, pb.Token(scopes=["release:read"], projects=projects("web")), metadata=secret).secret


@pytest.mark.parametrize(
    ("token", "parent", "field"),
    [
        (pb.Token(), ACME, "token.scopes"),
        (pb.Token(scopes=["release:delete"]), ACME, "token.scopes"),
        (pb.Token(scopes=["installation:admin"]), ACME, "token.scopes"),
        (pb.Token(scopes=["org:read"] * 21), ACME, "token.scopes"),
        (pb.Token(scopes=["org:read"], display_name="x" * 201), ACME, "token.display_name"),
        (pb.Token(scopes=["org:read"], all_projects=True, projects=projects("web")), ACME, "token.projects"),
        (pb.Token(scopes=["org:read"], all_projects=True), "", "token.all_projects"),
        (pb.Token(scopes=["org:read"], expire_time=Timestamp(seconds=1)), ACME, "token.expire_time"),
    ],
)
def test_a_bad_field_is_named(edge: Served, token: pb.Token, parent: str, field: str) -> None:
    edge.make_organization()
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        create(edge, token, parent=parent)
    assert list(refusal.violations) == [field]


@pytest.mark.parametrize("name", ["web", "organizations/acme/projects/"])
def test_projects_are_named_in_full(edge: Served, name: str) -> None:
    edge.make_organization(projects=["web"])
    with raises_reason("INVALID_NAME", "INVALID_ARGUMENT") as refusal:
        create(edge, pb.Token(scopes=["org:read"], projects=[name]))
    assert refusal.metadata["field"] == "token.projects[0]"


def test_a_token_takes_no_projects_of_another_organization_and_the_installations_none(server: Served) -> None:
    server.make_organization(projects=["web"])
    server.make_organization("other", projects=["web"])
    others = pb.Token(scopes=["org:read"], projects=["organizations/other/projects/web"])
    with raises_reason("PROJECT_FORBIDDEN", "PERMISSION_DENIED") as refusal:
        create(server, others)
    assert refusal.metadata == {"projects": "organizations/other/projects/web"}
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        create(server, others, parent="")
    assert list(refusal.violations) == ["token.projects"]


def test_a_revoked_token_is_refused_at_once(server: Served) -> None:
    server.make_organization()
    answer = create(server, pb.Token(scopes=["org:read"]))
    whoami(server, bearer(answer.secret))
    revoked = revoke(server, answer.token.name)
    assert revoked.revoke_time.ToMicroseconds() == server.clock.now_us()
    with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED"):
        whoami(server, bearer(answer.secret))
    server.clock.advance(seconds=5)
    assert revoke(server, answer.token.name) == revoked


def test_an_expired_token_is_refused_like_an_unknown_one(server: Served) -> None:
    acme = server.make_organization()
    secret = server.make_token(acme, "org:read", expire_us=server.clock.now_us() + 1)
    whoami(server, bearer(secret))
    server.clock.advance(seconds=0.000_001)
    told = []
    for wrong in (secret, secret[:-1] + ("a" if secret[-1] != "a" else "b"), "x" * 40, "x"):
        with raises_reason("CREDENTIALS_INVALID", "UNAUTHENTICATED") as refusal:
            whoami(server, bearer(wrong))
        told.append((refusal.message, refusal.metadata))
    assert all(each == told[0] for each in told)


def test_a_token_that_is_not_mine_is_told_like_one_that_is_not_there(server: Served) -> None:
    server.make_organization()
    theirs = create(server, pb.Token(scopes=["org:read"])).token
    mine = server.make_organization("mine")
    secret = bearer(server.make_token(mine, "token:admin"))
    told = []
    for uid in (theirs.uid, str(uuid.uuid4())):
        name = f"{mine}/tokens/{uid}"
        with raises_reason("TOKEN_NOT_FOUND", "NOT_FOUND") as refusal:
            revoke(server, name, secret)
        assert refusal.metadata == {"name": name}
        told.append(refusal.message.replace(uid, "*"))
    assert told[0] == told[1]
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
        revoke(server, theirs.name, secret)
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
        revoke(server, f"tokens/{theirs.uid}", secret)
    assert not listed(server).tokens[0].HasField("revoke_time")


def test_tokens_are_listed_newest_first_in_pages_both_ways(server: Served) -> None:
    server.make_organization()
    made = [create(server, pb.Token(scopes=["org:read"], display_name=str(number))).token for number in range(5)]
    made[1] = revoke(server, made[1].name)
    newest_first = made[::-1]
    first = listed(server, page_size=2)
    second = listed(server, page_size=2, page_token=first.next_page_token)
    third = listed(server, page_size=2, page_token=second.next_page_token)
    assert [*first.tokens, *second.tokens, *third.tokens] == newest_first
    assert (first.previous_page_token, third.next_page_token) == ("", "")
    assert list(listed(server, page_size=2, page_token=third.previous_page_token).tokens) == newest_first[2:4]


def test_tokens_of_the_installation_are_the_operators_business(server: Served) -> None:
    acme = server.make_organization()
    created = create(server, pb.Token(scopes=["release:read"]), parent="")
    assert created.token.name == f"tokens/{created.token.uid}"
    assert created.token in listed(server, parent="").tokens
    assert revoke(server, created.token.name).HasField("revoke_time")
    secret = bearer(server.make_token(acme, "token:admin"))
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
        listed(server, parent="", metadata=secret)


def test_managing_tokens_needs_its_scope(server: Served) -> None:
    acme = server.make_organization()
    secret = bearer(server.make_token(acme, "org:admin", "project:write", "release:admin", "health:write"))
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED") as refusal:
        listed(server, metadata=secret)
    assert refusal.metadata == {"scope": "token:admin"}
