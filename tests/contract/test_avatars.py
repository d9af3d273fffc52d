"""UploadAvatar and DownloadAvatar: a picture is kept as a content of its organization."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from peewee import Model

from store import Store
from store.access import Access
from store.blobs.blobs import open_blobs
from store.blobs.collector import Collector
from store.blobs.models import Chunk, Content, Pack
from store.blobs.s3_client import Bucket
from store.database import Database
from store.errors import (
    AvatarInvalid,
    AvatarNotFound,
    ChunkLost,
    DigestMismatch,
    FileTooLarge,
    OrganizationNotFound,
    SizeMismatch,
    StorageFull,
)
from store.organizations.avatars import AvatarPicture, get_avatar, start_avatar
from store.organizations.delete import delete_organization
from store.organizations.details import AvatarType, OrganizationDetails
from store.organizations.organizations import OrganizationChanges, get_organization, update_organization
from store.organizations.pictures import Pictures
from store.paging import open_page_tokens
from tests.blobs.harm import flip_bit
from tests.clocks import ManualClock
from tests.contract.acme import Acme
from tests.contract.callers import OPERATOR
from tests.pictures import BLUE, RED, is_about, noise, opened, picture


class Gallery:
    """The organization acme, and shorthands for what tests do with its picture."""

    def __init__(self, database: Database, place: Path | Bucket) -> None:
        self.acme = Acme(database)
        self.store = Store(database, open_blobs(database, place), open_page_tokens(database))

    def upload(
        self, data: bytes, *, access: Access | None = None, slug: str = "acme", pieces: int = 100_000
    ) -> OrganizationDetails:
        with start_avatar(self.store, access or self.acme.everybody, slug) as upload:
            for start in range(0, len(data), pieces):
                upload.write(data[start : start + pieces])
            return upload.finish(size_bytes=len(data), sha256=hashlib.sha256(data).digest())

    def download(self, size: int = 120, *, access: Access | None = None, slug: str = "acme") -> AvatarPicture:
        return get_avatar(self.store, access or self.acme.everybody, slug, size_pixels=size)

    def get(self) -> OrganizationDetails:
        return get_organization(self.store.db, OPERATOR, "acme")

    def rows(self, model: type[Model]) -> list[Any]:
        rows: list[Any] = self.store.db.read(lambda reader: reader.fetch(model.select()))
        return rows


@pytest.fixture
def gallery(database: Database, tmp_path: Path) -> Iterator[Gallery]:
    gallery = Gallery(database, tmp_path / "blobs")
    yield gallery
    gallery.store.blobs.close()


def colour_of(picture: AvatarPicture) -> Any:
    return opened(picture.data).getpixel((9, 9))


def test_an_uploaded_picture_stands_for_the_organization_and_is_handed_out(
    gallery: Gallery, clock: ManualClock
) -> None:
    created = gallery.get()
    clock.advance(seconds=1)
    changed = gallery.upload(picture("JPEG", 300))
    assert changed.avatar_type is AvatarType.UPLOAD
    assert changed.avatar_uid is not None
    assert changed.update_time == created.update_time + 1_000_000
    assert gallery.get() == changed
    got = gallery.download(64)
    assert (got.size_pixels, got.avatar_uid) == (64, changed.avatar_uid)
    assert opened(got.data).size == (64, 64)
    assert is_about(colour_of(got), RED)


def test_a_large_picture_goes_through_the_blob_store_in_chunks(gallery: Gallery) -> None:
    gallery.upload(noise(1024))
    assert gallery.rows(Chunk)
    assert opened(gallery.download().data).size == (120, 120)


def test_the_change_is_told(gallery: Gallery) -> None:
    first = gallery.upload(picture())
    second = gallery.upload(picture(colour=BLUE))
    first_uid, second_uid = (str(UUID(bytes=each.avatar_uid)) for each in (first, second))
    assert gallery.acme.changes() == [
        {"avatar_type": ["LETTER", "UPLOAD"], "avatar_uid": [None, first_uid]},
        {"avatar_uid": [first_uid, second_uid]},
    ]


def test_a_new_picture_takes_the_place_of_the_old_one_and_has_another_uid(gallery: Gallery) -> None:
    first = gallery.upload(picture())
    gallery.download()
    second = gallery.upload(picture(colour=BLUE))
    assert second.avatar_uid != first.avatar_uid
    assert second.avatar_content_id != first.avatar_content_id
    assert is_about(colour_of(gallery.download()), BLUE)


def test_the_same_picture_again_changes_nothing(gallery: Gallery, clock: ManualClock) -> None:
    first = gallery.upload(picture())
    clock.advance(seconds=1)
    assert gallery.upload(picture()) == first
    assert gallery.upload(picture("PNG", compress_level=0)) == first  # other bytes, the same picture
    assert len(gallery.acme.changes()) == 1
    assert len(gallery.rows(Content)) == 1


def test_a_letter_keeps_the_picture_and_it_can_stand_for_the_organization_again(gallery: Gallery) -> None:
    uploaded = gallery.upload(picture())
    for type_ in (AvatarType.LETTER, AvatarType.UPLOAD):
        changed: OrganizationDetails = update_organization(
            gallery.store.db, gallery.acme.everybody, "acme", OrganizationChanges(avatar_type=type_)
        )
        assert (changed.avatar_type, changed.avatar_uid) == (type_, uploaded.avatar_uid)
        assert gallery.download().avatar_uid == uploaded.avatar_uid


def test_uploading_the_picture_that_is_there_brings_it_back_in_place_of_the_letter(gallery: Gallery) -> None:
    uploaded = gallery.upload(picture())
    update_organization(
        gallery.store.db, gallery.acme.everybody, "acme", OrganizationChanges(avatar_type=AvatarType.LETTER)
    )
    again = gallery.upload(picture())
    assert (again.avatar_type, again.avatar_uid) == (AvatarType.UPLOAD, uploaded.avatar_uid)


def test_an_organization_without_a_picture_says_so(gallery: Gallery) -> None:
    with pytest.raises(AvatarNotFound) as refused:
        gallery.download()
    assert refused.value.metadata == {"name": "organizations/acme"}


def test_what_is_refused_leaves_the_picture_that_is_there(gallery: Gallery) -> None:
    kept = gallery.upload(picture())
    contents = len(gallery.rows(Content))
    for data in (b"no picture", b"", picture("BMP"), picture("PNG", 100)):
        with pytest.raises(AvatarInvalid):
            gallery.upload(data)
    with pytest.raises(FileTooLarge) as refused:
        gallery.upload(bytes(5_000_001))
    assert refused.value.metadata == {"max_bytes": "5000000"}
    assert (gallery.get(), len(gallery.rows(Content))) == (kept, contents)


def test_a_wrong_size_or_digest_is_told_before_anything_else(gallery: Gallery) -> None:
    with start_avatar(gallery.store, OPERATOR, "acme") as upload:
        upload.write(b"abc")
        with pytest.raises(SizeMismatch):
            upload.finish(size_bytes=4, sha256=bytes(32))
        with pytest.raises(DigestMismatch):
            upload.finish(size_bytes=3, sha256=bytes(32))
    assert gallery.get().avatar_uid is None


def test_another_organization_is_not_there(gallery: Gallery) -> None:
    other = Acme(gallery.store.db, slug="other")
    gallery.upload(picture())
    with pytest.raises(OrganizationNotFound):
        start_avatar(gallery.store, other.everybody, "acme")
    with pytest.raises(OrganizationNotFound):
        gallery.download(access=other.everybody)


def test_the_same_picture_of_two_organizations_is_two_contents(gallery: Gallery) -> None:
    Acme(gallery.store.db, slug="other")
    first, second = gallery.upload(picture()), gallery.upload(picture(), access=OPERATOR, slug="other")
    assert first.avatar_content_id != second.avatar_content_id
    assert first.avatar_uid != second.avatar_uid


def test_an_organization_that_was_deleted_meanwhile_gets_no_picture(gallery: Gallery) -> None:
    data = noise(512)
    with start_avatar(gallery.store, OPERATOR, "acme") as upload:
        upload.write(data)
        delete_organization(gallery.store.db, OPERATOR, "acme")
        with pytest.raises(OrganizationNotFound):
            upload.finish(size_bytes=len(data), sha256=hashlib.sha256(data).digest())
    assert gallery.rows(Content) == []


def test_a_picture_whose_bytes_were_damaged_is_refused_and_mended_by_the_next_upload(gallery: Gallery) -> None:
    data = noise(512)
    uploaded = gallery.upload(data)
    (pack,) = gallery.rows(Pack)
    flip_bit(gallery.store.blobs.packs, pack.id, pack.size_bytes // 2)
    with pytest.raises(ChunkLost):
        gallery.download()
    assert gallery.upload(data) == uploaded
    assert opened(gallery.download().data).size == (120, 120)


def test_a_restarted_server_hands_out_the_same_picture(gallery: Gallery) -> None:
    gallery.upload(noise(300))
    before = gallery.download(96)
    fresh = Store(gallery.store.db, gallery.store.blobs, gallery.store.page_tokens, Pictures())
    assert get_avatar(fresh, OPERATOR, "acme", size_pixels=96) == before


def test_the_collector_takes_the_old_picture_after_its_grace_and_never_the_new_one(
    gallery: Gallery, clock: ManualClock
) -> None:
    collector = Collector(gallery.store.db, gallery.store.blobs.packs, grace_seconds=100)
    gallery.upload(noise(300))
    clock.advance(seconds=1000)
    second = gallery.upload(noise(400))
    assert collector.collect().contents == 0  # whoever reads the old one may end
    clock.advance(seconds=101)
    assert collector.collect().contents == 1
    assert [content.id for content in gallery.rows(Content)] == [second.avatar_content_id]
    assert opened(gallery.download().data).size == (120, 120)


def test_the_collector_takes_the_picture_of_a_deleted_organization(gallery: Gallery, clock: ManualClock) -> None:
    gallery.upload(noise(300))
    delete_organization(gallery.store.db, OPERATOR, "acme")
    clock.advance(seconds=1000)
    collector = Collector(gallery.store.db, gallery.store.blobs.packs, grace_seconds=100)
    assert collector.collect().contents == 1
    assert (gallery.rows(Content), gallery.rows(Chunk)) == ([], [])


def test_a_full_disk_of_temporary_files_is_storage_full(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery.upload(picture(colour=RED))
    with monkeypatch.context() as patched:
        # The one device whose every write finds no space.
        patched.setattr(tempfile, "TemporaryFile", lambda: Path("/dev/full").open("r+b", buffering=0))  # noqa: SIM115
        with pytest.raises(StorageFull):
            gallery.upload(picture(colour=BLUE))
        with pytest.raises(StorageFull):
            gallery.download()

    assert is_about(colour_of(gallery.download()), RED)


def test_a_picture_whose_rows_cannot_be_written_leaves_no_bytes(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageFull

    with monkeypatch.context() as patched:
        patched.setattr("store.organizations.avatars.keep_received", full)
        with pytest.raises(StorageFull):
            gallery.upload(noise(256))

    assert list(gallery.store.blobs.packs.list_packs()) == []
