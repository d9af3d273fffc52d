"""Collecting and checking once more, with the packs in a bucket: the neighbours' tests that look into no folder.

On SQLite alone: what the database does is shown there, on both.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.blobs.s3 import S3Packs
from store.database import Database
from tests.collection.test_check import (  # noqa: F401 - they are this module's tests, too
    test_a_content_that_moves_while_it_is_read_is_read_to_its_end,
    test_a_pack_that_a_reader_does_not_find_marks_nothing,
    test_a_pack_that_is_gone_loses_its_chunks,
    test_a_pack_that_no_row_knows_is_removed_when_it_is_old,
    test_a_share_of_the_chunks_is_read_and_all_rows_are_checked,
    test_a_sound_store_has_no_findings,
    test_bytes_with_the_right_checksum_and_the_wrong_digest_are_found,
    test_rows_that_others_do_not_bear_out_are_found,
)
from tests.collection.test_collector import (  # noqa: F401 - they are this module's tests, too
    test_a_chunk_that_another_content_has_too_stays,
    test_a_chunk_that_another_organization_has_too_is_another_chunk,
    test_a_collector_that_is_killed_at_the_removal_of_a_file_leaves_its_row_to_the_next,
    test_a_collector_that_lost_its_lease_changes_nothing,
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
    test_what_nothing_refers_to_goes_with_its_bytes,
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
