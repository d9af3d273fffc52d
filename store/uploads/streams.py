"""One stream of an upload: a file on its way in (behaviour.md, Files).

An upload of more than 16 KiB has a row, and what came of it becomes stable a group of chunks at a time: first bytes,
then rows. A stream that is cut leaves what is certain, and the next one goes on there, on any process. At the end the
last bytes become stable, then the rows, and then the answer is given. A smaller file is kept at its end, or not at all.
"""

from __future__ import annotations

import logging
from functools import partial
from types import TracebackType
from typing import Final, Self

from store.access import Access
from store.blobs.blobs import OUTCOME_UNKNOWN, Blobs
from store.blobs.keeping import Group
from store.blobs.writing import INLINE_BYTES, Beginning, ContentWriter
from store.crashpoints import crashpoint
from store.database import Database, Reader, Transaction
from store.deadlines import unbounded
from store.errors import (
    ChunkLost,
    DigestMismatch,
    FileExists,
    FileTooLarge,
    InvalidField,
    OffsetMismatch,
    OrganizationNotFound,
    PermissionDenied,
    ProjectNotInRelease,
    RegistryError,
    ReleaseNotFound,
    SizeMismatch,
)
from store.files.place import check_announced, file_project
from store.files.rows import UploadDraft, UploadedFile
from store.metrics import RECEIVED_BYTES, UPLOADS
from store.quotas.usage import default_quota
from store.releases.rows import ReleaseRow
from store.uploads.beginnings import read_committed
from store.uploads.finish import compare, finish_upload, takes_long
from store.uploads.rows import Turn, finish_wait
from store.uploads.running import End, Running
from store.uploads.turns import (
    answer_of,
    check_room_for,
    check_same,
    commit_chunks,
    find_upload,
    forget,
    hold_turn,
    look_at_turn,
    place_to_upload_to,
    take_turn,
)

log = logging.getLogger(__name__)

_HOPELESS: Final = (
    SizeMismatch,
    DigestMismatch,
    FileTooLarge,
    FileExists,
    PermissionDenied,
    OrganizationNotFound,
    ReleaseNotFound,
    ProjectNotInRelease,
    ChunkLost,
)
"""What a stream ends with that no later stream of its upload can mend: it is forgotten, and begins anew."""


