"""Each call of the system on the paths of publish, finish and collection fails once, the first, the second, and so on
until none is left that could: the reason is right, nothing is lost, and no file stays that the collector leaves."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import store.blobs.writing as writing_module
from store.blobs.blobs import open_blobs
from store.blobs.check import check_storage
from store.blobs.collector import Collector
from store.blobs.models import Pack
from store.errors import BlobsDown, ReadOnly, RegistryError, StorageFull
from store.files.change import delete_file
from store.files.list import list_files
from store.paging import PageRequest
from tests.conftest import opened
from tests.contract.acme import Acme
from tests.contract.chunks import Sender, cut
from tests.contract.shelf import Shelf, content_of

MIB = 2**20
SHORT = "short"
CALLS: dict[Any, tuple[str, ...]] = {
    os: ("open", "pwrite", "fsync", "rename", "unlink", "ftruncate"),
    fcntl: ("flock",),
}
ANSWERS: dict[int | str, tuple[type[RegistryError], ...]] = {
    errno.EIO: (ReadOnly, BlobsDown),
    errno.ENOSPC: (StorageFull, BlobsDown),
    errno.EMFILE: (BlobsDown,),
    SHORT: (),
}
"""What a caller may be told of a fault. A call of less weight (removing what is wanted no more) may fail unnoticed."""


class Faults:
    """Counts the calls on files below `folder`, and has the nth fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._folder = str(folder)
        self._left = 0
        self._fault: int | str = 0
        self.made: str | None = None
        for module, names in CALLS.items():
            for name in names:
                monkeypatch.setattr(module, name, self._counted(name, getattr(module, name)))

    @contextmanager
    def at(self, number: int, fault: int | str) -> Iterator[None]:
        """The call of this number, inside, meets the fault."""
        self._left, self._fault, self.made = number, fault, None
        try:
            yield
        finally:
            self._left = 0

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Any, *args: Any, **options: Any) -> Any:
            if self._left and self._is_ours(target) and not (name == "open" and not args[0] & os.O_CREAT):
                self._left -= 1
                if not self._left:
                    self.made = name
                    if self._fault != SHORT:
                        raise OSError(self._fault, os.strerror(int(self._fault)))
                    if name == "pwrite":
                        return real(target, args[0][: max(1, len(args[0]) // 2)], *args[1:])
            return real(target, *args, **options)

        return call

    def _is_ours(self, target: Any) -> bool:
        path = Path(f"/proc/self/fd/{target}").readlink() if isinstance(target, int) else target
        return str(path).startswith(self._folder)


class Place:
    """A shelf on SQLite and a folder, a file that is there all along, and a collector that waits for nothing."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.kept = shelf.upload(content_of(200_000), "always there").file
        self._names = count()

    def name(self) -> str:
        return f"file {next(self._names)}"

    def reopen(self) -> None:
        """As a restart does."""
        self.shelf.blobs.close()
        self.shelf.blobs = open_blobs(self.shelf.db, self.shelf.folder)

    def delete(self, name: str) -> None:
        shelf = self.shelf
        page = list_files(
            shelf.db,
            shelf.acme.everybody,
            organization=shelf.acme.slug,
            version="app@1.0.0",
            page=PageRequest(10),
        )
        (file,) = (file for file in page.items if file.file_name == name)
        delete_file(
            shelf.db, shelf.acme.everybody, organization=file.organization, version=file.version, file_id=file.id
        )

    def collect(self) -> None:
        collector = Collector(self.shelf.db, self.shelf.blobs.packs, grace_seconds=1e-6)
        for _ in range(3):
            collector.collect(confirmed=True)

    def assert_whole(self) -> None:
        """What was there is, nothing else is, and there is nothing to find."""
        assert self.shelf.names() == ["always there"]
        assert self.shelf.download(self.kept) == content_of(200_000)
        assert self.shelf.unfinished() == []
        assert [path.name for path in self.shelf.packs()] == sorted(row.id.hex() for row in self.shelf.rows(Pack))
        assert check_storage(self.shelf.db, self.shelf.blobs.packs, cutoff=2**62).findings == []


Try = Callable[[], str | None]
"""Does something that may be repeated as it is; the name of the file that is there then."""


def stream(place: Place) -> Try:
    """A file of several groups through the simple door."""
    draft, content = place.shelf.draft(place.name()), content_of(3 * MIB, seed=1)

    def act() -> str:
        # In large frames, from the beginning each time: what is committed is passed over.
        file = place.shelf.send(content, draft, frames=cut(content, MIB)).file
        assert place.shelf.download(file) == content
        return file.file_name

    return act


def fast_door(place: Place) -> Try:
    """Chunks, and a file of them."""
    sender, pieces, name = Sender(place.shelf), cut(content_of(400_000, seed=2), 50_000), place.name()
    upload_id = sender.start(name)

    def act() -> str:
        sender.send_plain(pieces)
        file = sender.assemble(pieces, upload_id=upload_id).file
        assert place.shelf.download(file) == b"".join(pieces)
        return name

    return act


def refused(place: Place) -> Try:
    """Other content under a key that is taken, which is removed again."""
    draft = place.shelf.draft("always there")

    def act() -> None:
        with pytest.raises(RegistryError) as caught:
            place.shelf.send(content_of(200_000, seed=3), draft)
        if caught.value.reason != "FILE_EXISTS":
            raise caught.value

    return act


def collection(place: Place) -> Try:
    """A pass with something to remove and something to write anew."""
    sender, pieces, name = Sender(place.shelf), cut(content_of(400_000, seed=4), 40_000), place.name()
    sender.send_plain(pieces)
    sender.assemble(pieces[:2], upload_id=sender.start(name))

    def act() -> str:
        place.collect()
        return name

    return act


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(writing_module, "GROUP_BYTES", MIB)
    with opened(f"sqlite://{tmp_path}/registry.db") as database:
        database.migrate()
        acme = Acme(database, "web", "api")
        acme.release("app@1.0.0", "web", "api")
        shelf = Shelf(acme, tmp_path / "blobs")
        yield Place(shelf)
        shelf.blobs.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "fault", ANSWERS, ids=lambda fault: fault if isinstance(fault, str) else errno.errorcode[fault]
)
@pytest.mark.parametrize("scene", [stream, fast_door, refused, collection], ids=lambda scene: scene.__name__)
def test_every_call_fails_once(
    scene: Callable[[Place], Try], fault: int | str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults(monkeypatch, place.shelf.folder)
    met = set()
    for number in count(1):
        act = scene(place)
        told: RegistryError | None = None
        with faults.at(number, fault):
            try:
                act()
            except RegistryError as error:
                told = error
        assert told is None or isinstance(told, ANSWERS[fault]), (faults.made, told)
        assert place.shelf.download(place.kept) == content_of(200_000)  # reads go on
        if not place.shelf.blobs.packs.writable:
            with pytest.raises(ReadOnly):
                place.shelf.upload(content_of(100_000, seed=number), "while nothing is written")
            place.reopen()
        name = act()
        if name is not None:
            place.delete(name)
        place.collect()
        place.assert_whole()
        if faults.made is None:
            break
        met.add(faults.made)
    assert met >= {"open", "pwrite", "fsync", "rename", *(("unlink",) if scene in (refused, collection) else ())}
