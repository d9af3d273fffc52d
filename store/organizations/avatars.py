"""Avatars: the pictures that stand for organizations (behaviour.md, Avatars).

What is kept is the picture, made anew by a process of its own, not the file that came: no metadata, nothing behind its
end, nothing that only one decoder sees. It lies in the blob store as a content of the organization.
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import BinaryIO, Final, Self

from store import Store
from store.access import Access
from store.blobs.blobs import OUTCOME_UNKNOWN
from store.blobs.claims import touch_content
from store.blobs.contents import ContentRow
from store.blobs.keeping import Received, keep_received
from store.blobs.models import Content
from store.crashpoints import crashpoint
from store.database import Query, Reader, Transaction, hole, new_id
from store.errors import (
    AvatarInvalid,
    AvatarNotFound,
    DigestMismatch,
    FileTooLarge,
    OrganizationNotFound,
    RegistryError,
    SizeMismatch,
)
from store.organizations.details import BY_ID, UPDATE, AvatarType, OrganizationDetails, lock_details, write_details
from store.organizations.lookup import find_organization
from store.organizations.organizations import record_changes
from store.organizations.pictures import nearest_size, room
from store.organizations.rows import OrganizationRow

MAX_AVATAR_BYTES: Final = 5_000_000
_PIECE_BYTES: Final = 2**18

_CONTENT = Query(
    Content.select(Content.id, Content.organization_id, Content.sha256, Content.size_bytes).where(
        Content.id == hole(Content.id)
    ),
    row=ContentRow,
)


@dataclass(frozen=True, slots=True)
class AvatarPicture:
    """A picture as PNG, its side in pixels, and the uid by which it is told from others of the organization."""

    data: bytes
    size_pixels: int
    avatar_uid: bytes


class AvatarUpload:
    """A picture on its way in; a context manager that leaves nothing behind unless `finish` returned."""

    def __init__(self, store: Store, access: Access, slug: str) -> None:
        self._store, self._access, self._slug = store, access, slug
        with room():
            self._received = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._digest = hashlib.sha256()
        self._size_bytes = 0

    def write(self, data: bytes) -> None:
        """Takes the next bytes. Raises FileTooLarge, StorageFull."""
        self._size_bytes += len(data)
        if self._size_bytes > MAX_AVATAR_BYTES:
            raise FileTooLarge(MAX_AVATAR_BYTES)
        self._digest.update(data)
        with room():
            self._received.write(data)

    def finish(self, *, size_bytes: int, sha256: bytes) -> OrganizationDetails:
        """The organization, which the picture stands for from now on; size and SHA-256 are those that the sender saw.

        The picture that it has already changes nothing but the avatar type. Raises SizeMismatch, DigestMismatch,
        AvatarInvalid, OrganizationNotFound when it was deleted meanwhile, StorageFull, ReadOnly, BlobsDown.
        """
        if size_bytes != self._size_bytes:
            raise SizeMismatch(unit="bytes", expected=size_bytes, actual=self._size_bytes)
        if sha256 != self._digest.digest():
            raise DigestMismatch(expected=sha256.hex(), actual=self._digest.hexdigest())
        if not size_bytes:
            raise AvatarInvalid("is empty")
        with room(), tempfile.TemporaryFile() as picture:
            self._store.pictures.take(self._received, picture)
            crashpoint("avatar.made")
            picture.seek(0)
            return self._kept(picture)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # what was not written is wanted no more
            self._received.close()

    def _kept(self, picture: BinaryIO) -> OrganizationDetails:
        store = self._store
        organization = store.db.read(lambda reader: find_organization(reader, self._access, self._slug))
        with store.blobs.writer(organization.id) as writer:
            while piece := picture.read(_PIECE_BYTES):
                writer.write(piece)
            received = writer.finish()
            crashpoint("avatar.received")
            try:
                details: OrganizationDetails = store.db.write(
                    lambda tx: _keep(tx, self._access, organization, received)
                )
            except OUTCOME_UNKNOWN:
                raise
            except RegistryError:
                store.blobs.withdraw(received.group)
                raise
            crashpoint("avatar.kept")
            return details


def start_avatar(store: Store, access: Access, slug: str) -> AvatarUpload:
    """An upload of a picture of the organization. Raises OrganizationNotFound."""
    store.db.read(lambda reader: find_organization(reader, access, slug))
    return AvatarUpload(store, access, slug)


def get_avatar(store: Store, access: Access, slug: str, *, size_pixels: int) -> AvatarPicture:
    """The uploaded picture of the organization, whatever stands for it now, in the size nearest to `size_pixels`.

    Raises OrganizationNotFound, AvatarNotFound, ChunkLost, BlobsDown, StorageFull.
    """

    def find(reader: Reader) -> tuple[bytes, ContentRow]:
        details = reader.row(BY_ID, id=find_organization(reader, access, slug).id)
        if details is None:
            raise OrganizationNotFound(slug)
        if details.avatar_content_id is None or details.avatar_uid is None:
            raise AvatarNotFound(details.slug)
        content = reader.row(_CONTENT, id=details.avatar_content_id)
        if content is None:
            raise LookupError(f"no content {details.avatar_content_id.hex()}")
        return details.avatar_uid, content

    uid, content = store.db.read(find)
    side = nearest_size(size_pixels)
    return AvatarPicture(store.pictures.scaled(uid, side, lambda: store.blobs.read(content)), side, uid)


def _keep(tx: Transaction, access: Access, organization: OrganizationRow, received: Received) -> OrganizationDetails:
    stored = lock_details(tx, access, organization.slug)
    if stored.id != organization.id:
        raise OrganizationNotFound(organization.slug)
    content = keep_received(tx, organization.id, received)
    changed = replace(stored, avatar_type=AvatarType.UPLOAD, avatar_content_id=content.id)
    if changed != stored:
        if stored.avatar_content_id != content.id:
            changed = replace(changed, avatar_uid=new_id())
            if stored.avatar_content_id is not None:
                touch_content(tx, stored.avatar_content_id)  # whoever is reading it has the grace time for that
        changed = replace(changed, update_time=tx.now)
        write_details(tx, UPDATE, changed)
        record_changes(tx, access, stored, changed)
        crashpoint("avatar.in_rows")
    return changed.shown()
