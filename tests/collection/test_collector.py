"""The collector removes what nothing refers to, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

import store.blobs.collector as collector_module
from store.blobs.collector import Collector
from store.blobs.models import DELETING, ZSTD, Chunk, Content, ContentChunk, Pack
from store.blobs.packs import PackMissing, PackStore, StoredPack
from store.blobs.unused import CONTENT_REFERENCES
from store.database import new_id
from store.errors import BlobsDown, CollectorBusy, ReadOnly, StorageFull
from store.leases import Job, JobLease, holding_lease
from store.schema import MODELS
from store.uploads.models import UploadChunk
from tests.clocks import ManualClock
from tests.collection.warehouse import GRACE, Warehouse


def random_bytes(size: int, *, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def test_what_a_file_refers_to_stays(warehouse: Warehouse, clock: ManualClock) -> None:
    warehouse.file(warehouse.content(b"first", b"second"))
    warehouse.file(warehouse.inline(b"small"))
    clock.advance(seconds=100 * GRACE)
    assert warehouse.collector.collect(confirmed=True).removed == 0
    assert warehouse.counts() == (2, 2, 2, 1, 1)


def test_what_nothing_refers_to_goes_with_its_bytes(warehouse: Warehouse, clock: ManualClock) -> None:
    warehouse.drop(warehouse.file(warehouse.content(b"first", b"second")))
    warehouse.drop(warehouse.file(warehouse.inline(b"small")))
    clock.advance(seconds=GRACE)
    found = warehouse.collector.collect()
    assert (found.contents, found.chunks, found.packs, found.freed_bytes) == (2, 2, 1, len(b"firstsecond" + b"small"))
    assert warehouse.counts() == (0, 0, 0, 0, 0)


def test_nothing_goes_within_the_grace_time(warehouse: Warehouse, clock: ManualClock) -> None:
    warehouse.content(b"chunk")
    clock.advance(seconds=GRACE - 1)
    assert warehouse.collector.collect().removed == 0
    assert warehouse.counts() == (1, 1, 1, 1, 1)


def test_a_preview_counts_what_a_pass_then_removes_and_removes_nothing(
    warehouse: Warehouse, clock: ManualClock
) -> None:
    warehouse.content(b"gone")
    warehouse.inline(b"gone, too")
    kept = warehouse.content(random_bytes(100), random_bytes(1000, seed=1), random_bytes(1000, seed=2))
    warehouse.file(warehouse.content(random_bytes(100)))
    clock.advance(seconds=GRACE)
    before = warehouse.counts()
    preview = warehouse.collector.preview()
    assert warehouse.counts() == before
    assert warehouse.collector.collect(confirmed=True) == preview
    assert (preview.contents, preview.chunks, preview.packs, preview.rewritten_packs) == (3, 3, 1, 1)
    assert kept not in [content.id for content in warehouse.rows(Content)]


def test_chunks_of_an_open_upload_stay_until_it_ends(warehouse: Warehouse, clock: ManualClock) -> None:
    warehouse.upload(b"first", b"second")
    clock.advance(seconds=100 * GRACE)
    assert warehouse.collector.collect().removed == 0
    warehouse.change(UploadChunk.delete())
    assert warehouse.collector.collect().chunks == 2
    assert warehouse.counts() == (0, 0, 0, 0, 0)


def test_a_chunk_that_another_content_has_too_stays(warehouse: Warehouse, clock: ManualClock) -> None:
    warehouse.content(b"shared", b"own")
    warehouse.file(warehouse.content(b"shared"))
    clock.advance(seconds=GRACE)
    found = warehouse.collector.collect()
    assert (found.contents, found.chunks) == (1, 1)
    assert [chunk.size_bytes for chunk in warehouse.rows(Chunk)] == [len(b"shared")]


def test_a_chunk_that_another_organization_has_too_is_another_chunk(warehouse: Warehouse, clock: ManualClock) -> None:
    other = new_id()
    warehouse.content(b"the same")
    warehouse.file(warehouse.content(b"the same", organization=other), organization=other)
    clock.advance(seconds=GRACE)
    assert warehouse.collector.collect().chunks == 1
    assert [chunk.organization_id for chunk in warehouse.rows(Chunk)] == [other]


def test_a_mostly_empty_pack_is_written_anew_and_goes_after_the_grace_time(
    warehouse: Warehouse, clock: ManualClock
) -> None:
    kept = random_bytes(1000)
    warehouse.content(random_bytes(5000, seed=1), kept)
    warehouse.file(warehouse.content(kept))
    clock.advance(seconds=GRACE)
    found = warehouse.collector.collect()
    assert (found.contents, found.chunks, found.rewritten_packs) == (1, 1, 1)
    (chunk,) = warehouse.rows(Chunk)
    with warehouse.packs.open(chunk.pack_id) as reader:
        assert reader.read(chunk.pack_offset, chunk.stored_bytes) == kept
    assert warehouse.counts()[2:] == (1, 2, 2)  # the old one is there for those who read it
    clock.advance(seconds=GRACE)
    assert warehouse.collector.collect().packs == 1
    assert [pack.id for pack in warehouse.rows(Pack)] == [chunk.pack_id]
    assert warehouse.counts()[2:] == (1, 1, 1)


def test_a_pack_that_is_written_anew_is_compressed_where_it_pays(warehouse: Warehouse, clock: ManualClock) -> None:
    text = b"the same line again and again\n" * 100
    warehouse.content(random_bytes(9000), text)
    warehouse.file(warehouse.content(text))
    clock.advance(seconds=GRACE)
    assert warehouse.collector.collect().rewritten_packs == 1
    (chunk,) = warehouse.rows(Chunk)
    assert (chunk.encoding, chunk.size_bytes) == (ZSTD, len(text))
    assert chunk.stored_bytes < len(text) / 10


def test_a_damaged_chunk_is_not_carried_into_a_new_pack(warehouse: Warehouse, clock: ManualClock) -> None:
    kept, broken = random_bytes(100), random_bytes(100, seed=1)
    warehouse.content(random_bytes(5000, seed=2), kept, broken)
    warehouse.file(warehouse.content(kept, broken))
    clock.advance(seconds=GRACE)
    (row,) = [row for row in warehouse.rows(Chunk) if row.pack_offset == 5100]
    warehouse.flip(row.pack_id, 5150)
    assert warehouse.collector.collect().rewritten_packs == 1
    states = {row.pack_offset: row.state for row in warehouse.rows(Chunk)}
    assert states == {0: "live", 5100: "damaged"}


def test_a_pack_that_is_being_written_to_stays(warehouse: Warehouse, clock: ManualClock) -> None:
    warehouse.upload(b"chunk")
    warehouse.change(UploadChunk.delete())
    clock.advance(seconds=GRACE)
    warehouse.change(Pack.update({Pack.touched_at: clock.now_us()}))
    found = warehouse.collector.collect()
    assert (found.chunks, found.packs) == (1, 0)
    assert warehouse.counts() == (0, 0, 0, 1, 1)


# --- Trouble ---------------------------------------------------------------------------------------------------------


class Failing(PackStore):
    """Packs whose next removals fail, or end the process, before or after they happened."""

    def __init__(self, packs: PackStore) -> None:
        self._packs = packs
        self.before: list[BaseException] = []
        self.after: list[BaseException] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._packs, name)

    def sink(self, **options: Any) -> Any:
        return self._packs.sink(**options)

    def open(self, pack_id: bytes, *, first: tuple[int, int] = (0, 0)) -> Any:
        return self._packs.open(pack_id, first=first)

    def list_packs(self) -> Any:
        return self._packs.list_packs()

    def remove(self, pack_id: bytes) -> None:
        if self.before:
            raise self.before.pop()
        self._packs.remove(pack_id)
        if self.after:
            raise self.after.pop()

    @property
    def writable(self) -> bool:
        return self._packs.writable

    def close(self) -> None:
        self._packs.close()


class Killed(BaseException):
    """What a process does that is killed: nothing more."""


def test_a_file_that_cannot_be_removed_is_removed_by_a_later_pass(warehouse: Warehouse, clock: ManualClock) -> None:
    failing = Failing(warehouse.packs)
    collector = Collector(warehouse.db, failing, grace_seconds=GRACE)
    warehouse.content(b"chunk")
    clock.advance(seconds=GRACE)
    failing.before.append(BlobsDown())
    found = collector.collect()
    assert (found.chunks, found.packs) == (1, 0)
    assert [pack.state for pack in warehouse.rows(Pack)] == [DELETING]
    assert warehouse.counts() == (0, 0, 0, 1, 1)
    assert collector.collect().packs == 1
    assert warehouse.counts() == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_collector_that_is_killed_at_the_removal_of_a_file_leaves_its_row_to_the_next(
    warehouse: Warehouse, clock: ManualClock, when: str
) -> None:
    failing = Failing(warehouse.packs)
    warehouse.content(b"chunk")
    clock.advance(seconds=GRACE)
    getattr(failing, when).append(Killed())
    with pytest.raises(Killed):
        Collector(warehouse.db, failing, grace_seconds=GRACE).collect()
    assert [pack.state for pack in warehouse.rows(Pack)] == [DELETING]
    assert warehouse.collector.collect().packs == 1
    assert warehouse.counts() == (0, 0, 0, 0, 0)


def test_one_collector_works_at_a_time(warehouse: Warehouse) -> None:
    with holding_lease(warehouse.db, Job.COLLECTION):
        with pytest.raises(CollectorBusy):
            warehouse.collector.collect()
    assert warehouse.collector.collect().removed == 0


def test_a_collector_that_lost_its_lease_changes_nothing(warehouse: Warehouse, clock: ManualClock) -> None:
    warehouse.content(b"chunk")
    clock.advance(seconds=GRACE)

    def taken_over() -> bool:
        warehouse.change(JobLease.update({JobLease.fence: JobLease.fence + 1}))
        return False

    with pytest.raises(CollectorBusy):
        warehouse.collector.collect(stopped=taken_over)
    assert warehouse.counts() == (1, 1, 1, 1, 1)


def test_a_lease_of_a_holder_that_died_runs_out(warehouse: Warehouse, clock: ManualClock) -> None:
    lease = holding_lease(warehouse.db, Job.COLLECTION)
    lease.__enter__()
    with pytest.raises(CollectorBusy):
        warehouse.collector.collect()
    warehouse.change(JobLease.update({JobLease.expire_time: 1}))
    assert warehouse.collector.collect().removed == 0


@pytest.mark.parametrize("grace", [0, -1, float("nan"), float("inf")])
def test_a_grace_time_that_is_none_is_refused(warehouse: Warehouse, grace: float) -> None:
    with pytest.raises(ValueError, match="no grace time"):
        Collector(warehouse.db, warehouse.packs, grace_seconds=grace)


def test_a_pass_that_would_remove_too_much_asks_first(
    warehouse: Warehouse, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_module, "BRAKE_FLOOR", 1)
    warehouse.file(warehouse.inline(b"kept"))
    warehouse.content(b"first", b"second")
    clock.advance(seconds=10 * 365 * 24 * 3600)
    braked = warehouse.collector.collect()
    assert (braked.braked, braked.removed) == (True, 0)
    assert warehouse.counts() == (2, 2, 2, 1, 1)
    assert warehouse.collector.collect(confirmed=True).chunks == 2


def test_a_large_file_alone_does_not_pull_the_brake(
    warehouse: Warehouse, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_module, "BRAKE_FLOOR", 1)
    monkeypatch.setattr(collector_module, "BRAKE_COUNT", 5)
    warehouse.file(warehouse.content(*(random_bytes(50, seed=seed) for seed in range(60))))
    warehouse.content(*(random_bytes(50, seed=seed) for seed in range(100, 110)))
    clock.advance(seconds=GRACE)
    assert warehouse.collector.collect().chunks == 10


def test_a_place_that_removes_nothing_is_not_asked_for_ever(
    warehouse: Warehouse, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_module, "MOST_FAILURES", 2)
    failing = Failing(warehouse.packs)
    for seed in range(4):
        warehouse.content(random_bytes(50, seed=seed))
    clock.advance(seconds=GRACE)
    failing.before += [BlobsDown(), BlobsDown(), BlobsDown()]
    assert Collector(warehouse.db, failing, grace_seconds=GRACE).collect().packs == 0
    assert len(failing.before) == 1
    assert warehouse.collector.collect().packs == 4


def test_a_full_disk_does_not_keep_the_collector_from_making_room(
    warehouse: Warehouse, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = random_bytes(1000)
    warehouse.content(random_bytes(5000, seed=1), kept)
    warehouse.file(warehouse.content(kept))
    warehouse.content(b"gone")
    clock.advance(seconds=GRACE)

    def full(*args: object) -> int:
        raise StorageFull

    monkeypatch.setattr(collector_module, "rewrite_packs", full)
    found = warehouse.collector.collect()
    assert (found.packs, found.rewritten_packs) == (1, 0)


def test_a_store_that_takes_no_writes_is_not_collected(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warehouse.packs, "_failed", True)
    with pytest.raises(ReadOnly):
        warehouse.collector.collect()


def test_a_schema_that_is_not_this_codes_is_not_collected(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(warehouse.db), "pending_migrations", lambda self: ["0002_more"])
    with pytest.raises(ReadOnly):
        warehouse.collector.collect()


def test_a_pass_ends_between_two_steps_when_it_is_stopped(warehouse: Warehouse, clock: ManualClock) -> None:
    warehouse.content(b"chunk")
    clock.advance(seconds=GRACE)
    assert warehouse.collector.collect(stopped=lambda: True).removed == 0
    assert warehouse.counts() == (1, 1, 1, 1, 1)


def test_packs_that_no_row_knows_go_when_it_is_confirmed_and_they_are_old(
    warehouse: Warehouse, clock: ManualClock
) -> None:
    warehouse.group(b"of a stream that was killed before its rows")
    young = warehouse.collector.collect(confirmed=True)  # this clock is behind that of the file system
    assert (young.unknown_packs, young.packs) == (0, 0)
    clock.advance(seconds=10 * 365 * 24 * 3600)
    asked = warehouse.collector.collect()
    assert (asked.unknown_packs, asked.packs) == (1, 0)
    assert warehouse.collector.preview().packs == 1
    found = warehouse.collector.collect(confirmed=True)
    assert (found.unknown_packs, found.packs) == (1, 1)
    assert warehouse.counts() == (0, 0, 0, 1, 0)
    clock.advance(seconds=GRACE)
    warehouse.collector.collect()
    assert warehouse.counts() == (0, 0, 0, 0, 0)


def test_a_collector_that_lost_its_lease_removes_no_pack_that_no_row_knows(
    warehouse: Warehouse, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.group(b"of a stream that was killed before its rows")
    clock.advance(seconds=10 * 365 * 24 * 3600)
    listed = warehouse.packs.list_packs

    def slept() -> Iterator[StoredPack]:
        yield from listed()
        warehouse.change(JobLease.update({JobLease.fence: JobLease.fence + 1}))

    monkeypatch.setattr(warehouse.packs, "list_packs", slept)
    with pytest.raises(CollectorBusy):
        warehouse.collector.collect(confirmed=True)
    assert len(list(listed())) == 1
    assert warehouse.rows(Pack) == []


def test_what_is_left_of_a_rewriting_that_was_killed_is_collected(
    warehouse: Warehouse, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = random_bytes(1000)
    warehouse.content(random_bytes(5000, seed=1), kept)
    warehouse.file(warehouse.content(kept))
    clock.advance(seconds=GRACE)

    def killed(*args: object, **kwargs: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("store.blobs.rewriting._switch", killed)
        with pytest.raises(Killed):
            warehouse.collector.collect()
    assert warehouse.counts()[2:] == (1, 2, 2)
    clock.advance(seconds=GRACE)
    found = warehouse.collector.collect()
    assert (found.packs, found.rewritten_packs) == (1, 1)
    (chunk,) = warehouse.rows(Chunk)
    with warehouse.packs.open(chunk.pack_id) as reader:
        assert reader.read(chunk.pack_offset, chunk.stored_bytes) == kept


def test_every_column_that_names_a_content_is_a_reference_or_part_of_it() -> None:
    naming = {column for model in MODELS for column in model._meta.sorted_fields if column.name.endswith("content_id")}
    assert naming == {*CONTENT_REFERENCES, ContentChunk.content_id}


def test_a_removed_pack_is_missing(warehouse: Warehouse, clock: ManualClock) -> None:
    warehouse.content(b"chunk")
    (pack,) = warehouse.rows(Pack)
    clock.advance(seconds=GRACE)
    warehouse.collector.collect()
    with pytest.raises(PackMissing):
        warehouse.packs.open(pack.id)
