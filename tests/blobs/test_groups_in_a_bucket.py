"""When what came of an upload becomes objects: full ones, and rarely small ones (behaviour.md, Files)."""

from __future__ import annotations

import time

import pytest

from store.blobs import writing
from store.blobs.models import Pack
from store.blobs.s3 import OBJECT_BYTES
from store.files.rows import UploadDraft
from store.uploads.uploads import get_upload
from tests.contract.bucket import empty_bucket, shelf_in_a_bucket, sqlite_url  # noqa: F401 - fixtures
from tests.contract.shelf import Shelf, chunk_sizes, content_of, frames_of

MIB = 2**20
NEVER = 10.0**6


def committed(shelf: Shelf, draft: UploadDraft) -> int:
    found = get_upload(shelf.db, shelf.acme.everybody, organization="acme", upload_id=draft.upload_id)
    return found.committed_bytes


def wait_for(shelf: Shelf, draft: UploadDraft, size_bytes: int) -> None:
    deadline = time.monotonic() + 120
    while committed(shelf, draft) < size_bytes:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def object_sizes(shelf: Shelf) -> list[int]:
    return sorted((pack.size_bytes for pack in shelf.rows(Pack)), reverse=True)


def test_a_full_object_is_committed_while_its_stream_goes_on(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "RARE_SECONDS", NEVER)
    draft, content = shelf.draft(), content_of(20 * MIB)
    with shelf.open_upload(draft) as upload:
        for at, frame in enumerate(frames_of(content, MIB)):
            upload.write(frame, offset=at * MIB)
        wait_for(shelf, draft, 2 * OBJECT_BYTES)

        sizes = object_sizes(shelf)
        assert len(sizes) == 2
        assert all(OBJECT_BYTES <= size < OBJECT_BYTES + MIB for size in sizes)


def test_a_slow_stream_makes_no_object_for_each_of_its_seconds(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "GROUP_SECONDS", 0.0)  # a folder would sync after each block
    monkeypatch.setattr(writing, "RARE_SECONDS", NEVER)
    draft, content = shelf.draft(), content_of(6 * MIB)
    with shelf.open_upload(draft) as upload:
        for at, frame in enumerate(frames_of(content, MIB)):
            upload.write(frame, offset=at * MIB)

    assert len(object_sizes(shelf)) == 1  # of what came when it was cut
    assert committed(shelf, draft) == object_sizes(shelf)[0] >= 5 * MIB


def test_a_slow_stream_is_committed_now_and_then(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "GROUP_SECONDS", 0.01)
    monkeypatch.setattr(writing, "RARE_SECONDS", 0.01)
    draft, content = shelf.draft(), content_of(3 * MIB)
    sizes = chunk_sizes(content)
    with shelf.open_upload(draft) as upload:
        upload.write(content, offset=0)
        wait_for(shelf, draft, sum(sizes) - 2 * MIB)  # nothing more comes: what the open block has stays


def test_a_second_version_of_which_little_is_new_fills_its_objects(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "RARE_SECONDS", NEVER)
    monkeypatch.setattr(writing, "GROUP_BYTES", 2 * MIB)
    content = content_of(12 * MIB)
    shelf.upload(content)
    before = len(object_sizes(shelf))
    second = bytearray(content)
    for at in range(MIB, 12 * MIB, 3 * MIB):
        second[at] ^= 1

    file = shelf.upload(bytes(second), "second.js").file

    assert len(object_sizes(shelf)) == before + 1
    assert shelf.download(file) == second
