"""A disk that fails below a real server: the reason says so, reads go on, nothing that was answered is lost, nothing
half is left, and when there is room again writes come back by themselves."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.crash.client import MIB, Client, bytes_of, new_id, reason_of
from tests.crash.dying import DyingServer
from tests.crash.home import Home
from tests.crash.power_cut import FileSystem, obstacle
from tests.crash.scenes import Assembled, Claimed, Collected, Pictured, Replaced, Scene, Stream

WRITING = (Stream, Assembled, Pictured, Collected)
"""The scenes that write packs."""
TMP, PACKS = "/blobs/tmp/", "/blobs/packs/"


@contextmanager
def playing(home: Home, scene: type[Scene], what: str) -> Iterator[Scene]:
    """A scene that is prepared, and is to be refused for this reason of the test's."""
    with home.server.channel() as channel:
        home.world.client = Client(home.server, channel)
        played = scene(home.world, (what, 1))
        played.prepare()
        yield played


def refused(act: Callable[[], object]) -> tuple[str | None, bool]:
    """The reason for which a call is refused, and whether it may be repeated as it is."""
    with pytest.raises(grpc.RpcError) as caught:
        act()
    trailing = {entry.key: entry.value for entry in caught.value.trailing_metadata() or ()}
    return reason_of(caught.value), b"google.rpc.RetryInfo" in bytes(trailing.get("grpc-status-details-bin", b""))


# --- A failing sync --------------------------------------------------------------------------------------------------


SYNCED = ((Stream, TMP), (Stream, PACKS), (Assembled, TMP), (Pictured, PACKS), (Collected, TMP))


@pytest.mark.timeout(300)
def test_after_a_failed_sync_only_a_restart_brings_writes_back(tmp_path: Path) -> None:
    """What such a sync should have written is trusted by nobody: the pack is given up, and the client sends anew."""
    with Home(DyingServer(tmp_path)) as home:
        for scene, place in SYNCED:
            with playing(home, scene, f"sync of {place}") as played:
                home.server.fail("fsync", place, errno.EIO)
                assert refused(played.act) == ("READ_ONLY", True)
                assert refused(played.act) == ("READ_ONLY", True)  # the sync would say yes now
                home.world.look({})
                claimed(home)
            home.server.kill()
            home.check_rows(without=played.without)
            home.goes_on(played)


COMMITTED: tuple[tuple[type[Scene], str], ...] = (
    (Stream, "upload.group_in_rows"),
    (Stream, "upload.file_in_rows"),
    (Replaced, "upload.file_in_rows"),
    (Assembled, "chunks.in_rows"),
    (Assembled, "assembly.file_in_rows"),
    (Pictured, "avatar.in_rows"),
    (Collected, "rewrite.in_rows"),
)


@pytest.mark.timeout(300)
def test_what_a_failed_commit_wrote_is_whole_if_the_next_start_finds_it(tmp_path: Path) -> None:
    """The pages of a commit whose sync failed may be on the disk, and the next start takes them for committed."""
    with Home(DyingServer(tmp_path)) as home:
        for scene, point in COMMITTED:
            with playing(home, scene, f"sync of the database at {point}") as played:
                home.server.fail_database_at(point, "xSync")
                assert refused(played.act) == ("READ_ONLY", True)
                for name in home.world.client.files(home.world.release).values():
                    home.world.client.download(name)  # reads go on
            home.server.kill()
            home.check_rows(without=played.without)
            home.server.start()
            with home.server.channel() as channel:
                client = home.world.client = Client(home.server, channel)
                for name in client.files(home.world.release).values():
                    client.download(name)  # whether it is there is open; that it is whole is not
                assert [text for text in client.check().findings if "is known to no row" not in text] == []
                played.act()
                played.done()
                home.collect_all()
                home.world.look({})


# --- A full disk -----------------------------------------------------------------------------------------------------


