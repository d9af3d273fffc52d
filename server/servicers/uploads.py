"""RPCs on uploads, of either door."""

from __future__ import annotations

from releaseregistry.v1 import uploads_pb2 as pb

from server.edge.calls import Call
from server.mapping.files import upload_draft
from server.mapping.uploads import limits_message, started_message, upload_row_message
from server.names import parse_upload
from store import Store
from store.uploads.uploads import cancel_upload, get_upload, register_upload


class UploadRpcs:
    """The RPCs of the upload service that are about uploads as a whole."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def GetUploadLimits(self, request: pb.GetUploadLimitsRequest, call: Call) -> pb.GetUploadLimitsResponse:  # noqa: ARG002 - they are the same for all
        return limits_message(self._store.blobs)

    def StartUpload(self, request: pb.StartUploadRequest, call: Call) -> pb.StartUploadResponse:
        draft = upload_draft(request.header)
        upload = register_upload(self._store.db, self._store.blobs, call.access, draft)
        return started_message(upload)

    def GetUpload(self, request: pb.GetUploadRequest, call: Call) -> pb.GetUploadResponse:
        name = parse_upload(request.name, field="name")
        upload = get_upload(self._store.db, call.access, organization=name.organization, upload_id=name.id)
        return pb.GetUploadResponse(upload=upload_row_message(upload))

    def CancelUpload(self, request: pb.CancelUploadRequest, call: Call) -> pb.CancelUploadResponse:
        name = parse_upload(request.name, field="name")
        upload = cancel_upload(self._store.db, call.access, organization=name.organization, upload_id=name.id)
        return pb.CancelUploadResponse(upload=upload_row_message(upload))
