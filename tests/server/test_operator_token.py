"""The operator's token: made once, kept where it is found, never lost in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from server import operator_token
from server.operator_token import keep_operator_token
from store.access.credentials import authenticate
from store.database import CannotOpen, Database
from store.errors import CredentialsInvalid, InvalidField


def works(database: Database, secret: str) -> bool:
    try:
        database.read(lambda reader: authenticate(reader, secret, database.clock.now_us()))
    except CredentialsInvalid:
        return False
    return True


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "operator-token"


def test_an_empty_database_gets_a_token_that_only_its_owner_can_read(database: Database, file: Path) -> None:
    assert keep_operator_token(database, file, bootstrap_token=None)
    assert file.stat().st_mode & 0o777 == 0o600
    assert works(database, file.read_text().strip())
    assert [path.name for path in file.parent.glob("operator-token*")] == ["operator-token"]


def test_the_next_start_keeps_the_token(database: Database, file: Path) -> None:
    keep_operator_token(database, file, bootstrap_token=None)
    secret = file.read_text()
    assert not keep_operator_token(database, file, bootstrap_token=None)
    assert file.read_text() == secret


def test_a_bootstrap_token_is_used_and_not_written(database: Database, file: Path) -> None:
    assert not keep_operator_token(database, file, bootstrap_token="the-operators-own-choice")
    assert works(database, "the-operators-own-choice")
    assert not file.exists()


def test_a_second_bootstrap_token_changes_nothing(database: Database, file: Path) -> None:
    keep_operator_token(database, file, bootstrap_token="the-operators-own-choice")
    keep_operator_token(database, file, bootstrap_token="the-operators-next-choice")
    assert works(database, "the-operators-own-choice")
    assert not works(database, "the-operators-next-choice")


@pytest.mark.parametrize("held", [b"short", b"", b"\xff\xfe"])
def test_a_file_that_holds_no_secret_is_refused_by_its_name(database: Database, file: Path, held: bytes) -> None:
    file.write_bytes(held)
    with pytest.raises(CannotOpen, match=str(file)):
        keep_operator_token(database, file, bootstrap_token=None)


def test_a_bootstrap_token_that_could_never_be_used_is_refused(database: Database, file: Path) -> None:
    with pytest.raises(InvalidField):
        keep_operator_token(database, file, bootstrap_token="short")


def test_a_server_whose_database_has_a_token_already_writes_no_file(database: Database, file: Path) -> None:
    keep_operator_token(database, file, bootstrap_token="the-operators-own-choice")
    assert not keep_operator_token(database, file, bootstrap_token=None)
    assert not file.exists()
    assert not file.with_name("operator-token.new").exists()


def test_a_new_database_beside_an_old_file_takes_the_token_in_it(database: Database, file: Path) -> None:
    file.write_text("the-token-of-the-last-database\n")
    assert not keep_operator_token(database, file, bootstrap_token=None)
    assert works(database, "the-token-of-the-last-database")


def test_killed_before_the_database_knows_the_secret_the_next_start_goes_on(
    database: Database, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(operator_token, "ensure_operator_token", killed)
        with pytest.raises(KeyboardInterrupt):
            keep_operator_token(database, file, bootstrap_token=None)
    assert not file.exists()
    assert keep_operator_token(database, file, bootstrap_token=None)
    assert works(database, file.read_text().strip())


def test_killed_after_the_database_knows_the_secret_it_is_not_lost(
    database: Database, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(operator_token, "_is_good", killed)
        with pytest.raises(KeyboardInterrupt):
            keep_operator_token(database, file, bootstrap_token=None)
    assert not file.exists()
    assert keep_operator_token(database, file, bootstrap_token=None)
    assert works(database, file.read_text().strip())
