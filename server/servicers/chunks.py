"""RPCs on chunks: which are missing, taking them in, and making files of them."""

from __future__ import annotations

from collections.abc import Iterator

from releaseregistry.v1 import uploads_pb2 as pb

from server.edge.calls import Call
from server.mapping.chunks import (
    ChunkMessages,
    assembled_message,
    chunk_refs,
    missing_message,
    sent_chunks,
    sought_digests,
    stored_message,
)
from server.names import parse_organization, parse_upload
from store import Store
from store.uploads.assemble import start_assembly
from store.uploads.chunks import missing_chunks, receive_chunks


class ChunkRpcs:
    """The RPCs of the upload service that are about chunks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def FindMissingChunks(self, request: pb.FindMissingChunksRequest, call: Call) -> pb.FindMissingChunksResponse:
        organization = parse_organization(request.parent, field="parent")
        digests = sought_digests(request)
        return missing_message(missing_chunks(self._store.db, call.access, organization, digests))

    def UploadChunks(self, requests: Iterator[pb.UploadChunksRequest], call: Call) -> pb.UploadChunksResponse:
        stream = ChunkMessages(requests, field="parent", finishes=lambda request: request.finish)
        organization = parse_organization(stream.first(), field="parent")
        with receive_chunks(self._store.db, self._store.blobs, call.access, organization) as intake:
            for request in stream.messages():
                intake.take(sent_chunks(request))
            return stored_message(intake.finish(chunk_count=stream.last().chunk_count))

    def AssembleUpload(self, requests: Iterator[pb.AssembleUploadRequest], call: Call) -> pb.AssembleUploadResponse:
        stream = ChunkMessages(requests, field="name", finishes=lambda request: request.HasField("finish"))
        name = parse_upload(stream.first(), field="name")
        with start_assembly(
            self._store.db,
            self._store.blobs,
            call.access,
            organization=name.organization,
            upload_id=name.id,
            check=call.check,
            end=call.end,
        ) as assembly:
            if assembly.finished is not None:
                return assembled_message(assembly.finished)
            call.look_after(assembly.look)
            for request in stream.messages():
                assembly.add(chunk_refs(request))
            finish = stream.last().finish
            file = assembly.finish(
                size_bytes=finish.size_bytes, sha256=bytes.fromhex(finish.sha256), wait_seconds=call.wait_seconds()
            )
            return assembled_message(file)
