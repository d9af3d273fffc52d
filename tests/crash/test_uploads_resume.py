"""kill -9 in the middle of an upload: what was committed is there, and the upload goes on in the next process."""

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

from tests.server_process import ServerProcess, Stubs

MIB = 2**20
CONTENT = random.Random(7).randbytes(24 * MIB)
RELEASE = "organizations/acme/releases/app@1.0.0"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path) as running:
        with running.channel() as channel:
            stubs = Stubs(channel)
            organization = organizations_pb2.Organization(slug="acme")
            stubs.organizations.CreateOrganization(
                organizations_pb2.CreateOrganizationRequest(organization=organization), metadata=running.metadata
            )
            project = organizations_pb2.Project(slug="web")
            stubs.organizations.CreateProject(
                organizations_pb2.CreateProjectRequest(parent="organizations/acme", project=project),
                metadata=running.metadata,
            )
            release = releases_pb2.Release(version="app@1.0.0", projects=["organizations/acme/projects/web"])
            stubs.releases.CreateRelease(
                releases_pb2.CreateReleaseRequest(parent="organizations/acme", release=release),
                metadata=running.metadata,
            )
        yield running


def frames(upload_id: str, start: int, stop: int) -> Iterator[files_pb2.UploadReleaseFileRequest]:
    header = files_pb2.UploadHeader(upload_id=upload_id, parent=RELEASE, file_name="big.bin")
    yield files_pb2.UploadReleaseFileRequest(header=header)
    for at in range(start, stop, MIB):
        piece = CONTENT[at : min(at + MIB, stop)]
        yield files_pb2.UploadReleaseFileRequest(data=files_pb2.UploadData(offset=at, data=piece))
    if stop == len(CONTENT):
        finish = files_pb2.UploadFinish(size_bytes=stop, sha256=hashlib.sha256(CONTENT).hexdigest())
        yield files_pb2.UploadReleaseFileRequest(finish=finish)


def look(server: ServerProcess, upload_id: str) -> uploads_pb2.Upload | None:
    with server.channel() as channel:
        request = uploads_pb2.GetUploadRequest(name=f"organizations/acme/uploads/{upload_id}")
        try:
            return uploads_pb2_grpc.UploadServiceStub(channel).GetUpload(request, metadata=server.metadata).upload
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:  # it is not known yet
                return None
            raise


def committed(server: ServerProcess, upload_id: str) -> int:
    upload = look(server, upload_id)
    return 0 if upload is None else upload.committed_bytes


def download(server: ServerProcess, name: str) -> bytes:
    with server.channel() as channel:
        request = files_pb2.DownloadReleaseFileRequest(name=name)
        answers = Stubs(channel).releases.DownloadReleaseFile(request, metadata=server.metadata)
        return b"".join(answer.data for answer in answers)


def test_an_upload_goes_on_after_each_of_many_kills(server: ServerProcess) -> None:
    upload_id, before = str(uuid.uuid4()), 0
    for stop in (8 * MIB, 16 * MIB):
        killed = threading.Event()

        def part(begin: int, end: int, killed: threading.Event) -> Iterator[files_pb2.UploadReleaseFileRequest]:
            yield from frames(upload_id, begin, end)
            killed.wait(60)  # neither finished nor closed: it is cut

        with server.channel() as channel:
            call = Stubs(channel).releases.UploadReleaseFile.future(
                part(before, stop, killed), metadata=server.metadata, timeout=100
            )
            deadline = time.monotonic() + 60
            while (seen := committed(server, upload_id)) <= before and time.monotonic() < deadline:
                time.sleep(0.02)
            assert seen > before
            server.kill()
            assert call.exception(timeout=60) is not None
            killed.set()
        server.start()
        after = committed(server, upload_id)
        assert after >= seen  # what was told to be committed is
        before = after

    with server.channel() as channel:
        answer = Stubs(channel).releases.UploadReleaseFile(
            frames(upload_id, before, len(CONTENT)), metadata=server.metadata, timeout=100
        )

    assert answer.created
    assert answer.file.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert download(server, answer.file.name) == CONTENT
    found = look(server, upload_id)
    assert found is not None
    assert found.file == answer.file


def test_an_answer_that_was_lost_is_given_again(server: ServerProcess) -> None:
    upload_id = str(uuid.uuid4())
    with server.channel() as channel:
        first = Stubs(channel).releases.UploadReleaseFile(
            frames(upload_id, 0, len(CONTENT)), metadata=server.metadata, timeout=100
        )
    server.kill()
    server.start()

    with server.channel() as channel:
        again = Stubs(channel).releases.UploadReleaseFile(
            frames(upload_id, 0, len(CONTENT)), metadata=server.metadata, timeout=100
        )

    assert again == first
    assert download(server, first.file.name) == CONTENT
