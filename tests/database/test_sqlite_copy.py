"""A copy of the SQLite database is of one moment, and leaves nothing behind."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from store.access.secrets import installation_secret
from store.backup.sending import copied_database
from store.database import Database
from store.database.sqlite_copy import draft_beside
from tests.conftest import opened


def purposes(file: Path) -> list[str]:
    with closing(apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        assert connection.pragma("integrity_check") == "ok"
        return [row[0] for row in connection.execute("SELECT purpose FROM installation_secret ORDER BY purpose")]


def test_what_is_written_during_the_copy_is_not_in_it(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.database.sqlite_copy.STEP_PAGES", 1)
    installation_secret(sqlite, "before")
    steps = 0

    def between() -> None:
        nonlocal steps
        steps += 1
        installation_secret(sqlite, f"meanwhile-{steps % 10}")

    sqlite.copy_file(tmp_path / "copy", between=between)
    assert steps > 10
    assert purposes(tmp_path / "copy") == ["before"]
    assert len(purposes(sqlite.file)) == 11


def test_a_copy_that_is_not_wanted_any_more_leaves_nothing(sqlite: Database) -> None:
    def between() -> None:
        raise KeyError

    with pytest.raises(KeyError), copied_database(sqlite, between=between):
        pass
    assert list(sqlite.file.parent.glob("*.copy-*")) == []
    with copied_database(sqlite, between=lambda: None) as copy:
        assert list(sqlite.file.parent.glob("*.copy-*")) == []
        data = b"".join(copy.data)
    assert (len(data), hashlib.sha256(data).digest()) == (copy.size_bytes, copy.sha256)


def test_what_a_killed_copy_left_goes_at_the_next_start(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/registry.db"
    with opened(url):
        pass
    left = draft_beside(tmp_path / "registry.db")
    left.write_bytes(b"half")
    with opened(url):
        assert not left.exists()
