"""Many small packs become few, and nothing else about them changes."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from store.blobs import merging
from store.blobs.collector import Collector
from store.blobs.contents import ContentRow
from store.blobs.merging import Merging
from store.blobs.models import DAMAGED, LIVE, Chunk, Content, Pack
from store.blobs.packs import PACK_BYTES
from store.blobs.reader import ContentReader
from store.blobs.source import ChunkSource
from store.blobs.unused import PackUse
from store.database import new_id
from store.errors import ChunkLost, CollectorBusy
from store.leases import JobLease
from tests.blobs.faulty_packs import RAISE, FaultyPacks
from tests.clocks import ManualClock
from tests.collection.warehouse import GRACE, Warehouse

MANY = 6


@pytest.fixture(autouse=True)
def few_are_many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six packs are worth merging, where there is a warehouse: 32 only take longer."""
    if "warehouse" in request.fixturenames:
        monkeypatch.setattr(merging, "LEAST_PACKS", MANY)


def bytes_of(seed: int, size: int = 1000) -> bytes:
    return random.Random(seed).randbytes(size)


def uploaded(warehouse: Warehouse, count: int, *, organization: bytes | None = None) -> dict[bytes, bytes]:
    """So many files of one small chunk, each in a pack of its own: contents, and their bytes."""
    made = {}
    for seed in range(count):
        content_id = warehouse.content(bytes_of(seed), organization=organization)
        warehouse.file(content_id, organization=organization)
        made[content_id] = bytes_of(seed)
    return made


def read(warehouse: Warehouse, content_id: bytes) -> bytes:
    (row,) = [row for row in warehouse.rows(Content) if row.id == content_id]
    content = ContentRow(row.id, row.organization_id, row.sha256, row.size_bytes)
    with ContentReader(ChunkSource(warehouse.db, warehouse.packs, content)) as reader:
        return reader.read()


def test_many_small_packs_become_one_and_go_after_the_grace_time(warehouse: Warehouse, clock: ManualClock) -> None:
    contents = uploaded(warehouse, MANY)
    clock.advance(seconds=GRACE)
    preview = warehouse.collector.preview()
    found = warehouse.collector.collect()
    assert (found.rewritten_packs, found.packs, preview) == (MANY, 0, found)
    assert warehouse.counts()[2:] == (MANY, MANY + 1, MANY + 1)  # the old ones are there for those who read them
    clock.advance(seconds=GRACE)
    found = warehouse.collector.collect()
    assert (found.rewritten_packs, found.packs) == (0, MANY)
    assert warehouse.counts()[2:] == (MANY, 1, 1)
    assert {content_id: read(warehouse, content_id) for content_id in contents} == contents


def test_few_small_packs_stay_as_they_are(warehouse: Warehouse, clock: ManualClock) -> None:
    uploaded(warehouse, MANY - 1)
    clock.advance(seconds=GRACE)
    assert warehouse.collector.collect().removed == 0
    assert warehouse.counts()[2:] == (MANY - 1, MANY - 1, MANY - 1)


def test_small_packs_that_are_young_stay_as_they_are(warehouse: Warehouse, clock: ManualClock) -> None:
    uploaded(warehouse, MANY)
    clock.advance(seconds=GRACE - 1)
    assert warehouse.collector.collect().removed == 0


def test_packs_of_different_organizations_do_not_mix(warehouse: Warehouse, clock: ManualClock) -> None:
    other = new_id()
    uploaded(warehouse, MANY)
    uploaded(warehouse, MANY, organization=other)
    uploaded(warehouse, MANY - 1, organization=new_id())
    clock.advance(seconds=GRACE)
    assert warehouse.collector.collect().rewritten_packs == 2 * MANY
    clock.advance(seconds=GRACE)
    warehouse.collector.collect()
    packs = {pack.id: pack.organization_id for pack in warehouse.rows(Pack)}
    assert {packs[chunk.pack_id] == chunk.organization_id for chunk in warehouse.rows(Chunk)} == {True}
    assert len(packs) == 2 + MANY - 1


