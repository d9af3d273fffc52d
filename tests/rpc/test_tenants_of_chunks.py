"""Two organizations and the same content: whatever one has, the other's transcript does not change by a byte.

The first runs a script while nobody has anything. The second runs the same script when the first has it all.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable, Iterator

import grpc
import pytest
from google.protobuf.message import Message
from releaseregistry.v1 import files_pb2
from releaseregistry.v1 import uploads_pb2 as pb

from tests.rpc.fast_door import cut, finish, messages, packed, plain, ref
from tests.rpc.sending import content_of, data, digest_of
from tests.rpc.wire import Refusal, Served, bearer

STEPS = 60
PIECES = [*cut(content_of(40_000, seed=1), 1000), *(bytes([number]) * 5000 for number in range(20))]
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Tenant:
    """An organization, its own token, and everything that it was answered."""

    def __init__(self, server: Served, slug: str) -> None:
        self.server, self.slug = server, slug
        self.organization = server.make_organization(slug, projects=["web"])
        self.release = server.make_release(self.organization, "app@1.0.0", "web").name
        secret = server.make_token(self.organization, "release:write", "org:read", all_projects=True)
        self.metadata = bearer(secret, x_request_id="the-same")
        self.transcript: list[str] = []
        self.uploads: list[str] = []

    def run(self, seed: int) -> None:
        """A script of calls; the same seed is the same script."""
        chance = random.Random(seed)
        steps = [self._ask, self._send, self._assemble, self._create, self._stream, self._list, self._cancel]
        for _ in range(STEPS):
            chance.choice(steps)(chance)

    def _note(self, call: Callable[[], Message]) -> None:
        try:
            answer = str(call())
        except grpc.RpcError as error:
            refusal = Refusal()
            refusal.read(error)
            answer = str(refusal)
        # What the server makes up differs between any two calls; everything else must not.
        self.transcript.append(_UUID.sub("uid", answer.replace(self.slug, "slug")))

    def _some(self, chance: random.Random) -> list[bytes]:
        return chance.sample(PIECES, k=chance.randrange(1, 12))

    def _id(self, chance: random.Random) -> str:
        return str(uuid.UUID(bytes=chance.randbytes(16)))

    def _ask(self, chance: random.Random) -> None:
        digests = [digest_of(piece) for piece in self._some(chance)]
        request = pb.FindMissingChunksRequest(parent=self.organization, sha256=digests)
        self._note(lambda: self.server.uploads.FindMissingChunks(request, metadata=self.metadata))

    def _send(self, chance: random.Random) -> None:
        chunks = [packed(piece) if chance.random() < 0.5 else plain(piece) for piece in self._some(chance)]
        if chance.random() < 0.2:
            chunks[-1].data += b"!"
        requests = list(messages(chunks, parent=self.organization, size=3))
        self._note(lambda: self.server.uploads.UploadChunks(iter(requests), metadata=self.metadata))

    def _assemble(self, chance: random.Random) -> None:
        pieces = self._some(chance)
        header = files_pb2.UploadHeader(
            upload_id=self._id(chance), parent=self.release, file_name=f"{chance.randrange(5)}", replace=True
        )
        name = f"{self.organization}/uploads/{header.upload_id}"
        self.uploads.append(name)
        self._note(
            lambda: self.server.uploads.StartUpload(pb.StartUploadRequest(header=header), metadata=self.metadata)
        )
        lists = [pb.AssembleUploadRequest(name=name, chunks=map(ref, pieces), finish=finish(b"".join(pieces)))]
        self._note(lambda: self.server.uploads.AssembleUpload(iter(lists), metadata=self.metadata))

    def _create(self, chance: random.Random) -> None:
        content = b"".join(self._some(chance)) if chance.random() < 0.5 else chance.choice(PIECES)
        file = files_pb2.ReleaseFile(file_name=f"{chance.randrange(5)}", sha256=digest_of(content))
        request = files_pb2.CreateReleaseFileRequest(parent=self.release, file=file, replace=chance.random() < 0.5)
        self._note(lambda: self.server.releases.CreateReleaseFile(request, metadata=self.metadata))

    def _stream(self, chance: random.Random) -> None:
        content = b"".join(self._some(chance)) if chance.random() < 0.5 else chance.choice(PIECES)
        header = files_pb2.UploadHeader(
            upload_id=self._id(chance), parent=self.release, file_name=f"{chance.randrange(5)}"
        )

        def frames() -> Iterator[files_pb2.UploadReleaseFileRequest]:
            yield files_pb2.UploadReleaseFileRequest(header=header)
            yield data(content, 0)
            yield files_pb2.UploadReleaseFileRequest(finish=finish(content))

        self._note(lambda: self.server.releases.UploadReleaseFile(frames(), metadata=self.metadata))

    def _list(self, chance: random.Random) -> None:
        request = files_pb2.ListReleaseFilesRequest(parent=self.release)
        self._note(lambda: self.server.releases.ListReleaseFiles(request, metadata=self.metadata))

    def _cancel(self, chance: random.Random) -> None:
        name = chance.choice(self.uploads) if self.uploads else f"{self.organization}/uploads/{self._id(chance)}"
        self._note(lambda: self.server.uploads.CancelUpload(pb.CancelUploadRequest(name=name), metadata=self.metadata))
        self._note(lambda: self.server.uploads.GetUpload(pb.GetUploadRequest(name=name), metadata=self.metadata))


@pytest.mark.parametrize("seed", [1, 2])
def test_what_another_organization_has_changes_no_byte_of_any_answer(server: Served, seed: int) -> None:
    alone, late = Tenant(server, "alpha"), Tenant(server, "bravo")
    alone.run(seed)
    late.run(seed)
    assert late.transcript == alone.transcript
    assert any("CHUNKS_MISSING" in answer for answer in alone.transcript), "the script misses something"
    assert any("CONTENT_UNKNOWN" in answer for answer in alone.transcript)
    assert any("stored_chunk_count" in answer for answer in alone.transcript)
