"""A clock that jumps removes nothing that is in use, or that somebody was told is there."""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from store.blobs.grace import Grace
from store.blobs.keeping import keep_chunks
from store.blobs.models import Chunk, Pack
from store.clock import SystemClock
from store.database import Database
from store.errors import BlobsDown
from store.uploads.chunks import held_chunks
from tests.clocks import ManualClock
from tests.collection.interleaving import CHUNKS, GRACE, World, memory_world
from tests.collection.turns import Violation
from tests.collection.warehouse import Warehouse
from tests.conftest import opened

YEAR = 365 * 24 * 3600


# --- The grace time --------------------------------------------------------------------------------------------------


@pytest.fixture
def grace(sqlite: Database) -> Grace:
    """An hour, looked at once."""
    grace = Grace(sqlite, GRACE)
    grace.cutoff()
    return grace


def cutoff_seconds(grace: Grace, clock: ManualClock) -> int:
    """How long ago, by the clock of now, what may go was last used."""
    return (clock.now_us() - grace.cutoff()) // 1_000_000


def test_time_that_goes_by_is_believed(grace: Grace, clock: ManualClock) -> None:
    for _ in range(5):
        clock.advance(seconds=10 * GRACE)
        assert cutoff_seconds(grace, clock) == GRACE


def test_a_clock_that_drifts_or_is_set_back_is_believed(grace: Grace, clock: ManualClock) -> None:
    for seconds in (59, 59, -3600, 30, -10 * YEAR):
        clock.advance(seconds=GRACE)
        clock.jump(seconds=seconds)
        assert cutoff_seconds(grace, clock) == GRACE


def test_a_clock_that_jumped_forward_is_believed_once_the_grace_time_has_gone_by(
    grace: Grace, clock: ManualClock
) -> None:
    clock.jump(seconds=10 * YEAR)
    assert cutoff_seconds(grace, clock) == GRACE + 10 * YEAR
    clock.advance(seconds=GRACE - 1)
    assert cutoff_seconds(grace, clock) == GRACE + 10 * YEAR
    clock.advance(seconds=1)
    assert cutoff_seconds(grace, clock) == GRACE


def test_a_second_jump_begins_the_waiting_anew(grace: Grace, clock: ManualClock) -> None:
    clock.jump(seconds=YEAR)
    cutoff_seconds(grace, clock)
    clock.advance(seconds=GRACE - 1)
    clock.jump(seconds=-3600)
    assert cutoff_seconds(grace, clock) == GRACE + YEAR - 3600
    clock.advance(seconds=GRACE - 1)
    assert cutoff_seconds(grace, clock) == GRACE + YEAR - 3600
    clock.advance(seconds=1)
    assert cutoff_seconds(grace, clock) == GRACE


def test_a_clock_that_is_set_right_again_is_believed_at_once(grace: Grace, clock: ManualClock) -> None:
    clock.jump(seconds=YEAR)
    cutoff_seconds(grace, clock)
    clock.jump(seconds=-YEAR)
    assert cutoff_seconds(grace, clock) == GRACE


# --- A thousand jumps ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with memory_world() as world:
        yield world


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def jumps_survived(world: World, seed: int) -> int:
    """Uploads, deletions and collections while the clock jumps, back an hour or forward ten years, and the collector
    looks at it between two jumps; how many jumps there were. Raises Violation."""
    rng = random.Random(seed)
    world.begin(rng)
    world.clock.advance(seconds=2 * GRACE)
    world.collector.cutoff()
    promised: dict[tuple[bytes, bytes], int] = {}
    jumps = 0

    def jump() -> None:
        nonlocal jumps
        jumps += 1
        world.clock.jump(seconds=rng.choice((-3600, -60, 61, GRACE, 40 * GRACE, 10 * YEAR)))
        for _ in range(rng.randrange(3)):
            rng.choice(before)()
        world.collector.cutoff()

    def told() -> None:
        organization = rng.choice(world.organizations)
        digests = sorted(hashlib.sha256(chunk).digest() for chunk in rng.sample(CHUNKS, 2))
        held: frozenset[bytes] = world.plain.write(partial(held_chunks, organization_id=organization, digests=digests))
        promised.update({(organization, sha256): world.clock.steady_us() for sha256 in held})

    def kept() -> None:
        group = world._written(organization := rng.choice(world.organizations), rng.sample(CHUNKS, 2))
        world.plain.write(partial(keep_chunks, organization_id=organization, group=group))
        promised.update({(organization, chunk.sha256): world.clock.steady_us() for chunk in group.chunks})

    def collect() -> None:
        world.collector.collect()
        there = {(chunk.organization_id, chunk.sha256) for chunk in world.plain.read(lambda r: r.fetch(Chunk.select()))}
        for key, when in promised.items():
            if world.clock.steady_us() - when < GRACE * 1_000_000 and key not in there:
                raise Violation(f"a chunk that was said to be there is gone within the grace time (seed {seed})")
        world._check_files()

    def time_goes_by() -> None:
        world.clock.advance(seconds=rng.choice((60, 0.4 * GRACE, GRACE)))

    before: list[Callable[[], None]] = [told, kept, partial(world.upload, rng), partial(world.delete, rng)]
    for _ in range(30):
        rng.choice((*before, jump, jump, collect, time_goes_by))()
    collect()
    world.clock.advance(seconds=2 * GRACE)  # by the end every clock is believed again
    world.collector.cutoff()
    world.check()
    return jumps


def test_a_thousand_jumps_of_the_clock_remove_nothing_that_is_used_or_was_told_to_be_there(world: World) -> None:
    seeds = iter(range(10_000))
    jumps = 0
    while jumps < 1000:
        jumps += jumps_survived(world, next(seeds))


def test_a_collector_that_believes_every_clock_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(world.collector), "cutoff", lambda self: world.clock.now_us() - GRACE * 1_000_000)
    with pytest.raises(Violation, match="within the grace time"):
        assert sum(jumps_survived(world, seed) for seed in range(200)) > 0


# --- Whose clock it is -----------------------------------------------------------------------------------------------


def test_rows_have_the_time_of_the_database_whatever_this_machine_says(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = SystemClock.now_us
    with opened(database_url) as database:
        database.migrate()
        monkeypatch.setattr(SystemClock, "now_us", lambda self: right(self) + 10 * YEAR * 1_000_000)
        written: int = database.write(lambda tx: tx.now)
        ahead = 10 * YEAR * 1_000_000 if database.engine == "sqlite" else 0
        for told in (written, database.now_us()):
            assert abs(told - ahead - right(SystemClock())) < 600 * 1_000_000


def test_a_pack_whose_age_was_told_wrongly_is_refused_to_the_stream_that_still_writes_it(
    warehouse: Warehouse, clock: ManualClock
) -> None:
    group = warehouse.group(b"synced, and not in rows yet")
    clock.advance(seconds=10 * YEAR)  # the clock of the files is far behind
    assert warehouse.collector.collect(confirmed=True).unknown_packs == 1
    assert list(warehouse.packs.list_packs()) == []
    for _ in range(2):
        with pytest.raises(BlobsDown):
            warehouse.db.write(partial(keep_chunks, organization_id=warehouse.acme, group=group))
        clock.advance(seconds=GRACE - 1)
        warehouse.collector.collect(confirmed=True)
        clock.advance(seconds=-GRACE + 1)
    clock.advance(seconds=GRACE)
    warehouse.collector.collect()
    assert warehouse.rows(Pack) == []
