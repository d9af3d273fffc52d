"""Which packs are written anew together: those that are more than half empty, and many small ones.

A stream leaves at least one pack, however little it brought, and a hundred thousand uploads of 100 KiB would be as many
files. Small packs of an organization are therefore merged once there are many of about the same size: the pack that
comes of it belongs to a larger size, so no byte is written more often than there are sizes (three below 32 MiB).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from store.blobs.unused import PackUse

LEAST_PACKS: Final = 32
"""So many of one size are worth merging; more than the next size is larger, so what comes of it is of that."""

SMALL_SHARE: Final = 8
"""A pack is small when what is used of it is less than this part of a full one."""

_SIZE_BITS: Final = 4  # each size is sixteen times the one before

MOST_PACKS: Final = 1_000
MOST_CHUNKS: Final = 5_000
"""So many are merged at once: as many rows as one write may change."""

SMALL_CHUNKS: Final = MOST_CHUNKS // 10
"""A pack with more chunks is not merged: ten of them would be no smaller a number of writes."""

MOST_BYTES: Final = 4 * 2**30
"""So much is merged in a pass, since for a grace time it takes up room twice; the others wait for the next."""

MOST_HELD: Final = 50_000
"""So many small packs are remembered while others are looked for that go with them."""

Batch = Sequence[PackUse]
"""Packs of one organization that are written anew together."""


class Merging:
    """Takes the packs of a store whose grace time has passed, in any order, and says which are to be written anew.

    `full_bytes` is how many bytes a full pack has.
    """

    def __init__(self, full_bytes: int) -> None:
        self._full_bytes = full_bytes
        self._groups: dict[tuple[bytes, int], list[PackUse]] = {}
        self._held = 0
        self._merged_bytes = 0

    def add(self, pack: PackUse) -> Iterator[Batch]:
        """One more pack; what is to be written anew now."""
        if not pack.live_bytes:
            return
        if pack.live_bytes >= self._full_bytes // SMALL_SHARE or pack.chunk_count > SMALL_CHUNKS:
            if is_sparse(pack):
                yield [pack]
            return
        key = (pack.organization_id, pack.live_bytes.bit_length() // _SIZE_BITS)
        group = self._groups.setdefault(key, [])
        group.append(pack)
        self._held += 1
        if self._is_full(group):
            self._held -= len(group)
            yield from self._wanted(self._groups.pop(key))
        elif self._held > MOST_HELD:
            yield from self.rest()

    def rest(self) -> Iterator[Batch]:
        """What is to be written anew of those packs that found no more to go with them."""
        groups, self._groups, self._held = self._groups, {}, 0
        for key in sorted(groups):
            yield from self._wanted(groups[key], least=LEAST_PACKS)

    def _is_full(self, group: Batch) -> bool:
        return (
            len(group) >= MOST_PACKS
            or sum(pack.live_bytes for pack in group) >= self._full_bytes
            or sum(pack.chunk_count for pack in group) >= MOST_CHUNKS
        )

    def _wanted(self, group: Batch, *, least: int = 0) -> Iterator[Batch]:
        """All of the group where merging is worth it; those that are half empty in any case."""
        if len(group) < least or self._merged_bytes >= MOST_BYTES:
            group = [pack for pack in group if is_sparse(pack)]
        self._merged_bytes += sum(pack.live_bytes for pack in group)
        if group:
            yield group


def is_sparse(pack: PackUse) -> bool:
    """Whether less than half of the pack is used, and something is."""
    return 0 < pack.live_bytes < pack.size_bytes / 2
