"""Checking finds every damage of rows and bytes, and mends what can be mended; the scrub does the same, slowly."""

from __future__ import annotations

import random
from typing import Any

import pytest

import store.blobs.check as check_module
from store.blobs.check import Checked, check_storage
from store.blobs.contents import ContentRow
from store.blobs.models import DAMAGED, LIVE, Chunk, Content, ContentChunk, Pack
from store.blobs.packs import PackReader
from store.blobs.reader import ContentReader
from store.blobs.scrub import EVERY_US, SHARES, scrub
from store.blobs.source import ChunkSource
from store.database import new_id
from store.errors import ChunkLost
from store.files.models import ReleaseFile
from store.leases import Job, holding_lease
from store.quotas.models import OrganizationUsage
from tests.blobs.harm import cut_pack, store_pack, stored_pack
from tests.clocks import ManualClock
from tests.collection.warehouse import GRACE, Warehouse

LATER = 10 * 365 * 24 * 3600 * 1_000_000


def check(warehouse: Warehouse, **options: Any) -> Checked:
    return check_storage(warehouse.db, warehouse.packs, cutoff=warehouse.db.clock.now_us() + LATER, **options)


def test_a_sound_store_has_no_findings(warehouse: Warehouse) -> None:
    warehouse.file(warehouse.content(b"first", b"second", b"first"))
    warehouse.file(warehouse.inline(b"small"))
    warehouse.file(warehouse.inline(b""))
    checked = check(warehouse)
    assert checked == Checked(chunks=2, bytes=len(b"firstsecond"))


def test_a_flipped_bit_is_found_and_the_chunk_is_missing_until_it_comes_again(warehouse: Warehouse) -> None:
    warehouse.file(warehouse.content(b"first", b"second"))
    (pack,) = warehouse.rows(Pack)
    warehouse.flip(pack.id, 7)
    found = check(warehouse)
    assert (found.chunks, found.damaged, found.finding_count, found.repaired) == (2, 1, 1, 0)
    assert "does not have its checksum" in found.findings[0]
    assert check(warehouse, repair=True).repaired == 1
    assert {chunk.size_bytes: chunk.state for chunk in warehouse.rows(Chunk)} == {5: LIVE, 6: DAMAGED}
    waiting = check(warehouse)
    assert (waiting.damaged, waiting.repaired) == (1, 0)
    warehouse.content(b"first", b"second")
    assert {chunk.size_bytes: chunk.state for chunk in warehouse.rows(Chunk)} == {5: LIVE, 6: LIVE}
    assert check(warehouse).finding_count == 0


def test_however_many_chunks_are_marked_each_is_told_once(warehouse: Warehouse) -> None:
    per_pack = 2 * check_module._MARKED_AT_ONCE // 5  # the page ends in the third
    for pack in range(3):
        warehouse.content(*(f"{pack} {number}".encode() for number in range(per_pack)))
    warehouse.change(Chunk.update({Chunk.state: DAMAGED}))
    warehouse.change(OrganizationUsage.update({OrganizationUsage.stored_bytes: 0}))
    told = [text for text in check(warehouse).findings if "a check with repair takes that back" in text]
    assert (len(told), len(set(told))) == (3 * per_pack, 3 * per_pack)
    found = check(warehouse, repair=True)
    assert (found.damaged, found.repaired) == (0, 3 * per_pack)
    assert check(warehouse).finding_count == 0


def test_a_pack_that_is_gone_loses_its_chunks(warehouse: Warehouse) -> None:
    warehouse.file(warehouse.content(b"first", b"second"))
    (pack,) = warehouse.rows(Pack)
    warehouse.packs.remove(pack.id)
    found = check(warehouse, repair=True)
    assert (found.damaged, found.finding_count, found.repaired) == (2, 2, 2)
    assert {chunk.state for chunk in warehouse.rows(Chunk)} == {DAMAGED}


