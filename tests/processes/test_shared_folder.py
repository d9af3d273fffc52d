"""Several processes that keep files in one local folder, as workers on PostgreSQL without a bucket do."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from releaseregistry.v1 import admin_pb2, files_pb2, organizations_pb2

from relctl.errors import decode_error
from tests.processes.conftest import end_workers
from tests.processes.serving import NAME, lines, make_release, workers
from tests.processes.supervising import WAIT, until
from tests.server_process import ServerProcess, Stubs

FRAME = 256 * 1024
CONTENT = random.Random(7).randbytes(6 * 2**20)


def upload(
    stubs: Stubs, process: ServerProcess, header: files_pb2.UploadHeader, content: bytes, *, start: int = 0
) -> files_pb2.UploadReleaseFileResponse:
    def messages() -> Iterator[files_pb2.UploadReleaseFileRequest]:
        yield files_pb2.UploadReleaseFileRequest(header=header)
        for offset in range(start, len(content), FRAME):
            frame = files_pb2.UploadData(offset=offset, data=content[offset : offset + FRAME])
            yield files_pb2.UploadReleaseFileRequest(data=frame)
        finish = files_pb2.UploadFinish(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        yield files_pb2.UploadReleaseFileRequest(finish=finish)

    return stubs.releases.UploadReleaseFile(messages(), metadata=process.metadata, timeout=WAIT)


def download(stubs: Stubs, process: ServerProcess, name: str) -> bytes:
    request = files_pb2.DownloadReleaseFileRequest(name=name)
    answers = stubs.releases.DownloadReleaseFile(request, metadata=process.metadata, timeout=WAIT)
    return b"".join(answer.data for answer in answers)


def answered_by(process: ServerProcess, method: str) -> set[int]:
    return {line["worker"] for line in lines(process, message="call ended") if method in line.get("method", "")}


def test_what_one_process_took_the_others_give_out(pair: ServerProcess) -> None:
    with pair.channel() as channel:
        make_release(pair, Stubs(channel))
    digests: dict[str, str] = {}

    def both_took_and_gave() -> bool:
        number = len(digests)
        content = CONTENT[number * FRAME :]
        with pair.channel() as channel:  # the system gives each connection to one of them
            header = files_pb2.UploadHeader(upload_id=str(uuid.uuid4()), parent=NAME, file_name=f"{number}.bin")
            digests[upload(Stubs(channel), pair, header, content).file.name] = hashlib.sha256(content).hexdigest()
        for name, sha256 in digests.items():
            with pair.channel() as channel:
                assert hashlib.sha256(download(Stubs(channel), pair, name)).hexdigest() == sha256
        return answered_by(pair, "UploadReleaseFile") == answered_by(pair, "DownloadReleaseFile") == {1, 2}

    until(both_took_and_gave)
    with pair.channel() as channel:
        request = admin_pb2.CheckStorageRequest(percent=100)
        checked = Stubs(channel).admin.CheckStorage(request, metadata=pair.metadata, timeout=WAIT)
    assert (checked.finding_count, checked.damaged_chunk_count, checked.unknown_pack_count) == (0, 0, 0)


def test_an_upload_goes_on_with_another_process_when_its_own_was_killed(pair: ServerProcess) -> None:
    header = files_pb2.UploadHeader(upload_id=str(uuid.uuid4()), parent=NAME, file_name="app.bin")
    with pair.channel() as channel:
        stubs = Stubs(channel)
        make_release(pair, stubs)

        def half() -> Iterator[files_pb2.UploadReleaseFileRequest]:
            yield files_pb2.UploadReleaseFileRequest(header=header)
            for offset in range(0, len(CONTENT) // 2, FRAME):
                data = files_pb2.UploadData(offset=offset, data=CONTENT[offset : offset + FRAME])
                yield files_pb2.UploadReleaseFileRequest(data=data)
            committed(pair, header)
            for pid in workers(pair).values():  # the stream's own, and the other one as well
                os.kill(pid, signal.SIGKILL)

        with pytest.raises(grpc.RpcError):
            stubs.releases.UploadReleaseFile(half(), metadata=pair.metadata, timeout=WAIT)
    with pair.channel() as channel:
        start = committed(pair, header)
        answer = upload(Stubs(channel), pair, header, CONTENT, start=start)
        assert 0 < start <= len(CONTENT) // 2
        assert answer.file.sha256 == hashlib.sha256(CONTENT).hexdigest()
        assert download(Stubs(channel), pair, answer.file.name) == CONTENT


def test_an_upload_goes_on_at_the_next_server_when_the_supervisor_was_killed(postgres_url: str, tmp_path: Path) -> None:
    header = files_pb2.UploadHeader(upload_id=str(uuid.uuid4()), parent=NAME, file_name="app.bin")
    settings = {"RELEASES_WORKERS": "2", "RELEASES_DRAIN_SECONDS": "1"}
    server = ServerProcess(tmp_path, database=postgres_url, environment=settings)
    try:
        with server, server.channel() as channel:
            stubs = Stubs(channel)
            make_release(server, stubs)
            over = threading.Event()

            def half() -> Iterator[files_pb2.UploadReleaseFileRequest]:
                yield files_pb2.UploadReleaseFileRequest(header=header)
                for offset in range(0, len(CONTENT) // 2, FRAME):
                    data = files_pb2.UploadData(offset=offset, data=CONTENT[offset : offset + FRAME])
                    yield files_pb2.UploadReleaseFileRequest(data=data)
                committed(server, header)
                server.kill()
                over.wait(WAIT)

            with pytest.raises(grpc.RpcError) as ended:
                stubs.releases.UploadReleaseFile(half(), metadata=server.metadata, timeout=WAIT)
            over.set()
            assert decode_error(ended.value).reason == "DRAINING"
        with server, server.channel() as channel:
            start = committed(server, header)
            answer = upload(Stubs(channel), server, header, CONTENT, start=start)
            assert 0 < start <= len(CONTENT) // 2
            assert download(Stubs(channel), server, answer.file.name) == CONTENT
            assert server.stop() == 0
    finally:
        server.kill()
        end_workers(server)


def committed(process: ServerProcess, header: files_pb2.UploadHeader) -> int:
    """How far the upload is on stable storage, once it is anywhere."""
    from releaseregistry.v1 import uploads_pb2

    def look() -> int:
        with process.channel() as channel:
            request = uploads_pb2.GetUploadRequest(name=f"organizations/acme/uploads/{header.upload_id}")
            try:
                answer = Stubs(channel).uploads.GetUpload(
                    request, metadata=process.metadata, timeout=WAIT, wait_for_ready=True
                )
            except grpc.RpcError:
                return 0
            return int(answer.upload.committed_bytes)

    found: int = until(look)
    return found


def test_a_quota_holds_for_all_processes_together(pair: ServerProcess) -> None:
    quota = organizations_pb2.OrganizationQuota(file_count=5)
    with pair.channel() as channel:
        stubs = Stubs(channel)
        make_release(pair, stubs)
        limited = organizations_pb2.Organization(name="organizations/acme", quota=quota)
        request = organizations_pb2.UpdateOrganizationRequest(
            organization=limited, update_mask=FieldMask(paths=["quota.file_count"])
        )
        stubs.organizations.UpdateOrganization(request, metadata=pair.metadata, timeout=WAIT)

    def outcome(number: int) -> str:
        header = files_pb2.UploadHeader(upload_id=str(uuid.uuid4()), parent=NAME, file_name=f"{number}.bin")
        with pair.channel() as channel:  # the system gives each connection to one of them
            try:
                upload(Stubs(channel), pair, header, bytes([number]) * 20_000)
            except grpc.RpcError as error:
                return decode_error(error).reason
        return "uploaded"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(outcome, range(24)))
    assert (outcomes.count("uploaded"), outcomes.count("QUOTA_EXCEEDED")) == (5, 19)
    assert answered_by(pair, "UploadReleaseFile") == {1, 2}
    with pair.channel() as channel:
        get = organizations_pb2.GetOrganizationRequest(name="organizations/acme")
        told = Stubs(channel).organizations.GetOrganization(get, metadata=pair.metadata, timeout=WAIT).organization
    assert told.usage.file_count == 5
