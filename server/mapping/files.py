"""Files: messages of the contract to drafts of the store, and what the store answers to messages."""

from __future__ import annotations

from collections.abc import Iterator

from releaseregistry.v1 import files_pb2 as pb

from server.mapping.projects import named_project
from server.mapping.times import to_timestamp
from server.names import file_name, parse_release, parse_uid, project_name, uid
from store.errors import FrameOutOfOrder
from store.files.rows import FileRow, UploadDraft, UploadedFile


class UploadFrames:
    """The frames of an upload in the order that the contract demands: header, data, finish, and then no more.

    `header`, `data` and `finish` are called in this order, each to its end. Raises FrameOutOfOrder.
    """

    def __init__(self, requests: Iterator[pb.UploadReleaseFileRequest]) -> None:
        self._requests = requests
        self._finish: pb.UploadFinish | None = None

    def header(self) -> pb.UploadHeader:
        """The first frame."""
        request = next(self._requests, None)
        found = _frame(request)
        if request is None or found != "header":
            raise FrameOutOfOrder(expected="header", found=found)
        return request.header

    def data(self) -> Iterator[pb.UploadData]:
        """The frames up to the finish."""
        for request in self._requests:
            found = _frame(request)
            if found == "data":
                yield request.data
            elif found == "finish":
                self._finish = request.finish
                return
            else:
                raise FrameOutOfOrder(expected="data or finish", found=found)
        # The client is gone, or failed in the middle of sending: both look like a stream that just ends.
        raise FrameOutOfOrder(expected="data or finish", found="end")

    def finish(self) -> pb.UploadFinish:
        """The frame that said finish, once the stream ended behind it."""
        assert self._finish is not None, "data() was not read to its end"
        found = _frame(next(self._requests, None))
        if found != "end":
            raise FrameOutOfOrder(expected="end", found=found)
        return self._finish


def upload_draft(header: pb.UploadHeader) -> UploadDraft:
    """The file that a header announces."""
    release = parse_release(header.parent, field="header.parent")
    return UploadDraft(
        upload_id=parse_uid(header.upload_id),
        organization=release.organization,
        version=release.version,
        file_name=header.file_name,
        project=named_project(header.project, release.organization, field="header.project") if header.project else None,
        dist=header.dist or None,
        headers=dict(header.headers),
        size_bytes=header.size_bytes if header.HasField("size_bytes") else None,
        sha256=bytes.fromhex(header.sha256) if header.sha256 else None,
    )


def upload_message(uploaded: UploadedFile) -> pb.UploadReleaseFileResponse:
    """What UploadReleaseFile answers."""
    return pb.UploadReleaseFileResponse(file=file_message(uploaded.file), created=uploaded.created)


def file_message(file: FileRow) -> pb.ReleaseFile:
    """A file of a release."""
    return pb.ReleaseFile(
        name=file_name(file.organization, file.version, file.id),
        uid=uid(file.id),
        file_name=file.file_name,
        project=None if file.project is None else project_name(file.organization, file.project),
        dist=file.dist or None,
        headers=file.headers,
        size_bytes=file.size_bytes,
        sha256=file.sha256.hex(),
        create_time=to_timestamp(file.create_time),
    )


def _frame(request: pb.UploadReleaseFileRequest | None) -> str:
    if request is None:
        return "end"
    return request.WhichOneof("frame") or "an empty message"