def test_a_pack_that_comes_back_brings_its_chunks_back(warehouse: Warehouse) -> None:
    warehouse.file(warehouse.content(b"first", b"second"))
    (pack,) = warehouse.rows(Pack)
    stored = stored_pack(warehouse.packs, pack.id)
    warehouse.packs.remove(pack.id)
    check(warehouse, repair=True)
    store_pack(warehouse.packs, pack.id, stored)
    assert check(warehouse).finding_count == 3  # both marks, and a content that misses chunks
    assert check(warehouse, repair=True).repaired == 2
    assert check(warehouse).finding_count == 0


def test_a_pack_that_was_cut_is_found_though_no_chunk_is_read(warehouse: Warehouse) -> None:
    warehouse.file(warehouse.content(random.Random(0).randbytes(100)))
    (pack,) = warehouse.rows(Pack)
    cut_pack(warehouse.packs, pack.id, 99)
    found = check(warehouse)
    assert [text.split(" ", 2)[2][:4] for text in found.findings if text.startswith("pack")] == ["ends"]
    assert found.damaged == 1


def test_bytes_with_the_right_checksum_and_the_wrong_digest_are_found(warehouse: Warehouse) -> None:
    warehouse.file(warehouse.content(b"first", b"other"))
    first, other = sorted(warehouse.rows(Chunk), key=lambda chunk: chunk.pack_offset)
    warehouse.change(
        Chunk.update({Chunk.pack_offset: other.pack_offset, Chunk.checksum: other.checksum}).where(
            Chunk.sha256 == first.sha256
        )
    )
    (text,) = check(warehouse).findings
    assert "does not have its SHA-256" in text


def test_a_share_of_the_chunks_is_read_and_all_rows_are_checked(warehouse: Warehouse) -> None:
    chunks = [random.Random(seed).randbytes(64) for seed in range(400)]
    warehouse.file(warehouse.content(*chunks))
    warehouse.change(ReleaseFile.update({ReleaseFile.content_id: new_id()}))
    found = check(warehouse, percent=25)
    assert 50 < found.chunks < 150
    assert found.finding_count == 1


def test_rows_that_others_do_not_bear_out_are_found(warehouse: Warehouse) -> None:
    content_id = warehouse.content(b"first", b"second")
    file_id = warehouse.file(content_id)
    lost = warehouse.file(new_id())
    other = new_id()
    warehouse.change(ContentChunk.update({ContentChunk.content_id: other}).where(ContentChunk.start_offset == 5))
    inline = warehouse.inline(b"small")
    warehouse.change(Content.update({Content.inline_data: b"smell"}).where(Content.id == inline))
    chunkless = warehouse.content(b"third")
    warehouse.change(Chunk.delete().where(Chunk.size_bytes == len(b"third")))
    warehouse.upload(b"fourth")
    warehouse.change(Pack.delete())
    found = check(warehouse)
    assert file_id.hex() not in "".join(found.findings)
    for said in (
        f"release_file {lost.hex()}: its content",
        f"content {content_id.hex()}: its list of chunks does not make up its 11 bytes",
        f"content {other.hex()} has 1 listed chunks and no row",
        f"content {inline.hex()}: the bytes in its row are damaged",
        f"content {chunkless.hex()}: of its chunks, 1 in all, 1 missing",
        "has 1 listed chunks and no row",
        "its pack",
    ):
        assert [text for text in found.findings if said in text], said


def test_a_pack_that_no_row_knows_is_removed_when_it_is_old(warehouse: Warehouse, clock: ManualClock) -> None:
    warehouse.group(b"of a stream that was killed before its rows")
    assert check_storage(warehouse.db, warehouse.packs, cutoff=clock.now_us(), repair=True).unknown_packs == 0
    assert check(warehouse).unknown_packs == 1
    assert check(warehouse, repair=True).repaired == 1
    assert check(warehouse) == Checked()


def test_a_pack_that_no_row_knows_is_left_while_a_collector_is_at_work(warehouse: Warehouse) -> None:
    warehouse.group(b"of a stream that was killed before its rows")
    with holding_lease(warehouse.db, Job.COLLECTION):
        found = check(warehouse, repair=True)
        assert (found.unknown_packs, found.finding_count, found.repaired) == (1, 1, 0)
        assert "a collector is at work" in found.findings[0]
    assert len(list(warehouse.packs.list_packs())) == 1
    assert check(warehouse, repair=True).repaired == 1
    with holding_lease(warehouse.db, Job.COLLECTION):  # which the check has given back
        assert list(warehouse.packs.list_packs()) == []


