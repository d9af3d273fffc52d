"""Giving a token another secret: which secrets are good when, and who may do it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from store.access import Access
from store.access.credentials import Authenticator, authenticate
from store.access.models import Token
from store.access.rotation import LONGEST_OVERLAP_US, rotate_token
from store.access.secrets import digest_of
from store.access.tokens import CreatedToken, TokenDetails, TokenDraft, create_token, list_tokens, revoke_token, whoami
from store.database import Database, Once, Terms
from store.errors import (
    CredentialsInvalid,
    InvalidField,
    OrganizationNotFound,
    ProjectForbidden,
    RequestIdReused,
    ScopeMissing,
    TokenEnded,
    TokenNotFound,
)
from store.paging import PageRequest
from tests.clocks import ManualClock
from tests.contract.callers import OPERATOR, at_once, errors_in, new_organization, new_project

HOUR = 3600 * 1_000_000
READ = ("release:read",)


@pytest.fixture(autouse=True)
def organizations(database: Database) -> None:
    """Acme, with the projects web and api; and another one beside it."""
    acme = new_organization(database)
    new_project(database, acme, "web")
    new_project(database, acme, "api")
    new_organization(database, "other")


def made(db: Database, *scopes: str, organization: str | None = "acme", **draft: Any) -> CreatedToken:
    created: CreatedToken = create_token(db, OPERATOR, organization, TokenDraft(scopes or READ, **draft))
    return created


def rotated(
    db: Database,
    token: CreatedToken,
    overlap_us: int = 0,
    *,
    access: Access = OPERATOR,
    organization: str | None = "acme",
) -> CreatedToken:
    answer: CreatedToken = rotate_token(db, access, organization, token.token.id, overlap_us)
    return answer


def admitted(db: Database, secret: str) -> Access:
    return db.read(lambda reader: authenticate(reader, secret, db.clock.now_us()))


def good(db: Database, *secrets: str) -> list[bool]:
    """Whether each of the secrets lets its bearer in, with and without what an authenticator remembers."""
    authenticator, answers = Authenticator(db), []
    for secret in secrets:
        told = [_lets_in(partial(admitted, db, secret)), _lets_in(partial(authenticator, secret))]
        assert told[0] == told[1]
        answers.append(told[0])
    return answers


def _lets_in(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except CredentialsInvalid:
        return False
    return True


def test_the_new_secret_is_the_same_token_and_the_old_one_ends_at_once_without_an_overlap(database: Database) -> None:
    token = made(database, projects=("web",))
    before = admitted(database, token.secret)
    answer = rotated(database, token)
    assert admitted(database, answer.secret) == before
    assert good(database, token.secret, answer.secret) == [False, True]
    assert answer.token.secret_suffix == answer.secret[-4:]
    assert answer.token.old_secret_expire_time is None
    assert (answer.token.scopes, answer.token.projects) == (token.token.scopes, token.token.projects)


def test_the_secrets_are_nowhere_in_the_database(database: Database) -> None:
    token = made(database)
    answer = rotated(database, token, HOUR)
    (row,) = database.read(lambda reader: reader.fetch(Token.select().tuples()))
    assert token.token.id in row
    for secret in (token.secret, answer.secret):
        assert secret not in repr(row)
        assert digest_of(secret) in row


def test_the_old_secret_goes_on_to_the_last_microsecond_of_the_overlap(database: Database, clock: ManualClock) -> None:
    token = made(database)
    authenticator = Authenticator(database)
    answer = rotated(database, token, HOUR)
    assert answer.token.old_secret_expire_time == clock.now_us() + HOUR
    assert admitted(database, token.secret) == admitted(database, answer.secret)
    authenticator(token.secret)
    clock.advance(seconds=3599.999999)
    assert good(database, token.secret, answer.secret) == [True, True]
    authenticator(token.secret)
    clock.advance(seconds=0.000001)
    assert good(database, token.secret, answer.secret) == [False, True]
    with pytest.raises(CredentialsInvalid):  # what was remembered ends with it
        authenticator(token.secret)
    told = whoami(database, admitted(database, answer.secret))
    assert told.old_secret_expire_time is None


def test_the_secret_before_the_last_rotation_ends_at_once(database: Database) -> None:
    first = made(database)
    authenticator = Authenticator(database)
    second = rotated(database, first, HOUR)
    authenticator(first.secret)
    third = rotated(database, first, HOUR)
    assert good(database, first.secret, second.secret, third.secret) == [False, True, True]
    with pytest.raises(CredentialsInvalid):
        authenticator(first.secret)
    last = rotated(database, first)
    assert good(database, first.secret, second.secret, third.secret, last.secret) == [False, False, False, True]


def test_revoking_and_expiring_end_both_secrets(database: Database, clock: ManualClock) -> None:
    token = made(database)
    answer = rotated(database, token, HOUR)
    revoke_token(database, OPERATOR, "acme", token.token.id)
    assert good(database, token.secret, answer.secret) == [False, False]
    short = made(database, expire_time=clock.now_us() + 10)
    answer = rotated(database, short, HOUR)
    assert answer.token.expire_time == short.token.expire_time
    assert good(database, short.secret, answer.secret) == [True, True]
    clock.advance(seconds=0.00001)
    assert good(database, short.secret, answer.secret) == [False, False]


def test_a_token_that_ended_gets_no_other_secret(database: Database, clock: ManualClock) -> None:
    revoked, expired = made(database), made(database, expire_time=clock.now_us() + 10)
    revoke_token(database, OPERATOR, "acme", revoked.token.id)
    clock.advance(seconds=0.00001)
    for token in (revoked, expired):
        with pytest.raises(TokenEnded) as raised:
            rotated(database, token)
        assert raised.value.metadata["name"].startswith("organizations/acme/tokens/")


@pytest.mark.parametrize("overlap_us", [-1, LONGEST_OVERLAP_US + 1])
def test_the_overlap_is_from_0_to_7_days(database: Database, overlap_us: int) -> None:
    token = made(database)
    with pytest.raises(InvalidField) as raised:
        rotated(database, token, overlap_us)
    assert raised.value.violations[0].field == "overlap"
    assert rotated(database, token, LONGEST_OVERLAP_US).secret


def test_every_token_rotates_itself_by_either_secret_without_token_admin(database: Database) -> None:
    token = made(database)
    answer = rotated(database, token, HOUR, access=admitted(database, token.secret))
    again = rotated(database, token, HOUR, access=admitted(database, answer.secret))
    assert good(database, token.secret, answer.secret, again.secret) == [False, True, True]
    operator = made(database, "org:read", organization=None)
    answer = rotated(database, operator, access=admitted(database, operator.secret), organization=None)
    assert good(database, operator.secret, answer.secret) == [False, True]


def test_another_token_is_rotated_by_token_admin_only(database: Database) -> None:
    token = made(database)
    with pytest.raises(ScopeMissing) as raised:
        rotated(database, token, access=admitted(database, made(database, all_projects=True).secret))
    assert raised.value.metadata == {"scope": "token:admin"}
    admin = admitted(database, made(database, "token:admin", *READ).secret)
    assert rotated(database, token, access=admin).secret


def test_nobody_comes_by_the_secret_of_a_token_that_may_more(database: Database) -> None:
    admin = admitted(database, made(database, "token:admin", "release:read", projects=("web",)).secret)
    with pytest.raises(ScopeMissing) as scope:
        rotated(database, made(database, "release:write"), access=admin)
    assert scope.value.metadata == {"scope": "release:write"}
    for draft, told in (({"all_projects": True}, "*"), ({"projects": ("web", "api")}, "api")):
        token = made(database, **draft)
        with pytest.raises(ProjectForbidden) as projects:
            rotated(database, token, access=admin)
        assert projects.value.metadata == {"projects": told}
        assert good(database, token.secret) == [True]
    assert rotated(database, made(database, projects=("web",)), access=admin).secret


def test_a_token_of_others_looks_like_none(database: Database) -> None:
    token = made(database, organization="other")
    operators = made(database, "org:read", organization=None)
    admin = admitted(database, made(database, "token:admin", *READ, all_projects=True).secret)
    for access in (admin, OPERATOR):
        with pytest.raises(TokenNotFound):
            rotated(database, token, access=access)
    for named in (token, operators):
        with pytest.raises(TokenNotFound):
            rotated(database, named, access=admin)
    with pytest.raises(OrganizationNotFound):
        rotated(database, token, access=admin, organization="other")
    with pytest.raises(ScopeMissing):
        rotated(database, operators, access=admin, organization=None)
    # Neither is one's own where somebody else's are named.
    own = made(database)
    with pytest.raises(OrganizationNotFound):
        rotated(database, own, access=admitted(database, own.secret), organization="other")
    with pytest.raises(ScopeMissing):
        rotated(database, own, access=admitted(database, own.secret), organization=None)
    assert good(database, token.secret, operators.secret, own.secret) == [True, True, True]


def once(request_id: str, body: bytes = b"0" * 32) -> Terms[CreatedToken, CreatedToken]:
    """Terms under which a repetition gets the token with no secret."""

    def decode(_: bytes) -> CreatedToken:
        return CreatedToken(made_by_itself, "")

    made_by_itself = TokenDetails(bytes(16), "acme", "", (), False, (), 0, None, None, "")
    return Terms(once=Once(OPERATOR.token_id, "RotateToken", request_id, body, lambda _: b"", decode))


def test_a_repeated_rotation_rotates_once_and_tells_no_second_secret(database: Database) -> None:
    token = made(database)
    first = rotate_token(database, OPERATOR, "acme", token.token.id, HOUR, once("a"))
    again = rotate_token(database, OPERATOR, "acme", token.token.id, HOUR, once("a"))
    assert (first.secret != "", again.secret) == (True, "")
    assert good(database, token.secret, first.secret) == [True, True]
    with pytest.raises(RequestIdReused):
        rotate_token(database, OPERATOR, "acme", token.token.id, 0, once("a", b"1" * 32))


def test_a_rehearsed_rotation_changes_nothing(database: Database) -> None:
    token = made(database)
    terms: Terms[CreatedToken, CreatedToken] = Terms(validate_only=True)
    rehearsed = rotate_token(database, OPERATOR, "acme", token.token.id, 0, terms)
    assert good(database, token.secret, rehearsed.secret) == [True, False]


def test_of_rotations_at_once_the_last_two_secrets_are_good(database: Database) -> None:
    token = made(database)
    answers = at_once(4, lambda _: rotated(database, token, HOUR))
    assert not errors_in(answers)
    secrets = [answer.secret for answer in answers if isinstance(answer, CreatedToken)]
    assert sum(good(database, *secrets)) == 2
    assert good(database, token.secret) == [False]


def test_lists_tell_when_the_old_secret_ends(database: Database, clock: ManualClock) -> None:
    token = made(database)
    rotated(database, token, HOUR)

    def listed() -> int | None:
        return list_tokens(database, OPERATOR, "acme", PageRequest(10)).items[0].old_secret_expire_time

    assert listed() == clock.now_us() + HOUR
    clock.advance(seconds=3600)
    assert listed() is None