def test_half_empty_small_packs_are_written_anew_together_however_few(warehouse: Warehouse, clock: ManualClock) -> None:
    kept = [bytes_of(seed) for seed in range(3)]
    for seed, chunk in enumerate(kept):
        warehouse.content(bytes_of(100 + seed, 5000), chunk)
        warehouse.file(warehouse.content(chunk))
    warehouse.file(warehouse.content(bytes_of(200)))
    clock.advance(seconds=GRACE)
    assert warehouse.collector.collect().rewritten_packs == 3
    clock.advance(seconds=GRACE)
    warehouse.collector.collect()
    assert warehouse.counts()[2:] == (4, 2, 2)


def test_damage_and_loss_in_some_packs_do_not_hinder_the_others(warehouse: Warehouse, clock: ManualClock) -> None:
    contents = uploaded(warehouse, MANY + 2)
    clock.advance(seconds=GRACE)
    broken, gone, *_ = warehouse.rows(Chunk)
    warehouse.flip(broken.pack_id, 10)
    warehouse.packs.remove(gone.pack_id)
    assert warehouse.collector.collect().rewritten_packs == MANY
    states = {chunk.sha256: (chunk.state, chunk.pack_id) for chunk in warehouse.rows(Chunk)}
    assert states[broken.sha256] == (DAMAGED, broken.pack_id)
    assert states[gone.sha256] == (LIVE, gone.pack_id)
    lost = 0
    for content_id, whole in contents.items():
        try:
            assert read(warehouse, content_id) == whole
        except ChunkLost:
            lost += 1
    assert lost == 2


def nth_open_fails(*numbers: int) -> Callable[[str], str | None]:
    opens = 0

    def plan(operation: str) -> str | None:
        nonlocal opens
        opens += operation == "open"
        return RAISE if operation == "open" and opens in numbers else None

    return plan


def test_a_pack_that_cannot_be_read_now_does_not_hinder_the_others(warehouse: Warehouse, clock: ManualClock) -> None:
    uploaded(warehouse, MANY + 2)
    clock.advance(seconds=GRACE)
    faulty = FaultyPacks(warehouse.packs, nth_open_fails(3, 7))
    assert Collector(warehouse.db, faulty, grace_seconds=GRACE).collect().rewritten_packs == MANY
    assert {chunk.state for chunk in warehouse.rows(Chunk)} == {LIVE}


def test_a_place_that_cannot_be_read_at_all_is_left_alone(warehouse: Warehouse, clock: ManualClock) -> None:
    uploaded(warehouse, MANY)
    clock.advance(seconds=GRACE)
    faulty = FaultyPacks(warehouse.packs, nth_open_fails(*range(MANY)))
    assert Collector(warehouse.db, faulty, grace_seconds=GRACE).collect().removed == 0
    assert faulty.made == {("open", RAISE): 3}
    clock.advance(seconds=GRACE)
    assert warehouse.collector.collect().rewritten_packs == MANY


def test_a_reader_goes_on_while_its_packs_are_merged_and_removed(warehouse: Warehouse, clock: ManualClock) -> None:
    pieces = [bytes_of(seed) for seed in range(MANY)]
    for piece in pieces:
        warehouse.content(piece)
    content_id = warehouse.content(*pieces)
    warehouse.file(content_id)
    (row,) = [row for row in warehouse.rows(Content) if row.id == content_id]
    clock.advance(seconds=GRACE)
    content = ContentRow(row.id, row.organization_id, row.sha256, row.size_bytes)
    with ContentReader(ChunkSource(warehouse.db, warehouse.packs, content)) as reader:
        data = reader.read(1500)
        assert warehouse.collector.collect().rewritten_packs == MANY
        clock.advance(seconds=GRACE)
        assert warehouse.collector.collect().packs == MANY
        assert data + reader.read() == b"".join(pieces)


