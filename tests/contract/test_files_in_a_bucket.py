"""The contract of files once more, with their bytes in a bucket: the neighbours' tests that look into no folder."""

from __future__ import annotations

import pytest

from store.blobs.models import Chunk, Pack
from store.blobs.s3 import key_of
from store.blobs.s3_client import Bucket
from store.errors import ChunkLost
from tests.contract.bucket import empty_bucket, shelf_in_a_bucket, sqlite_url  # noqa: F401 - fixtures
from tests.contract.shelf import Shelf, content_of
from tests.contract.test_assemble import (  # noqa: F401 - they are this module's tests, too
    test_a_caller_who_is_gone_ends_the_reading,
    test_a_chunk_of_another_size_than_listed_is_refused,
    test_a_chunk_that_is_removed_behind_its_page_is_missing_in_the_end,
    test_a_damaged_chunk_is_missing_from_then_on_and_mended_when_it_comes_again,
    test_a_damaged_frame_is_missing,
    test_a_file_of_chunks_reads_back,
    test_a_file_of_which_chunks_are_missing_names_them_in_order,
    test_a_file_that_is_not_what_was_announced_is_not_made,
    test_a_finished_upload_answers_its_file_without_a_list,
    test_a_list_comes_in_pages_and_names_a_chunk_several_times,
    test_a_long_list_of_missing_chunks_is_cut_and_counted,
    test_a_small_file_lies_in_its_row,
    test_assembling_keeps_the_chunks_for_another_grace_time,
    test_chunks_of_another_organization_are_missing,
    test_chunks_that_came_as_frames_read_back,
    test_content_that_came_by_the_other_door_is_not_stored_again,
    test_the_same_content_is_the_same_file_and_other_content_only_a_replacement,
)
from tests.contract.test_assemble_turns import (  # noqa: F401 - they are this module's tests, too
    test_a_cancelled_upload_cannot_be_assembled,
    test_a_later_assembly_takes_over,
    test_a_release_that_is_deleted_meanwhile_gets_no_file,
    test_an_assembly_and_a_stream_of_one_upload_take_over_from_one_another,
    test_an_assembly_of_an_upload_that_streamed_bytes_leaves_them_until_it_is_finished,
    test_an_upload_of_a_release_that_the_caller_may_not_write_looks_missing,
    test_an_upload_that_is_not_there_cannot_be_assembled,
)
from tests.contract.test_chunks import (  # noqa: F401 - they are this module's tests, too
    test_a_chunk_that_is_not_what_it_says_is_refused,
    test_a_damaged_chunk_is_missing,
    test_a_frame_of_other_bytes_is_refused,
    test_a_frame_that_saves_nothing_is_stored_unpacked,
    test_a_stream_that_is_cut_leaves_nothing_of_its_last_group,
    test_a_window_of_8_mib_is_taken,
    test_chunks_of_a_stream_with_another_count_are_not_kept,
    test_chunks_of_one_organization_are_not_those_of_another,
    test_data_that_is_no_single_sound_frame_is_refused,
    test_frames_and_plain_chunks_of_the_same_bytes_are_the_same_chunk,
    test_looking_for_a_chunk_keeps_it_for_another_grace_time,
    test_looking_for_more_chunks_than_one_write_takes,
    test_sending_a_chunk_again_keeps_it_for_another_grace_time,
    test_streams_side_by_side_bring_the_chunks_of_a_file_in_any_order,
    test_what_was_never_sent_is_missing_each_once_and_in_order,
    test_what_was_sent_is_not_missing,
)
from tests.contract.test_content_reader import (  # noqa: F401 - they are this module's tests, too
    large,
    test_a_closed_one_is_closed,
    test_a_position_beyond_the_end_stays_there,
    test_damage_is_raised_and_what_lies_around_it_can_be_read,
    test_it_is_a_buffered_file_that_wrappers_take,
    test_short_reads_give_some_of_the_next_bytes,
)
from tests.contract.test_files_change import (  # noqa: F401 - they are this module's tests, too
    test_a_deleted_file_is_gone_and_its_name_is_free,
    test_a_download_goes_on_when_its_file_is_deleted,
    test_a_file_is_renamed_and_stays_itself,
    test_a_name_that_another_file_has_is_refused_whatever_is_in_it,
    test_a_renamed_file_collides_by_its_new_name,
    test_a_validated_deletion_deletes_nothing,
    test_headers_are_replaced_as_a_whole_and_cleared,
    test_nothing_named_changes_nothing,
    test_the_contents_of_a_deleted_release_have_their_grace_time,
    test_what_is_not_the_callers_to_write_looks_as_if_it_were_not_there,
)
from tests.contract.test_files_create import (  # noqa: F401 - they are this module's tests, too
    test_a_collision_with_what_the_caller_cannot_see_is_not_told,
    test_a_project_that_is_not_the_releases_is_refused,
    test_an_organization_may_ask_for_more_to_download_a_kind,
    test_an_upload_may_replace_too,
    test_bad_fields_are_named,
    test_content_that_was_read_wrongly_is_asked_for_and_mended_by_its_upload,
    test_creating_from_content_marks_it_as_used,
    test_known_content_makes_a_file_without_a_byte,
    test_names_that_differ_in_case_or_form_only_collide,
    test_of_many_at_once_one_stands,
    test_only_who_may_write_the_release_creates,
    test_other_content_is_refused_unless_it_replaces,
    test_replacing_is_an_activity_of_the_files_projects,
    test_the_longest_folded_names_are_kept_and_found,
    test_the_same_content_again_is_the_same_file,
    test_unknown_content_of_others_and_lost_content_look_alike,
)
from tests.contract.test_files_download import (  # noqa: F401 - they are this module's tests, too
    test_a_file_is_found_under_its_own_release_only,
    test_a_flipped_bit_ends_in_chunk_lost_after_the_right_bytes,
    test_a_read_may_begin_at_the_end_and_not_beyond,
    test_every_range_is_what_was_asked_for,
    test_files_go_with_their_release,
    test_files_of_projects_that_are_not_the_callers_are_not_there,
    test_lists_are_sorted_by_code_point_and_walk_both_ways,
    test_open_membership_shows_the_files_of_all_projects,
    test_pages_show_only_what_the_caller_sees,
    test_rows_that_do_not_fit_are_chunk_lost,
)
from tests.contract.test_files_upload import (  # noqa: F401 - they are this module's tests, too
    test_a_file_comes_back_byte_for_byte,
    test_a_later_stream_takes_an_upload_over,
    test_an_upload_id_is_good_for_one_header,
    test_file_name_project_and_dist_together_tell_files_apart,
    test_of_two_streams_that_begin_at_once_one_wins,
    test_organizations_share_nothing,
    test_other_content_is_refused_before_it_travels_when_its_digest_is_announced,
    test_other_content_under_the_same_key_is_refused,
    test_parallel_uploads_of_one_content_all_succeed,
    test_parallel_uploads_of_one_name_make_one_file,
    test_small_content_lies_in_its_row,
    test_the_same_content_under_the_same_key_is_the_same_file,
    test_the_same_upload_again_is_answered_as_at_first,
    test_two_small_streams_of_one_upload_make_one_file,
    test_two_streams_of_one_upload_with_other_bytes_do_not_get_one_answer,
    test_uploads_are_forgotten_after_a_day,
    test_where_frames_end_changes_nothing,
)
from tests.contract.test_files_upload_refused import (  # noqa: F401 - they are this module's tests, too
    test_a_caller_who_loses_a_project_meanwhile_finishes_nothing,
    test_a_release_deleted_meanwhile_gets_no_file,
    test_a_small_upload_that_is_cut_leaves_nothing,
    test_a_wrong_size_or_digest_leaves_nothing,
    test_files_change_no_other_counter_and_no_etag,
    test_files_go_into_releases_all_of_whose_projects_the_caller_may_access,
    test_names_are_data_and_come_back_as_they_are,
    test_names_that_are_refused,
    test_no_connection_is_held_while_bytes_come,
    test_other_fields_that_are_refused,
    test_the_first_byte_too_many_is_refused,
    test_the_first_data_says_its_offset_and_later_ones_go_on,
    test_the_project_is_one_of_the_release,
    test_too_large_a_file_is_refused_before_its_bytes_and_while_they_come,
)
from tests.s3_server import S3Server

