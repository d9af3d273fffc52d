"""SQLite's writer thread: jobs of one group do not hurt each other, whatever happens to one of them."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from store.database import Database, Transaction, open_database
from store.database.sqlite_writer import GROUP, QUEUE_LIMIT
from store.errors import DatabaseBusy, DatabaseDown, ReadOnly, StorageFull
from tests.database.conftest import Crowd, Plug, things_at
from tests.database.things import FIND, MIGRATIONS, NAMES, add, names, put, putting

Plugging = Callable[[Database], Plug]


def test_a_job_that_raises_leaves_the_others_of_its_group(sqlite_things: Database, plug: Plugging) -> None:
    def fail(tx: Transaction) -> None:
        put(tx, "bad")
        raise KeyError("mine")

    with plug(sqlite_things) as line:
        before = line.queue(lambda tx: put(tx, "before"))
        bad = line.queue(fail)
        after = line.queue(lambda tx: tx.rows(NAMES))
    assert before.result() is None
    with pytest.raises(KeyError, match="mine"):
        bad.result()
    assert after.result() == ["before"]
    assert names(sqlite_things) == ["before"]


def test_a_group_is_one_commit_of_at_most_sixteen(sqlite_things: Database, plug: Plugging) -> None:
    commits = _counting(sqlite_things, "COMMIT")
    with plug(sqlite_things) as line:
        jobs = [line.queue(putting(str(n))) for n in range(GROUP + 4)]
    for job in jobs:
        job.result()
    assert len(names(sqlite_things)) == GROUP + 4
    assert len(commits) == 1 + 2  # the plug's, a full group, the rest


def test_a_long_job_is_alone(sqlite_things: Database, plug: Plugging) -> None:
    commits = _counting(sqlite_things, "COMMIT")
    with plug(sqlite_things) as line:
        jobs = [line.queue(putting(str(n)), long=n == 2) for n in range(5)]
    for job in jobs:
        job.result()
    assert len(commits) == 1 + 3  # the plug's, the two before, the long one, the two after


def test_a_caller_is_told_only_after_the_commit(sqlite_things: Database, plug: Plugging) -> None:
    """An error may rest on what another job of the group did, so it waits for the commit as well."""
    reached, go_on = threading.Event(), threading.Event()

    def hold(_: Transaction) -> None:
        reached.set()
        assert go_on.wait(60)

    def fail(tx: Transaction) -> None:
        raise KeyError(*tx.rows(NAMES))

    with plug(sqlite_things) as line:
        first = line.queue(lambda tx: put(tx, "a"))
        failing = line.queue(fail)
        line.queue(hold)
    assert reached.wait(60)
    assert not first.done()
    assert not failing.done()
    go_on.set()
    first.result()
    with pytest.raises(KeyError, match="a"):
        failing.result()


def test_a_turn_that_does_not_come_in_time_is_given_up(sqlite_things: Database, plug: Plugging) -> None:
    with plug(sqlite_things) as line:
        with pytest.raises(DatabaseBusy) as busy:
            sqlite_things.write(lambda tx: put(tx, "late"), wait_seconds=0.05)
        assert busy.value.retry_after_seconds
        assert not line._database._writer._jobs  # type: ignore[attr-defined]
    add(sqlite_things, "next")
    assert names(sqlite_things) == ["next"]


def test_a_job_that_has_begun_is_not_given_up(sqlite_things: Database, crowd: Crowd) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> str:
        begun.set()
        assert go_on.wait(60)
        put(tx, "a")
        return "done"

    job = crowd.start(lambda: sqlite_things.write(slow, wait_seconds=2.0))
    assert begun.wait(60)
    with pytest.raises(TimeoutError):
        job.result(timeout=2.5)
    go_on.set()
    assert job.result() == "done"


def test_the_queue_is_bounded(sqlite_things: Database, plug: Plugging, monkeypatch: pytest.MonkeyPatch) -> None:
    assert QUEUE_LIMIT >= 100
    monkeypatch.setattr("store.database.sqlite_writer.QUEUE_LIMIT", 3)
    with plug(sqlite_things) as line:
        jobs = [line.queue(putting(str(n))) for n in range(3)]
        with pytest.raises(DatabaseBusy):
            add(sqlite_things, "too many")
    for job in jobs:
        job.result()
    assert names(sqlite_things) == ["0", "1", "2"]


def test_closing_does_what_is_queued_and_refuses_the_rest(tmp_path: Path, crowd: Crowd) -> None:
    url = f"sqlite://{tmp_path}/things.db"
    with things_at(url) as database:
        with Plug(database, crowd) as line:
            jobs = [line.queue(putting(str(n))) for n in range(20)]
            closing = crowd.start(database.close)
            assert _refused(database)
        closing.result()
        for job in jobs:
            job.result()
        with pytest.raises(DatabaseDown):
            names(database)
    with things_at(url) as database:
        assert len(names(database)) == 20


# --- A full disk -----------------------------------------------------------------------------------------------------


class SmallDisk:
    """A folder with very little room: a tmpfs where this process may mount one, else a page limit on the database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        mount = shutil.which("mount")
        command = [mount or "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
        self.mounted = mount is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0

    def fill(self, database: Database) -> None:
        """Leave some 100 KiB."""
        if self.mounted:
            (self.folder / "filler").write_bytes(bytes(shutil.disk_usage(self.folder).free - 100 * 1024))
        else:
            self._limit(database, 25)

    def make_room(self, database: Database) -> None:
        if self.mounted:
            subprocess.run(["mount", "-o", "remount,size=64m", str(self.folder)], check=True)
        else:
            self._limit(database, 100_000)

    def remove(self) -> None:
        if self.mounted:
            subprocess.run(["umount", str(self.folder)], check=True)

    @staticmethod
    def _limit(database: Database, more_pages: int) -> None:
        connection: apsw.Connection = database._writer._connection  # type: ignore[attr-defined]
        connection.pragma("max_page_count", connection.pragma("page_count") + more_pages)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "small")
    try:
        yield disk
    finally:
        disk.remove()


