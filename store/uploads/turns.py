"""Whose turn it is to go on with an upload, and what is committed in it.

Each stream takes a turn, which ends that of the stream before: whatever commits anything looks, in the same
transaction and with the row locked, whether its turn is still the last.
"""

from __future__ import annotations

import time
import uuid
from typing import Final

from store.access import Access
from store.blobs.keeping import Group, keep_chunks
from store.crashpoints import crashpoint
from store.database import Query, Reader, Statement, Transaction, hole, holes_for
from store.errors import DatabaseBusy, ReleaseNotFound, RequestIdReused, UploadClosed, UploadNotFound, UploadTakenOver
from store.files.lookup import file_by_id
from store.files.rows import FileRow, UploadDraft, UploadedFile
from store.organizations.rows import OrganizationRow
from store.quotas.quota import Quota
from store.quotas.usage import check_room
from store.releases.lookup import forbidden_projects, release_within
from store.releases.rows import ReleaseRow
from store.uploads.models import CANCELLED, FINISHED, OPEN, Upload, UploadChunk
from store.uploads.rows import KEPT_US, StoredUpload, Turn, header_of

_COLUMNS: Final = (
    Upload.organization_id,
    Upload.id,
    Upload.header_sha256,
    Upload.header,
    Upload.release_id,
    Upload.state,
    Upload.fence,
    Upload.committed_bytes,
    Upload.file_id,
    Upload.created,
    Upload.create_time,
    Upload.expire_time,
)
_FIND: Final = Query(
    Upload.select(*_COLUMNS).where(
        Upload.organization_id == hole(Upload.organization_id), Upload.id == hole(Upload.id)
    ),
    row=StoredUpload,
)
_INSERT: Final = Statement(
    Upload.insert(holes_for(*_COLUMNS)).on_conflict(
        action="nothing", conflict_target=[Upload.organization_id, Upload.id]
    )
)
_THIS: Final = (Upload.organization_id == hole(Upload.organization_id)) & (Upload.id == hole(Upload.id))
_TAKE: Final = Statement(
    Upload.update({Upload.fence: hole(Upload.fence), Upload.expire_time: hole(Upload.expire_time)}).where(_THIS)
)
_COMMIT: Final = Statement(
    Upload.update(
        {Upload.committed_bytes: hole(Upload.committed_bytes), Upload.expire_time: hole(Upload.expire_time)}
    ).where(_THIS)
)
_CLOSE: Final = Statement(
    Upload.update(
        holes_for(Upload.state, Upload.committed_bytes, Upload.file_id, Upload.created, Upload.expire_time)
    ).where(_THIS)
)
_FORGET: Final = Statement(Upload.delete().where(_THIS))
_DROP_CHUNKS: Final = Statement(
    UploadChunk.delete().where(
        UploadChunk.organization_id == hole(UploadChunk.organization_id),
        UploadChunk.upload_id == hole(UploadChunk.upload_id),
    )
)
_INSERT_CHUNK: Final = Statement(
    UploadChunk.insert(
        holes_for(
            UploadChunk.organization_id,
            UploadChunk.upload_id,
            UploadChunk.start_offset,
            UploadChunk.chunk_sha256,
            UploadChunk.size_bytes,
        )
    )
)


def release_to_upload_to(reader: Reader, access: Access, draft: UploadDraft) -> ReleaseRow:
    """The draft's release, if the caller may access all of its projects.

    Raises OrganizationNotFound, ReleaseNotFound.
    """
    return place_to_upload_to(reader, access, draft)[1]


def place_to_upload_to(reader: Reader, access: Access, draft: UploadDraft) -> tuple[OrganizationRow, ReleaseRow]:
    """The same, behind its organization."""
    organization, release = release_within(reader, access, draft.organization, draft.version)
    if forbidden_projects(access, organization, release.projects):
        raise ReleaseNotFound(release.organization_slug, release.version)
    return organization, release


def check_room_for(
    reader: Reader,
    organization: OrganizationRow,
    draft: UploadDraft,
    *,
    defaults: Quota,
    upload: StoredUpload | None,
    standing: FileRow | None,
) -> None:
    """Returns unless a quota that is used up lets nothing of the draft's content in. Raises QuotaExceeded.

    Of an upload that has committed bytes what is left may well add none; nor does an empty file. `standing` is the file
    under its key, which it is, or takes the place of.
    """
    has_begun = upload is not None and upload.committed_bytes > 0
    check_room(
        reader,
        organization,
        defaults,
        adds_bytes=not has_begun and draft.size_bytes != 0,
        adds_file=standing is None,
        sha256=draft.sha256,
    )


