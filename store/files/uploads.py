"""Uploading one file into a release, in one go (behaviour.md, Files).

Nothing is in the database before the end: an upload that is cut anywhere leaves no row and no bytes. At the end the
bytes become stable first, then the rows, then the answer is given.
"""

from __future__ import annotations

import uuid
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import peewee

from store.access import Access
from store.access.projects import QualifiedSlug, slugs_within
from store.blobs.blobs import Blobs
from store.blobs.contents import MANY_CHUNKS, keep_content
from store.blobs.writing import ContentWriter, Received
from store.database import Database, Query, Reader, Statement, Transaction, hole, new_id
from store.errors import (
    AlreadyExists,
    DatabaseBusy,
    DigestMismatch,
    FailedPrecondition,
    FileExists,
    FileTooLarge,
    InvalidArgument,
    InvalidField,
    NotFound,
    OffsetMismatch,
    PermissionDenied,
    ProjectNotInRelease,
    ReleaseNotFound,
    RequestIdReused,
    SizeMismatch,
)
from store.files.lookup import file_by_id, file_by_key
from store.files.models import NO_DIST, NO_PROJECT, ReleaseFile, Upload
from store.files.rows import FileRow, UploadDraft, UploadedFile
from store.organizations.lookup import find_organization
from store.organizations.models import ProjectSlug
from store.releases.lookup import forbidden_projects, readable_release, writable_release
from store.releases.models import Release, ReleaseProject
from store.releases.rows import ReleaseRow

KEPT_US: Final = 24 * 3600 * 1_000_000
PURGE_ROWS: Final = 1000

# Raised by the transaction's own function, or by a database that did not come to it: nothing was committed, so nothing
# refers to the bytes.
_NOTHING_KEPT: Final = (NotFound, AlreadyExists, FailedPrecondition, PermissionDenied, InvalidArgument, DatabaseBusy)

FINISH_WAIT_SECONDS: Final = 60.0
"""How long a finished stream waits for its turn to write: its bytes would have to be sent again."""

_PROJECT = Query(
    ProjectSlug.select(ProjectSlug.project_id)
    .join(ReleaseProject, on=(ReleaseProject.project_id == ProjectSlug.project_id))
    .where(
        ProjectSlug.organization_id == hole(ProjectSlug.organization_id),
        ProjectSlug.slug == hole(ProjectSlug.slug),
        ReleaseProject.release_id == hole(ReleaseProject.release_id),
    )
)
_FIND_UPLOAD = Query(
    Upload.select(Upload.header_sha256, Upload.file_id, Upload.created).where(
        Upload.organization_id == hole(Upload.organization_id),
        Upload.id == hole(Upload.id),
        Upload.expire_time > hole(Upload.expire_time, "now"),
    )
)
_FORGET_UPLOAD = Statement(
    Upload.delete().where(Upload.organization_id == hole(Upload.organization_id), Upload.id == hole(Upload.id))
)
_INSERT_UPLOAD = Statement(
    Upload.insert(
        {
            Upload.organization_id: hole(Upload.organization_id),
            Upload.id: hole(Upload.id),
            Upload.header_sha256: hole(Upload.header_sha256),
            Upload.release_id: hole(Upload.release_id),
            Upload.file_id: hole(Upload.file_id),
            Upload.created: hole(Upload.created),
            Upload.create_time: hole(Upload.create_time),
            Upload.expire_time: hole(Upload.expire_time),
        }
    )
)
_INSERT_FILE = Statement(
    ReleaseFile.insert(
        {
            ReleaseFile.id: hole(ReleaseFile.id),
            ReleaseFile.organization_id: hole(ReleaseFile.organization_id),
            ReleaseFile.release_id: hole(ReleaseFile.release_id),
            ReleaseFile.file_name: hole(ReleaseFile.file_name),
            ReleaseFile.project_id: hole(ReleaseFile.project_id),
            ReleaseFile.dist: hole(ReleaseFile.dist),
            ReleaseFile.headers: hole(ReleaseFile.headers),
            ReleaseFile.content_id: hole(ReleaseFile.content_id),
            ReleaseFile.create_time: hole(ReleaseFile.create_time),
        }
    )
)
_COUNT_FILE = Statement(
    Release.update({Release.file_count: Release.file_count + 1}).where(Release.id == hole(Release.id))
)


