"""Many files and large ones, sent fast: in chunks, side by side, and nothing that the server has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Final

from releaseregistry.v1 import files_pb2, uploads_pb2
from releaseregistry.v1.files_pb2 import ReleaseFile, UploadHeader
from releaseregistry.v1.uploads_pb2 import AssembleUploadRequest, ChunkRef, GetUploadLimitsResponse
from releaseregistry.v1.uploads_pb2_grpc import UploadServiceStub

from relctl.chunk_streams import ChunkStreams, Meter, Source
from relctl.chunked import Chunk, ChunkList, Cutting
from relctl.connection import Connection, new_request_id
from relctl.errors import LocalError, RegistryError
from relctl.files import FileDraft, Files, upload_header
from relctl.hash_cache import FileState, HashCache
from relctl.missing_chunks import MissingChunks
from relctl.workers import Workers

# Smaller files go through UploadReleaseFile, in one call.
SMALL_BYTES: Final = 2**20
DEFAULT_JOBS: Final = 4
DEFAULT_STREAMS: Final = 3
# Of larger files so much is cut and asked about before the rest is: the first read of a cutting has it.
HEAD_BYTES: Final = 7 * 2**20
# How often a list of chunks is completed when some turn out to be missing after all.
ASSEMBLIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FileToUpload:
    """A file on this machine, and what to upload it as."""

    path: Path
    draft: FileDraft


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedFile:
    """A file that is safe on the server's storage. `created` is False when the release had it before.

    `sent_bytes` travelled for it; the rest of its size was there, or saved by packing.
    """

    path: Path
    file: ReleaseFile
    created: bool
    sent_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far an upload of files is, in bytes of the files; `sent_bytes` is what travelled.

    `total_bytes` is None where nobody knows: of a pipe. `compared_bytes` were read so far of the files that are being
    compared with what the server has, before any of them is done or sent; 0 while none is.
    """

    total_bytes: int | None
    done_bytes: int
    sent_bytes: int
    compared_bytes: int = 0

    @property
    def saved_bytes(self) -> int:
        """What needed not to travel of what is done."""
        return max(0, self.done_bytes - self.sent_bytes)


Progress = Callable[[Standing], None]


