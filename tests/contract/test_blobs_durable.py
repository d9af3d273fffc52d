"""What the disk can do to us: every sync in its place, and a right answer when one fails (behaviour.md, Files)."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import store.blobs.writing as writing_module
import store.uploads.streams as streams_module
from store.blobs.local import LocalPacks
from store.errors import BlobsDown, ChunkLost, DatabaseBusy, DatabaseDown, ReadOnly, RegistryError, StorageFull
from store.uploads.models import Upload
from tests.contract.shelf import Shelf, content_of

MIB = 2**20
ROOT = Path(__file__).parents[2]


def path_of(fd: int) -> Path:
    return Path(f"/proc/self/fd/{fd}").readlink()


class Calls:
    """System calls of the blob store, in order, and the one that fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[str, str]] = []
        self.fail: Callable[[str, str], int | None] = lambda _name, _path: None
        for name in ("fsync", "pwrite", "rename"):
            monkeypatch.setattr(os, name, self._recorded(name, getattr(os, name)))

    def _recorded(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Any, *args: Any, **options: Any) -> Any:
            path = path_of(target) if isinstance(target, int) else Path(target)
            _, in_folder, rest = str(path).rpartition("/blobs/")
            if not in_folder:
                return real(target, *args, **options)
            kind = rest.split("/")[0]
            number = self.fail(name, kind)
            self.made.append((name, kind))
            if number is not None:
                raise OSError(number, os.strerror(number))
            return real(target, *args, **options)

        return call

    def failing(self, name: str, kind: str, number: int, *, times: int = 1) -> None:
        """Have the next such calls fail."""
        left = [times]

        def fail(called: str, on: str) -> int | None:
            if (called, on) == (name, kind) and left[0] > 0:
                left[0] -= 1
                return number
            return None

        self.fail = fail


