"""The end of an upload: its bytes become a content, the content a file, and the file its answer, all at once."""

from __future__ import annotations

from store.access import Access
from store.blobs.chunking import AVERAGE_CHUNK_BYTES
from store.blobs.keeping import MANY_ROWS, Received, keep_chunks, keep_content
from store.crashpoints import crashpoint
from store.database import Transaction
from store.errors import (
    DigestMismatch,
    ReleaseNotFound,
    RequestIdReused,
    SizeMismatch,
    UploadClosed,
    UploadTakenOver,
)
from store.files.place import file_project, place_file
from store.files.rows import UploadDraft, UploadedFile
from store.releases.lookup import writable_release
from store.releases.rows import ReleaseRow
from store.uploads.beginnings import UploadManifest
from store.uploads.models import CANCELLED
from store.uploads.rows import StoredUpload, Turn
from store.uploads.turns import (
    add_chunks,
    answer_of,
    check_same,
    close_finished,
    drop_chunks,
    hold_turn,
    lock_upload,
    text_of,
)


def compare(draft: UploadDraft, received: Received, *, size_bytes: int, sha256: bytes) -> None:
    """Returns when what came is what was announced, at the beginning and at the end.

    Raises SizeMismatch, DigestMismatch.
    """
    for size in (draft.size_bytes, size_bytes):
        if size is not None and size != received.size_bytes:
            raise SizeMismatch(unit="bytes", expected=size, actual=received.size_bytes)
    for digest in (draft.sha256, sha256):
        if digest is not None and digest != received.sha256:
            raise DigestMismatch(expected=digest.hex(), actual=received.sha256.hex())


def takes_long(received: Received) -> bool:
    """Whether finishing writes more rows than an ordinary write may."""
    return received.size_bytes > MANY_ROWS * AVERAGE_CHUNK_BYTES


def finish_upload(
    tx: Transaction, *, access: Access, draft: UploadDraft, begun: ReleaseRow, turn: Turn | None, received: Received
) -> tuple[UploadedFile, bool]:
    """The answer of the upload, and whether rows now refer to what was received.

    The file has the chunks that the turn's stream committed, and behind them those of what was received. Without a turn
    all of it is inline: another stream of the same upload may have been faster, and its answer is this one's too.

    Raises ReleaseNotFound when the release is gone, ProjectNotInRelease, FileExists, RequestIdReused, UploadTakenOver,
    UploadClosed, UploadNotFound, BlobsDown.
    """
    release = writable_release(tx, access, draft.organization, draft.version)
    if release.id != begun.id:  # deleted, and created anew meanwhile
        raise ReleaseNotFound(release.organization_slug, release.version)
    upload: StoredUpload | None
    if turn is None:
        upload, answer = _found(tx, release, draft, received)
        if answer is not None:
            return answer, False
    else:
        upload = hold_turn(tx, turn)
        keep_chunks(tx, release.organization_id, received.group)
        add_chunks(tx, turn, received.group)
    content = keep_content(
        tx,
        release.organization_id,
        sha256=received.sha256,
        size_bytes=received.size_bytes,
        inline_data=received.inline_data,
        manifest=None if turn is None or received.inline_data is not None else UploadManifest(turn),
    )
    crashpoint("upload.content_in_rows")
    project_id = file_project(tx, release, draft.project)
    file, created = place_file(tx, access, release, draft, project_id=project_id, content=content)
    uploaded = UploadedFile(file, created)
    if turn is not None:
        drop_chunks(tx, release.organization_id, draft.upload_id)
    close_finished(tx, release, draft, uploaded, upload=upload)
    crashpoint("upload.file_in_rows")
    return uploaded, True


def _found(
    tx: Transaction, release: ReleaseRow, draft: UploadDraft, received: Received
) -> tuple[StoredUpload | None, UploadedFile | None]:
    """The row that the upload has by now, although it had none when the stream began, and its answer."""
    upload = lock_upload(tx, release.organization_id, draft.upload_id)
    if upload is None:
        return None, None
    check_same(upload, draft)
    if upload.state == CANCELLED:
        raise UploadClosed(text_of(upload.id), CANCELLED.upper())
    answer = answer_of(tx, release, upload)
    if answer is not None and answer.file.sha256 != received.sha256:
        raise RequestIdReused(text_of(upload.id))
    if answer is None and upload.fence:
        raise UploadTakenOver(text_of(upload.id))
    return upload, answer
