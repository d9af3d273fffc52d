"""An organization that does what a seed says: uploads by every door, asks, assembles, reads, renames, deletes."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from functools import cache

import zstandard
from google.protobuf.message import Message
from releaseregistry.v1 import files_pb2, organizations_pb2, releases_pb2, tokens_pb2
from releaseregistry.v1 import uploads_pb2 as pb

from tests.pictures import BLUE, RED, picture
from tests.rpc.fast_door import plain, ref
from tests.rpc.sending import data, digest_of
from tests.rpc.wire import OPERATOR_TOKEN, Metadata, bearer
from tests.tenants.doors import Answer, Door
from tests.tenants.transcript import Transcript

OPERATOR: Metadata = bearer(OPERATOR_TOKEN)
NAMES = 4


class Contents:
    """What both organizations of a script upload: small contents, which lie in rows, and large ones, of which several
    share their chunks. Other scripts have others, so that who is alone is the first who ever had them."""

    def __init__(self, seed: int) -> None:
        noise = random.Random(f"{seed} contents").randbytes(60_000)
        self.pieces = [noise[start : start + 5000] for start in range(0, 20_000, 5000)]
        self.pieces += [noise[number : number + 8] * 400 for number in range(4)]
        sizes = (noise[:11], noise[:16_384], noise[:16_385], noise[:40_000], noise[20_000:])
        self.contents = [b"", *sizes, b"".join(self.pieces)]


class Tenant:
    """An organization with a project and a release, a token of its own, and all that it was answered."""

    def __init__(self, door: Door, slug: str, contents: Contents, *, begin_us: int, pictures: bool = False) -> None:
        self._door, self._pictures = door, pictures
        self._pieces, self._contents = contents.pieces, contents.contents
        self.name = f"organizations/{slug}"
        self.release = f"{self.name}/releases/app@1.0.0"
        self.transcript = Transcript(slug, begin_us=begin_us)
        self._made(
            "CreateOrganization",
            organizations_pb2.CreateOrganizationRequest(organization=organizations_pb2.Organization(slug=slug)),
        )
        project = organizations_pb2.Project(slug="web")
        self._made("CreateProject", organizations_pb2.CreateProjectRequest(parent=self.name, project=project))
        token = tokens_pb2.Token(display_name="of a tenant", scopes=["release:write", "org:write"], all_projects=True)
        request = tokens_pb2.CreateTokenRequest(parent=self.name, token=token, request_id=str(uuid.uuid4()))
        (answer,) = self._made("CreateToken", request).read("CreateToken")
        self._metadata = bearer(answer.secret, x_request_id="the-same")
        release = releases_pb2.Release(version="app@1.0.0", projects=[f"{self.name}/projects/web"])
        self._call("CreateRelease", releases_pb2.CreateReleaseRequest(parent=self.name, release=release))
        self._files: list[str] = []
        self._uploads: list[str] = []
        self._cut: list[tuple[files_pb2.UploadHeader, bytes]] = []
        self._steps = (
            *[self._ask, self._send, self._assemble, self._create, self._stream, self._stream_on] * 2,
            *[self._list, self._get, self._download, self._rename, self._delete, self._look, self._cancel],
            *[self._release_and_organization],
        )

    def step(self, chance: random.Random) -> None:
        """One call or two, as chance wants it."""
        if self._pictures and chance.random() < 0.2:
            self._avatar(chance)
        else:
            chance.choice(self._steps)(chance)

    def have_everything(self) -> None:
        """Upload all there is."""
        self._uploaded(self._pieces, broken=False)
        for number, content in enumerate(self._contents):
            header = files_pb2.UploadHeader(upload_id=str(uuid.uuid4()), parent=self.release, file_name=f"all-{number}")
            self._streamed(header, content, 0, finish=True)

    def _call(self, method: str, *requests: Message, metadata: Metadata | None = None) -> Answer:
        answer = self._door.call(method, requests, metadata or self._metadata)
        self.transcript.note(method, answer)
        return answer

    def _made(self, method: str, request: Message) -> Answer:
        answer = self._door.call(method, [request], OPERATOR)
        assert answer.code == "OK", (method, answer)
        return answer

    def _ask(self, chance: random.Random) -> None:
        digests = [digest_of(piece) for piece in self._some(chance)]
        self._call("FindMissingChunks", pb.FindMissingChunksRequest(parent=self.name, sha256=digests))

    def _send(self, chance: random.Random) -> None:
        self._uploaded(self._some(chance), broken=chance.random() < 0.1)

    def _uploaded(self, pieces: Sequence[bytes], *, broken: bool) -> None:
        chunks = [packed(piece) if piece[0] % 2 else plain(piece) for piece in pieces]
        if broken:
            chunks[-1].data += b"!"
        half = len(chunks) // 2
        self._call(
            "UploadChunks",
            pb.UploadChunksRequest(parent=self.name, chunks=chunks[:half]),
            pb.UploadChunksRequest(chunks=chunks[half:]),
            pb.UploadChunksRequest(finish=True, chunk_count=len(chunks)),
        )

    def _assemble(self, chance: random.Random) -> None:
        pieces = self._pieces if chance.random() < 0.3 else self._some(chance)
        header = self._header(chance)
        name = f"{self.name}/uploads/{header.upload_id}"
        self._uploads.append(name)
        self._call("StartUpload", pb.StartUploadRequest(header=header))
        if chance.random() < 0.5:
            self._uploaded(pieces, broken=False)
        answer = self._call(
            "AssembleUpload",
            pb.AssembleUploadRequest(name=name, chunks=map(ref, pieces), finish=_finish(b"".join(pieces))),
        )
        self._keep("AssembleUpload", answer)

    def _create(self, chance: random.Random) -> None:
        content = (
            b"".join(self._some(chance)) if chance.random() < 0.2 else chance.choice([*self._contents, *self._pieces])
        )
        file = files_pb2.ReleaseFile(file_name=f"{chance.randrange(NAMES)}", sha256=digest_of(content))
        request = files_pb2.CreateReleaseFileRequest(parent=self.release, file=file, replace=chance.random() < 0.5)
        self._keep("CreateReleaseFile", self._call("CreateReleaseFile", request))

    def _stream(self, chance: random.Random) -> None:
        header, content = self._header(chance), chance.choice(self._contents)
        if chance.random() < 0.2:
            header.size_bytes = len(content)
        if chance.random() < 0.2:
            header.sha256 = digest_of(content)
        self._uploads.append(f"{self.name}/uploads/{header.upload_id}")
        if chance.random() < 0.3:  # the client is gone in the middle
            self._cut.append((header, content))
            self._streamed(header, content[: chance.randrange(len(content) + 1)], 0, finish=False)
        else:
            self._streamed(header, content, 0, finish=True)

    def _stream_on(self, chance: random.Random) -> None:
        if not self._cut:
            return self._stream(chance)
        header, content = self._cut.pop()
        name = f"{self.name}/uploads/{header.upload_id}"
        answer = self._call("GetUpload", pb.GetUploadRequest(name=name))
        committed = answer.read("GetUpload")[0].upload.committed_bytes if answer.code == "OK" else 0
        self._streamed(header, content[committed:], committed, finish=True, whole=content)
        return None

    def _streamed(
        self,
        header: files_pb2.UploadHeader,
        content: bytes,
        offset: int,
        *,
        finish: bool,
        whole: bytes | None = None,
    ) -> None:
        requests = [files_pb2.UploadReleaseFileRequest(header=header), data(content, offset)]
        if finish:
            requests.append(files_pb2.UploadReleaseFileRequest(finish=_finish(content if whole is None else whole)))
        self._keep("UploadReleaseFile", self._call("UploadReleaseFile", *requests))

    def _list(self, chance: random.Random) -> None:
        request = files_pb2.ListReleaseFilesRequest(parent=self.release, page_size=chance.choice((0, 2)))
        if chance.random() < 0.5:
            request.sha256.append(digest_of(chance.choice(self._contents)))
        self._call("ListReleaseFiles", request)

    def _get(self, chance: random.Random) -> None:
        self._call("GetReleaseFile", files_pb2.GetReleaseFileRequest(name=self._file(chance)))

    def _download(self, chance: random.Random) -> None:
        request = files_pb2.DownloadReleaseFileRequest(name=self._file(chance), offset=chance.choice((0, 0, 7, 99_999)))
        self._call("DownloadReleaseFile", request)

    def _rename(self, chance: random.Random) -> None:
        file = files_pb2.ReleaseFile(name=self._file(chance), file_name=f"{chance.randrange(NAMES)}")
        self._call("UpdateReleaseFile", files_pb2.UpdateReleaseFileRequest(file=file))

    def _delete(self, chance: random.Random) -> None:
        self._call("DeleteReleaseFile", files_pb2.DeleteReleaseFileRequest(name=self._file(chance)))

    def _look(self, chance: random.Random) -> None:
        self._call("GetUpload", pb.GetUploadRequest(name=self._upload(chance)))

    def _cancel(self, chance: random.Random) -> None:
        self._call("CancelUpload", pb.CancelUploadRequest(name=self._upload(chance)))

    def _release_and_organization(self, chance: random.Random) -> None:
        self._call("GetRelease", releases_pb2.GetReleaseRequest(name=self.release))
        self._call("GetOrganization", organizations_pb2.GetOrganizationRequest(name=self.name))
        if self._pictures:
            self._call("DownloadAvatar", organizations_pb2.DownloadAvatarRequest(name=self.name, size_pixels=40))

    def _avatar(self, chance: random.Random) -> None:
        content = _picture(chance.randrange(2))
        finish = organizations_pb2.AvatarFinish(size_bytes=len(content), sha256=digest_of(content))
        self._call(
            "UploadAvatar",
            organizations_pb2.UploadAvatarRequest(header=organizations_pb2.AvatarHeader(name=self.name)),
            organizations_pb2.UploadAvatarRequest(data=content),
            organizations_pb2.UploadAvatarRequest(finish=finish),
        )

    def _header(self, chance: random.Random) -> files_pb2.UploadHeader:
        return files_pb2.UploadHeader(
            upload_id=_uuid(chance),
            parent=self.release,
            file_name=f"{chance.randrange(NAMES)}",
            replace=chance.random() < 0.5,
        )

    def _keep(self, method: str, answer: Answer) -> None:
        for response in answer.read(method):
            if response.file.name not in self._files:
                self._files.append(response.file.name)

    def _some(self, chance: random.Random) -> list[bytes]:
        return chance.sample(self._pieces, k=chance.randrange(1, len(self._pieces)))

    def _file(self, chance: random.Random) -> str:
        return chance.choice([*self._files, f"{self.release}/files/{_uuid(chance)}"])

    def _upload(self, chance: random.Random) -> str:
        return chance.choice([*self._uploads, f"{self.name}/uploads/{_uuid(chance)}"])


def packed(piece: bytes) -> pb.ChunkData:
    """A chunk as a zstd frame."""
    frame = zstandard.ZstdCompressor(level=1).compress(piece)
    return pb.ChunkData(sha256=digest_of(piece), size_bytes=len(piece), encoding=pb.CHUNK_ENCODING_ZSTD, data=frame)


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(bytes=chance.randbytes(16)))


def _finish(content: bytes) -> files_pb2.UploadFinish:
    return files_pb2.UploadFinish(size_bytes=len(content), sha256=digest_of(content))


@cache
def _picture(number: int) -> bytes:
    return picture(colour=(RED, BLUE)[number])
