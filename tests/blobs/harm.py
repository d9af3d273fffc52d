"""What disks and services do to packs that were stored, in a folder and in a bucket alike."""

from __future__ import annotations

from store.blobs.local import LocalPacks
from store.blobs.packs import PackStore
from store.blobs.s3 import S3Packs

_ALL = 2**30


def stored_pack(packs: PackStore, pack_id: bytes) -> bytes:
    """All that is stored of the pack."""
    with packs.open(pack_id) as reader:
        return reader.read(0, _ALL)


def store_pack(packs: PackStore, pack_id: bytes, stored: bytes) -> None:
    """Has these bytes stand in the place of the pack's, or in that of a pack that is gone."""
    if isinstance(packs, S3Packs):
        packs.put(pack_id, [memoryview(stored)])
        return
    assert isinstance(packs, LocalPacks)
    packs.path_of(pack_id).write_bytes(stored)


def flip_bit(packs: PackStore, pack_id: bytes, offset: int) -> None:
    """Changes one bit of a stored pack."""
    stored = bytearray(stored_pack(packs, pack_id))
    stored[offset] ^= 1
    store_pack(packs, pack_id, bytes(stored))


def cut_pack(packs: PackStore, pack_id: bytes, size_bytes: int) -> None:
    """Leaves the pack's first bytes alone."""
    store_pack(packs, pack_id, stored_pack(packs, pack_id)[:size_bytes])