MIB = 2**20


@pytest.mark.parametrize("is_gone", [False, True])
def test_lost_objects_are_told_and_mended_when_their_content_comes_again(
    shelf: Shelf, s3_server: S3Server, bucket: Bucket, is_gone: bool
) -> None:
    content = content_of(3 * MIB)
    file = shelf.upload(content).file
    for pack in shelf.rows(Pack):
        if is_gone:
            shelf.blobs.packs.remove(pack.id)
        else:
            damaged = bytearray(s3_server.get(bucket, key_of(pack.id)))
            damaged[len(damaged) // 2] ^= 1
            s3_server.put(bucket, key_of(pack.id), bytes(damaged))

    with pytest.raises(ChunkLost):
        shelf.download(file)
    again = shelf.upload(content, "again.js").file

    assert shelf.download(again) == shelf.download(file) == content
    assert {row.pack_id for row in shelf.rows(Chunk)} <= {pack.id for pack in shelf.blobs.packs.list_packs()}


def test_a_pack_row_tells_how_many_bytes_of_chunks_its_object_has(shelf: Shelf) -> None:
    shelf.upload(content_of(20 * MIB))

    listed = {pack.id: pack.size_bytes for pack in shelf.blobs.packs.list_packs()}
    rows = shelf.rows(Pack)

    assert {row.id for row in rows} == set(listed)
    assert all(0 < listed[row.id] - row.size_bytes < 2000 for row in rows)  # the index is not the pack's
    assert sum(row.size_bytes for row in rows) == 20 * MIB
    assert len(listed) >= 3