# Up to 2 MiB of changed pages wait in memory until COMMIT; more is written before, inside the job's savepoint.
@pytest.mark.parametrize("size", [300 * 1024, 8 * 1024 * 1024], ids=["at commit", "inside a savepoint"])
def test_a_full_disk_fails_one_job_of_its_group(small_disk: SmallDisk, plug: Plugging, size: int) -> None:
    with things_at(f"sqlite://{small_disk.folder}/things.db") as database:
        add(database, "old", count=1)
        runs: list[str] = []
        effects: list[str] = []

        def small(name: str) -> Callable[[Transaction], None]:
            def write(tx: Transaction) -> None:
                runs.append(name)
                tx.after_commit(lambda: effects.append(name))
                put(tx, name)

            return write

        def big(tx: Transaction) -> None:
            runs.append("big")
            tx.after_commit(lambda: effects.append("big"))
            put(tx, "big", data=bytes(size))

        with plug(database) as line:
            small_disk.fill(database)
            first = line.queue(small("first"))
            failing = line.queue(big)
            last = line.queue(small("last"))
        with pytest.raises(StorageFull):
            failing.result()
        first.result()
        last.result()
        assert runs.count("first") == 2, "what was done before the disk was full has to be done again"
        assert sorted(effects) == ["first", "last"]
        assert names(database) == ["first", "last", "old"]

        small_disk.make_room(database)
        database.write(big)
        assert database.row(FIND, name="big") is not None
    with things_at(f"sqlite://{small_disk.folder}/things.db") as database:
        assert names(database) == ["big", "first", "last", "old"]


