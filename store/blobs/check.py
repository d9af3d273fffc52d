"""Checking the blob store: rows against rows, rows against bytes, bytes against rows (behaviour.md, Collection)."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, Final

import peewee

from store.blobs.check_rows import bad_rows, inline_contents
from store.blobs.check_words import chunk_words, files_words, organization_words
from store.blobs.models import DAMAGED, DELETING, LIVE, Chunk
from store.blobs.packs import IndexDamaged, PackMissing, PackReader, PackStore
from store.blobs.unknown import remove_unknown, unknown_packs
from store.blobs.unused import PackUse, packs_in_use
from store.blobs.verifying import LIVE_CHUNKS, UNSTABLE, PackedChunk, mark_damaged, mark_sound, problem_of
from store.database import Database, Query, hole
from store.errors import CollectorBusy
from store.leases import Job, Lease, holding_lease
from store.metrics import CHUNK_DAMAGE
from store.quotas.counting import counted_organizations, recount

log = logging.getLogger(__name__)

MOST_FINDINGS: Final = 1000
MOST_FINDING_BYTES: Final = 2**20
"""So many findings are told, as far as they have so many bytes together; the others are counted."""

_SHARES: Final = 2**16
_INDEX_BYTES: Final = 16 * 2**10  # of a pack in a bucket; a longer one costs one request more
_MENDS: Final = "the next upload of its content mends it"


@dataclass(slots=True)
class Checked:
    """What a check found; findings are lines for people."""

    chunks: int = 0
    bytes: int = 0
    damaged: int = 0
    unknown_packs: int = 0
    finding_count: int = 0
    repaired: int = 0
    findings: list[str] = field(default_factory=list)
    where: str = "check"
    """Who looks, for the metrics."""
    _told_bytes: int = field(default=0, repr=False, compare=False)

    def found(self, text: str) -> None:
        """Takes down one more finding."""
        self.finding_count += 1
        size = len(text.encode())
        if len(self.findings) < MOST_FINDINGS and self._told_bytes + size <= MOST_FINDING_BYTES:
            self.findings.append(text)
            self._told_bytes += size


_WHERE: Final = Query(
    Chunk.select(Chunk.pack_id, Chunk.pack_offset, Chunk.state).where(
        Chunk.organization_id == hole(Chunk.organization_id), Chunk.sha256 == hole(Chunk.sha256)
    )
)
_PLACE: Final[Any] = peewee.Tuple(Chunk.pack_id, Chunk.pack_offset)
_AFTER: Final[Any] = peewee.Tuple(hole(Chunk.pack_id), hole(Chunk.pack_offset))
_MARKED_AT_ONCE: Final = 500
_MARKED_CHUNKS: Final = Query(
    Chunk.select(
        Chunk.pack_id,
        Chunk.organization_id,
        Chunk.sha256,
        Chunk.size_bytes,
        Chunk.pack_offset,
        Chunk.stored_bytes,
        Chunk.encoding,
        Chunk.checksum,
    )
    .where(Chunk.state == DAMAGED, _PLACE > _AFTER)
    .order_by(Chunk.pack_id, Chunk.pack_offset)
    .limit(_MARKED_AT_ONCE)
)


def check_storage(
    database: Database,
    packs: PackStore,
    *,
    cutoff: int,
    percent: int = 100,
    repair: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> Checked:
    """Checks all rows, and reads and verifies so many percent of the chunks, others each time.

    With `repair` damaged and lost chunks are marked, so that the next upload of their content stores them anew, usage
    that is wrong is counted anew, and packs that no row knows are removed when they were last written at `cutoff` or
    before, unless a collector is at work. Chunks that move or go meanwhile are no findings. Raises BlobsDown,
    DatabaseBusy, DatabaseDown.
    """
    checked = Checked()
    for problem in chain(bad_rows(database), inline_contents(database)):
        if stopped():
            return checked
        if problem is not None:
            checked.found(problem)
    _check_usage(database, checked, repair=repair, stopped=stopped)
    _check_marked(database, packs, checked, repair=repair)
    sample = _sample(percent)
    for pack in packs_in_use(database):
        if stopped():
            break
        if pack.state != DELETING:
            check_pack(database, packs, pack, checked, repair=repair, sample=sample, stopped=stopped)
    if not stopped():
        _check_unknown(database, packs, checked, cutoff=cutoff, repair=repair, stopped=stopped)
    return checked


def _check_unknown(
    database: Database, packs: PackStore, checked: Checked, *, cutoff: int, repair: bool, stopped: Callable[[], bool]
) -> None:
    """Packs that no row knows. Removing them is collecting, and so for one at a time."""
    lease: Lease | None = None
    is_busy = False
    with ExitStack() as stack:
        for stored in unknown_packs(database, packs, cutoff):
            if stopped():
                return
            follows = "; a check with repair removes it"
            if repair and not is_busy:
                try:
                    if lease is None:
                        lease = stack.enter_context(holding_lease(database, Job.COLLECTION))
                    if not remove_unknown(database, packs, lease, stored):
                        continue  # its rows came just now
                    checked.repaired += 1
                    follows = ", and was removed"
                except CollectorBusy:
                    is_busy = True
            if is_busy:
                follows = "; a collector is at work, so it was left for another check with repair"
            checked.unknown_packs += 1
            checked.found(f"pack {stored.id.hex()} of {stored.size_bytes:,} bytes is known to no row{follows}")


def _check_usage(database: Database, checked: Checked, *, repair: bool, stopped: Callable[[], bool]) -> None:
    """What organizations are charged for, against what they have."""
    for found in counted_organizations(database):
        if stopped():
            return
        if found.is_right:
            continue
        told = (
            f"{organization_words(database, found.organization_id)} is charged for {found.stored_bytes:,} bytes and "
            f"{found.file_count:,} files, and has {found.real_stored_bytes:,} and {found.real_file_count:,}"
        )
        if repair:
            database.write(partial(recount, organization_id=found.organization_id), long=True)
            checked.repaired += 1
        checked.found(f"{told}{', and was counted anew' if repair else '; a check with repair counts anew'}")


def _check_marked(database: Database, packs: PackStore, checked: Checked, *, repair: bool) -> None:
    """Chunks that were found damaged earlier; one that is whole again (a disk that was away) is taken back."""
    for pack_id, chunk in _marked_chunks(database):
        try:
            with packs.open(pack_id, first=(chunk.pack_offset, chunk.stored_bytes)) as reader:
                whole = problem_of(reader, chunk) is None
        except PackMissing:
            whole = False
        if not whole:
            checked.damaged += 1
            _tell(database, checked, chunk, f"is marked as damaged; {_MENDS}")
        elif not repair:
            _tell(database, checked, chunk, "is marked as damaged, but is whole; a check with repair takes that back")
        else:
            _tell(database, checked, chunk, "was marked as damaged, but is whole: it counts as sound again")
            taken_back: int = database.write(partial(mark_sound, pack_id=pack_id, chunk=chunk))
            checked.repaired += taken_back


def _marked_chunks(database: Database) -> Iterator[tuple[bytes, PackedChunk]]:
    """The marked chunks with their packs, a page at a time: of a lost disk there are millions."""
    pack_id, pack_offset = b"\0" * 16, 0
    while rows := database.rows(_MARKED_CHUNKS, pack_id=pack_id, pack_offset=pack_offset):
        for row in rows:
            chunk = PackedChunk(*row[1:])
            pack_id, pack_offset = row[0], chunk.pack_offset
            yield pack_id, chunk


def _every(_: bytes) -> bool:
    return True


def check_pack(
    database: Database,
    packs: PackStore,
    pack: PackUse,
    checked: Checked,
    *,
    repair: bool,
    missing_too: bool = True,
    sample: Callable[[bytes], bool] = _every,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Reads and verifies the chunks of one pack that the sample takes, and adds to `checked` what is wrong.

    With `repair` damaged chunks are marked, and with `missing_too` those whose pack is gone.
    """
    chunks = database.rows(LIVE_CHUNKS, pack_id=pack.id)
    damaged: list[PackedChunk] = []
    done = f"; it is marked: {_MENDS}" if repair else ""
    try:
        with packs.open(pack.id, first=(pack.size_bytes, _INDEX_BYTES)) as reader:
            index = _index(reader, pack, checked)
            for chunk in chunks:
                if stopped():
                    break
                told = index is None or index.get(chunk.pack_offset) == (chunk.stored_bytes, chunk.checksum)
                if (not told or sample(chunk.sha256)) and not _is_sound(database, reader, pack, chunk, checked, done):
                    damaged.append(chunk)
    except PackMissing:
        repair = repair and missing_too
        damaged = [chunk for chunk in chunks if _lies_there(database, pack, chunk)]
        CHUNK_DAMAGE.labels(checked.where, "lost").inc(len(damaged))
        for chunk in damaged:
            _tell(database, checked, chunk, f"is lost: pack {pack.id.hex()} is gone{done if repair else ''}")
    checked.damaged += len(damaged)
    if damaged and repair:
        for start in range(0, len(damaged), 1000):
            marked: int = database.write(partial(mark_damaged, pack_id=pack.id, chunks=damaged[start : start + 1000]))
            checked.repaired += marked


