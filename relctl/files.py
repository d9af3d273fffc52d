"""Files of a release: sending, reading, listing."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import RawIOBase
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import BinaryIO, Final

import grpc
from releaseregistry.v1 import files_pb2 as messages
from releaseregistry.v1.files_pb2 import FileKind, ReleaseFile, UploadReleaseFileRequest, UploadReleaseFileResponse
from releaseregistry.v1.release_service_pb2_grpc import ReleaseServiceStub

from relctl.connection import Connection, Pauses, new_request_id, repeat_while_busy
from relctl.errors import LocalError, RegistryError, decode_error
from relctl.names import project_name, release_file_name, release_name

# The most that a message may bring: each costs both sides much the same, however little is in it.
FRAME_BYTES: Final = 2**20
# What comes slowly is sent after so long, so that the server does not take a slow pipe for a silent one.
FRAME_SECONDS: Final = 1.0

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDraft:
    """What a file is uploaded as. The project is a slug; without one the file belongs to all of the release's.

    With `replace` it takes the place of one with other content under the same name, project and dist.
    """

    file_name: str
    project: str | None = None
    dist: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: FileKind = FileKind.FILE_KIND_UNSPECIFIED
    replace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFilter:
    """Which files of a release a list answers: those that every filter lets through; an empty one lets all.

    Projects are slugs. A project or dist of "" stands for files without one. At most 20 parts of names, in any case,
    and 100 of everything else.
    """

    file_name_contains: Sequence[str] = ()
    projects: Sequence[str] = ()
    dists: Sequence[str] = ()
    sha256: Sequence[str] = ()


class Files:
    """The part of ReleaseService that is about files."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = ReleaseServiceStub(connection.channel)

    def upload(
        self, organization: str, version: str, path: Path, draft: FileDraft, *, progress: Progress = lambda _: None
    ) -> UploadReleaseFileResponse:
        """Send a file; answered when every byte is on the server's stable storage.

        Reads the file once, hashing while it sends. While the server is UNAVAILABLE it is sent again from the start
        under the same upload id, so there is never a second file. `progress` is told how many bytes were sent so far,
        from another thread; the number falls back to 0 when the file is sent again.

        Raises RegistryError, and LocalError when the file cannot be read or changes its size while it is sent.
        """
        header = upload_header(organization, version, draft)
        try:
            with path.open("rb") as source:
                header.size_bytes = os.fstat(source.fileno()).st_size
                return repeat_while_busy(lambda: self._upload_once(_Frames(source, header, progress)))
        except OSError as error:
            raise LocalError(f"cannot read {path}: {error.strerror or error}") from None

    def upload_from(
        self,
        organization: str,
        version: str,
        source: RawIOBase,
        draft: FileDraft,
        *,
        progress: Progress = lambda _: None,
    ) -> UploadReleaseFileResponse:
        """Send what an unbuffered stream, such as a pipe, holds until it ends; a frame of it at a time is in memory.

        As `upload`, but the stream can be read only once: it is sent again only while nothing was read from it yet. It
        may still be read, by another thread, when an error is raised.

        Raises RegistryError, and LocalError when the stream cannot be read.
        """
        header = upload_header(organization, version, draft)
        pauses = Pauses()
        while True:
            frames = _Frames(source, header, progress)
            try:
                return self._upload_once(frames)
            except RegistryError as error:
                if frames.was_read:
                    raise
                pauses.wait_after(error)
            except OSError as error:
                raise LocalError(f"cannot read the input: {error.strerror or error}") from None

    def download(self, file: ReleaseFile, target: Path, *, progress: Progress = lambda _: None) -> None:
        """Read a file into `target`, replacing what is there, in one step and only when size and SHA-256 are right.

        The bytes gather in a file beside it, which is gone again after a failure. (A device or pipe is written as it
        is: it cannot be replaced.) Goes on where it was when the server
        becomes UNAVAILABLE in between. `progress` is told how many bytes are there so far.

        Raises RegistryError, and LocalError when the file cannot be written or what arrived is not what was announced.
        """
        target = target.resolve()  # what a link leads to is replaced, not the link
        if target.exists() and not target.is_file():
            self._download_into(file, target, progress)
            return
        try:
            descriptor, scratch = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".part", dir=target.parent)
            try:
                with os.fdopen(descriptor, "wb") as sink:
                    self.download_to(file, sink, progress=progress)
                Path(scratch).chmod(0o666 & ~_umask())  # as any program's new file; mkstemp makes it private
                Path(scratch).replace(target)
            except BaseException:
                Path(scratch).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise LocalError(f"cannot write {target}: {error.strerror or error}") from None

    def download_to(self, file: ReleaseFile, sink: BinaryIO, *, progress: Progress = lambda _: None) -> None:
        """Read a file into an open stream. What was written before an error is not to be used.

        Raises as `download` does.
        """
        digest = hashlib.sha256()
        received = 0
        pauses = Pauses()
        while True:
            request = messages.DownloadReleaseFileRequest(name=file.name, offset=received)
            call = self._stub.DownloadReleaseFile(request, metadata=self._connection.metadata)
            try:
                for answer in call:
                    if answer.WhichOneof("frame") == "data":
                        sink.write(answer.data)
                        digest.update(answer.data)
                        received += len(answer.data)
                        pauses.reset()
                        progress(received)
                break
            except grpc.RpcError as error:
                pauses.wait_after(decode_error(error))
            finally:
                call.cancel()
        if received != file.size_bytes:
            raise LocalError(f"{file.file_name}: {received} bytes arrived, {file.size_bytes} were announced")
        if digest.hexdigest() != file.sha256:
            raise LocalError(
                f"{file.file_name}: the SHA-256 of what arrived is {digest.hexdigest()}, not {file.sha256}"
            )

    def list(
        self, organization: str, version: str, *, only: FileFilter | None = None, limit: int | None = None
    ) -> Iterator[ReleaseFile]:
        """Walk the files of a release, by file name, fetched page by page. Raises RegistryError."""
        request = messages.ListReleaseFilesRequest(parent=release_name(organization, version))
        if only is not None:
            request.file_name_contains.extend(only.file_name_contains)
            request.projects.extend(project_name(organization, slug) if slug else "" for slug in only.projects)
            request.dists.extend(only.dists)
            request.sha256.extend(only.sha256)
        pages = self._connection.pages(self._stub.ListReleaseFiles, request, limit=limit)
        return islice((item for page in pages for item in page.files), limit)

    def get(self, organization: str, version: str, uid: str) -> ReleaseFile:
        """Answer one file. Raises RegistryError."""
        request = messages.GetReleaseFileRequest(name=release_file_name(organization, version, uid))
        return self._connection.call(self._stub.GetReleaseFile, request).file

    def create(
        self, organization: str, version: str, draft: FileDraft, *, sha256: str
    ) -> messages.CreateReleaseFileResponse:
        """Create a file of content that the organization has, without sending a byte of it.

        Raises RegistryError; its reason is CONTENT_UNKNOWN when the organization does not have the content.
        """
        header = upload_header(organization, version, draft)
        file = ReleaseFile(file_name=draft.file_name, sha256=sha256, headers=draft.headers, kind=draft.kind)
        if draft.project is not None:
            file.project = header.project
        if draft.dist is not None:
            file.dist = draft.dist
        request = messages.CreateReleaseFileRequest(
            parent=header.parent, file=file, replace=draft.replace, request_id=new_request_id()
        )
        return self._connection.call(self._stub.CreateReleaseFile, request)

    def update(
        self,
        organization: str,
        version: str,
        uid: str,
        *,
        file_name: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ReleaseFile:
        """Call a file otherwise, or keep other headers with it, or both. Its content and uid stay.

        Raises RegistryError; its reason is FILE_EXISTS when another file has the name, project and dist.
        """
        request = messages.UpdateReleaseFileRequest(request_id=new_request_id())
        request.file.name = release_file_name(organization, version, uid)
        if file_name is not None:
            request.file.file_name = file_name
            request.update_mask.paths.append("file_name")
        if headers is not None:
            request.file.headers.update(headers)
            request.update_mask.paths.append("headers")
        return self._connection.call(self._stub.UpdateReleaseFile, request).file

    def delete(self, organization: str, version: str, uid: str) -> None:
        """Delete a file of the release. Raises RegistryError."""
        request = messages.DeleteReleaseFileRequest(
            name=release_file_name(organization, version, uid), request_id=new_request_id()
        )
        self._connection.call(self._stub.DeleteReleaseFile, request)

    def _download_into(self, file: ReleaseFile, target: Path, progress: Progress) -> None:
        try:
            with target.open("wb") as sink:
                self.download_to(file, sink, progress=progress)
        except OSError as error:
            raise LocalError(f"cannot write {target}: {error.strerror or error}") from None

    def _upload_once(self, frames: _Frames) -> UploadReleaseFileResponse:
        # No deadline: how long is right depends on the file. A server that is gone ends the call by keepalive.
        call = self._stub.UploadReleaseFile.future(iter(frames), metadata=self._connection.metadata)
        try:
            return call.result()
        except grpc.RpcError as error:
            if frames.failure is not None:
                raise frames.failure from None
            raise decode_error(error) from None
        finally:
            call.cancel()


class _Frames:
    """The frames of one upload: header, data, finish. From the start of the source, when the header says its size.

    What goes wrong in reading is kept in `failure` and ends the frames without a finish, so the server makes no file:
    grpc would log the exception and answer UNKNOWN.
    """

    def __init__(self, source: BinaryIO | RawIOBase, header: messages.UploadHeader, progress: Progress) -> None:
        self._source = source
        self._header = header
        self._progress = progress
        self.was_read = False
        self.failure: Exception | None = None

    def __iter__(self) -> Iterator[UploadReleaseFileRequest]:
        try:
            yield from self._frames()
        except OSError as error:
            self.failure = error
        except LocalError as error:
            self.failure = error

    def _frames(self) -> Iterator[UploadReleaseFileRequest]:
        if self._header.HasField("size_bytes"):
            self._source.seek(0)
        self._progress(0)
        yield UploadReleaseFileRequest(header=self._header)
        self.was_read = True
        digest = hashlib.sha256()
        sent = 0
        while data := self._read():
            digest.update(data)
            yield UploadReleaseFileRequest(data=messages.UploadData(offset=sent, data=data))
            sent += len(data)
            self._progress(sent)
        if self._header.HasField("size_bytes") and sent != self._header.size_bytes:
            raise LocalError(f"the file changed while it was sent: {sent} bytes instead of {self._header.size_bytes}")
        yield UploadReleaseFileRequest(finish=messages.UploadFinish(size_bytes=sent, sha256=digest.hexdigest()))

    def _read(self) -> bytes:
        """A whole frame's bytes, what is left, or what came in a second: pipes give what they have, bit by bit."""
        data = bytearray()
        begun = monotonic()
        while len(data) < FRAME_BYTES and (more := self._source.read(FRAME_BYTES - len(data))):
            data += more
            if monotonic() - begun >= FRAME_SECONDS:
                break
        return bytes(data)


def upload_header(organization: str, version: str, draft: FileDraft) -> messages.UploadHeader:
    """The header of an upload of that draft, under an id of its own."""
    header = messages.UploadHeader(
        upload_id=new_request_id(),
        parent=release_name(organization, version),
        file_name=draft.file_name,
        headers=draft.headers,
        kind=draft.kind,
        replace=draft.replace,
    )
    if draft.project is not None:
        header.project = project_name(organization, draft.project)
    if draft.dist is not None:
        header.dist = draft.dist
    return header


def _umask() -> int:
    # It can only be read by setting it.
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
