from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from store.access import Access
from store.access.credentials import authenticate
from store.access.models import Token
from store.access.scopes import SCOPES
from store.access.tokens import CreatedToken, TokenDetails, TokenDraft, create_token, list_tokens, revoke_token, whoami
from store.database import Database, Once, Terms, new_id
from store.errors import (
    CredentialsInvalid,
    InvalidField,
    OrganizationNotFound,
    ProjectForbidden,
    RequestIdReused,
    ScopeMissing,
    TokenNotFound,
)
from store.organizations.organizations import OrganizationChanges, update_organization
from store.paging import PageRequest
from tests.clocks import ManualClock
from tests.contract.callers import (
    OPERATOR,
    all_pages,
    at_once,
    errors_in,
    member_of,
    member_of_all,
    new_organization,
    new_project,
)

READ = ("release:read",)


def made(
    db: Database, draft: TokenDraft, *, access: Access = OPERATOR, organization: str | None = "acme"
) -> CreatedToken:
    created: CreatedToken = create_token(db, access, organization, draft)
    return created


def admitted(db: Database, secret: str) -> Access:
    return db.read(lambda reader: authenticate(reader, secret, db.clock.now_us()))


def refused(db: Database, secret: str) -> bool:
    try:
        admitted(db, secret)
    except CredentialsInvalid:
        return True
    return False


def test_a_created_token_lets_its_bearer_in_with_what_it_grants(database: Database, clock: ManualClock) -> None:
    acme = new_organization(database)
    web, api = new_project(database, acme, "web"), new_project(database, acme, "api")
    created = made(database, TokenDraft(("release:write", "org:read"), "ci", projects=("web", "api")))
    assert created.token.scopes == ("org:read", "release:write")
    assert created.token.projects == ("api", "web")
    assert created.token.create_time == clock.now_us()
    assert created.secret.endswith(created.token.secret_suffix)
    assert len(created.token.secret_suffix) == 4
    access = admitted(database, created.secret)
    assert access == Access(
        token_id=created.token.id,
        organization_id=acme.id,
        scopes=frozenset({"release:write", "release:read", "org:read"}),
        all_projects=False,
        project_ids=frozenset({web.id, api.id}),
    )


def test_a_token_of_all_projects_is_let_in_as_such(database: Database) -> None:
    new_organization(database)
    access = admitted(database, made(database, TokenDraft(READ, all_projects=True)).secret)
    assert (access.all_projects, access.project_ids) == (True, frozenset())


def test_a_token_of_the_installation_reaches_everything(database: Database) -> None:
    created = made(database, TokenDraft(("installation:admin",)), organization=None)
    access = admitted(database, created.secret)
    assert (access.organization_id, access.all_projects, created.token.organization) == (None, True, None)


def test_the_secret_is_nowhere_in_the_database(database: Database) -> None:
    new_organization(database)
    created = made(database, TokenDraft(READ))
    (row,) = database.read(lambda reader: reader.fetch(Token.select().tuples()))
    assert created.token.id in row
    # Bytes too: repr shows their printable part as it is.
    assert created.secret not in repr(row)


def test_two_tokens_have_different_secrets(database: Database) -> None:
    new_organization(database)
    assert made(database, TokenDraft(READ)).secret != made(database, TokenDraft(READ)).secret


# --- What may be granted ---


def test_a_token_grants_no_scope_that_its_creator_lacks(database: Database) -> None:
    acme = new_organization(database)
    creator = member_of_all(acme, scopes={"token:admin", "release:write", "release:read"})
    assert made(database, TokenDraft(READ), access=creator).token.scopes == READ
    with pytest.raises(ScopeMissing) as raised:
        made(database, TokenDraft(("release:read", "release:admin")), access=creator)
    assert raised.value.metadata == {"scope": "release:admin"}


def test_unknown_scopes_and_none_at_all_are_refused(database: Database) -> None:
    new_organization(database)
    for scopes in ((), ("release:delete",), ("any",), ("",), ("Release:read",)):
        with pytest.raises(InvalidField) as raised:
            made(database, TokenDraft(scopes))
        assert raised.value.metadata == {"field": "token.scopes"}


def test_installation_admin_is_granted_only_to_tokens_of_the_installation(database: Database) -> None:
    new_organization(database)
    with pytest.raises(InvalidField):
        made(database, TokenDraft(("installation:admin",)))


def test_a_scope_named_twice_is_granted_once(database: Database) -> None:
    new_organization(database)
    assert made(database, TokenDraft(("org:read", "org:read"))).token.scopes == ("org:read",)


def test_a_token_grants_no_project_that_its_creator_is_no_member_of(database: Database) -> None:
    acme = new_organization(database, open_membership=True)
    web, _ = new_project(database, acme, "web"), new_project(database, acme, "api")
    creator = member_of(acme, web)
    assert made(database, TokenDraft(READ, projects=("web",)), access=creator).token.projects == ("web",)
    for projects in (("api",), ("web", "api"), ("nobody",)):
        with pytest.raises(ProjectForbidden):
            made(database, TokenDraft(READ, projects=projects), access=creator)
    with pytest.raises(ProjectForbidden):
        made(database, TokenDraft(READ, all_projects=True), access=creator)


