"""Pictures of organizations once more, with their bytes in a bucket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from store.blobs.s3_client import Bucket
from store.database import Database
from tests.contract.bucket import empty_bucket, sqlite_url  # noqa: F401 - fixtures
from tests.contract.test_avatars import (  # noqa: F401 - they are this module's tests, too
    Gallery,
    test_a_large_picture_goes_through_the_blob_store_in_chunks,
    test_a_new_picture_takes_the_place_of_the_old_one_and_has_another_uid,
    test_a_picture_whose_bytes_were_damaged_is_refused_and_mended_by_the_next_upload,
    test_a_restarted_server_hands_out_the_same_picture,
    test_an_organization_that_was_deleted_meanwhile_gets_no_picture,
    test_an_uploaded_picture_stands_for_the_organization_and_is_handed_out,
    test_the_collector_takes_the_old_picture_after_its_grace_and_never_the_new_one,
    test_the_collector_takes_the_picture_of_a_deleted_organization,
    test_the_same_picture_of_two_organizations_is_two_contents,
    test_what_is_refused_leaves_the_picture_that_is_there,
)


@pytest.fixture(name="gallery")
def gallery_in_a_bucket(database: Database, bucket: Bucket) -> Iterator[Gallery]:
    gallery = Gallery(database, bucket)
    yield gallery
    gallery.store.blobs.close()
