"""Checking the blob store: rows against rows, rows against bytes, bytes against rows (behaviour.md, Collection)."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Final

from store.blobs.check_rows import bad_rows, inline_contents
from store.blobs.models import DAMAGED, DELETING, LIVE, Chunk
from store.blobs.packs import PackMissing, PackReader, PackStore
from store.blobs.unknown import unknown_packs
from store.blobs.unused import PackUse, packs_in_use
from store.blobs.verifying import LIVE_CHUNKS, UNSTABLE, PackedChunk, mark_damaged, mark_sound, problem_of
from store.database import Database, Query, hole

log = logging.getLogger(__name__)

MOST_FINDINGS: Final = 1000
"""So many findings are told; the others are counted."""

_SHARES: Final = 2**16


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

    def found(self, text: str) -> None:
        """Takes down one more finding."""
        self.finding_count += 1
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(text)


_WHERE: Final = Query(
    Chunk.select(Chunk.pack_id, Chunk.pack_offset, Chunk.state).where(
        Chunk.organization_id == hole(Chunk.organization_id), Chunk.sha256 == hole(Chunk.sha256)
    )
)
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
    .where(Chunk.state == DAMAGED)
    .order_by(Chunk.pack_id, Chunk.pack_offset)
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

    With `repair` damaged and lost chunks are marked, so that the next upload of their content stores them anew, and
    packs that no row knows are removed when they were last written at `cutoff` or before. Chunks that move or go
    meanwhile are no findings. Raises BlobsDown, DatabaseBusy, DatabaseDown.
    """
    checked = Checked()
    for problem in chain(bad_rows(database), inline_contents(database)):
        if stopped():
            return checked
        if problem is not None:
            checked.found(problem)
    _check_marked(database, packs, checked, repair=repair)
    sample = _sample(percent)
    for pack in packs_in_use(database):
        if stopped():
            break
        if pack.state != DELETING:
            check_pack(database, packs, pack, checked, repair=repair, sample=sample, stopped=stopped)
    for stored in unknown_packs(database, packs, cutoff):
        checked.unknown_packs += 1
        checked.found(f"pack {stored.id.hex()} of {stored.size_bytes} bytes is known to no row")
        if repair:
            packs.remove(stored.id)
            checked.repaired += 1
    return checked


def _check_marked(database: Database, packs: PackStore, checked: Checked, *, repair: bool) -> None:
    """Chunks that were found damaged earlier; one that is whole again (a disk that was away) is taken back."""
    for pack_id, *columns in database.rows(_MARKED_CHUNKS):
        chunk = PackedChunk(*columns)
        try:
            with packs.open(pack_id) as reader:
                whole = problem_of(reader, chunk) is None
        except PackMissing:
            whole = False
        name = _name(chunk.organization_id, chunk.sha256)
        if not whole:
            checked.damaged += 1
            checked.found(f"{name} is damaged and waits for its content to be uploaded again")
        else:
            checked.found(f"{name} was marked as damaged and is whole")
            if repair:
                taken_back: int = database.write(partial(mark_sound, pack_id=pack_id, chunk=chunk))
                checked.repaired += taken_back


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
    try:
        with packs.open(pack.id) as reader:
            if pack.size_bytes and not reader.read(pack.size_bytes - 1, 1):
                checked.found(f"pack {pack.id.hex()} ends before its {pack.size_bytes} bytes")
            for chunk in filter(lambda each: sample(each.sha256), chunks):
                if stopped():
                    break
                if not _is_sound(database, reader, pack, chunk, checked):
                    damaged.append(chunk)
    except PackMissing:
        damaged = [chunk for chunk in chunks if _lies_there(database, pack, chunk)]
        for chunk in damaged:
            checked.found(f"{_name(chunk.organization_id, chunk.sha256)} is lost: pack {pack.id.hex()} is gone")
        repair = repair and missing_too
    checked.damaged += len(damaged)
    if damaged and repair:
        for start in range(0, len(damaged), 1000):
            marked: int = database.write(partial(mark_damaged, pack_id=pack.id, chunks=damaged[start : start + 1000]))
            checked.repaired += marked


def _is_sound(database: Database, reader: PackReader, pack: PackUse, chunk: PackedChunk, checked: Checked) -> bool:
    checked.chunks += 1
    checked.bytes += chunk.stored_bytes
    problem = problem_of(reader, chunk)
    if problem is None or not _lies_there(database, pack, chunk):
        return True
    checked.found(f"{_name(chunk.organization_id, chunk.sha256)} {problem} (pack {pack.id.hex()})")
    return problem is UNSTABLE


def _lies_there(database: Database, pack: PackUse, chunk: PackedChunk) -> bool:
    """Whether the row still says so: it may have been moved, mended or removed since it was read."""
    row = database.row(_WHERE, organization_id=chunk.organization_id, sha256=chunk.sha256)
    return row == (pack.id, chunk.pack_offset, LIVE)


def _name(organization_id: bytes, sha256: bytes) -> str:
    return f"chunk {sha256.hex()} of organization {organization_id.hex()}"


def _sample(percent: int) -> Callable[[bytes], bool]:
    """Takes chunks by their digest: so many percent of them, others each time."""
    start, count = secrets.randbelow(_SHARES), -(-_SHARES * percent // 100)
    return lambda sha256: (int.from_bytes(sha256[:2]) - start) % _SHARES < count
