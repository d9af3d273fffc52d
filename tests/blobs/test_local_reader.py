"""Reading packs of a folder: the same bytes, past the page cache or through it."""

from __future__ import annotations

import errno
import fcntl
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from store.blobs.local import LocalPacks
from store.blobs.local_reader import LocalPackReader
from store.database import new_id
from store.errors import BlobsDown

KIB = 1024
SIZE = 300 * KIB + 77
DATA = random.Random(0).randbytes(SIZE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "pack"
    path.write_bytes(DATA)
    return path


@pytest.fixture(params=[True, False], ids=["once", "again"])
def reader(request: pytest.FixtureRequest, path: Path) -> Iterator[LocalPackReader]:
    with LocalPackReader(os.open(path, os.O_RDONLY), once=request.param) as reader:
        yield reader


def is_direct(fd: int) -> bool:
    return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT)


def test_every_range_is_what_is_there(reader: LocalPackReader) -> None:
    places = random.Random(1)
    for offset, length in [
        *[(places.randrange(SIZE + 5000), places.randrange(SIZE)) for _ in range(300)],
        *[(at, size) for at in (0, 1, 4095, 4096, 4097, SIZE - 1, SIZE) for size in (0, 1, 4095, 4096, 4097, SIZE)],
    ]:
        assert reader.read(offset, length) == DATA[offset : offset + length]


def test_what_grows_is_read_to_where_it_ends(path: Path, reader: LocalPackReader) -> None:
    assert reader.read(SIZE - 10, 100) == DATA[-10:]
    with path.open("ab") as file:
        file.write(DATA)
    assert reader.read(SIZE - 10, 100) == DATA[-10:] + DATA[:90]


def test_where_the_file_system_refuses_the_cache_will_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, "refused")

    for name, module in (("preadv", os), ("fcntl", fcntl)):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, refuse)
            with LocalPackReader(os.open(path, os.O_RDONLY), once=True) as reader:
                assert reader.read(5, 100_000) == DATA[5:100_005]


@pytest.mark.parametrize("once", [True, False])
def test_a_medium_that_fails_ends_the_pack_and_every_other_failure_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, once: bool
) -> None:
    def failing(code: int) -> Any:
        def fail(*_: object) -> int:
            raise OSError(code, "failed")

        return fail

    with LocalPackReader(os.open(path, os.O_RDONLY), once=once) as reader:
        for name in ("pread", "preadv"):
            monkeypatch.setattr(os, name, failing(errno.EIO))
        assert reader.read(0, 10) == b""
        for name in ("pread", "preadv"):
            monkeypatch.setattr(os, name, failing(errno.ENOMEM))
        with pytest.raises(BlobsDown):
            reader.read(0, 10)


@pytest.mark.parametrize("once", [True, False])
def test_a_medium_that_gives_nothing_back_at_all_is_gone_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, once: bool
) -> None:
    """As of a disk that was pulled out: every read fails, not only those of one place."""
    unreadable: set[str] = set()

    def failing(read: Any) -> Any:
        def fail(fd: int, *arguments: Any) -> Any:
            if Path(f"/proc/self/fd/{fd}").readlink().name in unreadable:
                raise OSError(errno.EIO, "failed")
            return read(fd, *arguments)

        return fail

    packs = LocalPacks(tmp_path / "blobs", registry_id=new_id(), expected=False)
    with packs.sink() as sink:
        place = sink.write(DATA)
        sink.sync()
    for name in ("pread", "preadv"):
        monkeypatch.setattr(os, name, failing(getattr(os, name)))
    if not once:
        packs.open(place.pack_id).close()

    with packs.open(place.pack_id) as reader:
        unreadable.add(place.pack_id.hex())
        assert reader.read(place.offset, 10) == b""
        unreadable.add("registry")
        with pytest.raises(BlobsDown):
            reader.read(place.offset, 10)
        unreadable.clear()
        assert reader.read(place.offset, 10) == DATA[:10]


def test_a_pack_is_read_past_the_page_cache_the_first_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    direct: list[bool] = []
    preadv, pread = os.preadv, os.pread

    def counted_preadv(fd: int, buffers: Sequence[Any], offset: int) -> int:
        direct.append(is_direct(fd))
        return preadv(fd, buffers, offset)

    def counted_pread(fd: int, length: int, offset: int) -> bytes:
        direct.append(is_direct(fd))
        return pread(fd, length, offset)

    monkeypatch.setattr(os, "preadv", counted_preadv)
    monkeypatch.setattr(os, "pread", counted_pread)
    packs = LocalPacks(tmp_path / "blobs", registry_id=new_id(), expected=False)
    with packs.sink() as sink:
        place = sink.write(DATA)
        sink.sync()
    for _ in range(3):
        with packs.open(place.pack_id) as reader:
            assert reader.read(place.offset + 3, 100) == DATA[3:103]

    assert direct == [True, False, False]