def _index(reader: PackReader, pack: PackUse, checked: Checked) -> dict[int, tuple[int, bytes]] | None:
    """What the pack itself says: the length and checksum of its chunks by their places; None where it says nothing.

    In a bucket it came with the answer that the pack is there, and stands for the chunks that are not read.
    """
    try:
        index = reader.index(pack.size_bytes)
    except IndexDamaged:
        problem = "has a damaged index, so all of its chunks are read"
    else:
        if index is not None:
            return {entry.offset: (entry.stored_bytes, entry.checksum) for entry in index}
        problem = ""
    if pack.size_bytes and not reader.read(pack.size_bytes - 1, 1):
        problem = f"ends before its {pack.size_bytes:,} bytes"
    if problem:
        checked.found(f"pack {pack.id.hex()} {problem}")
        return {}
    return None


def _is_sound(
    database: Database, reader: PackReader, pack: PackUse, chunk: PackedChunk, checked: Checked, done: str
) -> bool:
    checked.chunks += 1
    checked.bytes += chunk.stored_bytes
    problem = problem_of(reader, chunk)
    if problem is None or not _lies_there(database, pack, chunk):
        return True
    is_unstable = problem is UNSTABLE
    CHUNK_DAMAGE.labels(checked.where, "unstable" if is_unstable else "damaged").inc()
    _tell(database, checked, chunk, f"{problem} (pack {pack.id.hex()}){'' if is_unstable else done}")
    return is_unstable


def _tell(database: Database, checked: Checked, chunk: PackedChunk, what: str) -> None:
    """Takes down a finding about a chunk, with the files that it hits."""
    if checked.finding_count >= MOST_FINDINGS:
        checked.finding_count += 1  # its files need not be looked for
        return
    key = (chunk.organization_id, chunk.sha256)
    checked.found(f"{chunk_words(database, *key)} {what}{files_words(database, *key)}")


def _lies_there(database: Database, pack: PackUse, chunk: PackedChunk) -> bool:
    """Whether the row still says so: it may have been moved, mended or removed since it was read."""
    row = database.row(_WHERE, organization_id=chunk.organization_id, sha256=chunk.sha256)
    return row == (pack.id, chunk.pack_offset, LIVE)


def _sample(percent: int) -> Callable[[bytes], bool]:
    """Takes chunks by their digest: so many percent of them, others each time."""
    start, count = secrets.randbelow(_SHARES), -(-_SHARES * percent // 100)
    return lambda sha256: (int.from_bytes(sha256[:2]) - start) % _SHARES < count