def test_a_collector_that_loses_its_lease_while_it_merges_switches_and_leaves_nothing(
    warehouse: Warehouse, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = uploaded(warehouse, MANY)
    clock.advance(seconds=GRACE)
    before = warehouse.counts()

    def taken_over(point: str) -> None:
        if point == "rewrite.synced":
            warehouse.change(JobLease.update({JobLease.fence: JobLease.fence + 1}))
            warehouse.change(JobLease.update({JobLease.expire_time: 1}))
            warehouse.change(Pack.delete().where(Pack.size_bytes == 0))  # as the one that took over, after long

    with monkeypatch.context() as patch:
        patch.setattr("store.blobs.rewriting.crashpoint", taken_over)
        with pytest.raises(CollectorBusy):
            warehouse.collector.collect()
    assert warehouse.counts() == before
    assert {content_id: read(warehouse, content_id) for content_id in contents} == contents


def test_a_pass_merges_no_more_than_it_may(
    warehouse: Warehouse, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "MOST_PACKS", MANY)
    monkeypatch.setattr(merging, "MOST_BYTES", 1)
    uploaded(warehouse, 2 * MANY)
    clock.advance(seconds=GRACE)
    assert [warehouse.collector.collect().rewritten_packs for _ in range(3)] == [MANY, MANY, 0]


def test_a_full_pack_is_not_merged(
    warehouse: Warehouse, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(type(warehouse.packs), "full_bytes", 8 * 1000)
    uploaded(warehouse, MANY)
    clock.advance(seconds=GRACE)
    assert warehouse.collector.collect().removed == 0


# --- What it comes to in the long run --------------------------------------------------------------------------------


class Ledger:
    """The packs of an organization as the collector sees them, without any bytes."""

    def __init__(self, full_bytes: int) -> None:
        self.full_bytes = full_bytes
        self.packs: list[PackUse] = []
        self.written: dict[bytes, int] = {}
        self.copied_bytes = 0

    def upload(self, size_bytes: int, *, chunks: int = 1) -> None:
        self._keep(size_bytes, chunks)

    def merge(self) -> bool:
        """One pass; whether it did anything."""
        plan = Merging(self.full_bytes)
        batches = [batch for pack in self.packs for batch in plan.add(pack)] + list(plan.rest())
        for batch in batches:
            gone = {pack.id for pack in batch}
            self.packs = [pack for pack in self.packs if pack.id not in gone]
            size, chunks = sum(pack.live_bytes for pack in batch), sum(pack.chunk_count for pack in batch)
            self.copied_bytes += size
            while size > 0:  # the sink begins a new pack when one is full
                part = min(size, self.full_bytes)
                self._keep(part, max(1, chunks * part // size))
                chunks -= chunks * part // size
                size -= part
        return bool(batches)

    def _keep(self, size_bytes: int, chunks: int) -> None:
        self.packs.append(PackUse(new_id(), b"\1" * 16, size_bytes, LIVE, 0, chunks, size_bytes))


@pytest.mark.parametrize("size_kib", [17, 100, 1000, 8000])
@pytest.mark.parametrize("full_bytes", [PACK_BYTES, 8 * 2**20])
def test_uploads_of_a_year_come_to_few_packs_and_no_byte_is_copied_often(size_kib: int, full_bytes: int) -> None:
    ledger = Ledger(full_bytes)
    for _ in range(100):
        for _ in range(200):
            ledger.upload(size_kib * 1024)
        ledger.merge()
    for _ in range(20):
        if not ledger.merge():
            break
    else:
        pytest.fail("it never comes to rest")
    stored = 20_000 * size_kib * 1024
    assert len(ledger.packs) <= 100 + merging.SMALL_SHARE * (stored // full_bytes + 1)
    assert ledger.copied_bytes <= 3 * stored


def test_packs_of_very_many_chunks_are_not_written_for_ever() -> None:
    ledger = Ledger(PACK_BYTES)
    for count in (1, 400, 499, 500, 501, 5000):
        for _ in range(60):
            ledger.upload(count * 100, chunks=count)
    passes = 0
    while ledger.merge():
        passes += 1
        assert passes < 10


def test_what_is_remembered_of_small_packs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MOST_HELD", 100)
    plan = Merging(PACK_BYTES)
    for number in range(1000):
        organization_id = (number % 500).to_bytes(16)
        assert list(plan.add(PackUse(new_id(), organization_id, 1000, LIVE, 0, 1, 1000))) == []
        assert plan._held <= 101
