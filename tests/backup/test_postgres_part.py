"""The part of a backup that PostgreSQL gives."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from store.backup import postgres_part
from store.database import open_database, postgres_connection
from store.database.postgres import PostgresDatabase
from store.database.postgres_connection import STATEMENT_MS, Connection
from tests.postgres_server import PostgresServer


def test_tables_may_take_longer_to_copy_than_a_statement_of_a_call(
    postgres_server: PostgresServer, postgres_template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_out = postgres_part._copy_out

    def slowly(connection: Connection, file: Path, tell: postgres_part.Tell) -> None:
        connection.execute("SELECT pg_sleep(0.5)")
        copy_out(connection, file, tell)

    monkeypatch.setattr(postgres_part, "_copy_out", slowly)
    monkeypatch.setattr(postgres_part, "_tool", lambda *_, **__: None)
    monkeypatch.setattr(postgres_connection, "ANSWER_SECONDS", 0.1 - STATEMENT_MS / 1000)  # so a call's is cut at once
    with postgres_server.fresh_database(postgres_template) as url:
        database = open_database(url)
        assert isinstance(database, PostgresDatabase)
        kind, _ = postgres_part.write_part(database, url, tmp_path, print)
        database.close()

    assert kind == postgres_part.COPY
    with zipfile.ZipFile(tmp_path / postgres_part.FILES[kind]) as archive:
        assert archive.testzip() is None
