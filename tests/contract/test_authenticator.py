"""Secrets that are checked at every call: what is remembered of them is never older than the last write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from store.access import Access, credentials
from store.access.credentials import Authenticator
from store.access.tokens import CreatedToken, TokenDraft, create_token, revoke_token
from store.database import Database, QueryEvent
from store.errors import CredentialsInvalid
from store.organizations.delete import delete_organization
from store.releases.create import ReleaseDraft, create_release
from tests.clocks import ManualClock
from tests.contract.callers import OPERATOR, new_organization, new_project

READ = ("release:read",)


def made(db: Database, *, expire_time: int | None = None) -> CreatedToken:
    created: CreatedToken = create_token(
        db, OPERATOR, "acme", TokenDraft(READ, projects=("web",), expire_time=expire_time)
    )
    return created


@contextmanager
def statements(db: Database) -> Iterator[list[str]]:
    """The texts of the statements that are executed inside."""
    seen: list[str] = []

    def hook(event: QueryEvent) -> None:
        seen.append(event.sql)

    db.hooks.append(hook)
    try:
        yield seen
    finally:
        db.hooks.remove(hook)


@pytest.fixture
def acme(database: Database) -> None:
    new_project(database, new_organization(database), "web")


@pytest.mark.usefixtures("acme")
def test_whoever_called_before_is_looked_up_again_only_where_others_may_write(database: Database) -> None:
    authenticator, secret = Authenticator(database), made(database).secret
    first = authenticator(secret)
    create_release(database, OPERATOR, "acme", ReleaseDraft("1.0", ("web",)))
    with statements(database) as seen:
        assert authenticator(secret) == first
    assert len(seen) == (0 if database.engine == "sqlite" else 2)


@pytest.mark.usefixtures("acme")
def test_a_revoked_token_takes_no_further_call(database: Database) -> None:
    authenticator, token = Authenticator(database), made(database)
    authenticator(token.secret)
    revoke_token(database, OPERATOR, "acme", token.token.id)
    for _ in range(2):
        with pytest.raises(CredentialsInvalid):
            authenticator(token.secret)


@pytest.mark.usefixtures("acme")
def test_a_token_of_a_deleted_organization_takes_no_further_call(database: Database) -> None:
    authenticator, token = Authenticator(database), made(database)
    authenticator(token.secret)
    delete_organization(database, OPERATOR, "acme", force=True)
    with pytest.raises(CredentialsInvalid):
        authenticator(token.secret)


@pytest.mark.usefixtures("acme")
def test_a_token_ends_at_the_microsecond_that_it_says_although_it_called_before(
    database: Database, clock: ManualClock
) -> None:
    authenticator = Authenticator(database)
    secret = made(database, expire_time=clock.now_us() + 1_000_000).secret
    authenticator(secret)
    clock.advance(seconds=0.999_999)
    authenticator(secret)
    clock.advance(seconds=0.000_001)
    with pytest.raises(CredentialsInvalid):
        authenticator(secret)


@pytest.mark.usefixtures("acme")
def test_each_call_keeps_its_own_caller(database: Database) -> None:
    authenticator, secret = Authenticator(database), made(database).secret
    assert [authenticator(secret, caller).caller for caller in ("ci", "", "deployer")] == ["ci", "", "deployer"]


@pytest.mark.usefixtures("acme")
def test_a_secret_that_was_unknown_lets_in_once_its_token_is_there(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = Authenticator(database)
    secret = "a-secret-that-was-tried-too-early"
    with pytest.raises(CredentialsInvalid):
        authenticator(secret)
    monkeypatch.setattr("store.access.tokens.new_secret", lambda: secret)
    token = made(database)
    assert authenticator(secret).token_id == token.token.id


@pytest.mark.usefixtures("acme")
def test_more_tokens_than_are_remembered_are_let_in_all_the_same(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "MOST_KNOWN", 2)
    authenticator, tokens = Authenticator(database), [made(database) for _ in range(5)]

    def admitted() -> list[Access]:
        return [authenticator(token.secret) for token in tokens]

    assert [access.token_id for access in admitted()] == [token.token.id for token in tokens]
    assert [access.token_id for access in admitted()] == [token.token.id for token in tokens]
    assert len(authenticator._known) <= 2