def find_upload(reader: Reader, organization_id: bytes, upload_id: bytes, *, now: int) -> StoredUpload | None:
    """The upload, unless it ended by itself."""
    found = reader.row(_FIND, organization_id=organization_id, id=upload_id)
    return None if found is None or found.expire_time <= now else found


def lock_upload(tx: Transaction, organization_id: bytes, upload_id: bytes) -> StoredUpload | None:
    """The upload, locked until the transaction ends, unless it ended by itself."""
    found = tx.lock(_FIND, organization_id=organization_id, id=upload_id)
    return None if found is None or found.expire_time <= tx.now else found


def answer_of(reader: Reader, release: ReleaseRow, upload: StoredUpload) -> UploadedFile | None:
    """The first answer of a finished upload; None when it is not finished, or its file is gone."""
    if upload.state != FINISHED or upload.file_id is None:
        return None
    file = file_by_id(reader, release, upload.file_id)
    return None if file is None else UploadedFile(file, upload.created)


def check_same(upload: StoredUpload, draft: UploadDraft) -> None:
    """Returns when the upload began with this very draft. Raises RequestIdReused."""
    if upload.header_sha256 != draft.fingerprint:
        raise RequestIdReused(text_of(draft.upload_id))


def register(tx: Transaction, release: ReleaseRow, draft: UploadDraft, *, fence: int) -> StoredUpload | None:
    """A new open upload with this fence; None when there is one under its id, which is then left as it is.

    One that ended by itself, or whose file is gone, makes room.
    """
    found = tx.lock(_FIND, organization_id=release.organization_id, id=draft.upload_id)
    if found is not None:
        fileless = found.state == FINISHED and answer_of(tx, release, found) is None
        if found.expire_time > tx.now and not fileless:
            return None
        forget(tx, found.organization_id, found.id)
    upload = StoredUpload(
        release.organization_id,
        draft.upload_id,
        draft.fingerprint,
        header_of(draft),
        release.id,
        OPEN,
        fence,
        0,
        None,
        created=False,
        create_time=tx.now,
        expire_time=tx.now + KEPT_US,
    )
    return upload if _insert(tx, upload) else None


def take_turn(tx: Transaction, release: ReleaseRow, draft: UploadDraft, *, takes_over: bool) -> Turn | UploadedFile:
    """The next turn of the draft's upload, which begins with it when there is none; or the answer that it has had.

    `takes_over` is False for a stream that began when there was no upload yet: one that another stream began since is
    that one's. Raises RequestIdReused, UploadClosed, UploadTakenOver.
    """
    upload = register(tx, release, draft, fence=_fence_after(0))
    if upload is None:
        found = lock_upload(tx, release.organization_id, draft.upload_id)
        if found is None:  # it was removed between two statements
            raise DatabaseBusy
        check_same(found, draft)
        if found.state == CANCELLED:
            raise UploadClosed(text_of(found.id), CANCELLED.upper())
        if not takes_over and (found.fence or found.state == FINISHED):
            raise UploadTakenOver(text_of(found.id))
        answer = answer_of(tx, release, found)
        if answer is not None:
            return answer
        return next_turn(tx, release.organization_slug, found)
    return Turn(release.organization_slug, upload.organization_id, upload.id, upload.fence, 0, begins=True)


def next_turn(tx: Transaction, organization: str, upload: StoredUpload) -> Turn:
    """The next turn of an upload that is locked and open; `organization` is the slug."""
    fence = _fence_after(upload.fence)
    tx.run(_TAKE, organization_id=upload.organization_id, id=upload.id, fence=fence, expire_time=tx.now + KEPT_US)
    return Turn(organization, upload.organization_id, upload.id, fence, upload.committed_bytes, begins=not upload.fence)


def _fence_after(fence: int) -> int:
    # Of the time, so that it comes once: an upload that is forgotten and begins anew must not give its stream the fence
    # of one that was there before, which would then go on in it. Not of the database's clock, for it tells no time.
    return max(fence + 1, time.time_ns())


def hold_turn(tx: Transaction, turn: Turn) -> StoredUpload:
    """The upload, locked, if it is still this turn. Raises UploadTakenOver, UploadClosed, UploadNotFound."""
    return _of_turn(tx.lock(_FIND, organization_id=turn.organization_id, id=turn.upload_id), turn)


def look_at_turn(reader: Reader, turn: Turn) -> StoredUpload:
    """The upload, if it is still this turn, a moment ago. Raises UploadTakenOver, UploadClosed, UploadNotFound."""
    return _of_turn(reader.row(_FIND, organization_id=turn.organization_id, id=turn.upload_id), turn)


