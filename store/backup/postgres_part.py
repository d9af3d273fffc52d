"""The database of a backup as PostgreSQL gives it: by pg_dump where there is one that knows the server, else by COPY.

pg_dump's is the format that every PostgreSQL administrator knows, and does not need this program. It must be as new as
the server, and is not on every machine; COPY needs nothing but the connection, and its binary form is the same for all
versions that we support.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from store.access.secrets import known_secret
from store.backup.errors import BackupRefused
from store.backup.needed import Snapshot, snapshot_of
from store.blobs.blobs import REGISTRY_PURPOSE, registry_id_of
from store.database import migrations
from store.database.postgres import PostgresDatabase
from store.database.postgres_connection import Connection
from store.database.postgres_pool import parameters_of
from store.database.postgres_transaction import PostgresReader, PostgresSession
from store.schema import MODELS

DUMP: Final = "dump"
COPY: Final = "copy"
FILES: Final = {DUMP: "database.dump", COPY: "database.copy"}

Tell = Callable[[str], object]

_HISTORY: Final = "schema_migration"
_TABLES: Final = "tables.json"
_TOLD_EVERY_SECONDS: Final = 5.0
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")
_PIECE: Final = 2**20
_TIMEOUTS: Final = (b"statement_timeout", b"idle_in_transaction_session_timeout", b"lock_timeout")


def write_part(database: PostgresDatabase, url: str, folder: Path, tell: Tell) -> tuple[str, Snapshot]:
    """Write the database as it is at one moment to a file in the folder: its kind, and what it says.

    Raises BackupRefused, DatabaseDown.
    """
    with database.dial() as connection:
        connection.execute(b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        _take_time(connection)
        exported = connection.execute(b"SELECT pg_export_snapshot()").fetchone()
        assert exported is not None
        # Nor is it cut from here: the copies below are one long answer to whoever watches the connection.
        session = PostgresSession(connection, statement_ms=math.inf)
        snapshot = snapshot_of(PostgresReader(session, []))
        tool = _tool("pg_dump", at_least=connection.info.server_version // 10000)
        kind = COPY if tool is None else DUMP
        if tool is None:
            tell("pg_dump is not here, or older than the server: the tables are copied one by one")
            _copy_out(connection, folder / FILES[COPY], tell)
        else:
            _dump(tool, url, exported[0], folder / FILES[DUMP], tell)
        connection.execute(b"COMMIT")
    return kind, snapshot


def is_empty(database: PostgresDatabase) -> bool:
    """Whether the database has none of our tables."""
    names = [*(model._meta.table_name for model in MODELS), _HISTORY]
    with database.dial() as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = ANY(%s)", (names,)
        ).fetchone()
    return found is not None and found[0] == 0


def registry_id(database: PostgresDatabase) -> bytes:
    """Whose packs the database knows; empty when it knows of none."""
    secret = database.read(partial(known_secret, purpose=REGISTRY_PURPOSE))
    return b"" if secret is None else registry_id_of(secret)


def read_part(
    database: PostgresDatabase, url: str, file: Path, *, kind: str, applied: Sequence[str], tell: Tell
) -> None:
    """Fill the empty database from the file, in one transaction; `applied` are the migrations that it had.

    Raises BackupRefused.
    """
    if kind == COPY:
        _copy_in(database, file, applied, tell)
        return
    tool = _tool("pg_restore", at_least=0)
    if tool is None:
        raise BackupRefused("The database was written by pg_dump: install PostgreSQL's client programs, pg_restore.")
    with _connecting(url) as dbname:
        words = [tool, "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--no-password"]
        _run([*words, f"--dbname={dbname}", str(file)], tell)


# --- pg_dump ----------------------------------------------------------------------------------------------------------


def _tool(name: str, *, at_least: int) -> str | None:
    """The program, where it is there and new enough."""
    path = shutil.which(name)
    if path is None:
        return None
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=60).stdout
    version = _VERSION.search(told)
    return path if version is not None and int(version[1]) >= at_least else None


def _dump(tool: str, url: str, snapshot: str, file: Path, tell: Tell) -> None:
    names = [*(model._meta.table_name for model in MODELS), _HISTORY]
    with _connecting(url) as dbname:
        words = [tool, "--format=custom", "--no-owner", "--no-privileges", "--no-password", f"--snapshot={snapshot}"]
        # By their names: what else lies in the database is somebody else's.
        words += [f'--table="{name}"' for name in names]
        _run([*words, f"--file={file}", f"--dbname={dbname}"], tell, grows=file)


@contextmanager
def _connecting(url: str) -> Iterator[str]:
    """What to tell a program of PostgreSQL's to connect to: its password in a file, where `ps` does not show it."""
    parameters = parameters_of(url)
    password = parameters.pop("password", None)
    with tempfile.TemporaryDirectory(prefix="release-server-") as folder:
        if password is not None:
            file = Path(folder) / "password"
            file.touch(0o600)
            file.write_text("*:*:*:*:" + re.sub(r"([:\\])", r"\\\1", str(password)) + "\n")
            parameters["passfile"] = str(file)
        yield make_conninfo("", **parameters)


