"""Opening an SQLite file: what is refused, and what is made sure of."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest

from store.database import CannotOpen, Database, open_database
from store.database.sqlite_file import SqliteFile, check_library, set_pragma
from tests.database.conftest import Crowd, things_at
from tests.database.things import NAMES, add, names

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from store.database import open_database
database = open_database(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
database.close()
"""


def test_a_second_process_is_refused_and_told_why(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/things.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, url], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(CannotOpen, match=r"things\.db is in use by another server process"):
            open_database(url)
        holder.communicate()
    open_database(url).close()


def test_the_file_is_free_when_its_process_is_killed(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/things.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, url], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        holder.kill()
    open_database(url).close()


def test_one_process_cannot_open_it_twice_either(sqlite_things: Database, tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match="in use"):
        open_database(f"sqlite://{tmp_path}/things.db")


def test_opening_can_wait_for_the_other_process(sqlite_things: Database, tmp_path: Path, crowd: Crowd) -> None:
    opening = crowd.start(lambda: open_database(f"sqlite://{tmp_path}/things.db", lock_wait_seconds=30))
    sqlite_things.close()
    opening.result().close()


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2", "3.9.9"])
def test_an_sqlite_with_the_defect_is_refused(version: str) -> None:
    with pytest.raises(CannotOpen, match=version):
        check_library(version)


@pytest.mark.parametrize("version", ["3.51.3", "3.52.0", "4.0"])
def test_an_sqlite_without_the_defect_is_accepted(version: str) -> None:
    check_library(version)


def test_opening_checks_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.40.1")
    with pytest.raises(CannotOpen, match="too old"):
        open_database(f"sqlite://{tmp_path}/things.db")


def test_every_pragma_is_answered_as_wanted(tmp_path: Path) -> None:
    file = SqliteFile(f"{tmp_path}/x.db")
    for query_only in (False, True):
        connection = file.connect(query_only=query_only)
        answers = {
            name: connection.pragma(name) for name in ("journal_mode", "synchronous", "foreign_keys", "query_only")
        }
        assert answers == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "query_only": int(query_only)}
        connection.close()
    file.release()


def test_a_pragma_that_is_answered_otherwise_is_an_error() -> None:
    """An in-memory database cannot have a write-ahead log: SQLite answers "memory" and raises nothing."""
    with pytest.raises(CannotOpen, match="journal_mode = wal: it answers 'memory'"):
        set_pragma(apsw.Connection(":memory:"), "journal_mode", "wal", "wal")


def test_the_writer_and_the_readers_have_those_settings(sqlite_things: Database) -> None:
    names(sqlite_things)
    internals: Any = sqlite_things
    [reader] = internals._readers
    for connection, query_only in ((internals._writer._connection, 0), (reader.connection, 1)):
        assert connection.pragma("synchronous") == 2
        assert connection.pragma("foreign_keys") == 1
        assert connection.pragma("query_only") == query_only


def test_only_the_owner_reads_the_files(sqlite_things: Database, tmp_path: Path) -> None:
    add(sqlite_things, "a")
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
    assert {"things.db", "things.db-wal", "things.db-shm", "things.db.lock"} <= modes.keys()
    assert set(modes.values()) == {"0o600"}


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match="nowhere"):
        open_database(f"sqlite://{tmp_path}/nowhere/things.db")


def test_a_file_that_is_no_database_is_refused_and_let_go(tmp_path: Path) -> None:
    path = tmp_path / "things.db"
    path.write_bytes(b"no database" * 1000)
    for _ in range(2):
        with pytest.raises(CannotOpen, match=r"things\.db"):
            open_database(f"sqlite://{path}")


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        f"22 21 0:44 / {tmp_path} rw,relatime shared:2 - nfs4 server:/export rw\n"
    )
    monkeypatch.setattr("store.database.sqlite_file.MOUNTS", mounts)
    with pytest.raises(CannotOpen, match="network file system"):
        open_database(f"sqlite://{tmp_path}/things.db")


def test_a_url_of_neither_database_is_refused() -> None:
    for url in ("mysql://x/y", "sqlite://relative.db", "registry.db", ""):
        with pytest.raises(CannotOpen, match="must be sqlite"):
            open_database(url)


def test_threads_that_end_take_their_connections_with_them(sqlite_things: Database) -> None:
    internals: Any = sqlite_things
    for _ in range(5):
        thread = threading.Thread(target=lambda: sqlite_things.rows(NAMES))
        thread.start()
        thread.join()
    assert len(internals._readers) <= 1


def test_a_connection_does_not_cross_a_fork(things: Database) -> None:
    names(things)
    child = os.fork()
    if child == 0:
        try:
            names(things)
        except RuntimeError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_an_exit_without_close_finishes_the_queue(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/things.db"
    program = """
import sys, threading, time
from store.database import open_database
from tests.database.things import MIGRATIONS, put
database = open_database(sys.argv[1], migrations_folder=MIGRATIONS, wait_seconds=60)
database.migrate()
held, go_on = threading.Event(), threading.Event()
def hold(tx):
    held.set()
    go_on.wait(60)
def begin(fn):
    threading.Thread(target=lambda: database.write(fn), daemon=True).start()
begin(hold)
held.wait(60)
for number in range(200):
    begin(lambda tx, number=number: put(tx, str(number)))
while len(database._writer._jobs) < 200:
    time.sleep(0.001)
go_on.set()
"""
    subprocess.run([sys.executable, "-c", program, url], cwd=ROOT, check=True)
    with things_at(url) as database:
        assert len(names(database)) == 200
