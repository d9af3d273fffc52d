"""The power cut drill's callers: files by both doors, whole and in pieces, and what they were told of each."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from releaseregistry.v1 import files_pb2, uploads_pb2

from tests.crash.ledger import FileEntry, ReleaseEntry, Tally, content_of, sha256_of
from tests.crash.workload import CALL_SECONDS, FRAME, ORGANIZATION, BrokenPromise, Worker, reason_of
from tests.server_process import ServerProcess, Stubs

KIB, MIB = 2**10, 2**20
INLINE_BYTES = 16 * KIB
# Sizes of files, and how often each kind comes: in a row, in one pack, in several chunks of one pack.
SIZES = ((0.35, 0, INLINE_BYTES), (0.55, INLINE_BYTES + 1, 512 * KIB), (0.1, 2 * MIB, 4 * MIB))
# Files of these sizes have the same content in every release: of the second nothing is written but rows.
COMMON_SIZES = (9 * KIB, 300 * KIB, 2 * MIB)
NEWEST = 3  # of its releases that a caller goes on with: all files of those are looked at after a cut
UNFINISHED = 3  # so many uploads a caller leaves, before it finishes one of them
SLOW_BYTES = 9 * MIB
SLOW_SECONDS = 0.02  # between two frames
FRAME_OUT_OF_ORDER = grpc.StatusCode.INVALID_ARGUMENT  # what a stream without a finish is answered

Pause = Callable[[], bool]
"""Waits between two frames; whether to break off."""


@dataclass(slots=True)
class Unfinished:
    """An upload that was begun and not finished, and what its sender was told of it.

    `committed` bytes are safe, by GetUpload. With `stored` all of its chunks are, by UploadChunks; `cut` is their size.
    """

    release: ReleaseEntry
    file: FileEntry
    committed: int = 0
    known: bool = False
    cut: int = 0
    stored: bool = False

    @property
    def name(self) -> str:
        """The upload's."""
        return f"{ORGANIZATION}/uploads/{self.file.upload_id}"

    @property
    def content(self) -> bytes:
        """The bytes of its file."""
        return content_of(self.file.name, self.file.size)

    @property
    def chunks(self) -> list[bytes]:
        """Its chunks, for the chunk door."""
        return [self.content[start : start + self.cut] for start in range(0, self.file.size, self.cut)]


class LostAnswer(grpc.RpcError):
    """An answer that no caller got."""

    def code(self) -> grpc.StatusCode:
        """As that of a connection that broke."""
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        """What happened."""
        return "the power was gone"

    def trailing_metadata(self) -> tuple[()]:
        """None came."""
        return ()


class NothingBehindTheCut(grpc.UnaryUnaryClientInterceptor, grpc.StreamUnaryClientInterceptor):
    """Loses the answers that come once the power is being cut.

    Where power is really cut there are none. Here the kernel takes a millisecond or two, in which it lets a sync that
    is under way return without an error, and without effect: of 400 cuts beside a thread that only wrote and synced, 62
    lost what had been synced so, and none what had been synced before.
    """

    def __init__(self, cut: threading.Event) -> None:
        self._cut = cut

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """See `grpc.UnaryUnaryClientInterceptor`."""
        return self._in_time(continuation(client_call_details, request))

    def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        """See `grpc.StreamUnaryClientInterceptor`."""
        return self._in_time(continuation(client_call_details, request_iterator))

    def _in_time(self, answer: Any) -> Any:
        if answer.code() == grpc.StatusCode.OK and self._cut.is_set():
            raise LostAnswer
        return answer