def _run(words: Sequence[str], tell: Tell, *, grows: Path | None = None) -> None:
    """Run a program to its end, and tell now and then how far it is. Raises BackupRefused with what it said."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        name = Path(words[0]).name
        try:
            told = time.monotonic()
            while process.poll() is None:
                if time.monotonic() - told > _TOLD_EVERY_SECONDS:
                    told = time.monotonic()
                    size = f", {grows.stat().st_size:,} bytes" if grows is not None and grows.exists() else ""
                    tell(f"{name} is at work{size}")
                time.sleep(0.05)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise BackupRefused(f"{name} failed: {lines[0].removeprefix(name + ': ')}")


# --- COPY -------------------------------------------------------------------------------------------------------------


def _columns(model: Any) -> list[str]:
    return [field.column_name for field in model._meta.sorted_fields]


def _copy_out(connection: Connection, file: Path, tell: Tell) -> None:
    tables = {model._meta.table_name: _columns(model) for model in MODELS}
    told = time.monotonic()
    file.touch(0o600)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(_TABLES, json.dumps(tables))
        for table, columns in tables.items():
            with archive.open(table, "w", force_zip64=True) as out:
                with connection.cursor().copy(_copy(table, columns, "TO STDOUT")) as copy:
                    for data in copy:
                        out.write(data)
            told = _tell_seldom(tell, f"table {table} is copied", told)


def _copy_in(database: PostgresDatabase, file: Path, applied: Sequence[str], tell: Tell) -> None:
    told = time.monotonic()
    with database.dial() as connection, zipfile.ZipFile(file) as archive:
        tables: dict[str, list[str]] = json.loads(archive.read(_TABLES))
        try:
            with migrations.on_postgresql(lambda: connection) as schema, schema.atomic():
                _take_time(connection)
                migrations.apply(schema, migrations.FOLDER, until=applied[-1])
                for table, columns in tables.items():
                    with archive.open(table) as source:
                        with connection.cursor().copy(_copy(table, columns, "FROM STDIN")) as copy:
                            while data := source.read(_PIECE):
                                copy.write(data)
                    told = _tell_seldom(tell, f"table {table} is restored", told)
        except psycopg.Error as error:
            raise BackupRefused(f"PostgreSQL refused what the backup holds: {type(error).__name__}.") from error


def _tell_seldom(tell: Tell, text: str, told: float) -> float:
    """Tells it unless something was told lately; when something was told last, by the monotonic clock."""
    if time.monotonic() - told < _TOLD_EVERY_SECONDS:
        return told
    tell(text)
    return time.monotonic()


def _take_time(connection: Connection) -> None:
    """Nothing in this transaction is cut short: tables are as large as they are."""
    for timeout in _TIMEOUTS:
        connection.execute(b"SET LOCAL %b = 0" % timeout)


def _copy(table: str, columns: Sequence[str], direction: str) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    way = sql.SQL("TO STDOUT" if direction == "TO STDOUT" else "FROM STDIN")
    return sql.SQL("COPY {} ({}) {} (FORMAT binary)").format(sql.Identifier(table), names, way)