def test_a_job_that_swallows_the_full_disk_does_not_write_on(small_disk: SmallDisk) -> None:
    """SQLite has ended the transaction: what the job does next would be committed by itself, at once."""
    with things_at(f"sqlite://{small_disk.folder}/things.db") as database:
        small_disk.fill(database)

        def stubborn(tx: Transaction) -> None:
            with pytest.raises(StorageFull):
                put(tx, "big", data=bytes(8 * 1024 * 1024))
            put(tx, "after")

        with pytest.raises(StorageFull):
            database.write(stubborn)
        assert names(database) == []
        add(database, "next")
        assert names(database) == ["next"]


# --- A failing disk --------------------------------------------------------------------------------------------------


class FailingFile(apsw.VFSFile):
    def __init__(self, inherit: str, name: Any, flags: list[int], vfs: FailingDisk) -> None:
        super().__init__(inherit, name, flags)
        self._disk = vfs

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._disk.fails:
            raise apsw.IOError("fsync failed")
        super().xSync(flags)


class FailingDisk(apsw.VFS):
    """A disk whose fsync can be made to fail."""

    def __init__(self) -> None:
        self.fails = False
        super().__init__("failing", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> FailingFile:  # noqa: N802
        return FailingFile("unix", name, flags, self)


@pytest.fixture
def failing_disk() -> Iterator[FailingDisk]:
    standard = apsw.vfs_names()[0]
    disk = FailingDisk()
    try:
        yield disk
    finally:
        disk.unregister()
        assert apsw.vfs_names()[0] == standard


def test_after_a_failed_fsync_nothing_is_written_until_the_next_start(
    failing_disk: FailingDisk, tmp_path: Path, plug: Plugging
) -> None:
    """The pages of a failed fsync are marked clean: the next fsync says yes and has written nothing."""
    url = f"sqlite://{tmp_path}/things.db"
    with things_at(url) as database:
        add(database, "old")
        with plug(database) as line:
            jobs = [line.queue(putting(str(n))) for n in range(3)]
            failing_disk.fails = True
        for job in jobs:
            with pytest.raises(ReadOnly):
                job.result()
        failing_disk.fails = False
        with pytest.raises(ReadOnly):
            add(database, "next")
        assert "old" in names(database)
    with things_at(url) as database:
        add(database, "next")
        assert {"old", "next"} <= set(names(database))


def test_a_replaced_file_is_not_written_to(sqlite_things: Database, tmp_path: Path) -> None:
    add(sqlite_things, "a")
    (tmp_path / "things.db").rename(tmp_path / "moved.db")
    (tmp_path / "things.db").write_bytes(b"")
    with pytest.raises(ReadOnly):
        add(sqlite_things, "b")


def test_a_fault_of_the_writer_itself_reaches_the_callers(
    sqlite_things: Database, plug: Plugging, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer: Any = sqlite_things._writer  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        with plug(sqlite_things) as line:
            jobs = [line.queue(putting(str(n))) for n in range(2)]
            patch.setattr(writer, "_run", lambda *_, **__: 1 / 0)
        for job in jobs:
            with pytest.raises(Exception, match="division"):
                job.result()
    add(sqlite_things, "next")
    assert names(sqlite_things) == ["next"]


def test_an_unmigrated_database_says_so_without_harm(tmp_path: Path) -> None:
    database = open_database(f"sqlite://{tmp_path}/empty.db", migrations_folder=MIGRATIONS)
    try:
        with pytest.raises(Exception, match="no such table"):
            names(database)
        assert database.pending_migrations() == ["0001_things"]
    finally:
        database.close()


def _refused(database: Database) -> bool:
    """Whether a write is refused because the database is being closed, as soon as that has begun."""
    while True:
        try:
            database.write(lambda tx: None, wait_seconds=0.001)
        except DatabaseBusy:
            continue
        except DatabaseDown:
            return True


def _counting(database: Database, command: str) -> list[str]:
    """The commands of that name that the writer gives from now on."""
    writer: Any = database._writer  # type: ignore[attr-defined]
    execute, given = writer._execute, []

    def counted(sql: str) -> Any:
        if sql == command:
            given.append(sql)
        return execute(sql)

    writer._execute = counted
    return given
