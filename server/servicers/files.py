"""RPCs on the files of releases."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from releaseregistry.v1 import files_pb2 as pb

from server.edge.calls import Call
from server.mapping.files import (
    content_digest,
    created_message,
    deleted_message,
    file_changes,
    file_draft,
    file_filter,
    file_message,
    updated_message,
    upload_draft,
    upload_message,
)
from server.mapping.frames import Frames
from server.names import parse_file, parse_release
from store import Store
from store.files.change import delete_file, update_file
from store.files.create import create_file
from store.files.list import list_files
from store.files.lookup import get_file, open_file
from store.uploads.streams import open_upload


class FileRpcs:
    """The RPCs of the release service that are about files."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def UploadReleaseFile(
        self, requests: Iterator[pb.UploadReleaseFileRequest], call: Call
    ) -> pb.UploadReleaseFileResponse:
        frames = Frames[pb.UploadHeader, pb.UploadData, pb.UploadFinish](requests)
        draft = upload_draft(frames.header())
        with open_upload(self._store.db, self._store.blobs, call.access, draft, end=call.end) as upload:
            if upload.finished is not None:
                return upload_message(upload.finished)
            call.look_after(upload.look)
            for data in frames.data():
                upload.write(data.data, offset=data.offset if data.HasField("offset") else None)
            finish = frames.finish()
            file = upload.finish(
                size_bytes=finish.size_bytes, sha256=bytes.fromhex(finish.sha256), wait_seconds=call.wait_seconds()
            )
            return upload_message(file)

    def DownloadReleaseFile(
        self, request: pb.DownloadReleaseFileRequest, call: Call
    ) -> Generator[pb.DownloadReleaseFileResponse, None, None]:
        name = parse_file(request.name, field="name")
        with open_file(
            self._store.db,
            self._store.blobs,
            call.access,
            organization=name.organization,
            version=name.version,
            file_id=name.id,
            offset=request.offset,
            limit=request.limit or None,
        ) as opened:
            yield pb.DownloadReleaseFileResponse(file=file_message(opened.file))
            # Without a name for them: the bytes of one message are kept by nobody here while its peer takes them.
            yield from map(_data_message, opened.data)

    def ListReleaseFiles(self, request: pb.ListReleaseFilesRequest, call: Call) -> pb.ListReleaseFilesResponse:
        name = parse_release(request.parent, field="parent")
        page = list_files(
            self._store.db,
            call.access,
            organization=name.organization,
            version=name.version,
            page=call.page(request),
            sought=file_filter(request),
        )
        return pb.ListReleaseFilesResponse(
            files=[file_message(file) for file in page.items],
            next_page_token=call.page_token(request, page.next),
            previous_page_token=call.page_token(request, page.previous),
        )

    def CreateReleaseFile(self, request: pb.CreateReleaseFileRequest, call: Call) -> pb.CreateReleaseFileResponse:
        return create_file(
            self._store.db,
            call.access,
            file_draft(request),
            content_digest(request),
            call.terms(request, created_message, pb.CreateReleaseFileResponse),
        )

    def GetReleaseFile(self, request: pb.GetReleaseFileRequest, call: Call) -> pb.GetReleaseFileResponse:
        name = parse_file(request.name, field="name")
        file = get_file(
            self._store.db, call.access, organization=name.organization, version=name.version, file_id=name.id
        )
        return pb.GetReleaseFileResponse(file=file_message(file))

    def UpdateReleaseFile(self, request: pb.UpdateReleaseFileRequest, call: Call) -> pb.UpdateReleaseFileResponse:
        name = parse_file(request.file.name, field="file.name")
        return update_file(
            self._store.db,
            call.access,
            organization=name.organization,
            version=name.version,
            file_id=name.id,
            changes=file_changes(request),
            terms=call.terms(request, updated_message, pb.UpdateReleaseFileResponse),
        )

    def DeleteReleaseFile(self, request: pb.DeleteReleaseFileRequest, call: Call) -> pb.DeleteReleaseFileResponse:
        name = parse_file(request.name, field="name")
        return delete_file(
            self._store.db,
            call.access,
            organization=name.organization,
            version=name.version,
            file_id=name.id,
            terms=call.terms(request, deleted_message, pb.DeleteReleaseFileResponse),
        )


def _data_message(data: bytes) -> pb.DownloadReleaseFileResponse:
    return pb.DownloadReleaseFileResponse(data=data)