@pytest.fixture
def calls(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Calls:  # the folder is made before calls are recorded
    return Calls(monkeypatch)


def assert_nothing_kept(shelf: Shelf) -> None:
    """But the upload, which goes on from its beginning."""
    shelf.assert_nothing_kept(but=[Upload])
    assert [upload.committed_bytes for upload in shelf.rows(Upload)] == [0]


def test_bytes_are_synced_then_renamed_then_their_folder_synced_then_mentioned(
    shelf: Shelf, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = shelf.db.write

    def recorded_write(*args: Any, **options: Any) -> Any:
        calls.made.append(("rows", ""))
        return write(*args, **options)

    monkeypatch.setattr(shelf.db, "write", recorded_write)
    shelf.upload(content_of(MIB))

    assert [call for call in calls.made if call[0] != "pwrite"] == [
        ("rows", ""),  # the upload is known before its bytes
        ("fsync", "tmp"),
        ("rename", "tmp"),
        ("fsync", "packs"),
        ("rows", ""),
    ]
    assert calls.made[1] == ("pwrite", "tmp")
    assert ("pwrite", "tmp") not in calls.made[calls.made.index(("fsync", "tmp")) :]


@pytest.mark.parametrize(("name", "kind"), [("pwrite", "tmp"), ("fsync", "tmp"), ("rename", "tmp"), ("fsync", "packs")])
def test_after_an_io_error_nothing_is_acknowledged_and_nothing_more_is_taken(
    shelf: Shelf, calls: Calls, name: str, kind: str
) -> None:
    before = shelf.upload(content_of(MIB, seed=1), "before").file
    calls.failing(name, kind, errno.EIO)

    with pytest.raises(ReadOnly):
        shelf.upload(content_of(MIB))
    made = len(calls.made)
    with pytest.raises(ReadOnly):
        shelf.upload(content_of(MIB), "another")

    assert (calls.made[made:], shelf.blobs.packs.writable) == ([], False)  # a failed sync is never asked again
    assert (shelf.names(), len(shelf.packs()), shelf.unfinished()) == (["before"], 1, [])
    assert shelf.download(before) == content_of(MIB, seed=1)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize(("name", "kind"), [("pwrite", "tmp"), ("fsync", "tmp"), ("rename", "tmp"), ("fsync", "packs")])
def test_a_full_disk_frees_what_was_written_and_is_no_end(
    shelf: Shelf, calls: Calls, name: str, kind: str, number: int
) -> None:
    calls.failing(name, kind, number)

    with pytest.raises(StorageFull):
        shelf.upload(content_of(5 * MIB))

    assert_nothing_kept(shelf)
    assert shelf.download(shelf.upload(content_of(5 * MIB)).file) == content_of(5 * MIB)


def test_a_really_full_disk_is_storage_full(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    device = os.open("/dev/full", os.O_WRONLY)  # the one device whose every write finds no space
    real = os.pwrite
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", lambda _, data, offset: real(device, data, offset))
        with pytest.raises(StorageFull):
            shelf.upload(content_of(MIB))
    os.close(device)

    assert_nothing_kept(shelf)


def test_short_writes_are_written_on(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, data[:100_001], offset))

    assert shelf.download(shelf.upload(content_of(MIB)).file) == content_of(MIB)


def test_short_reads_are_read_on(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    file = shelf.upload(content_of(MIB)).file
    whole, direct = os.pread, os.preadv
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: whole(fd, min(length, 100_001), offset))
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, offset: direct(fd, [buffers[0][:8192]], offset))

    assert shelf.download(file) == content_of(MIB)


def test_a_disk_that_cannot_read_is_lost_bytes(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    file = shelf.upload(content_of(MIB)).file
    packs = {(pack.stat().st_dev, pack.stat().st_ino) for pack in shelf.packs()}

    def failing(read: Callable[..., Any]) -> Callable[..., Any]:
        def fail(fd: int, *arguments: Any) -> Any:
            opened = os.fstat(fd)
            if (opened.st_dev, opened.st_ino) in packs:
                raise OSError(errno.EIO, "I/O error")
            return read(fd, *arguments)

        return fail

    monkeypatch.setattr(os, "pread", failing(os.pread))
    monkeypatch.setattr(os, "preadv", failing(os.preadv))
    with pytest.raises(ChunkLost):
        shelf.download(file)


def test_no_more_descriptors_is_no_end(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    with monkeypatch.context() as patched:
        patched.setattr("store.blobs.local_sink.os.open", refuse)
        with pytest.raises(BlobsDown):
            shelf.upload(content_of(MIB))

    assert shelf.upload(content_of(MIB)).created


def test_bytes_stay_when_it_is_unknown_whether_their_rows_were_committed(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = shelf.db.write

    def commit_and_break(*args: Any, **options: Any) -> Any:
        write(*args, **options)
        raise DatabaseDown

    draft, content = shelf.draft(), content_of(MIB)
    with monkeypatch.context() as patched:
        patched.setattr(shelf.db, "write", commit_and_break)
        with pytest.raises(DatabaseDown):
            shelf.send(content, draft)

    again = shelf.send(content, draft)
    assert again.created
    assert shelf.download(again.file) == content


def test_an_upload_that_does_not_get_its_turn_in_the_database_leaves_no_bytes_and_may_end_later(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []
    write = shelf.db.write

    def never_its_turn(*args: Any, wait_seconds: float | None = None, **options: Any) -> Any:
        if wait_seconds is None:  # it begins, and tells nobody that it is there
            return write(*args, **options)
        waits.append(wait_seconds)
        raise DatabaseBusy

    draft, content = shelf.draft(), content_of(MIB)
    with monkeypatch.context() as patched:
        patched.setattr(shelf.db, "write", never_its_turn)
        with pytest.raises(DatabaseBusy):
            shelf.send(content, draft)

    assert waits == [60.0]
    shelf.assert_nothing_kept(but=[Upload])
    assert shelf.download(shelf.send(content, draft).file) == content


@pytest.mark.parametrize(("error", "stays"), [(StorageFull(), False), (DatabaseBusy(), False), (ReadOnly(), True)])
def test_bytes_of_a_group_stay_only_where_its_rows_may_be_found_by_the_next_start(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, error: RegistryError, stays: bool
) -> None:
    monkeypatch.setattr(writing_module, "GROUP_BYTES", MIB)
    draft, content = shelf.draft(), content_of(5 * MIB)
    with monkeypatch.context() as patched:
        patched.setattr(streams_module, "commit_chunks", raising(error))
        with pytest.raises(type(error)):
            shelf.send(content, draft)

    assert (len(shelf.packs()), shelf.unfinished()) == (int(stays), [])
    assert shelf.download(shelf.send(content, draft).file) == content


@pytest.mark.parametrize(("error", "stays"), [(StorageFull(), False), (ReadOnly(), True)])
def test_bytes_of_an_end_stay_only_where_its_rows_may_be_found_by_the_next_start(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, error: RegistryError, stays: bool
) -> None:
    draft, content = shelf.draft(), content_of(MIB)
    with monkeypatch.context() as patched:
        patched.setattr(streams_module, "finish_upload", raising(error))
        with pytest.raises(type(error)):
            shelf.send(content, draft)

    assert (len(shelf.packs()), shelf.unfinished()) == (int(stays), [])
    assert shelf.download(shelf.send(content, draft).file) == content


def raising(error: RegistryError) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_packs_that_a_dead_process_left_are_removed_and_a_living_ones_stay(shelf: Shelf) -> None:
    program = (
        "import sys, pathlib, time\n"
        "from store.blobs.local import LocalPacks\n"
        "packs = LocalPacks(pathlib.Path(sys.argv[1]), registry_id=bytes.fromhex(sys.argv[2]), expected=False)\n"
        "sink = packs.sink()\n"
        "sink.write(b'half of it')\n"
        "print('written', flush=True)\n"
        "time.sleep(600)\n"
    )
    registry_id = (shelf.folder / "registry").read_text().strip()
    arguments = [sys.executable, "-c", program, str(shelf.folder), registry_id]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        sink = shelf.blobs.packs.sink()
        ours = sink.write(b"ours")

        LocalPacks(shelf.folder, registry_id=bytes.fromhex(registry_id), expected=False)
        assert len(shelf.unfinished()) == 2
        process.send_signal(signal.SIGKILL)
        process.wait()
        reopened = LocalPacks(shelf.folder, registry_id=bytes.fromhex(registry_id), expected=False)

    assert reopened.reaped_count == 1
    assert [path.name for path in shelf.unfinished()] == [ours.pack_id.hex()]
    sink.discard()
    assert shelf.unfinished() == []


def test_a_pack_taken_for_a_leftover_at_birth_gets_another_name(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fcntl.flock
    taken: list[str] = []

    def late(fd: int, operation: int) -> None:
        real(fd, operation)
        if not taken:  # another server started between the opening and the locking
            path = path_of(fd)
            path.unlink()
            taken.append(path.name)

    monkeypatch.setattr(fcntl, "flock", late)
    with shelf.blobs.packs.sink() as sink:
        place = sink.write(b"abc")

        assert taken
        assert place.pack_id.hex() != taken[0]
        assert [path.name for path in shelf.unfinished()] == [place.pack_id.hex()]