def test_a_check_that_is_stopped_looks_for_no_unknown_packs(warehouse: Warehouse) -> None:
    warehouse.group(b"of a stream that was killed before its rows")
    assert check(warehouse, repair=True, stopped=lambda: True) == Checked()


def test_findings_beyond_a_thousand_are_counted(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "MOST_FINDINGS", 2)
    warehouse.file(warehouse.content(b"1", b"2", b"3"))
    (pack,) = warehouse.rows(Pack)
    warehouse.packs.remove(pack.id)
    found = check(warehouse)
    assert (len(found.findings), found.finding_count) == (2, 3)


def test_findings_beyond_a_mebibyte_are_counted(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse.file(warehouse.content(b"1", b"2", b"3"))
    (pack,) = warehouse.rows(Pack)
    warehouse.packs.remove(pack.id)
    longest = max(len(text) for text in check(warehouse).findings)
    monkeypatch.setattr(check_module, "MOST_FINDING_BYTES", 2 * longest)
    found = check(warehouse)
    assert (len(found.findings), found.finding_count) == (2, 3)


def test_storage_that_is_wrong_only_sometimes_is_told_and_nothing_is_marked(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.file(warehouse.content(b"chunk"))
    opened = warehouse.packs.open

    class Unstable(PackReader):
        def __init__(self, pack_id: bytes, *, first: tuple[int, int]) -> None:
            self._reader = opened(pack_id, first=first)
            self._reads = 0

        def read(self, offset: int, length: int) -> bytes:
            self._reads += 1
            data = self._reader.read(offset, length)
            return bytes(len(data)) if self._reads == 2 else data  # the first asks whether the pack is whole

        def close(self) -> None:
            self._reader.close()

    monkeypatch.setattr(warehouse.packs, "open", Unstable)
    found = check(warehouse, repair=True)
    assert (found.damaged, found.finding_count, found.repaired) == (0, 1, 0)
    assert "not to be trusted" in found.findings[0]


def test_a_chunk_that_moves_while_it_is_checked_is_no_finding(
    warehouse: Warehouse, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.content(random.Random(0).randbytes(500), b"kept")
    warehouse.file(warehouse.content(b"kept"))
    clock.advance(seconds=GRACE)
    opened = warehouse.packs.open
    moved: list[int] = []

    def open_late(pack_id: bytes, *, first: tuple[int, int]) -> PackReader:
        if not moved:
            monkeypatch.setattr(warehouse.packs, "open", opened)
            moved.append(warehouse.collector.collect().rewritten_packs)
            warehouse.packs.remove(pack_id)
        return opened(pack_id, first=first)

    monkeypatch.setattr(warehouse.packs, "open", open_late)
    found = check(warehouse)
    assert moved == [1]
    assert found.damaged == 0


# --- The scrub -------------------------------------------------------------------------------------------------------


def test_the_scrub_verifies_every_pack_once_in_all_its_turns(
    warehouse: Warehouse, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.blobs.scrub.SHARES", 3)
    for seed in range(8):
        warehouse.file(warehouse.content(random.Random(seed).randbytes(50)))
    for pack in warehouse.rows(Pack):
        warehouse.flip(pack.id, 10)
    damaged = []
    for _ in range(3):
        damaged.append(scrub(warehouse.db, warehouse.packs, sleep=lambda seconds: None))
        clock.advance(seconds=EVERY_US / 1_000_000)
    assert sum(damaged) == 8
    assert {chunk.state for chunk in warehouse.rows(Chunk)} == {DAMAGED}


def test_the_scrub_leaves_it_to_an_operator_to_give_up_a_pack_that_is_gone(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.blobs.scrub.SHARES", 1)
    warehouse.file(warehouse.content(b"chunk"))
    (pack,) = warehouse.rows(Pack)
    warehouse.packs.remove(pack.id)
    assert scrub(warehouse.db, warehouse.packs, sleep=lambda seconds: None) == 1
    assert {chunk.state for chunk in warehouse.rows(Chunk)} == {LIVE}


def test_the_scrub_leaves_time_to_others_and_none_once_it_is_stopped(
    warehouse: Warehouse, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.blobs.scrub.SHARES", 1)
    monkeypatch.setattr("store.blobs.scrub.BYTES_PER_SECOND", 50)
    for seed in range(2):
        warehouse.content(random.Random(seed).randbytes(100))
    slept: list[float] = []
    scrub(warehouse.db, warehouse.packs, sleep=slept.append)
    assert sum(slept) == 4
    clock.advance(seconds=EVERY_US / 1_000_000)
    slept.clear()
    scrub(warehouse.db, warehouse.packs, stopped=lambda: bool(slept), sleep=slept.append)
    assert len(slept) == 1


def test_the_scrub_takes_one_turn_an_hour_and_goes_on_where_it_was_stopped(
    warehouse: Warehouse, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.blobs.scrub.SHARES", 1)
    warehouse.file(warehouse.content(b"chunk"))
    (pack,) = warehouse.rows(Pack)
    warehouse.flip(pack.id, 0)

    def turn(*, stopped: bool = False) -> int:
        return scrub(warehouse.db, warehouse.packs, stopped=lambda: stopped, sleep=lambda seconds: None)

    assert turn(stopped=True) == 0
    assert turn() == 0  # not yet
    clock.advance(seconds=EVERY_US / 1_000_000)
    assert turn() == 1
    assert SHARES * EVERY_US == 30 * 24 * 3600 * 1_000_000


# --- Reading ---------------------------------------------------------------------------------------------------------


def read(warehouse: Warehouse, content_id: bytes) -> bytes:
    (row,) = [row for row in warehouse.rows(Content) if row.id == content_id]
    content = ContentRow(row.id, row.organization_id, row.sha256, row.size_bytes)
    with ContentReader(ChunkSource(warehouse.db, warehouse.packs, content)) as reader:
        return reader.read()


def test_damage_that_a_reader_finds_makes_the_chunk_missing_until_it_comes_again(warehouse: Warehouse) -> None:
    content_id = warehouse.content(b"first", b"second")
    (pack,) = warehouse.rows(Pack)
    warehouse.flip(pack.id, 7)
    with pytest.raises(ChunkLost):
        read(warehouse, content_id)
    assert {chunk.size_bytes: chunk.state for chunk in warehouse.rows(Chunk)} == {5: LIVE, 6: DAMAGED}
    warehouse.content(b"first", b"second")
    assert read(warehouse, content_id) == b"firstsecond"


def test_a_pack_that_a_reader_does_not_find_marks_nothing(warehouse: Warehouse) -> None:
    content_id = warehouse.content(b"chunk")
    (pack,) = warehouse.rows(Pack)
    warehouse.packs.remove(pack.id)
    with pytest.raises(ChunkLost):
        read(warehouse, content_id)
    assert {chunk.state for chunk in warehouse.rows(Chunk)} == {LIVE}


def test_a_content_that_moves_while_it_is_read_is_read_to_its_end(warehouse: Warehouse, clock: ManualClock) -> None:
    chunks = [random.Random(seed).randbytes(200) for seed in range(3)]
    warehouse.content(random.Random(9).randbytes(5000), *chunks)
    content_id = warehouse.content(*chunks)
    warehouse.file(content_id)
    clock.advance(seconds=GRACE)
    (row,) = [row for row in warehouse.rows(Content) if row.id == content_id]
    content = ContentRow(row.id, row.organization_id, row.sha256, row.size_bytes)
    with ContentReader(ChunkSource(warehouse.db, warehouse.packs, content)) as reader:
        data = reader.read(100)
        assert warehouse.collector.collect().rewritten_packs == 1
        clock.advance(seconds=GRACE)
        assert warehouse.collector.collect().packs == 1
        assert data + reader.read() == b"".join(chunks)