def _of_turn(upload: StoredUpload | None, turn: Turn) -> StoredUpload:
    if upload is None:
        raise UploadNotFound(turn.organization, text_of(turn.upload_id))
    if upload.fence != turn.fence:
        raise UploadTakenOver(text_of(turn.upload_id))
    if upload.state != OPEN:
        raise UploadClosed(text_of(turn.upload_id), upload.state.upper())
    return upload


def commit_chunks(tx: Transaction, turn: Turn, group: Group) -> None:
    """Makes the group's chunks the next ones of the upload. Raises BlobsDown and what `hold_turn` raises."""
    upload = hold_turn(tx, turn)
    keep_chunks(tx, turn.organization_id, group)
    add_chunks(tx, turn, group)
    tx.run(
        _COMMIT,
        organization_id=turn.organization_id,
        id=turn.upload_id,
        committed_bytes=max(upload.committed_bytes, group.end),
        expire_time=tx.now + KEPT_US,
    )
    crashpoint("upload.group_in_rows")


def add_chunks(tx: Transaction, turn: Turn, group: Group) -> None:
    """References of the upload, whose turn is held, to the group's chunks, which are live."""
    items = [
        {
            "organization_id": turn.organization_id,
            "upload_id": turn.upload_id,
            "start_offset": chunk.start_offset,
            "chunk_sha256": chunk.sha256,
            "size_bytes": chunk.size_bytes,
        }
        for chunk in group.chunks
    ]
    tx.run_many(_INSERT_CHUNK, items)


def drop_chunks(tx: Transaction, organization_id: bytes, upload_id: bytes) -> None:
    """Ends the upload's references to chunks."""
    tx.run(_DROP_CHUNKS, organization_id=organization_id, upload_id=upload_id)


def close_finished(
    tx: Transaction, release: ReleaseRow, draft: UploadDraft, uploaded: UploadedFile, *, upload: StoredUpload | None
) -> None:
    """Keeps the answer of the upload, for which `upload` is the locked row, and None when it has none yet."""
    if upload is None:
        upload = StoredUpload(
            release.organization_id,
            draft.upload_id,
            draft.fingerprint,
            header_of(draft),
            release.id,
            FINISHED,
            0,
            uploaded.file.size_bytes,
            uploaded.file.id,
            created=uploaded.created,
            create_time=tx.now,
            expire_time=tx.now + KEPT_US,
        )
        if _insert(tx, upload):
            return
        if lock_upload(tx, upload.organization_id, upload.id) is not None:
            raise DatabaseBusy  # another stream of it finished in between: a repetition gets its answer
        forget(tx, upload.organization_id, upload.id)  # one that ended by itself
        if not _insert(tx, upload):
            raise DatabaseBusy
        return
    tx.run(
        _CLOSE,
        organization_id=upload.organization_id,
        id=upload.id,
        state=FINISHED,
        committed_bytes=uploaded.file.size_bytes,
        file_id=uploaded.file.id,
        created=uploaded.created,
        expire_time=tx.now + KEPT_US,
    )


def close_cancelled(tx: Transaction, upload: StoredUpload) -> None:
    """Ends the locked upload without a file, and its references with it."""
    tx.run(
        _CLOSE,
        organization_id=upload.organization_id,
        id=upload.id,
        state=CANCELLED,
        committed_bytes=upload.committed_bytes,
        file_id=None,
        created=False,
        expire_time=tx.now + KEPT_US,
    )
    drop_chunks(tx, upload.organization_id, upload.id)


def forget(tx: Transaction, organization_id: bytes, upload_id: bytes) -> None:
    """Removes the upload and its references, as if it had never been."""
    tx.run(_DROP_CHUNKS, organization_id=organization_id, upload_id=upload_id)
    tx.run(_FORGET, organization_id=organization_id, id=upload_id)


def text_of(upload_id: bytes) -> str:
    """The 36 characters of an upload's id."""
    return str(uuid.UUID(bytes=upload_id))


def _insert(tx: Transaction, upload: StoredUpload) -> bool:
    return bool(
        tx.run(
            _INSERT,
            organization_id=upload.organization_id,
            id=upload.id,
            header_sha256=upload.header_sha256,
            header=upload.header,
            release_id=upload.release_id,
            state=upload.state,
            fence=upload.fence,
            committed_bytes=upload.committed_bytes,
            file_id=upload.file_id,
            created=upload.created,
            create_time=upload.create_time,
            expire_time=upload.expire_time,
        )
    )
