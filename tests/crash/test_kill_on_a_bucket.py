"""A server killed in the middle of an upload, with the bytes in a bucket: another one goes on with it."""

from __future__ import annotations

import hashlib
import random
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from releaseregistry.v1 import files_pb2, organizations_pb2, releases_pb2, uploads_pb2, uploads_pb2_grpc

from tests.s3_server import S3Server, environment_of
from tests.server_process import ServerProcess, Stubs

MIB = 2**20
RELEASE = "organizations/acme/releases/app@1.0.0"


@pytest.fixture
def environment(s3_server: S3Server) -> dict[str, str]:
    return environment_of(s3_server.fresh_bucket())


def header(upload_id: str, file_name: str) -> files_pb2.UploadReleaseFileRequest:
    return files_pb2.UploadReleaseFileRequest(
        header=files_pb2.UploadHeader(upload_id=upload_id, parent=RELEASE, file_name=file_name)
    )


def frames(content: bytes, start: int) -> Iterator[files_pb2.UploadReleaseFileRequest]:
    for at in range(start, len(content), MIB):
        yield files_pb2.UploadReleaseFileRequest(data=files_pb2.UploadData(offset=at, data=content[at : at + MIB]))


def finish(content: bytes) -> files_pb2.UploadReleaseFileRequest:
    digest = hashlib.sha256(content).hexdigest()
    return files_pb2.UploadReleaseFileRequest(finish=files_pb2.UploadFinish(size_bytes=len(content), sha256=digest))


def downloaded(stubs: Stubs, server: ServerProcess, name: str) -> bytes:
    answers = stubs.releases.DownloadReleaseFile(
        files_pb2.DownloadReleaseFileRequest(name=name), metadata=server.metadata, timeout=60
    )
    return b"".join(answer.data for answer in answers)


def make_release(stubs: Stubs, server: ServerProcess) -> None:
    stubs.organizations.CreateOrganization(
        organizations_pb2.CreateOrganizationRequest(organization=organizations_pb2.Organization(slug="acme")),
        metadata=server.metadata,
    )
    stubs.organizations.CreateProject(
        organizations_pb2.CreateProjectRequest(
            parent="organizations/acme", project=organizations_pb2.Project(slug="web")
        ),
        metadata=server.metadata,
    )
    release = releases_pb2.Release(version="app@1.0.0", projects=["organizations/acme/projects/web"])
    stubs.releases.CreateRelease(
        releases_pb2.CreateReleaseRequest(parent="organizations/acme", release=release), metadata=server.metadata
    )


def committed(channel: grpc.Channel, server: ServerProcess, upload_id: str) -> int:
    """How much of the upload the server says is safe; 0 before it knows of it."""
    request = uploads_pb2.GetUploadRequest(name=f"organizations/acme/uploads/{upload_id}")
    try:
        answer = uploads_pb2_grpc.UploadServiceStub(channel).GetUpload(request, metadata=server.metadata)
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
        return 0
    return int(answer.upload.committed_bytes)


def test_an_upload_goes_on_where_a_killed_server_left_it(
    database_url: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    database = database_url if database_url.startswith("postgresql") else None
    content, upload_id = random.Random(3).randbytes(24 * MIB), str(uuid.uuid4())
    over = threading.Event()

    def half() -> Iterator[files_pb2.UploadReleaseFileRequest]:
        yield header(upload_id, "large.bin")
        yield from frames(content[: 12 * MIB], 0)
        over.wait(60)  # neither finished nor closed: it is cut

    with ServerProcess(tmp_path / "server", database=database, environment=environment) as server:
        with server.channel() as channel:
            stubs = Stubs(channel)
            make_release(stubs, server)
            call = stubs.releases.UploadReleaseFile.future(half(), metadata=server.metadata)
            while (safe := committed(channel, server, upload_id)) < 8 * MIB:
                time.sleep(0.05)
            server.kill()
            with pytest.raises(grpc.RpcError):
                call.result(60)
            over.set()

        server.start()
        with server.channel() as channel:
            stubs = Stubs(channel)
            assert committed(channel, server, upload_id) >= safe
            rest = [header(upload_id, "large.bin"), *frames(content, safe), finish(content)]
            answer = stubs.releases.UploadReleaseFile(iter(rest), metadata=server.metadata, timeout=60)
            assert downloaded(stubs, server, answer.file.name) == content
        assert server.stop() == 0
