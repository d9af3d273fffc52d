"""Files over a backend that goes wrong: what was answered is there, byte for byte, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from store.blobs.s3_client import Bucket
from store.errors import BlobsDown, ChunkLost
from store.files.rows import UploadDraft, UploadedFile
from tests.blobs.faulty_packs import DO_THEN_RAISE, FaultyPacks, by_chance
from tests.clocks import ManualClock
from tests.conftest import opened
from tests.contract.acme import Acme
from tests.contract.shelf import Shelf, content_of
from tests.s3_server import S3Server

KIB = 1024


@dataclass
class Faulty:
    """A shelf, and the backend below it."""

    shelf: Shelf
    packs: FaultyPacks

    def tried(self, content: bytes, draft: UploadDraft) -> UploadedFile | None:
        """The answer, or None when there was none."""
        try:
            return self.shelf.send(content, draft)
        except BlobsDown:
            return None

    def read(self, uploaded: UploadedFile) -> bytes | None:
        """The bytes, or None when that is what was said."""
        try:
            return self.shelf.download(uploaded.file)
        except (BlobsDown, ChunkLost):
            return None


@pytest.fixture(params=["folder", "bucket"])
def faulty(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Faulty]:
    place: Path | Bucket = tmp_path / "blobs"
    if request.param == "bucket":
        s3_server: S3Server = request.getfixturevalue("s3_server")
        place = s3_server.fresh_bucket()
    with opened(f"sqlite://{tmp_path}/registry.db", clock) as database:
        database.migrate()
        acme = Acme(database, "web", "api", "cli")
        acme.release("app@1.0.0", "web", "api")
        shelf = Shelf(acme, place)
        packs = FaultyPacks(shelf.blobs.packs)
        shelf.blobs.packs = packs
        yield Faulty(shelf, packs)
        shelf.blobs.close()


@pytest.mark.parametrize("seed", range(4))
def test_a_file_exists_exactly_when_that_was_answered(faulty: Faulty, seed: int) -> None:
    answered: dict[str, tuple[UploadedFile, bytes]] = {}
    failed: dict[str, tuple[UploadDraft, bytes]] = {}
    faulty.packs.plan = by_chance(seed, 0.15)
    for number in range(24):
        name = f"file-{number}"
        content = content_of(20 * KIB + number * 97 * KIB, seed=number // 2)  # every second begins like the one before
        draft = faulty.shelf.draft(name)
        uploaded = faulty.tried(content, draft)
        if uploaded is None:
            failed[name] = (draft, content)
        else:
            answered[name] = (uploaded, content)
            assert faulty.read(uploaded) in (content, None)

    faulty.packs.plan = None
    assert sorted(faulty.shelf.names()) == sorted(answered)
    assert all(faulty.shelf.download(uploaded.file) == content for uploaded, content in answered.values())
    assert answered
    assert failed
    assert len(faulty.packs.made) > 5
    for draft, content in failed.values():
        assert faulty.shelf.download(faulty.shelf.send(content, draft).file) == content


def test_an_answer_that_was_lost_is_no_promise(faulty: Faulty) -> None:
    faults = iter([DO_THEN_RAISE])
    faulty.packs.plan = lambda operation: next(faults, None) if operation == "sync" else None
    draft, content = faulty.shelf.draft(), content_of(300 * KIB)

    assert faulty.tried(content, draft) is None
    assert faulty.shelf.names() == []

    assert faulty.shelf.download(faulty.shelf.send(content, draft).file) == content
    assert faulty.shelf.names() == ["app.js"]


def test_a_backend_that_is_down_for_good_loses_nothing(faulty: Faulty) -> None:
    before = faulty.shelf.upload(content_of(300 * KIB, seed=1), "before")
    faulty.packs.plan = by_chance(1, 1.0)
    for number in range(3):
        assert faulty.read(before) in (None, content_of(300 * KIB, seed=1))
        assert faulty.tried(content_of(300 * KIB, seed=2), faulty.shelf.draft(f"file-{number}")) is None

    faulty.packs.plan = None
    assert faulty.shelf.names() == ["before"]
    assert faulty.read(before) == content_of(300 * KIB, seed=1)