class Uploader(Worker):
    """One caller that uploads more than anything else, by both doors, and leaves some of it unfinished."""

    def __init__(self, number: int, *, seed: int, tally: Tally) -> None:
        super().__init__(number, seed=seed, tally=tally)
        self.unfinished: dict[str, Unfinished] = {}

    def work(self, server: ServerProcess, stop: threading.Event, cut: threading.Event) -> None:
        """Call after call, until `stop` or until the first that fails; that must be because of the `cut`."""
        self._metadata = server.metadata
        with server.channel() as channel:
            stubs = Stubs(grpc.intercept_channel(channel, NothingBehindTheCut(cut)))
            try:
                while not stop.is_set():
                    self._one_call(stubs)
            except grpc.RpcError as error:
                # On a dead disk the server answers reasons of its own; OK it says of nothing that is not safe.
                # A connection may break a moment before the thread that cut has said so.
                if not (error.code() == grpc.StatusCode.UNAVAILABLE and cut.wait(5)):
                    self.problems.append(f"worker {self._number}: {error.code()} {reason_of(error)} {error.details()}")
            except Exception as error:  # noqa: BLE001 - a caller's thread has nobody to raise to; the drill fails with it
                self.problems.append(f"worker {self._number}: {error!r}")

    def repeat(self, stubs: Stubs, entries: list[tuple[ReleaseEntry, FileEntry | None]]) -> None:
        """As a good client: a cut upload goes on where GetUpload says, everything else is sent once more."""
        for release, file in entries:
            if file is None:
                super().repeat(stubs, [(release, None)])
            elif release.commits is not None:
                self.resume(stubs, self.unfinished.get(file.upload_id) or Unfinished(release, file))

    def resume(self, stubs: Stubs, upload: Unfinished) -> None:
        """Go on with an upload to its end. Raises `BrokenPromise` when less of it is there than was told."""
        release, file = upload.release, upload.file
        found = self._look(stubs, upload)
        if upload.known and found is None:
            raise BrokenPromise(f"{release.version}: {file.name}: its upload is gone")
        committed = 0 if found is None else found.committed_bytes
        if committed < upload.committed:
            raise BrokenPromise(
                f"{release.version}: {file.name}: {committed} bytes are committed, {upload.committed} were told to be"
            )
        if upload.cut:
            self._check_chunks(stubs, upload)
            self._store(stubs, upload)
            self._assemble(stubs, upload)
        else:
            # Only what is not there yet: the server has the rest, or the digest would be wrong.
            self._send(stubs, release, file, start=committed if committed < file.size else 0)
        self._tally.add("resumed upload", "answered")
        self.unfinished.pop(file.upload_id, None)

    def upload_one(self, stubs: Stubs, *, in_pack: bool) -> None:
        """One more file, whole; in a row or in a pack of its own."""
        release = self._present()
        if release is None:
            self._create(stubs, self._new_release())
            release = self._present()
            assert release is not None
        size = self._random.randint(INLINE_BYTES + 1, MIB) if in_pack else self._random.randint(0, INLINE_BYTES)
        self._upload(stubs, release, self._file(release, size))

    # -------------------------------------------------------------------------------------------------------- the calls

    def _one_call(self, stubs: Stubs) -> None:
        release, choice = self._present(), self._random.random()
        if release is None or choice < 0.12:
            self._create(stubs, self._new_release())
        elif choice < 0.15:
            self._set_commits(stubs, release)
        elif choice < 0.7:
            self._upload(stubs, release, self._new_file(release))
        elif len(self.unfinished) >= UNFINISHED:
            self.resume(stubs, self._random.choice(list(self.unfinished.values())))
        elif choice < 0.85:
            self._begin(stubs, release)
        else:
            self._store(stubs, self._new_chunked(release))

    def _present(self) -> ReleaseEntry | None:
        present = [each for each in self.releases.values() if each.is_certain and each.commits is not None]
        return self._random.choice(present[-NEWEST:]) if present else None

    def _new_file(self, release: ReleaseEntry) -> FileEntry:
        if self._random.random() < 0.15:
            size = self._random.choice(COMMON_SIZES)
        else:
            (kind,) = self._random.choices(SIZES, [share for share, _, _ in SIZES])
            size = self._random.randint(*kind[1:])
        return self._file(release, size)

    def _file(self, release: ReleaseEntry, size: int) -> FileEntry:
        # The common contents have a common name, because the name is what the bytes are made of.
        name = f"common/{size}.bin" if size in COMMON_SIZES else f"{release.version}/{len(release.files)}.bin"
        if name in release.files:
            name, size = f"{release.version}/{len(release.files)}.bin", size + 1
        upload_id = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        release.files[name] = FileEntry(upload_id, name, size, {None})
        return release.files[name]

    def _begin(self, stubs: Stubs, release: ReleaseEntry) -> None:
        """Send a part of a file, break off, and hear how much of it is safe."""
        file = self._file(release, self._random.randint(64 * KIB, 3 * MIB))
        upload = self.unfinished[file.upload_id] = Unfinished(release, file)
        self._send_part(stubs, upload, stop=self._random.randint(INLINE_BYTES + 1, file.size - 1))
        found = self._look(stubs, upload)
        if found is None:
            raise BrokenPromise(f"{release.version}: {file.name}: an upload that broke off is not known")
        upload.committed, upload.known = found.committed_bytes, True
        self._tally.add("broken off, GetUpload", "answered")

    def _send_part(self, stubs: Stubs, upload: Unfinished, *, stop: int, pause: Pause | None = None) -> None:
        release, file = upload.release, upload.file
        release.touched = True
        try:
            stubs.releases.UploadReleaseFile(
                self._part(release, file, 0, stop, pause), timeout=CALL_SECONDS, metadata=self._metadata
            )
        except grpc.RpcError as error:
            if error.code() != FRAME_OUT_OF_ORDER:
                raise
        else:
            raise BrokenPromise(f"{release.version}: {file.name}: answered without a finish")

    def _send(self, stubs: Stubs, release: ReleaseEntry, file: FileEntry, *, start: int) -> None:
        release.touched = True
        file.possible.add(file.size)
        answer = stubs.releases.UploadReleaseFile(
            self._rest(release, file, start), timeout=CALL_SECONDS, metadata=self._metadata
        )
        self._finished(file, answer.file)

    def _finished(self, file: FileEntry, found: files_pb2.ReleaseFile) -> None:
        if (found.size_bytes, found.sha256) != (file.size, sha256_of(file.name, file.size)):
            raise BrokenPromise(f"{file.name}: the answer names other content")
        file.possible = {file.size}

    def _part(
        self, release: ReleaseEntry, file: FileEntry, start: int, stop: int, pause: Pause | None = None
    ) -> Iterator[files_pb2.UploadReleaseFileRequest]:
        content = content_of(file.name, file.size)
        yield files_pb2.UploadReleaseFileRequest(header=self._header(release, file))
        for offset in range(start, stop, FRAME):
            if pause is not None and pause():
                return
            data = files_pb2.UploadData(offset=offset, data=content[offset : min(offset + FRAME, stop)])
            yield files_pb2.UploadReleaseFileRequest(data=data)

    def _rest(self, release: ReleaseEntry, file: FileEntry, start: int) -> Iterator[files_pb2.UploadReleaseFileRequest]:
        yield from self._part(release, file, start, file.size)
        finish = files_pb2.UploadFinish(size_bytes=file.size, sha256=sha256_of(file.name, file.size))
        yield files_pb2.UploadReleaseFileRequest(finish=finish)

    def _header(self, release: ReleaseEntry, file: FileEntry) -> files_pb2.UploadHeader:
        parent = f"{ORGANIZATION}/releases/{release.version}"
        return files_pb2.UploadHeader(upload_id=file.upload_id, parent=parent, file_name=file.name)

    def _look(self, stubs: Stubs, upload: Unfinished) -> uploads_pb2.Upload | None:
        try:
            return stubs.uploads.GetUpload(
                uploads_pb2.GetUploadRequest(name=upload.name), timeout=CALL_SECONDS, metadata=self._metadata
            ).upload
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return None
            raise

    # --------------------------------------------------------------------------------------------------- the chunk door

    def _new_chunked(self, release: ReleaseEntry) -> Unfinished:
        file = self._file(release, self._random.randint(64 * KIB, 2 * MIB))
        upload = Unfinished(release, file, cut=self._random.randint(32 * KIB, 512 * KIB))
        self.unfinished[file.upload_id] = upload
        return upload

    def _store(self, stubs: Stubs, upload: Unfinished) -> None:
        """StartUpload and UploadChunks: what is answered is safe for 24 hours, whether a file comes of it or not."""
        upload.release.touched = True
        request = uploads_pb2.StartUploadRequest(header=self._header(upload.release, upload.file))
        stubs.uploads.StartUpload(request, timeout=CALL_SECONDS, metadata=self._metadata)
        upload.known = True
        stubs.uploads.UploadChunks(_chunk_messages(upload.chunks), timeout=CALL_SECONDS, metadata=self._metadata)
        upload.stored = True
        self._tally.add("UploadChunks", "answered")

    def _check_chunks(self, stubs: Stubs, upload: Unfinished) -> None:
        request = uploads_pb2.FindMissingChunksRequest(
            parent=ORGANIZATION, sha256=sorted({digest_of(each) for each in upload.chunks})
        )
        answer = stubs.uploads.FindMissingChunks(request, timeout=CALL_SECONDS, metadata=self._metadata)
        if upload.stored and answer.missing_sha256:
            raise BrokenPromise(f"{upload.file.name}: {len(answer.missing_sha256)} chunks are gone that were answered")

    def _assemble(self, stubs: Stubs, upload: Unfinished) -> None:
        upload.release.touched = True
        upload.file.possible.add(upload.file.size)
        refs = [uploads_pb2.ChunkRef(sha256=digest_of(each), size_bytes=len(each)) for each in upload.chunks]
        finish = files_pb2.UploadFinish(
            size_bytes=upload.file.size, sha256=sha256_of(upload.file.name, upload.file.size)
        )
        message = uploads_pb2.AssembleUploadRequest(name=upload.name, chunks=refs, finish=finish)
        answer = stubs.uploads.AssembleUpload(iter([message]), timeout=CALL_SECONDS, metadata=self._metadata)
        self._finished(upload.file, answer.file)
        self._tally.add("AssembleUpload", "answered")