class Uploads:
    """UploadService, and what of ReleaseService makes files of bytes that are there."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = UploadServiceStub(connection.channel)

    def limits(self) -> GetUploadLimitsResponse:
        """Answer the limits of the server, and how it wants files to be cut. Raises RegistryError."""
        return self._connection.call(self._stub.GetUploadLimits, uploads_pb2.GetUploadLimitsRequest())

    def upload(
        self,
        organization: str,
        version: str,
        items: Sequence[FileToUpload],
        *,
        cache: HashCache | None = None,
        jobs: int = DEFAULT_JOBS,
        streams: int = DEFAULT_STREAMS,
        progress: Progress = lambda _: None,
    ) -> Iterator[UploadedFile]:
        """Send files to a release, `jobs` of them at a time, and answer each as soon as it is safe on the server.

        Files above 1 MiB are cut into chunks. Chunks that the organization has, of whatever file, are not sent; the
        others travel over `streams` streams in all, packed where that makes them smaller. A file whose SHA-256 `cache`
        knows and whose content the organization has costs one call. Without that, a file whose beginning the
        organization has is hashed as a whole before it is cut: one that it has whole is read once, and that is all.
        What an upload that broke off has sent is found to be there for 24 hours, by this process or another: repeating
        the call goes on with it. While the server is UNAVAILABLE it is waited for, some two minutes without progress.

        `progress` is told how far all is, from several threads. The first error ends everything: files that were not
        answered may be there or not.

        Raises RegistryError, and LocalError when a file cannot be read or changes while it is sent.
        """
        sizes = [_state_of(item.path).size_bytes for item in items]
        total = _Total(sum(sizes), progress)
        limits = self.limits()
        chunks = ChunkStreams(self._connection, organization, limits=limits, streams=streams)
        release = _Release(self._connection, organization, version)
        workers: Workers[UploadedFile] = Workers(jobs)
        ended: SimpleQueue[Future[UploadedFile]] = SimpleQueue()
        try:
            for item, size in zip(items, sizes, strict=True):
                meter = Meter(size, total.add)
                upload = _Upload(release, item, chunks, limits=limits, cache=cache or HashCache(None), meter=meter)
                workers.submit(upload.run).add_done_callback(ended.put)
            for _ in items:
                yield ended.get().result()
        finally:
            chunks.close()
            workers.close()


class _Total:
    """Adds up how far the files are."""

    def __init__(self, total_bytes: int, progress: Progress) -> None:
        self._total_bytes = total_bytes
        self._progress = progress
        self._lock = Lock()
        self._done_bytes = self._sent_bytes = self._compared_bytes = 0

    def add(self, done: int, sent: int, compared: int) -> None:
        with self._lock:
            self._done_bytes += done
            self._sent_bytes += sent
            self._compared_bytes += compared
            # Within the lock, so that numbers come in order.
            self._progress(
                Standing(
                    total_bytes=self._total_bytes,
                    done_bytes=self._done_bytes,
                    sent_bytes=self._sent_bytes,
                    compared_bytes=self._compared_bytes,
                )
            )


class _Release:
    """The release that files go to."""

    def __init__(self, connection: Connection, organization: str, version: str) -> None:
        self.connection = connection
        self.organization = organization
        self.version = version
        self.files = Files(connection)
        self.uploads = UploadServiceStub(connection.channel)


class _Upload:
    """The upload of one file."""

    def __init__(
        self,
        release: _Release,
        item: FileToUpload,
        chunks: ChunkStreams,
        *,
        limits: GetUploadLimitsResponse,
        cache: HashCache,
        meter: Meter,
    ) -> None:
        self._release, self._chunks, self._limits, self._cache = release, chunks, limits, cache
        self._path, self._draft = item.path, item.draft
        self._meter = meter
        self._lacking: str | None = None
        """The SHA-256 of the file, once the organization was asked and has no such content."""

    def run(self) -> UploadedFile:
        """Send the file in the way that suits it. Raises RegistryError, LocalError, Stopped."""
        try:
            state = _state_of(self._path)
            if state.size_bytes <= SMALL_BYTES:
                return self._whole()
            return self._known(state) or self._in_chunks(state)
        except OSError as error:
            raise LocalError(f"cannot read {self._path}: {error.strerror or error}") from None

    def _whole(self) -> UploadedFile:
        """Send the file in one call."""
        told = 0

        def tell(sent: int) -> None:
            nonlocal told
            self._meter.add(sent - told, max(0, sent - told))
            told = sent

        release = self._release
        answer = self._chunks.patiently(
            lambda: release.files.upload(release.organization, release.version, self._path, self._draft, progress=tell)
        )
        return self._uploaded(answer.file, created=answer.created)

    def _known(self, state: FileState) -> UploadedFile | None:
        """Make the file of content that is there, when its SHA-256 is remembered; None when it is not, or not there."""
        sha256 = self._cache.find(self._path, state)
        return None if sha256 is None else self._created(sha256, state.size_bytes)

    def _created(self, sha256: str, size_bytes: int) -> UploadedFile | None:
        """Make the file of content that the organization has, and be done with it; None when it has not."""
        release = self._release
        try:
            answer = self._chunks.patiently(
                lambda: release.files.create(release.organization, release.version, self._draft, sha256=sha256)
            )
        except RegistryError as error:
            if error.reason == "CONTENT_UNKNOWN":
                self._lacking = sha256
                return None
            raise
        self._meter.add(size_bytes)
        return self._uploaded(answer.file, created=answer.created)

    def _in_chunks(self, state: FileState) -> UploadedFile:
        """Cut the file, send what is missing, and have it assembled."""
        header = upload_header(self._release.organization, self._release.version, self._draft)
        header.size_bytes = state.size_bytes
        started = self._start(header)  # a release that is not there, say, is told before anything is read
        source = Source(path=self._path, state=state, meter=self._meter)
        if started.HasField("standing_file") and not self._draft.replace:
            uploaded = self._standing(source, header, started.standing_file)
            if uploaded is not None:
                return uploaded
        whole = ChunkList()
        sending = MissingChunks(self._chunks, source)
        with source.opened() as file:
            cutting = Cutting(file, self._limits.chunking)
            chunks = _listed(cutting, whole)
            uploaded = self._there_already(source, cutting, chunks, sending)
            if uploaded is not None:
                return uploaded
            sending.send(chunks)
        if cutting.size_bytes != state.size_bytes or _state_of(self._path) != state:
            raise source.changed()
        if cutting.sha256 != self._lacking:
            self._cache.remember(self._path, state, cutting.sha256)
            if not sending.was_needed:  # costs the server less than to assemble what it has
                uploaded = self._created(cutting.sha256, state.size_bytes)
                if uploaded is not None:
                    return uploaded
        finish = files_pb2.UploadFinish(size_bytes=cutting.size_bytes, sha256=cutting.sha256)
        return self._assembled(header, started.upload.name, source, whole, finish)

    def _there_already(
        self, source: Source, cutting: Cutting, chunks: Iterator[Chunk], sending: MissingChunks
    ) -> UploadedFile | None:
        """Make the file of content that is there, when its beginning is; None when it is not all there.

        Whoever has the beginning is likely to have the rest, and to cut that takes twice as long as to hash it.
        """
        if source.state.size_bytes <= HEAD_BYTES or self._lacking is not None:
            return None
        sending.ask(_head(chunks))
        if sending.was_needed:
            return None
        sha256 = self._compared(source)
        cutting.spare(sha256)
        return self._created(sha256, source.state.size_bytes)

    def _standing(self, source: Source, header: UploadHeader, standing: ReleaseFile) -> UploadedFile | None:
        """The file that stands under the name, if it is this one, without sending a byte; None when it is gone by now.

        Raises RegistryError: FILE_EXISTS when it has other content, before that is sent.
        """
        sha256 = self._compared(source)
        if sha256 != standing.sha256:
            announced = UploadHeader()
            announced.CopyFrom(header)
            announced.upload_id, announced.sha256 = new_request_id(), sha256
            self._start(announced)  # refused, unless the other file is gone by now
        return self._created(sha256, source.state.size_bytes)

    def _compared(self, source: Source) -> str:
        """The SHA-256 of the file, for the server to say whether it has that. In one pass, as fast as it goes."""
        sha256 = source.sha256()
        self._cache.remember(self._path, source.state, sha256)
        return sha256

    def _assembled(
        self, header: UploadHeader, name: str, source: Source, chunks: ChunkList, finish: files_pb2.UploadFinish
    ) -> UploadedFile:
        """Make the file of its chunks, sending those that are not there after all."""

        def attempt() -> uploads_pb2.AssembleUploadResponse:
            requests = _lists(name, chunks, finish, size=self._limits.max_chunks_per_message)
            answer: uploads_pb2.AssembleUploadResponse = self._chunks.stream(
                self._release.uploads.AssembleUpload.future, requests
            )
            return answer

        for left in reversed(range(ASSEMBLIES)):
            self._start(header)  # once more: in 24 hours it may have ended by itself
            try:
                answer = self._chunks.patiently(attempt)
                return self._uploaded(answer.file, created=answer.created)
            except RegistryError as error:
                if error.reason == "DIGEST_MISMATCH":
                    raise source.changed() from None
                if error.reason != "CHUNKS_MISSING" or not left:
                    raise
            # Damaged meanwhile, or on its way with another file that failed.
            self._chunks.forget(chunks)
            MissingChunks(self._chunks, source).send(chunks)
        raise AssertionError("the last attempt returns or raises")

    def _start(self, header: UploadHeader) -> uploads_pb2.StartUploadResponse:
        release = self._release
        request = uploads_pb2.StartUploadRequest(header=header)
        answer: uploads_pb2.StartUploadResponse = self._chunks.patiently(
            lambda: release.connection.call(release.uploads.StartUpload, request)
        )
        return answer

    def _uploaded(self, file: ReleaseFile, *, created: bool) -> UploadedFile:
        return UploadedFile(path=self._path, file=file, created=created, sent_bytes=self._meter.sent_bytes)


def _listed(chunks: Iterable[Chunk], whole: ChunkList) -> Iterator[Chunk]:
    """The chunks, each put into the list when it passes."""
    for chunk in chunks:
        whole.append(chunk)
        yield chunk


def _head(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The first of the chunks; the others stay."""
    for chunk in chunks:
        yield chunk
        if chunk.offset + chunk.size_bytes >= HEAD_BYTES:
            return


def _lists(
    name: str, chunks: ChunkList, finish: files_pb2.UploadFinish, *, size: int
) -> Iterator[AssembleUploadRequest]:
    """The messages that list the chunks of a file."""
    refs = (ChunkRef(sha256=chunk.sha256.hex(), size_bytes=chunk.size_bytes) for chunk in chunks)
    while page := list(islice(refs, size)):
        yield AssembleUploadRequest(name=name, chunks=page)
    yield AssembleUploadRequest(name=name, finish=finish)


def _state_of(path: Path) -> FileState:
    try:
        return FileState.of(path.stat())
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror or error}") from None
