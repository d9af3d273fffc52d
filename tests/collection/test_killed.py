"""A collector that is killed before any of its steps, or whose store fails at any, leaves nothing behind that the next
does not find."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

import pytest

from store.blobs.check import check_storage
from store.blobs.collector import Collector
from store.errors import BlobsDown
from tests.blobs.faulty_packs import FaultyPacks, by_chance
from tests.collection import turns
from tests.collection.interleaving import GRACE, World, memory_world


class Killed(BaseException):
    """What a process does that is killed: nothing more."""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with memory_world() as world:
        yield world


def killed_at(world: World, number: int) -> bool:
    """Whether a pass got to this step, before which it was killed."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps >= number:
            raise Killed

    world.db.step = world.packs.step = step
    try:
        world.collector.collect()
    except Killed:
        return True
    finally:
        world.db.step = world.packs.step = turns.step
    return False


@pytest.mark.parametrize("seed", range(12))
def test_a_pass_that_is_killed_before_any_step_is_made_good_by_the_next(world: World, seed: int) -> None:
    for number in count(1):
        world.begin(random.Random(seed))
        killed = killed_at(world, number)
        world.clock.advance(seconds=130)  # the lease of the dead one runs out
        world.check()
        if not killed:
            assert number > 12  # the lease, the plan, and something to remove
            return


@pytest.mark.parametrize("seed", range(40))
def test_a_store_that_fails_and_lies_loses_nothing_and_keeps_nothing(world: World, seed: int) -> None:
    world.begin(random.Random(seed))
    faulty = FaultyPacks(world.packs, by_chance(seed, 0.3))
    collector = Collector(world.db, faulty, grace_seconds=GRACE)
    for _ in range(4):
        with suppress(BlobsDown):
            collector.collect()
        world.clock.advance(seconds=GRACE)
    # What was read wrongly twice was marked; it is whole, and taken back.
    check_storage(world.plain, world.packs, cutoff=0, repair=True)
    world.check()