class SlowUploader(Uploader):
    """A caller whose files take seconds, so that more than one group of chunks of a file is committed on the way."""

    def __init__(self, number: int, *, seed: int, tally: Tally) -> None:
        super().__init__(number, seed=seed, tally=tally)
        self.stop = threading.Event()
        self._current: Unfinished | None = None

    def committed(self, stubs: Stubs) -> int:
        """How much of the file under way is safe, as the server says; remembered, for it was told."""
        upload = self._current
        if upload is None or (found := self._look(stubs, upload)) is None:
            return 0
        upload.committed, upload.known = found.committed_bytes, True
        return upload.committed

    def _one_call(self, stubs: Stubs) -> None:
        release = self._present()
        if release is None:
            self._create(stubs, self._new_release())
            return
        file = self._file(release, SLOW_BYTES)
        upload = self.unfinished[file.upload_id] = Unfinished(release, file)
        self._current = upload
        self._send_part(stubs, upload, stop=SLOW_BYTES - 1, pause=self._pause)

    def _pause(self) -> bool:
        return self.stop.wait(SLOW_SECONDS)


def digest_of(chunk: bytes) -> str:
    """How the chunk door names it."""
    return hashlib.sha256(chunk).hexdigest()


def _chunk_messages(chunks: list[bytes]) -> Iterator[uploads_pb2.UploadChunksRequest]:
    for each in chunks:
        chunk = uploads_pb2.ChunkData(sha256=digest_of(each), size_bytes=len(each), data=each)
        yield uploads_pb2.UploadChunksRequest(parent=ORGANIZATION, chunks=[chunk])
    yield uploads_pb2.UploadChunksRequest(finish=True, chunk_count=len(chunks))