class FileUpload:
    """One upload under way; a context manager that leaves nothing behind unless `finish` returned.

    `finished` is the answer when this upload was finished before: there is nothing to send then.
    """

    def __init__(
        self, database: Database, blobs: Blobs, access: Access, draft: UploadDraft, *, release: ReleaseRow
    ) -> None:
        self.finished: UploadedFile | None = None
        self._database, self._blobs, self._access, self._draft = database, blobs, access, draft
        self._release = release
        self._writer: ContentWriter = blobs.writer(release.organization_id)
        self._begun = False

    def write(self, data: bytes, *, offset: int | None) -> None:
        """Takes the next bytes; `offset` says where in the file they belong, and the first call must say it.

        Raises OffsetMismatch, FileTooLarge, SizeMismatch, StorageFull, ReadOnly, BlobsDown.
        """
        if offset is None and not self._begun:
            raise InvalidField("data.offset", "is required in the first data message")
        if offset is not None and offset != self._writer.size_bytes:
            raise OffsetMismatch(0)  # nothing of an unfinished upload is kept
        self._begun = True
        announced = self._draft.size_bytes
        if announced is not None and self._writer.size_bytes + len(data) > announced:
            raise SizeMismatch(unit="bytes", expected=announced, actual=self._writer.size_bytes + len(data))
        self._writer.write(data)

    def finish(self, *, size_bytes: int, sha256: bytes, wait_seconds: float | None = None) -> UploadedFile:
        """The file, when every byte and row is on stable storage; size and SHA-256 are those that the sender saw.

        Waits `wait_seconds` (None: as long as allowed) for its turn in the database, and at most 60.

        Raises SizeMismatch, DigestMismatch, FileExists, ReleaseNotFound when it was deleted meanwhile,
        ProjectNotInRelease, RequestIdReused, DatabaseBusy, and what `write` raises.
        """
        received = self._writer.finish()
        self._compare(received, size_bytes, sha256)
        self._blobs.publish(received)
        self._writer.keep()
        try:
            outcome: tuple[UploadedFile, bool] = self._database.write(
                partial(_finish, access=self._access, draft=self._draft, begun=self._release, received=received),
                wait_seconds=FINISH_WAIT_SECONDS if wait_seconds is None else min(wait_seconds, FINISH_WAIT_SECONDS),
                long=received.chunk_count > MANY_CHUNKS,
            )
        except _NOTHING_KEPT:
            self._blobs.withdraw(received)
            raise
        answer, stored = outcome
        if not stored:
            self._blobs.withdraw(received)
        return answer

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def _compare(self, received: Received, size_bytes: int, sha256: bytes) -> None:
        for size in (self._draft.size_bytes, size_bytes):
            if size is not None and size != received.size_bytes:
                raise SizeMismatch(unit="bytes", expected=size, actual=received.size_bytes)
        for digest in (self._draft.sha256, sha256):
            if digest is not None and digest != received.sha256:
                raise DigestMismatch(expected=digest.hex(), actual=received.sha256.hex())


def start_upload(database: Database, blobs: Blobs, access: Access, draft: UploadDraft) -> FileUpload:
    """An upload of one file, checked as far as it can be before its bytes travel. No connection is held by it.

    Raises InvalidField, FileTooLarge, OrganizationNotFound, ReleaseNotFound, ProjectNotInRelease, RequestIdReused,
    FileExists when the draft says the SHA-256.
    """
    draft.check()
    if draft.size_bytes is not None and draft.size_bytes > blobs.max_content_bytes:
        raise FileTooLarge(blobs.max_content_bytes)
    now = database.clock.now_us()

    def look(reader: Reader) -> tuple[ReleaseRow, UploadedFile | None]:
        release = readable_release(reader, access, draft.organization, draft.version)
        organization = find_organization(reader, access, draft.organization)
        if forbidden_projects(access, organization, release.projects):
            raise ReleaseNotFound(release.organization_slug, release.version)
        finished = _finished(reader, release, draft, now)
        if finished is None and draft.sha256 is not None:
            _same_file(reader, release, draft, _project_id(reader, release, draft), draft.sha256)
        else:
            _project_id(reader, release, draft)
        return release, finished

    release, finished = database.read(look)
    upload = FileUpload(database, blobs, access, draft, release=release)
    upload.finished = finished
    return upload


def purge_uploads(database: Database) -> int:
    """Forgets uploads that ended 24 hours ago, a thousand in a write; how many there were. A job for now and then."""
    total = 0
    while True:
        deleted: int = database.write(_purge_some)
        total += deleted
        if deleted < PURGE_ROWS:
            return total


