"""Uploads from outside of their streams: registering, looking at, cancelling and forgetting them."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import peewee

from store.access import Access
from store.blobs.blobs import Blobs
from store.database import Database, Query, Reader, Transaction, hole
from store.errors import FileTooLarge, NotFound, UploadClosed, UploadNotFound
from store.files.place import check_announced, file_project
from store.files.rows import FileRow, UploadDraft
from store.organizations.lookup import find_organization
from store.quotas.usage import default_quota
from store.uploads.models import CANCELLED, FINISHED, OPEN, Upload
from store.uploads.rows import StoredUpload, UploadRow, draft_of
from store.uploads.running import end_cancelled
from store.uploads.turns import (
    answer_of,
    check_room_for,
    check_same,
    close_cancelled,
    find_upload,
    forget,
    lock_upload,
    place_to_upload_to,
    register,
    release_to_upload_to,
    text_of,
)

PURGE_ROWS: Final = 1000

_EXPIRED_OPEN: Final = Query(
    Upload.select(Upload.organization_id, Upload.id)
    .where(Upload.expire_time <= hole(Upload.expire_time), Upload.state == OPEN, Upload.committed_bytes > 0)
    .order_by(Upload.expire_time)
    .limit(1)
)


def register_upload(database: Database, blobs: Blobs, access: Access, draft: UploadDraft) -> UploadRow:
    """The upload of this draft: a new one without bytes, or the one that was registered before.

    Raises InvalidField, FileTooLarge, OrganizationNotFound, ReleaseNotFound, ProjectNotInRelease, RequestIdReused,
    FileExists when the draft says a size or SHA-256 that is not that of the file under its key, QuotaExceeded when a
    quota that is used up already lets nothing of it in.
    """
    draft.check()
    if draft.size_bytes is not None and draft.size_bytes > blobs.max_content_bytes:
        raise FileTooLarge(blobs.max_content_bytes)

    def put(tx: Transaction) -> UploadRow:
        organization, release = place_to_upload_to(tx, access, draft)
        upload = register(tx, release, draft, fence=0)
        if upload is None:
            upload = lock_upload(tx, release.organization_id, draft.upload_id)
            if upload is None:
                raise UploadNotFound(release.organization_slug, text_of(draft.upload_id))
            check_same(upload, draft)
        standing = None
        if upload.state == OPEN:
            standing = check_announced(tx, release, draft, project_id=file_project(tx, release, draft.project))
            defaults = default_quota(database)
            check_room_for(tx, organization, draft, defaults=defaults, upload=upload, standing=standing)
        answer = answer_of(tx, release, upload)
        return _row(release.organization_slug, upload, None if answer is None else answer.file, standing)

    return database.write(put)


def get_upload(database: Database, access: Access, *, organization: str, upload_id: bytes) -> UploadRow:
    """The upload. Raises OrganizationNotFound, UploadNotFound: also when its release, or its file, is gone."""
    now = database.clock.now_us()
    return database.read(lambda reader: _look(reader, access, organization, upload_id, now=now)[1])


def cancel_upload(database: Database, access: Access, *, organization: str, upload_id: bytes) -> UploadRow:
    """The upload, ended without a file, and its streams with it. Cancelling again changes nothing.

    Raises OrganizationNotFound, UploadNotFound, UploadClosed when it is finished.
    """

    def cancel(tx: Transaction) -> UploadRow:
        slug = find_organization(tx, access, organization)
        lock_upload(tx, slug.id, upload_id)
        upload, row = _look(tx, access, organization, upload_id, now=tx.now)
        if upload.state == FINISHED:
            raise UploadClosed(text_of(upload_id), FINISHED.upper())
        if upload.state == CANCELLED:
            return row
        close_cancelled(tx, upload)
        tx.after_commit(partial(end_cancelled, upload.organization_id, upload.id))
        return _look(tx, access, organization, upload_id, now=tx.now)[1]

    return database.write(cancel, long=True)


def purge_uploads(database: Database) -> int:
    """Forgets uploads 24 hours after their last byte or their end; how many there were. A job for now and then."""
    total = 0
    while True:  # these have many references each
        purged: bool = database.write(_purge_one, long=True)
        if not purged:
            break
        total += 1
    while True:
        deleted: int = database.write(_purge_some)
        total += deleted
        if deleted < PURGE_ROWS:
            return total


def _look(
    reader: Reader, access: Access, organization: str, upload_id: bytes, *, now: int
) -> tuple[StoredUpload, UploadRow]:
    found = find_organization(reader, access, organization)
    missing = UploadNotFound(found.slug, text_of(upload_id))
    upload = find_upload(reader, found.id, upload_id, now=now)
    if upload is None:
        raise missing
    draft = draft_of(found.slug, upload.id, upload.header)
    try:
        release = release_to_upload_to(reader, access, draft)
    except NotFound:
        raise missing from None
    answer = answer_of(reader, release, upload)
    if release.id != upload.release_id or (upload.state == FINISHED and answer is None):
        raise missing
    return upload, _row(found.slug, upload, None if answer is None else answer.file)


def _row(organization: str, upload: StoredUpload, file: FileRow | None, standing: FileRow | None = None) -> UploadRow:
    return UploadRow(
        organization,
        upload.id,
        upload.state,
        upload.committed_bytes,
        file,
        upload.create_time,
        upload.expire_time,
        standing,
    )


def _purge_one(tx: Transaction) -> bool:
    found = tx.row(_EXPIRED_OPEN, expire_time=tx.now)
    if found is None:
        return False
    organization_id, upload_id = found
    if lock_upload(tx, organization_id, upload_id) is None:  # it did not go on meanwhile
        forget(tx, organization_id, upload_id)
    return True


def _purge_some(tx: Transaction) -> int:
    """Those without references."""
    expired = (
        Upload.select(Upload.organization_id, Upload.id)
        .where(Upload.expire_time <= tx.now, (Upload.state != OPEN) | (Upload.committed_bytes == 0))
        .order_by(Upload.expire_time)
        .limit(PURGE_ROWS)
    )
    key: Any = peewee.Tuple(Upload.organization_id, Upload.id)
    # The time is looked at again: a stream may have gone on while the row was waited for.
    return tx.execute(Upload.delete().where(key.in_(expired), Upload.expire_time <= tx.now))
