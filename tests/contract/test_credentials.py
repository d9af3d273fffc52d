from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from store.access.access import Access
from store.access.credentials import authenticate
from store.access.operators import add_operator_token, ensure_operator_token
from store.access.scopes import SCOPES, WIDEST, with_included
from store.access.secrets import installation_secret, is_well_formed, new_secret
from store.access.tokens import list_tokens
from store.database import Database, QueryEvent
from store.errors import CredentialsInvalid, InvalidField
from store.paging import PageRequest
from tests.contract.callers import OPERATOR, at_once, errors_in

CHOSEN = "a-token-that-the-operator-chose"


def admitted(db: Database, secret: str, *, caller: str = "") -> Access:
    return db.read(lambda reader: authenticate(reader, secret, db.clock.now_us(), caller=caller))


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


# --- Secrets ---


def test_a_secret_has_the_prefix_43_random_characters_and_a_checksum() -> None:
    secrets = {new_secret() for _ in range(200)}
    assert len(secrets) == 200
    assert all(re.fullmatch(r"rr_[0-9A-Za-z]{49}", secret) and is_well_formed(secret) for secret in secrets)


def test_one_wrong_character_anywhere_spoils_a_secret() -> None:
    secret = new_secret()
    for index in range(3, len(secret)):
        wrong = "a" if secret[index] != "a" else "b"
        assert not is_well_formed(secret[:index] + wrong + secret[index + 1 :])


@pytest.mark.parametrize(
    "secret",
    ["", "x" * 19, "x" * 201, "x" * 30 + " ", "x" * 10 + "\t" + "x" * 10, "ä" * 30, "x" * 25 + "\n", "x" * 25 + "\x7f"],
)
def test_a_chosen_secret_is_20_to_200_visible_characters(secret: str) -> None:
    assert not is_well_formed(secret)


@pytest.mark.parametrize("secret", ["x" * 20, "x" * 200, "!~" * 10, "rr_" + "x" * 30])
def test_a_chosen_secret_may_be_any_visible_text(secret: str) -> None:
    assert is_well_formed(secret)


def test_a_malformed_secret_costs_no_query(database: Database) -> None:
    for secret in ("", "short", "rr_" + "a" * 49, "x" * 30 + " "):
        with statements(database) as seen, pytest.raises(CredentialsInvalid):
            admitted(database, secret)
        assert seen == []


def test_unknown_and_malformed_secrets_are_told_alike(database: Database) -> None:
    told = set()
    for secret in ("", "short", new_secret(), "x" * 50):
        with pytest.raises(CredentialsInvalid) as raised:
            admitted(database, secret)
        told.add((raised.value.message, tuple(raised.value.metadata)))
    assert len(told) == 1


def test_authentication_is_one_query_for_a_token_of_all_projects(database: Database) -> None:
    secret = ensure_operator_token(database)
    assert secret is not None
    with statements(database) as seen:
        admitted(database, secret)
    assert len([sql for sql in seen if "SELECT" in sql.upper()]) == 1


# --- Scopes ---


@pytest.mark.parametrize(
    ("scope", "included"),
    [
        ("org:admin", {"org:admin", "org:write", "org:read"}),
        ("org:write", {"org:write", "org:read"}),
        ("org:read", {"org:read"}),
        ("release:admin", {"release:admin", "release:write", "release:read"}),
        ("release:write", {"release:write", "release:read"}),
        ("health:write", {"health:write", "health:read"}),
        ("project:write", {"project:write"}),
        ("token:admin", {"token:admin"}),
        ("installation:admin", {"installation:admin"}),
    ],
)
def test_a_scope_includes_the_lesser_ones_of_its_family_only(scope: str, included: set[str]) -> None:
    assert with_included([scope]) == included


def test_the_widest_scopes_include_all() -> None:
    assert with_included(WIDEST) == SCOPES
    assert len(WIDEST) == 6


def test_every_token_may_call_what_any_token_may() -> None:
    nobody = Access(b"", None, frozenset(), all_projects=False, project_ids=frozenset())
    assert nobody.may("any")
    assert not nobody.may("org:read")
    assert OPERATOR.may("release:admin")


# --- The operator's first token ---


def test_an_empty_database_gets_a_token_that_may_do_everything(database: Database) -> None:
    secret = ensure_operator_token(database)
    assert secret is not None
    access = admitted(database, secret, caller="somebody")
    assert (access.organization_id, access.scopes, access.all_projects, access.caller) == (
        None,
        SCOPES,
        True,
        "somebody",
    )


def test_a_second_start_makes_no_second_token(database: Database) -> None:
    assert ensure_operator_token(database) is not None
    assert ensure_operator_token(database) is None
    assert ensure_operator_token(database, CHOSEN) is None
    with pytest.raises(CredentialsInvalid):
        admitted(database, CHOSEN)
    assert len(list_tokens(database, OPERATOR, None, PageRequest(10)).items) == 1


def test_a_chosen_secret_is_taken_and_not_told_back(database: Database) -> None:
    assert ensure_operator_token(database, CHOSEN) is None
    assert admitted(database, CHOSEN).scopes == SCOPES


def test_a_secret_made_beforehand_is_taken(database: Database) -> None:
    secret = new_secret()
    assert ensure_operator_token(database, secret) is None
    assert admitted(database, secret).organization_id is None


@pytest.mark.parametrize("secret", ["", "x" * 19, "x" * 20 + " ", "rr_" + "a" * 49])
def test_a_chosen_secret_that_could_never_be_used_is_refused(database: Database, secret: str) -> None:
    with pytest.raises(InvalidField):
        ensure_operator_token(database, secret)
    assert ensure_operator_token(database) is not None


def test_of_servers_that_start_at_once_one_makes_the_token(database: Database) -> None:
    outcomes = at_once(8, lambda _: ensure_operator_token(database))
    assert errors_in(outcomes) == []
    (secret,) = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert admitted(database, secret).organization_id is None
    assert len(list_tokens(database, OPERATOR, None, PageRequest(10)).items) == 1


def test_an_operator_in_need_gets_one_more_token(database: Database) -> None:
    first = ensure_operator_token(database)
    second = add_operator_token(database, "in need")
    assert first is not None
    assert admitted(database, first).token_id != admitted(database, second).token_id
    assert admitted(database, second).scopes == SCOPES


# --- Secrets of the installation ---


def test_an_installation_secret_is_made_once_a_purpose(database: Database) -> None:
    outcomes = at_once(8, lambda _: installation_secret(database, "page-tokens"))
    assert errors_in(outcomes) == []
    assert len(set(outcomes)) == 1
    secret = installation_secret(database, "page-tokens")
    assert {secret} == set(outcomes)
    assert len(secret) == 32
    assert installation_secret(database, "another") != secret


def test_secrets_of_many_mutations_never_pass_the_checksum() -> None:
    dice = random.Random(1)
    secret = new_secret()
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    for _ in range(2000):
        changed = list(secret)
        for _ in range(dice.randint(1, 3)):
            changed[dice.randrange(3, len(secret))] = dice.choice(alphabet)
        assert is_well_formed("".join(changed)) == ("".join(changed) == secret)
