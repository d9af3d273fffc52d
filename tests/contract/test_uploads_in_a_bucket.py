"""The contract of uploads that are cut and go on once more, with their bytes in a bucket."""

from __future__ import annotations

from tests.contract.bucket import empty_bucket, shelf_in_a_bucket, sqlite_url  # noqa: F401 - fixtures
from tests.contract.test_uploads_resume import (  # noqa: F401 - they are this module's tests, too
    small_groups,
    test_a_cancelled_upload_is_closed,
    test_a_content_whose_list_of_chunks_is_damaged_is_mended_when_it_comes_again,
    test_a_cut_upload_goes_on_where_its_whole_chunks_end,
    test_a_damaged_small_file_is_mended_when_it_comes_again,
    test_a_file_in_the_way_is_found_at_the_end,
    test_a_finished_upload_cannot_be_cancelled,
    test_a_registered_upload_is_there_before_its_bytes,
    test_a_wrong_end_makes_the_upload_begin_anew,
    test_an_earlier_stream_is_ended_by_its_next_group,
    test_an_offset_beyond_what_is_committed_is_refused_with_it,
    test_an_upload_ends_a_day_after_its_last_byte,
    test_an_upload_goes_on_in_another_process,
    test_an_upload_that_ended_begins_anew_even_before_it_is_purged,
    test_an_upload_that_lacks_nothing_but_its_end_is_finished_without_a_byte,
    test_another_header_is_refused_while_the_upload_is_open,
    test_bytes_that_are_committed_are_passed_over,
    test_committed_bytes_never_go_down,
    test_damage_to_what_was_committed_makes_the_upload_begin_anew,
    test_damaged_chunks_are_mended_when_their_content_comes_again,
    test_groups_are_committed_while_the_stream_goes_on,
    test_the_file_of_a_cut_upload_is_cut_as_if_it_came_at_once,
    test_uploads_are_seen_by_who_may_write_to_their_release,
    test_what_an_earlier_stream_sent_last_is_not_kept_behind_the_back_of_the_later,
)