class SmallDisk:
    """A file system of its own, with room for so many bytes."""

    def __init__(self, folder: Path, size: int, files: int = 0) -> None:
        self.folder = folder
        self._filler = folder / "filler"
        folder.mkdir(parents=True, mode=0o700)
        options = f"size={size},mode=0700,uid={os.geteuid()}"
        if files:
            options += f",nr_inodes={files}"
        command = [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            mounted = subprocess.run(command, capture_output=True, text=True, check=False)
            problem = mounted.stderr.strip() if mounted.returncode else ""
        except FileNotFoundError as error:
            problem = str(error)
        if problem:
            # A machine that is to prove everything must not pass by lacking a right.
            assert os.environ.get("CI") != "true", problem
            pytest.skip(f"no small disk can be mounted here: {problem}")

    def fill(self, *, but: int = 0) -> None:
        """Take all room, but so many bytes."""
        free = shutil.disk_usage(self.folder).free
        self._filler.write_bytes(bytes(max(0, free - but)))

    def use_up_names(self) -> None:
        """Leave room for bytes, but not for one more file."""
        self._filler.mkdir()
        with suppress(OSError):
            for number in count():
                (self._filler / str(number)).touch()
        assert os.statvfs(self.folder).f_ffree == 0
        assert shutil.disk_usage(self.folder).free > MIB

    def make_room(self) -> None:
        if self._filler.is_dir():
            shutil.rmtree(self._filler)
        else:
            self._filler.unlink()

    def remove(self) -> None:
        """Not before the server has ended."""
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


@contextmanager
def small_disk(folder: Path, size: int, *, files: int = 0) -> Iterator[SmallDisk]:
    """`files`: for how many it has room, of whatever size; 0 for as many as fit."""
    disk = SmallDisk(folder, size, files)
    try:
        yield disk
    finally:
        disk.remove()


@pytest.mark.timeout(300)
def test_a_full_disk_of_packs_refuses_what_it_has_no_room_for_and_nothing_else(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data" / "blobs", 24 * MIB) as disk, Home(DyingServer(tmp_path)) as home:
        for scene in WRITING:
            with playing(home, scene, "full disk") as played:
                disk.fill(but=64 * 1024)
                if isinstance(played, Collected):
                    assert home.world.client.collect().removed_pack_count > 0  # which needs no room
                else:
                    assert refused(played.act) == ("STORAGE_FULL", True)
                    assert list((home.server.data / "blobs" / "tmp").iterdir()) == []
                home.world.look({})
                claimed(home)
                disk.make_room()
                played.act()  # the same server: nobody has to start it anew
                played.done()
                home.collect_all()
                home.world.look({})


@pytest.mark.timeout(300)
def test_what_is_deleted_makes_room_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data" / "blobs", 10 * MIB), Home(DyingServer(tmp_path)) as home:
        with home.server.channel() as channel:
            home.world.client = Client(home.server, channel)
            contents = iter(range(100))
            reason: tuple[str | None, bool] | None = None
            while reason is None:
                number = next(contents)
                try:
                    home.world.upload(f"file {number}", bytes_of(MIB, f"full {number}"))
                except grpc.RpcError as error:
                    reason = (reason_of(error), True)
            assert reason == ("STORAGE_FULL", True)
            assert len(home.world.kept[home.world.release]) > 4
            home.world.look({})
            home.world.forget("file 0")
            home.world.client.collect()
            home.world.upload("in its place", bytes_of(MIB, "in its place"))
            home.collect_all()
            home.world.look({})


FULL: tuple[tuple[type[Scene], str], ...] = (
    *((scene, "the first write") for scene in (*WRITING, Claimed)),
    (Stream, "upload.group_in_rows"),
    (Stream, "upload.file_in_rows"),
    (Replaced, "upload.file_in_rows"),
    (Assembled, "chunks.in_rows"),
    (Assembled, "assembly.file_in_rows"),
    (Pictured, "avatar.in_rows"),
)


@pytest.mark.timeout(300)
def test_a_full_disk_of_the_database_refuses_writes_and_leaves_no_bytes(tmp_path: Path) -> None:
    with Home(DyingServer(tmp_path)) as home:
        for scene, point in FULL:
            with playing(home, scene, point) as played:
                if point == "the first write":
                    home.server.fail_database("xWrite", times=1_000_000)
                else:
                    home.server.fail_database_at(point, "xWrite")
                assert refused(played.act) == ("STORAGE_FULL", True)
                played.look()
                home.server.fail_database("xWrite", times=0)
                # Bytes that no row will ever name would stay until an operator asks for them to go.
                unknown = home.world.client.check().unknown_pack_count
                assert unknown == isinstance(played, Collected)  # which brings one of its own
                played.act()
                played.done()
                home.collect_all()
                home.world.look({})


@pytest.mark.timeout(300)
def test_a_really_full_disk_of_the_database_keeps_what_was_answered(tmp_path: Path) -> None:
    with small_disk(tmp_path / "rows", 6 * MIB) as disk:
        server = DyingServer(tmp_path, environment={"RELEASES_DATABASE": f"sqlite://{disk.folder}/registry.db"})
        with Home(server) as home, home.server.channel() as channel:
            client = home.world.client = Client(home.server, channel)
            disk.fill(but=512 * 1024)
            reason: str | None = None
            for number in range(1000):
                name, content = f"file {number}", bytes_of(16_000, number)  # lies in its row
                try:
                    home.world.upload(name, content)
                except grpc.RpcError as error:
                    reason = reason_of(error)
                    break
            assert reason == "STORAGE_FULL"
            home.world.look({})
            disk.make_room()
            client.upload(home.world.release, name, content, upload_id=new_id())
            home.world.kept[home.world.release][name] = content
            home.world.look({})
            home.server.kill()
            home.server.start()
            with home.server.channel() as after:
                home.world.client = Client(home.server, after)
                home.world.look({})
                home.collect_all()


@pytest.mark.timeout(300)
def test_a_full_disk_of_temporary_files_refuses_pictures(tmp_path: Path) -> None:
    with small_disk(tmp_path / "scratch", MIB) as disk:
        server = DyingServer(tmp_path, environment={"TMPDIR": str(disk.folder)})
        with Home(server) as home:
            for room in (0, 150 * 1024, 500 * 1024):  # for nothing, for some of what comes, and for that but no more
                with playing(home, Pictured, "no room for temporary files") as played:
                    disk.fill(but=room)
                    assert refused(played.act) == ("STORAGE_FULL", True)
                    home.world.look({})
                    disk.make_room()
                    played.act()
                    played.done()
                    home.collect_all()


@pytest.mark.timeout(300)
def test_a_disk_without_room_for_another_file_is_a_full_one(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data" / "blobs", 24 * MIB, files=500) as disk, Home(DyingServer(tmp_path)) as home:
        with playing(home, Stream, "no room for another file") as played:
            disk.use_up_names()
            assert refused(played.act) == ("STORAGE_FULL", True)
            home.world.look({})
            claimed(home)
            disk.make_room()
            played.act()
            played.done()
            home.collect_all()
            home.world.look({})


# --- A file system that turns read-only ------------------------------------------------------------------------------


@pytest.mark.timeout(300)
def test_a_file_system_that_turns_read_only_can_still_be_read(tmp_path: Path) -> None:
    """Database and packs lie on it. It was shut to writes at once, files that were open for writing and all."""
    if (why := obstacle()) is not None:
        assert os.environ.get("CI") != "true", why
        pytest.skip(f"no file system can be made here: {why}")
    disk = FileSystem(tmp_path, "data", size=256 * MIB)
    disk.make()
    home = Home(DyingServer(tmp_path))
    try:
        disk.path.chmod(0o700)
        with home, home.server.channel() as channel:
            home.world.client = client = Client(home.server, channel)
            home.world.upload("before", bytes_of(MIB, "before"))
            assert serves(channel, "writes")
            disk.turn_read_only()
            for size in (100, 20_000, 3 * MIB):  # in its row, in a pack, in more than one block
                content = bytes_of(size, size)
                sent = partial(client.upload, home.world.release, "new", content, upload_id=new_id())
                assert refused(sent) == ("READ_ONLY", True)
                home.world.look({})
            assert (serves(channel, "writes"), serves(channel, "")) == (False, True)
            assert "no more writes until the next start" in home.server.output()
            home.broken = True  # it could not end in peace
        home.server.kill()
        disk.unmount()
        disk.mount()
        home.server.start()
        with home.server.channel() as channel:
            home.world.client = Client(home.server, channel)
            home.world.look({})
            home.world.upload("after", bytes_of(MIB, "after"))
            assert serves(channel, "writes")
            home.world.look({})
    finally:
        home.server.kill()
        disk.free()


def serves(channel: grpc.Channel, service: str) -> bool:
    """What health says of it."""
    request = health_pb2.HealthCheckRequest(service=service)
    answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=60)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def claimed(home: Home) -> None:
    """A file is made of content that is there, which needs the database alone."""
    claim = Claimed(home.world, ("beside a fault", 1))
    claim.prepare()
    claim.act()
    claim.done()