def test_all_projects_and_a_list_exclude_each_other(database: Database) -> None:
    new_project(database, new_organization(database), "web")
    with pytest.raises(InvalidField) as raised:
        made(database, TokenDraft(READ, all_projects=True, projects=("web",)))
    assert raised.value.metadata == {"field": "token.projects"}


def test_a_token_of_the_installation_takes_no_projects(database: Database) -> None:
    for draft, field in (
        (TokenDraft(READ, all_projects=True), "token.all_projects"),
        (TokenDraft(READ, projects=("web",)), "token.projects"),
    ):
        with pytest.raises(InvalidField) as raised:
            made(database, draft, organization=None)
        assert raised.value.metadata == {"field": field}


def test_only_installation_admins_have_to_do_with_tokens_of_the_installation(database: Database) -> None:
    acme = new_organization(database)
    theirs = made(database, TokenDraft(READ), organization=None).token
    bare = dataclasses.replace(OPERATOR, scopes=frozenset({"token:admin", "release:read"}))
    forged = dataclasses.replace(member_of_all(acme), scopes=SCOPES)
    calls: list[Callable[[Access], object]] = [
        lambda access: made(database, TokenDraft(READ), access=access, organization=None),
        lambda access: list_tokens(database, access, None, PageRequest(10)),
        lambda access: revoke_token(database, access, None, theirs.id),
        lambda access: revoke_token(database, access, None, new_id()),
    ]
    for access in (member_of_all(acme), bare, forged):
        for call in calls:
            with pytest.raises(ScopeMissing) as raised:
                call(access)
            assert raised.value.metadata == {"scope": "installation:admin"}


def test_an_organization_that_is_not_mine_looks_like_none(database: Database) -> None:
    access = member_of_all(new_organization(database, "mine"))
    new_organization(database, "acme")
    theirs = made(database, TokenDraft(READ)).token
    for call in (
        lambda: made(database, TokenDraft(READ), access=access),
        lambda: list_tokens(database, access, "acme", PageRequest(10)),
        lambda: revoke_token(database, access, "acme", theirs.id),
    ):
        with pytest.raises(OrganizationNotFound):
            call()
    for token_id in (theirs.id, new_id()):
        with pytest.raises(TokenNotFound):
            revoke_token(database, access, "mine", token_id)


# --- How it ends ---


def test_a_token_ends_at_its_expire_time(database: Database, clock: ManualClock) -> None:
    new_organization(database)
    created = made(database, TokenDraft(READ, expire_time=clock.now_us() + 1_000_000))
    clock.advance(seconds=0.999_999)
    assert not refused(database, created.secret)
    clock.advance(seconds=0.000_001)
    assert refused(database, created.secret)


def test_an_expire_time_that_is_past_is_refused(database: Database, clock: ManualClock) -> None:
    new_organization(database)
    for expire_time in (clock.now_us(), clock.now_us() - 1, -1):
        with pytest.raises(InvalidField) as raised:
            made(database, TokenDraft(READ, expire_time=expire_time))
        assert raised.value.metadata == {"field": "token.expire_time"}


def test_a_revoked_token_is_refused_at_once_and_keeps_its_first_revoke_time(
    database: Database, clock: ManualClock
) -> None:
    new_organization(database)
    created = made(database, TokenDraft(READ))
    revoked: TokenDetails = revoke_token(database, OPERATOR, "acme", created.token.id)
    assert revoked == dataclasses.replace(created.token, revoke_time=clock.now_us())
    assert refused(database, created.secret)
    clock.advance(seconds=1)
    assert revoke_token(database, OPERATOR, "acme", created.token.id) == revoked


def test_a_token_may_revoke_itself(database: Database) -> None:
    new_organization(database)
    created = made(database, TokenDraft(("token:admin",)))
    access = admitted(database, created.secret)
    revoke_token(database, access, "acme", created.token.id)
    assert refused(database, created.secret)


def test_of_two_tokens_only_the_revoked_one_ends(database: Database) -> None:
    new_organization(database)
    first, second = made(database, TokenDraft(READ)), made(database, TokenDraft(READ))
    revoke_token(database, OPERATOR, "acme", first.token.id)
    assert not refused(database, second.secret)


# --- Repeated and rehearsed ---


def once(request_id: str, body: bytes = b"0" * 32) -> Terms[CreatedToken, CreatedToken]:
    """Terms under which a repetition gets the token's id, with no secret."""

    def decode(kept: bytes) -> CreatedToken:
        return CreatedToken(_empty(kept), "")

    return Terms(once=Once(OPERATOR.token_id, "CreateToken", request_id, body, lambda reply: reply.token.id, decode))