class FileUpload:
    """One stream under way; a context manager: unless `finish` returned, a later stream goes on where it was cut.

    `finished` is the answer when this upload was finished before: there is nothing to send then.
    """

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        access: Access,
        draft: UploadDraft,
        *,
        release: ReleaseRow,
        begun: Turn | UploadedFile | None,
        end: End,
    ) -> None:
        self.finished = begun if isinstance(begun, UploadedFile) else None
        self._database, self._blobs, self._access, self._draft = database, blobs, access, draft
        self._release = release
        self._end = end
        self._turn = begun if isinstance(begun, Turn) else None
        self._running = None if self._turn is None else Running(self._turn, end)
        self._committed = 0 if self._turn is None else self._turn.committed_bytes
        self._writer = self._new_writer()
        self._position: int | None = None
        self._over = self.finished is not None
        self._settles = self._over

    @property
    def committed_bytes(self) -> int:
        """Where the next stream of this upload begins."""
        return self._committed

    def look(self) -> None:
        """Returns when this stream still has its turn, or is just ending its upload itself, on any thread. Raises
        UploadTakenOver, UploadClosed, UploadNotFound, DatabaseBusy, DatabaseDown."""
        turn = self._turn
        if turn is None or self._settles:
            return
        try:
            self._database.read(partial(look_at_turn, turn=turn))
        except RegistryError:
            if not self._settles:  # else it ended its upload meanwhile, and tells so itself
                raise

    def write(self, data: bytes, *, offset: int | None) -> None:
        """Takes the next bytes; `offset` says where in the file they belong, and the first call must say it.

        What lies before the committed bytes is passed over. Raises OffsetMismatch, FileTooLarge, SizeMismatch,
        QuotaExceeded, StorageFull, ReadOnly, BlobsDown, ChunkLost, UploadTakenOver, UploadClosed, UploadNotFound.
        """
        if self._position is None:
            if offset is None:
                raise InvalidField("data.offset", "is required in the first data message")
            if offset > self._committed:
                raise OffsetMismatch(self._committed)
            self._position = offset
        elif offset is not None and offset != self._position:
            raise OffsetMismatch(self._committed)
        self._position += len(data)
        try:
            announced = self._draft.size_bytes
            if announced is not None and self._position > announced:
                raise SizeMismatch(unit="bytes", expected=announced, actual=self._position)
            new = self._position - self._writer.size_bytes
            if new > 0:
                if self._turn is None and self._position > INLINE_BYTES:
                    self._begin()
                RECEIVED_BYTES.inc(new)
                self._writer.write(data if new == len(data) else memoryview(data)[-new:])
        except _HOPELESS:
            self._forget()
            raise

    def finish(self, *, size_bytes: int, sha256: bytes, wait_seconds: float | None = None) -> UploadedFile:
        """The file, when every byte and row is on stable storage; size and SHA-256 are those that the sender saw.

        Waits `wait_seconds` (None: as long as allowed) for its turn in the database, and at most 60.

        Raises SizeMismatch, DigestMismatch, FileExists, ReleaseNotFound when it was deleted meanwhile,
        ProjectNotInRelease, RequestIdReused, DatabaseBusy, and what `write` raises.
        """
        try:
            received = self._writer.finish()
            crashpoint("upload.received")
            try:
                compare(self._draft, received, size_bytes=size_bytes, sha256=sha256)
                self._settles = True
                outcome: tuple[UploadedFile, bool] = self._database.write(
                    partial(
                        finish_upload,
                        access=self._access,
                        draft=self._draft,
                        begun=self._release,
                        turn=self._turn,
                        received=received,
                    ),
                    wait_seconds=finish_wait(wait_seconds),
                    long=takes_long(received),
                )
            except OUTCOME_UNKNOWN:
                raise
            except RegistryError:
                self._blobs.withdraw(received.group)
                raise
        except _HOPELESS:
            self._forget()
            raise
        crashpoint("upload.finished")
        self._over = True
        answer, is_stored = outcome
        UPLOADS.labels("finished" if is_stored else "answered_again").inc()
        if not is_stored:
            self._blobs.withdraw(received.group)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del error, trace  # `stop` may raise it again: its traceback would hold this frame, and this frame it
        try:
            with self._writer:
                if self._over or self._turn is None:
                    return
                try:
                    with unbounded():  # what has come is kept for the next stream
                        self._writer.stop()
                except RegistryError as why:  # whoever cut the stream learns the committed bytes from GetUpload
                    log.info("the rest of a cut upload was not kept", extra={"fields": {"reason": why.reason}})
        finally:
            if self._running is not None:
                self._running.leave()

    def _begin(self) -> None:
        """Makes the upload's row, so that later streams can go on with it."""
        turn: Turn | UploadedFile = self._database.write(
            partial(take_turn, release=self._release, draft=self._draft, takes_over=False)
        )
        assert isinstance(turn, Turn), "an upload that was finished is not begun"
        crashpoint("upload.begun")
        self._turn = turn
        self._running = Running(turn, self._end)

    def _new_writer(self) -> ContentWriter:
        beginning = None
        if self._turn is not None and self._committed:
            read = partial(read_committed, self._database, self._blobs, self._turn, stop=self._committed)
            beginning = Beginning(self._committed, read)
        return self._blobs.writer(self._release.organization_id, beginning=beginning, commit=self._commit)

    def _commit(self, group: Group) -> None:
        turn = self._turn
        assert turn is not None, "groups are for uploads of more than 16 KiB"
        try:
            self._database.write(partial(commit_chunks, turn=turn, group=group))
        except OUTCOME_UNKNOWN:
            raise
        except RegistryError:
            self._blobs.withdraw(group)
            raise
        crashpoint("upload.group_committed")
        self._committed = group.end

    def _forget(self) -> None:
        self._over = self._settles = True
        turn = self._turn
        if turn is None:
            return

        def remove(tx: Transaction) -> None:
            hold_turn(tx, turn)
            forget(tx, turn.organization_id, turn.upload_id)
            crashpoint("upload.forgotten_in_rows")

        try:
            with unbounded():
                self._database.write(remove, long=True)
        except RegistryError as why:  # it ends by itself, then
            log.info("a hopeless upload was not forgotten", extra={"fields": {"reason": why.reason}})


def open_upload(
    database: Database, blobs: Blobs, access: Access, draft: UploadDraft, *, end: End = lambda _: None
) -> FileUpload:
    """A stream of the draft's upload, checked as far as it can be before its bytes travel. No connection is held by it.

    If the upload has begun before, this stream takes it over: the one before ends with UploadTakenOver. `end` is called
    from another thread, with the error, as soon as this process takes the upload over from this stream, or cancels it;
    another process is noticed when something is committed, and by `look`.

    Raises InvalidField, FileTooLarge, OrganizationNotFound, ReleaseNotFound, ProjectNotInRelease, RequestIdReused,
    UploadClosed, FileExists when the draft says a size or SHA-256 that is not that of the file under its key,
    QuotaExceeded when a quota that is used up already lets nothing of it in.
    """
    draft.check()
    if draft.size_bytes is not None and draft.size_bytes > blobs.max_content_bytes:
        raise FileTooLarge(blobs.max_content_bytes)
    now, defaults = database.clock.now_us(), default_quota(database)

    def look(reader: Reader) -> tuple[ReleaseRow, UploadedFile | None, bool]:
        organization, release = place_to_upload_to(reader, access, draft)
        upload = find_upload(reader, release.organization_id, draft.upload_id, now=now)
        answer = None
        if upload is not None:
            check_same(upload, draft)
            answer = answer_of(reader, release, upload)
        if answer is None:
            standing = check_announced(reader, release, draft, project_id=file_project(reader, release, draft.project))
            check_room_for(reader, organization, draft, defaults=defaults, upload=upload, standing=standing)
        return release, answer, upload is not None

    release, answer, has_begun = database.read(look)
    begun: Turn | UploadedFile | None = answer
    if answer is None and has_begun:
        begun = database.write(partial(take_turn, release=release, draft=draft, takes_over=True))
        crashpoint("upload.taken_over")
    return FileUpload(database, blobs, access, draft, release=release, begun=begun, end=end)
