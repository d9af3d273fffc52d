"""Ten thousand interleavings of uploads, assemblies, deletions, downloads and two collectors break nothing; and each
of eight bugs that this is for is caught."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from store.blobs import collector, keeping, unused
from store.blobs.keeping import Group
from store.blobs.models import Chunk
from store.blobs.packs import PackStore
from store.blobs.rewriting import rewrite_packs
from store.blobs.unused import PackUse
from store.database import Database, Transaction
from store.errors import BlobsDown
from store.leases import Lease
from store.uploads import chunks as upload_chunks
from tests.collection.interleaving import ATTEMPTS, World, memory_world
from tests.collection.turns import Violation

RUNS = int(os.environ.get("INTERLEAVINGS", "10000"))
"""A drill sets it to 100000."""

KINDS = ("upload", "assemble", "create", "delete", "download")

MERGING_SEED = 34
"""A beginning with small packs of which the collector makes one."""

FIRST = int(os.environ.get("INTERLEAVINGS_SEED", "0"))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with memory_world() as world:
        yield world


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.timeout(60 + RUNS // 10)
def test_no_interleaving_loses_a_live_byte_or_leaves_an_orphan(world: World) -> None:
    run_many(world, range(FIRST, FIRST + RUNS))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_no_schedule_of_two_with_three_switches_does_either(world: World, kind: str) -> None:
    assert sum(every_schedule(world, kind, 1, first, switches=3) for first in (0, 1)) > 150


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_no_schedule_of_two_with_two_switches_does_either_while_packs_are_merged(
    world: World, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged: list[int] = []

    def noted(database: Database, packs: PackStore, lease: Lease, sources: Sequence[PackUse]) -> int:
        merged.append(len(sources))
        return rewrite_packs(database, packs, lease, sources)

    monkeypatch.setattr(collector, "rewrite_packs", noted)
    count = sum(every_schedule(world, kind, MERGING_SEED, first, switches=2) for first in (0, 1))
    assert sum(1 for packs in merged if packs > 1) >= count


# --- Planted bugs ----------------------------------------------------------------------------------------------------

Plant = Callable[[pytest.MonkeyPatch, World], None]


def told_without_renewing(patch: pytest.MonkeyPatch, world: World) -> None:
    """FindMissingChunks says "have it", and the chunk is as old as before."""

    def held(tx: Transaction, organization_id: bytes, digests: Sequence[bytes]) -> frozenset[bytes]:
        return frozenset(upload_chunks._live_of(tx, organization_id, digests) if digests else ())

    patch.setattr(upload_chunks, "held_chunks", held)


def known_without_renewing(patch: pytest.MonkeyPatch, world: World) -> None:
    """A chunk that is known already is neither marked as used nor looked for."""
    patch.setattr(keeping, "touch_chunks", lambda tx, organization_id, digests: len(digests))


def a_cache_of_what_exists(patch: pytest.MonkeyPatch, world: World) -> None:
    """What was there once is believed to be there."""
    cache: dict[tuple[bytes, bytes], Any] = {}
    asked = keeping.live_chunks

    def cached(database: Database, organization_id: bytes, digests: Sequence[bytes]) -> dict[bytes, Any]:
        for sha256, place in asked(database, organization_id, digests).items():
            cache[organization_id, sha256] = place
        return {sha256: cache[organization_id, sha256] for sha256 in digests if (organization_id, sha256) in cache}

    begin = World.begin

    def begin_anew(self: World, rng: random.Random) -> None:
        cache.clear()
        begin(self, rng)

    patch.setattr(World, "begin", begin_anew)
    patch.setattr(keeping, "live_chunks", cached)


def removed_without_asking_again(patch: pytest.MonkeyPatch, world: World) -> None:
    """What the walk found is removed, whatever happened since."""

    def remove(tx: Transaction, keys: Sequence[tuple[bytes, bytes]], cutoff: int) -> int:
        for organization_id, sha256 in keys:
            tx.execute(Chunk.delete().where(Chunk.organization_id == organization_id, Chunk.sha256 == sha256))
        return len(keys)

    patch.setattr(collector, "remove_chunks", remove)


def no_fencing(patch: pytest.MonkeyPatch, world: World) -> None:
    """A collector whose lease ran out goes on."""
    patch.setattr(Lease, "guard", lambda self, tx: None)


def a_grace_time_that_is_not_a_number(patch: pytest.MonkeyPatch, world: World) -> None:
    """Every comparison with it comes out so that everything is old enough."""
    patch.setattr(type(world.collector), "cutoff", lambda self: 2**62)


def a_lock_on_one_side_only(patch: pytest.MonkeyPatch, world: World) -> None:
    """Chunks are marked as used in one transaction, and referred to in the next."""
    commit = World._commit

    def written(self: World, organization: bytes, chunks: Sequence[bytes]) -> Group:
        for _ in range(ATTEMPTS):
            group = plain(self, organization, chunks)
            with suppress(BlobsDown):
                self.db.write(partial(keeping.keep_chunks, organization_id=organization, group=group))
                return group
            self._withdraw(group)
        raise Violation("an upload never gets through")

    plain = World._written

    def refer(self: World, tx: Transaction, *, organization: bytes, upload_id: bytes, group: Group) -> None:
        with patch.context() as inner:
            inner.setattr(keeping, "keep_chunks", lambda tx, organization_id, group: None)
            commit(self, tx, organization=organization, upload_id=upload_id, group=group)

    patch.setattr(World, "_written", written)
    patch.setattr(World, "_commit", refer)


def no_filter_by_organization(patch: pytest.MonkeyPatch, world: World) -> None:
    """Chunks are removed by their digest."""
    right = unused.remove_chunks

    def remove(tx: Transaction, keys: Sequence[tuple[bytes, bytes]], cutoff: int) -> int:
        removed = right(tx, keys, cutoff)
        for _, sha256 in keys[:removed]:
            tx.execute(Chunk.delete().where(Chunk.sha256 == sha256))
        return removed

    patch.setattr(collector, "remove_chunks", remove)


PLANTS: list[Plant] = [
    told_without_renewing,
    known_without_renewing,
    a_cache_of_what_exists,
    removed_without_asking_again,
    no_fencing,
    a_grace_time_that_is_not_a_number,
    a_lock_on_one_side_only,
    no_filter_by_organization,
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("plant", PLANTS, ids=[plant.__name__ for plant in PLANTS])
def test_a_planted_bug_is_caught(world: World, monkeypatch: pytest.MonkeyPatch, plant: Plant) -> None:
    plant(monkeypatch, world)
    with pytest.raises(Violation):
        run_many(world, range(10_000))


def every_schedule(world: World, kind: str, seed: int, first: int, *begun: int, switches: int) -> int:
    """Runs all schedules that begin with the switches of `begun` and have at most so many; how many they were. At the
    first step there is no switch: that would be to begin with the other."""
    steps, count = world.run_two(kind, seed, first, *begun), 1
    if len(begun) < switches:
        for step in range(max((1, *begun)) + 1, steps + 1):
            count += every_schedule(world, kind, seed, first, *begun, step, switches=switches)
    return count


def run_many(world: World, seeds: range) -> None:
    for seed in seeds:
        world.run(seed)