def _empty(token_id: bytes) -> TokenDetails:
    return TokenDetails(
        id=token_id,
        organization="acme",
        display_name="",
        scopes=(),
        all_projects=False,
        projects=(),
        create_time=0,
        expire_time=None,
        revoke_time=None,
        secret_suffix="",
    )


def test_a_repeated_creation_makes_one_token_and_tells_no_second_secret(database: Database) -> None:
    new_organization(database)
    first = create_token(database, OPERATOR, "acme", TokenDraft(READ), once("a"))
    again = create_token(database, OPERATOR, "acme", TokenDraft(READ), once("a"))
    assert (again.token.id, again.secret) == (first.token.id, "")
    assert len(list_tokens(database, OPERATOR, "acme", PageRequest(10)).items) == 1
    assert not refused(database, first.secret)
    with pytest.raises(RequestIdReused):
        create_token(database, OPERATOR, "acme", TokenDraft(("org:read",)), once("a", b"1" * 32))


def test_simultaneous_repetitions_make_one_token(database: Database) -> None:
    new_organization(database)
    outcomes = at_once(10, lambda _: create_token(database, OPERATOR, "acme", TokenDraft(READ), once("a")))
    assert errors_in(outcomes) == []
    created = [outcome for outcome in outcomes if isinstance(outcome, CreatedToken)]
    assert len({outcome.token.id for outcome in created}) == 1
    assert len([outcome for outcome in created if outcome.secret]) == 1
    assert len(list_tokens(database, OPERATOR, "acme", PageRequest(10)).items) == 1


def test_a_rehearsed_token_lets_nobody_in(database: Database) -> None:
    new_organization(database)
    terms: Terms[CreatedToken, CreatedToken] = Terms(validate_only=True)
    created = create_token(database, OPERATOR, "acme", TokenDraft(READ), terms)
    assert refused(database, created.secret)
    assert list_tokens(database, OPERATOR, "acme", PageRequest(10)).items == ()


# --- Lists, and oneself ---


def test_tokens_are_listed_newest_first_the_ended_ones_too(database: Database, clock: ManualClock) -> None:
    new_project(database, new_organization(database), "web")
    new_organization(database, "other")
    made(database, TokenDraft(READ), organization="other")
    made(database, TokenDraft(READ), organization=None)
    drafts = [
        TokenDraft(READ, "1", projects=("web",)),
        TokenDraft(READ, "2", expire_time=clock.now_us() + 1),
        TokenDraft(("org:admin", "token:admin"), "3", all_projects=True),
    ]
    created = [made(database, draft).token for draft in drafts]
    clock.advance(seconds=1)
    created[0] = revoke_token(database, OPERATOR, "acme", created[0].id)
    for size in (1, 2, 3, 10):
        pages = all_pages(lambda request: list_tokens(database, OPERATOR, "acme", request), size)
        assert [token for page in pages for token in page] == created[::-1]


def test_tokens_of_the_installation_are_listed_by_themselves(database: Database) -> None:
    new_organization(database)
    made(database, TokenDraft(READ))
    created = made(database, TokenDraft(READ), organization=None).token
    assert list_tokens(database, OPERATOR, None, PageRequest(10)).items == (created,)


def test_a_token_made_between_two_pages_repeats_none(database: Database) -> None:
    new_organization(database)
    there = [made(database, TokenDraft(READ)).token for _ in range(4)][::-1]
    first = list_tokens(database, OPERATOR, "acme", PageRequest(2))
    made(database, TokenDraft(READ))
    second = list_tokens(database, OPERATOR, "acme", PageRequest(2, first.next))
    assert [*first.items, *second.items] == there
    back = list_tokens(database, OPERATOR, "acme", PageRequest(2, second.previous))
    assert back.items == first.items
    assert back.previous is not None  # the new one


def test_a_page_of_tokens_with_very_many_projects_is_cut_short_and_skips_none(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = new_organization(database)
    slugs = tuple(new_project(database, acme, f"p-{index}").slug for index in range(3))
    created = [made(database, TokenDraft(READ, projects=slugs[: index % 4])).token for index in range(6)][::-1]
    monkeypatch.setattr("store.access.tokens._PROJECTS_A_PAGE", 4)
    pages = all_pages(lambda request: list_tokens(database, OPERATOR, "acme", request), 6)
    assert [token for page in pages for token in page] == created
    assert [sum(len(token.projects) for token in page) for page in pages] == [4, 3]


def test_whoami_tells_the_calling_token_under_its_organizations_newest_slug(database: Database) -> None:
    acme = new_organization(database)
    new_project(database, acme, "web")
    created = made(database, TokenDraft(("org:admin",), "me", projects=("web",)))
    update_organization(database, OPERATOR, "acme", OrganizationChanges(slug="acme-corp"))
    me = whoami(database, admitted(database, created.secret))
    assert me == dataclasses.replace(created.token, organization="acme-corp")


def test_whoami_tells_a_token_of_the_installation(database: Database) -> None:
    created = made(database, TokenDraft(READ), organization=None)
    assert whoami(database, admitted(database, created.secret)) == created.token
