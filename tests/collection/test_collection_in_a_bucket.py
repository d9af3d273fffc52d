"""Collecting, checking and writing anew once more, with the packs in a bucket: the neighbours' tests.

On SQLite alone: what the database does is shown there, on both.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.blobs.check import check_storage
from store.blobs.models import Chunk, Pack
from store.blobs.s3 import S3Packs
from store.blobs.s3_streams import Part
from store.database import Database
from tests.collection.test_check import (  # noqa: F401 - they are this module's tests, too
    test_a_content_that_moves_while_it_is_read_is_read_to_its_end,
    test_a_flipped_bit_is_found_and_the_chunk_is_missing_until_it_comes_again,
    test_a_pack_that_a_reader_does_not_find_marks_nothing,
    test_a_pack_that_comes_back_brings_its_chunks_back,
    test_a_pack_that_is_gone_loses_its_chunks,
    test_a_pack_that_no_row_knows_is_removed_when_it_is_old,
    test_a_pack_that_was_cut_is_found_though_no_chunk_is_read,
    test_a_share_of_the_chunks_is_read_and_all_rows_are_checked,
    test_a_sound_store_has_no_findings,
    test_bytes_with_the_right_checksum_and_the_wrong_digest_are_found,
    test_damage_that_a_reader_finds_makes_the_chunk_missing_until_it_comes_again,
    test_rows_that_others_do_not_bear_out_are_found,
    test_the_scrub_leaves_it_to_an_operator_to_give_up_a_pack_that_is_gone,
    test_the_scrub_verifies_every_pack_once_in_all_its_turns,
)
from tests.collection.test_collector import (  # noqa: F401 - they are this module's tests, too
    test_a_chunk_that_another_content_has_too_stays,
    test_a_chunk_that_another_organization_has_too_is_another_chunk,
    test_a_collector_that_is_killed_at_the_removal_of_a_file_leaves_its_row_to_the_next,
    test_a_collector_that_lost_its_lease_changes_nothing,
    test_a_damaged_chunk_is_not_carried_into_a_new_pack,
    test_a_file_that_cannot_be_removed_is_removed_by_a_later_pass,
    test_a_grace_time_that_is_none_is_refused,
    test_a_lease_of_a_holder_that_died_runs_out,
    test_a_mostly_empty_pack_is_written_anew_and_goes_after_the_grace_time,
    test_a_pack_that_is_being_written_to_stays,
    test_a_pack_that_is_written_anew_is_compressed_where_it_pays,
    test_a_pass_ends_between_two_steps_when_it_is_stopped,
    test_a_preview_counts_what_a_pass_then_removes_and_removes_nothing,
    test_a_removed_pack_is_missing,
    test_chunks_of_an_open_upload_stay_until_it_ends,
    test_nothing_goes_within_the_grace_time,
    test_one_collector_works_at_a_time,
    test_packs_that_no_row_knows_go_when_it_is_confirmed_and_they_are_old,
    test_what_a_file_refers_to_stays,
    test_what_is_left_of_a_rewriting_that_was_killed_is_collected,
    test_what_nothing_refers_to_goes_with_its_bytes,
)
from tests.collection.test_merging import (  # noqa: F401 - they are this module's tests, too
    few_are_many,
    test_a_collector_that_loses_its_lease_while_it_merges_switches_and_leaves_nothing,
    test_a_full_pack_is_not_merged,
    test_a_pack_that_cannot_be_read_now_does_not_hinder_the_others,
    test_a_reader_goes_on_while_its_packs_are_merged_and_removed,
    test_damage_and_loss_in_some_packs_do_not_hinder_the_others,
    test_few_small_packs_stay_as_they_are,
    test_many_small_packs_become_one_and_go_after_the_grace_time,
    test_packs_of_different_organizations_do_not_mix,
)
from tests.collection.warehouse import Warehouse
from tests.s3_server import S3Server


@pytest.fixture(name="database_url")
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/registry.db"


@pytest.fixture(name="warehouse")
def warehouse_in_a_bucket(database: Database, s3_server: S3Server, tmp_path: Path) -> Iterator[Warehouse]:
    """An empty blob store in a bucket beside a fresh database."""
    packs = S3Packs(s3_server.fresh_bucket(), registry_id=b"\1" * 16, expected=False, streams=2)
    yield Warehouse(database, tmp_path / "blobs", packs=packs)
    packs.close()


def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, int, int]]:
    """The parts of packs that are asked for from now on: pack, offset and length."""
    parts: list[tuple[bytes, int, int]] = []
    get = S3Packs.get

    def noted(self: S3Packs, pack_id: bytes, offset: int, length: int) -> Part | None:
        parts.append((pack_id, offset, length))
        return get(self, pack_id, offset, length)

    monkeypatch.setattr(S3Packs, "get", noted)
    return parts


def test_a_pack_of_which_nothing_is_to_be_read_costs_one_small_request(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        warehouse.file(warehouse.content(*(random.Random(f"{seed} {n}").randbytes(100_000) for n in range(5))))
    sizes = {pack.id: pack.size_bytes for pack in warehouse.rows(Pack)}
    monkeypatch.setattr("store.blobs.check._sample", lambda percent: lambda sha256: False)
    parts = asked(monkeypatch)
    found = check_storage(warehouse.db, warehouse.packs, cutoff=0, percent=1)
    assert (found.chunks, found.finding_count) == (0, 0)
    assert sorted(parts) == sorted((pack_id, size_bytes, 16 * 1024) for pack_id, size_bytes in sizes.items())


def test_a_row_that_a_packs_index_does_not_bear_out_is_read_whatever_the_share(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.file(warehouse.content(b"first", b"other"))
    monkeypatch.setattr("store.blobs.check._sample", lambda percent: lambda sha256: False)
    wrong = Chunk.update({Chunk.checksum: bytes(8)}).where(Chunk.pack_offset == 5)
    warehouse.change(wrong)
    found = check_storage(warehouse.db, warehouse.packs, cutoff=0, percent=1)
    assert (found.chunks, found.damaged, found.finding_count) == (1, 1, 1)
    assert "does not have its checksum" in found.findings[0]


def test_a_pack_with_a_damaged_index_is_told_and_read_whole(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.file(warehouse.content(b"first", b"other"))
    (pack,) = warehouse.rows(Pack)
    monkeypatch.setattr("store.blobs.check._sample", lambda percent: lambda sha256: False)
    warehouse.flip(pack.id, pack.size_bytes + 5)
    found = check_storage(warehouse.db, warehouse.packs, cutoff=0, percent=1)
    assert (found.chunks, found.damaged) == (2, 0)
    assert found.findings == [f"pack {pack.id.hex()} has a damaged index, so all of its chunks are read"]
