"""The packs of a backup: out of the place where they are kept, and back into one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, Protocol, TypeVar

from store.backup.manifest import PACKS, KeptPack, pack_file
from store.backup.needed import NeededPack
from store.blobs.local_sink import sync_folder
from store.blobs.packs import PackMissing, PackStore, StoredPack

P = TypeVar("P")
T = TypeVar("T")
Tell = Callable[[str], object]

AT_ONCE: Final = 4
"""So many packs are copied at once: enough to hide the latency of a bucket, and not all that a disk can do."""

_PIECE: Final = 4 * 2**20
_TOLD_EVERY_SECONDS: Final = 5.0


class PackPlace(Protocol):
    """A place that packs are put back into."""

    def list_packs(self) -> Iterator[StoredPack]:
        """Every pack that is there."""

    def put_back(self, pack_id: bytes, source: Path) -> None:
        """Stores a pack from a file."""


@dataclass(slots=True)
class _Progress:
    """How far a long copy is, told every five seconds."""

    what: str
    count: int
    tell: Tell
    _done: int = 0
    _bytes: int = 0
    _told: float = field(default_factory=time.monotonic)

    def one_more(self, size_bytes: int) -> None:
        self._done += 1
        self._bytes += size_bytes
        if time.monotonic() - self._told > _TOLD_EVERY_SECONDS:
            self._told = time.monotonic()
            self.tell(f"{self._done:,} of {self.count:,} packs {self.what}, {self._bytes:,} bytes")


@dataclass(frozen=True, slots=True)
class CopiedPacks:
    """What became of the packs that a database needs; `linked_count` of them were in the previous backup already."""

    packs: tuple[KeptPack, ...]
    missing: tuple[bytes, ...]
    linked_count: int


def copy_out(
    packs: PackStore,
    needed: Sequence[NeededPack],
    folder: Path,
    *,
    whole: bool,
    previous: tuple[Path, Sequence[KeptPack]] | None,
    tell: Tell,
) -> CopiedPacks:
    """Copies the packs into the folder of a backup; what it may have from a previous backup is linked, not copied.

    `whole` takes all of a pack, its index included, as it is in a bucket; otherwise as many bytes as rows know of it:
    the stream that writes it may be adding others. A pack that is not there is told. Raises BlobsDown.
    """
    (folder / PACKS).mkdir(mode=0o700)
    for number in range(256):
        (folder / PACKS / f"{number:02x}").mkdir(mode=0o700)
    earlier = {pack.id: pack.size_bytes for pack in previous[1]} if previous is not None else {}
    progress = _Progress("copied", len(needed), tell)
    kept: list[KeptPack] = []
    missing: list[bytes] = []
    linked = 0

    def one(pack: NeededPack) -> tuple[NeededPack, int | None, bool]:
        target, size = pack_file(folder, pack.id), earlier.get(pack.id)
        # Under one name there are the same bytes for ever; only their number may have grown.
        if previous is not None and size is not None and size >= pack.size_bytes and _linked(previous[0], target, size):
            return pack, size, True
        return pack, _copied(packs, pack, target, whole=whole), False

    for pack, size, was_linked in _together(one, needed):
        if size is None:
            missing.append(pack.id)
        else:
            kept.append(KeptPack(pack.id, size))
            linked += was_linked
            progress.one_more(size)
    for number in range(256):
        sync_folder(folder / PACKS / f"{number:02x}")
    sync_folder(folder / PACKS)
    return CopiedPacks(tuple(sorted(kept)), tuple(sorted(missing)), linked)


def copy_back(place: PackPlace, packs: Sequence[KeptPack], folder: Path, *, tell: Tell) -> int:
    """Puts those packs of a backup into the place that are not there, or not whole; how many. Names are used for one
    content only, so what is there is right. Raises StorageFull, ReadOnly, BlobsDown."""
    there = {stored.id: stored.size_bytes for stored in place.list_packs()}
    lacking = [pack for pack in packs if there.get(pack.id, -1) < pack.size_bytes]
    progress = _Progress("restored", len(lacking), tell)

    def one(pack: KeptPack) -> KeptPack:
        place.put_back(pack.id, pack_file(folder, pack.id))
        return pack

    for pack in _together(one, lacking):
        progress.one_more(pack.size_bytes)
    return len(lacking)


def _copied(packs: PackStore, pack: NeededPack, target: Path, *, whole: bool) -> int | None:
    """Copies one pack, durably; its size, None when it is not there or ends too early."""
    size = 0
    try:
        with packs.open(pack.id, first=(0, min(_PIECE, pack.size_bytes))) as reader:
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                while data := reader.read(size, _PIECE if whole else min(_PIECE, pack.size_bytes - size)):
                    stream.write(data)
                    size += len(data)
                stream.flush()
                os.fsync(stream.fileno())
    except PackMissing:
        target.unlink(missing_ok=True)
        return None
    if size < pack.size_bytes:
        target.unlink()
        return None
    return size


def _linked(previous: Path, target: Path, size_bytes: int) -> bool:
    """Whether the pack of the previous backup serves for this one, too."""
    source = pack_file(previous, bytes.fromhex(target.name))
    try:
        if source.stat(follow_symlinks=False).st_size != size_bytes:
            return False  # whoever changed it: it is no copy any more
        os.link(source, target)
    except OSError:
        return False  # another file system, or too many links: it is copied
    return True


def _together(work: Callable[[P], T], items: Iterable[P]) -> Iterator[T]:
    """What `work` makes of the items, some at a time, in no order. The first error ends it."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="packs") as executor:
        waiting = iter(items)
        running = {executor.submit(work, item) for item in islice(waiting, AT_ONCE)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                yield each.result()
            running |= {executor.submit(work, item) for item in islice(waiting, len(done))}
