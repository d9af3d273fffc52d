"""Whether the stored bytes of a chunk are what its row says, and what follows when they are not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, NamedTuple

from store.blobs.models import DAMAGED, LIVE, Chunk
from store.blobs.packs import PackReader
from store.blobs.stored import NotSound, check_stored, unpacked
from store.database import Query, Statement, Transaction, hole
from store.quotas.charges import charge


class PackedChunk(NamedTuple):
    """A chunk's row, its pack aside. checksum is the xxh3 of the stored bytes."""

    organization_id: bytes
    sha256: bytes
    size_bytes: int
    pack_offset: int
    stored_bytes: int
    encoding: int
    checksum: bytes


LIVE_CHUNKS: Final = Query(
    Chunk.select(
        Chunk.organization_id,
        Chunk.sha256,
        Chunk.size_bytes,
        Chunk.pack_offset,
        Chunk.stored_bytes,
        Chunk.encoding,
        Chunk.checksum,
    )
    .where(Chunk.pack_id == hole(Chunk.pack_id), Chunk.state == LIVE)
    .order_by(Chunk.pack_offset),
    row=PackedChunk,
)
"""The live chunks of a pack, in the order in which they lie there."""


def _change(before: str, after: str) -> Statement:
    """Changes the state of a chunk that still lies where it was found."""
    return Statement(
        Chunk.update({Chunk.state: after}).where(
            Chunk.organization_id == hole(Chunk.organization_id),
            Chunk.sha256 == hole(Chunk.sha256),
            Chunk.pack_id == hole(Chunk.pack_id),
            Chunk.pack_offset == hole(Chunk.pack_offset),
            Chunk.state == before,
        )
    )


_MARK: Final = _change(LIVE, DAMAGED)
_UNMARK: Final = _change(DAMAGED, LIVE)


def stored_bytes_of(reader: PackReader, chunk: PackedChunk) -> bytes | None:
    """The stored bytes, None when they are not those that were stored. Storage that is wrong is asked once more."""
    for _ in range(2):
        data = reader.read(chunk.pack_offset, chunk.stored_bytes)
        with suppress(NotSound):
            check_stored(data, chunk)
            return data
    return None


def problem_of(reader: PackReader, chunk: PackedChunk) -> str | None:
    """What is wrong with the chunk, None when nothing is: both digests are checked. Raises BlobsDown."""
    found = [_problem(reader.read(chunk.pack_offset, chunk.stored_bytes), chunk)]
    if found[0] is not None:
        found.append(_problem(reader.read(chunk.pack_offset, chunk.stored_bytes), chunk))
        if found[1] is None:
            return UNSTABLE
    return found[0]


def mark_sound(tx: Transaction, pack_id: bytes, chunk: PackedChunk) -> int:
    """The chunk, which was marked and turned out to be whole, is live again as far as it still lies there; 1 or 0."""
    count = _turned(tx, _UNMARK, pack_id, chunk)
    charge(tx, chunk.organization_id, stored_bytes=count * chunk.stored_bytes, asked=False)
    return count


UNSTABLE: Final = "was read wrong once and right the next time: the storage is not to be trusted"
"""The problem that a second reading did not find; the chunk is no worse than its storage."""


def mark_damaged(tx: Transaction, pack_id: bytes, chunks: Iterable[PackedChunk]) -> int:
    """The chunks count as missing from now on, as far as they still lie there; how many. An upload mends them."""
    total = 0
    for chunk in sorted(chunks):
        count = _turned(tx, _MARK, pack_id, chunk)
        charge(tx, chunk.organization_id, stored_bytes=-count * chunk.stored_bytes)
        total += count
    return total


def _turned(tx: Transaction, statement: Statement, pack_id: bytes, chunk: PackedChunk) -> int:
    return tx.run(
        statement,
        organization_id=chunk.organization_id,
        sha256=chunk.sha256,
        pack_id=pack_id,
        pack_offset=chunk.pack_offset,
    )


def _problem(stored: bytes, chunk: PackedChunk) -> str | None:
    try:
        check_stored(stored, chunk)
        data = unpacked(stored, chunk)
    except NotSound as problem:
        return str(problem)
    if hashlib.sha256(data).digest() != chunk.sha256:
        return "does not have its SHA-256"
    return None