def _finish(
    tx: Transaction, *, access: Access, draft: UploadDraft, begun: ReleaseRow, received: Received
) -> tuple[UploadedFile, bool]:
    """The answer, and whether rows now refer to what was received."""
    release = writable_release(tx, access, draft.organization, draft.version)
    if release.id != begun.id:  # deleted, and created anew meanwhile
        raise ReleaseNotFound(release.organization_slug, release.version)
    finished = _finished(tx, release, draft, tx.now)
    if finished is not None:  # by another stream of the same upload
        if finished.file.sha256 != received.sha256:
            raise RequestIdReused(str(uuid.UUID(bytes=draft.upload_id)))
        return finished, False
    project_id = _project_id(tx, release, draft)
    file = _same_file(tx, release, draft, project_id, received.sha256)
    created = file is None
    if file is None:
        file = _create(tx, release, draft, project_id, received)
    tx.run(_FORGET_UPLOAD, organization_id=release.organization_id, id=draft.upload_id)
    tx.run(
        _INSERT_UPLOAD,
        organization_id=release.organization_id,
        id=draft.upload_id,
        header_sha256=draft.fingerprint,
        release_id=release.id,
        file_id=file.id,
        created=created,
        create_time=tx.now,
        expire_time=tx.now + KEPT_US,
    )
    return UploadedFile(file, created), created


def _create(tx: Transaction, release: ReleaseRow, draft: UploadDraft, project_id: bytes, received: Received) -> FileRow:
    content = keep_content(tx, release.organization_id, received)
    file_id = new_id()
    tx.run(
        _INSERT_FILE,
        id=file_id,
        organization_id=release.organization_id,
        release_id=release.id,
        file_name=draft.file_name,
        project_id=project_id,
        dist=draft.dist or NO_DIST,
        headers=dict(sorted(draft.headers.items())),
        content_id=content.id,
        create_time=tx.now,
    )
    tx.run(_COUNT_FILE, id=release.id)
    created = file_by_id(tx, release, file_id)
    assert created is not None
    return created


def _finished(reader: Reader, release: ReleaseRow, draft: UploadDraft, now: int) -> UploadedFile | None:
    """The first answer to this upload, as long as it is kept and its file is there."""
    found = reader.row(_FIND_UPLOAD, organization_id=release.organization_id, id=draft.upload_id, now=now)
    if found is None:
        return None
    header_sha256, file_id, created = found
    if header_sha256 != draft.fingerprint:
        raise RequestIdReused(str(uuid.UUID(bytes=draft.upload_id)))
    file = None if file_id is None else file_by_id(reader, release, file_id)
    return None if file is None else UploadedFile(file, created)


def _same_file(
    reader: Reader, release: ReleaseRow, draft: UploadDraft, project_id: bytes, sha256: bytes
) -> FileRow | None:
    """The file that stands where this one is to go. Raises FileExists when it has other content."""
    file = file_by_key(reader, release, file_name=draft.file_name, project_id=project_id, dist=draft.dist or NO_DIST)
    if file is not None and file.sha256 != sha256:
        raise FileExists(file.file_name, file.sha256.hex())
    return file


def _project_id(reader: Reader, release: ReleaseRow, draft: UploadDraft) -> bytes:
    """The id of the file's project, NO_PROJECT without one. All projects of the release are the caller's."""
    if draft.project is None:
        return NO_PROJECT
    name, organization_id = draft.project, release.organization_id
    slug = slugs_within(reader, organization_id, [name]).get(name)
    found = (
        None
        if slug is None
        else reader.row(_PROJECT, organization_id=organization_id, slug=slug, release_id=release.id)
    )
    if found is None:
        asked = name if isinstance(name, QualifiedSlug) else QualifiedSlug(release.organization_slug, name)
        raise ProjectNotInRelease(asked.organization, asked.slug)
    project_id: bytes = found[0]
    return project_id


def _purge_some(tx: Transaction) -> int:
    expired = (
        Upload.select(Upload.organization_id, Upload.id)
        .where(Upload.expire_time <= tx.now)
        .order_by(Upload.expire_time)
        .limit(PURGE_ROWS)
    )
    key: Any = peewee.Tuple(Upload.organization_id, Upload.id)
    return tx.execute(Upload.delete().where(key.in_(expired)))
