"""Making a file of chunks that the organization has (behaviour.md, Chunks).

The list of chunks comes in pages. Each page's chunks are marked as used, read, verified and hashed while the next page
is on its way; the file's rows are one transaction at the end, which asks for all chunks once more.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from types import TracebackType
from typing import Final, NamedTuple, Self, overload

from store.access import Access
from store.blobs.blobs import Blobs
from store.blobs.chunking import MAX_CHUNK_BYTES
from store.blobs.keeping import (
    MANY_ROWS,
    ChunkPlace,
    ListedManifest,
    StoredChunk,
    keep_content,
    live_chunks,
    touch_chunks,
)
from store.blobs.writing import INLINE_BYTES
from store.crashpoints import crashpoint
from store.database import Database, Transaction
from store.errors import (
    ChunksMissing,
    DigestMismatch,
    FileTooLarge,
    InvalidField,
    NotFound,
    RegistryError,
    ReleaseNotFound,
    SizeMismatch,
    UploadClosed,
    UploadNotFound,
)
from store.files.place import file_project, place_file
from store.files.rows import UploadDraft, UploadedFile
from store.metrics import UPLOADS
from store.organizations.lookup import find_organization
from store.releases.lookup import writable_release
from store.uploads.chunks import TOUCHED_AT_ONCE, held_chunks
from store.uploads.models import OPEN
from store.uploads.rows import Turn, draft_of, finish_wait
from store.uploads.running import End, Running
from store.uploads.turns import (
    answer_of,
    close_finished,
    drop_chunks,
    hold_turn,
    lock_upload,
    look_at_turn,
    next_turn,
    release_to_upload_to,
    text_of,
)

CHECKED_EACH: Final = 64
"""After so many chunks `check` is asked again."""

LEAST_AVERAGE_BYTES: Final = 16 * 2**10
"""A file has no more chunks than the largest file has pieces of this size."""

MANY_MISSING: Final = 100_000
"""An assembly that lacks so many chunks is told so at once."""

_RECORD: Final = struct.Struct(">Q32sI")


class ChunkRef(NamedTuple):
    """A chunk in the list of a file."""

    sha256: bytes
    size_bytes: int


class ChunkList(Sequence[StoredChunk]):
    """The chunks of one content behind one another; 44 bytes each."""

    def __init__(self) -> None:
        self._records = bytearray()
        self.size_bytes = 0

    def append(self, sha256: bytes, size_bytes: int) -> None:
        """The next chunk of the content."""
        self._records += _RECORD.pack(self.size_bytes, sha256, size_bytes)
        self.size_bytes += size_bytes

    def distinct(self) -> list[bytes]:
        """The digests, each once, sorted."""
        return sorted({sha256 for _, sha256, _ in _RECORD.iter_unpack(self._records)})

    def __len__(self) -> int:
        return len(self._records) // _RECORD.size

    def __iter__(self) -> Iterator[StoredChunk]:
        for record in _RECORD.iter_unpack(self._records):
            yield StoredChunk(*record)

    @overload
    def __getitem__(self, index: int) -> StoredChunk: ...
    @overload
    def __getitem__(self, index: slice) -> list[StoredChunk]: ...
    def __getitem__(self, index: int | slice) -> StoredChunk | list[StoredChunk]:
        places = range(len(self))[index]
        if isinstance(places, range):
            return [StoredChunk(*_RECORD.unpack_from(self._records, place * _RECORD.size)) for place in places]
        return StoredChunk(*_RECORD.unpack_from(self._records, places * _RECORD.size))


class _Begun(NamedTuple):
    turn: Turn
    draft: UploadDraft
    release_id: bytes
    answer: UploadedFile | None


class Assembly:
    """A file in the making; a context manager. Nothing of it is there before `finish` returned.

    `finished` is the answer when the upload was finished before: there is nothing to list then.
    """

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        access: Access,
        begun: _Begun,
        *,
        check: Callable[[], object],
        end: End,
    ) -> None:
        self.finished = begun.answer
        self._running = Running(begun.turn, end) if begun.answer is None else None
        self._database, self._blobs, self._access, self._check = database, blobs, access, check
        self._turn, self._draft, self._release_id = begun.turn, begun.draft, begun.release_id
        self._chunks = ChunkList()
        self._whole = hashlib.sha256()
        self._small = bytearray()
        self._missing: dict[bytes, None] = {}
        self._settles = False

    def look(self) -> None:
        """Returns when this assembly still has its turn, or is just ending its upload itself, on any thread. Raises
        UploadTakenOver, UploadClosed, UploadNotFound, DatabaseBusy, DatabaseDown."""
        if self._running is None or self._settles:
            return
        try:
            self._database.read(partial(look_at_turn, turn=self._turn))
        except RegistryError:
            if not self._settles:  # else it ended its upload meanwhile, and tells so itself
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Whoever looks after this knows it, and `check` knows them: such a circle would keep their stream open.
        del self._check
        if self._running is not None:
            self._running.leave()
            self._running = None

    def add(self, chunks: Sequence[ChunkRef]) -> None:
        """The next chunks of the file, at most some ten thousand: marked as used, read and verified.

        Those that are missing are told at the end, all together. Raises InvalidField (the path begins with `chunks`),
        FileTooLarge, SizeMismatch, UploadTakenOver, UploadClosed, BlobsDown, DatabaseBusy, DatabaseDown, and what
        `check` raises, which is asked now and then.
        """
        self._note(chunks)
        places = self._places(list({chunk.sha256 for chunk in chunks}))
        for index, chunk in enumerate(chunks):
            place = places.get(chunk.sha256)
            if place is None:
                self._missing[chunk.sha256] = None
            elif place.size_bytes != chunk.size_bytes:
                problem = f"is {chunk.size_bytes}, and the chunk has {place.size_bytes} bytes"
                raise InvalidField(f"chunks[{index}].size_bytes", problem)
        if len(self._missing) > MANY_MISSING:
            raise self._chunks_missing()
        if not self._missing:  # else there will be no file: what its bytes are is of no interest
            self._read([places[chunk.sha256] for chunk in chunks])

    def finish(self, *, size_bytes: int, sha256: bytes, wait_seconds: float | None = None) -> UploadedFile:
        """The file; size and SHA-256 are those that the sender knows.

        Waits `wait_seconds` (None: as long as allowed) for its turn in the database, and at most 60.

        Raises ChunksMissing, SizeMismatch, DigestMismatch, FileExists, UploadTakenOver, UploadClosed, UploadNotFound,
        ReleaseNotFound when it was deleted meanwhile, ProjectNotInRelease, and what `add` raises.
        """
        if self._missing:
            raise self._chunks_missing()
        for size in (self._draft.size_bytes, size_bytes):
            if size is not None and size != self._chunks.size_bytes:
                raise SizeMismatch(unit="bytes", expected=size, actual=self._chunks.size_bytes)
        actual = self._whole.digest()
        for digest in (self._draft.sha256, sha256):
            if digest is not None and digest != actual:
                raise DigestMismatch(expected=digest.hex(), actual=actual.hex())
        crashpoint("assembly.verified")
        self._settles = True
        answer: UploadedFile = self._database.write(
            self._finish, wait_seconds=finish_wait(wait_seconds), long=len(self._chunks) > MANY_ROWS
        )
        crashpoint("assembly.finished")
        UPLOADS.labels("finished").inc()
        return answer

    def _note(self, chunks: Sequence[ChunkRef]) -> None:
        for index, chunk in enumerate(chunks):
            if not 1 <= chunk.size_bytes <= MAX_CHUNK_BYTES:
                problem = f"is {chunk.size_bytes}, and a chunk has 1 to {MAX_CHUNK_BYTES}"
                raise InvalidField(f"chunks[{index}].size_bytes", problem)
            self._chunks.append(chunk.sha256, chunk.size_bytes)
        most_bytes, announced = self._blobs.max_content_bytes, self._draft.size_bytes
        if self._chunks.size_bytes > most_bytes:
            raise FileTooLarge(most_bytes)
        if announced is not None and self._chunks.size_bytes > announced:
            raise SizeMismatch(unit="bytes", expected=announced, actual=self._chunks.size_bytes)
        most = max(1, most_bytes // LEAST_AVERAGE_BYTES)
        if len(self._chunks) > most:
            raise InvalidField("chunks", f"are more than {most:,} in all messages together; cut larger ones")

    def _places(self, digests: Sequence[bytes]) -> Mapping[bytes, ChunkPlace]:
        """Where those of the chunks are that the organization has: marked as used just now."""
        held: set[bytes] = set()
        for start in range(0, len(digests), TOUCHED_AT_ONCE):
            part = digests[start : start + TOUCHED_AT_ONCE]
            held |= self._database.write(partial(self._hold, digests=part))
        return live_chunks(self._database, self._turn.organization_id, sorted(held))

    def _hold(self, tx: Transaction, *, digests: Sequence[bytes]) -> frozenset[bytes]:
        hold_turn(tx, self._turn)
        return held_chunks(tx, self._turn.organization_id, digests)

    def _read(self, places: Sequence[ChunkPlace]) -> None:
        reader = self._blobs.chunks(self._turn.organization_id)
        with closing(reader.read(places)) as plain:
            for number, (place, data) in enumerate(zip(places, plain, strict=True)):
                if number % CHECKED_EACH == 0:
                    self._check()
                if data is None:
                    self._missing[place.sha256] = None
                    continue
                self._whole.update(data)
                if self._chunks.size_bytes <= INLINE_BYTES:
                    self._small += data

    def _finish(self, tx: Transaction) -> UploadedFile:
        draft, turn = self._draft, self._turn
        release = writable_release(tx, self._access, draft.organization, draft.version)
        if release.id != self._release_id:  # deleted, and created anew meanwhile
            raise ReleaseNotFound(release.organization_slug, release.version)
        upload = hold_turn(tx, turn)
        project_id = file_project(tx, release, draft.project)
        inline = bytes(self._small) if self._chunks.size_bytes <= INLINE_BYTES else None
        if inline is None:
            distinct = self._chunks.distinct()
            if touch_chunks(tx, turn.organization_id, distinct) != len(distinct):
                gone = set(distinct) - held_chunks(tx, turn.organization_id, distinct)
                raise ChunksMissing((sha256.hex() for sha256 in sorted(gone)), len(gone))
        content = keep_content(
            tx,
            turn.organization_id,
            sha256=self._whole.digest(),
            size_bytes=self._chunks.size_bytes,
            inline_data=inline,
            manifest=ListedManifest(self._chunks) if inline is None else None,
        )
        file, created = place_file(tx, self._access, release, draft, project_id=project_id, content=content)
        uploaded = UploadedFile(file, created)
        close_finished(tx, release, draft, uploaded, upload=upload)
        drop_chunks(tx, turn.organization_id, turn.upload_id)
        crashpoint("assembly.file_in_rows")
        return uploaded

    def _chunks_missing(self) -> ChunksMissing:
        return ChunksMissing((sha256.hex() for sha256 in self._missing), len(self._missing))


def start_assembly(
    database: Database,
    blobs: Blobs,
    access: Access,
    *,
    organization: str,
    upload_id: bytes,
    check: Callable[[], object] = lambda: None,
    end: End = lambda _: None,
) -> Assembly:
    """Goes on with an upload by listing chunks; a stream of it that is under way ends with UPLOAD_TAKEN_OVER.

    `end` is called as that of `open_upload`.

    Raises OrganizationNotFound, UploadNotFound (also when its release, or its file, is gone), UploadClosed when it was
    cancelled.
    """

    def begin(tx: Transaction) -> _Begun:
        found = find_organization(tx, access, organization)
        missing = UploadNotFound(found.slug, text_of(upload_id))
        upload = lock_upload(tx, found.id, upload_id)
        if upload is None:
            raise missing
        draft = draft_of(found.slug, upload.id, upload.header)
        try:
            release = release_to_upload_to(tx, access, draft)
        except NotFound:
            raise missing from None
        answer = answer_of(tx, release, upload)
        if release.id != upload.release_id or (answer is None and upload.file_id is not None):
            raise missing
        if answer is None and upload.state != OPEN:
            raise UploadClosed(text_of(upload_id), upload.state.upper())
        if answer is None:
            return _Begun(next_turn(tx, found.slug, upload), draft, release.id, None)
        turn = Turn(found.slug, upload.organization_id, upload.id, upload.fence, upload.committed_bytes)
        return _Begun(turn, draft, release.id, answer)

    begun: _Begun = database.write(begin)
    crashpoint("assembly.begun")
    return Assembly(database, blobs, access, begun, check=check, end=end)
