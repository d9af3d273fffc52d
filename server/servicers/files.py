"""RPCs on the files of releases."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from releaseregistry.v1 import files_pb2 as pb

from server.calls import Call
from server.mapping.files import UploadFrames, file_message, upload_draft, upload_message
from server.names import parse_file, parse_release
from store import Store
from store.files.lookup import list_files, open_file
from store.files.uploads import start_upload


class FileRpcs:
    """The RPCs of the release service that are about files."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def UploadReleaseFile(
        self, requests: Iterator[pb.UploadReleaseFileRequest], call: Call
    ) -> pb.UploadReleaseFileResponse:
        frames = UploadFrames(requests)
        draft = upload_draft(frames.header())
        with start_upload(self._store.db, self._store.blobs, call.access, draft) as upload:
            if upload.finished is not None:
                return upload_message(upload.finished)
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
            for data in opened.data:
                yield pb.DownloadReleaseFileResponse(data=data)

    def ListReleaseFiles(self, request: pb.ListReleaseFilesRequest, call: Call) -> pb.ListReleaseFilesResponse:
        name = parse_release(request.parent, field="parent")
        page = list_files(
            self._store.db,
            call.access,
            organization=name.organization,
            version=name.version,
            page=call.page(request),
        )
        return pb.ListReleaseFilesResponse(
            files=[file_message(file) for file in page.items],
            next_page_token=call.page_token(request, page.next),
            previous_page_token=call.page_token(request, page.previous),
        )
