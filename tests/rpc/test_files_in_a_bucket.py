"""Files over the wire, with their bytes in a bucket: one journey, and what a caller is told when the bucket is away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import grpc
import pytest
from releaseregistry.v1 import files_pb2 as pb

from store.blobs.s3_client import Bucket
from store.database import Database
from tests.blobs.s3_proxy import Fault, S3Proxy, proxied
from tests.clocks import ManualClock
from tests.rpc.sending import MIB, content_of, download, file_names, frames, header, send, upload
from tests.rpc.serving import served
from tests.rpc.wire import Served, raises_reason
from tests.s3_server import SECRET, S3Server, settings_of


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[S3Proxy]:
    with proxied(s3_server.port) as proxy:
        yield proxy


@pytest.fixture
def bucket(proxy: S3Proxy, s3_server: S3Server) -> Bucket:
    return proxy.of(s3_server.fresh_bucket())


@pytest.fixture
def acme(database: Database, clock: ManualClock, tmp_path: Path, bucket: Bucket) -> Iterator[Served]:
    with served(database, clock, tmp_path, **settings_of(bucket)) as server:
        server.make_organization(projects=["web"])
        server.make_release("organizations/acme", "app@1.0.0", "web")
        yield server


def test_files_go_into_a_bucket_and_come_back(acme: Served, tmp_path: Path) -> None:
    content = content_of(9 * MIB + 12345)
    answered = {size: upload(acme, content[:size], f"file-{size}") for size in (0, 5, 16 * 1024 + 1, len(content))}
    again = upload(acme, content, f"file-{len(content)}")

    assert not again.created
    assert again.file == answered[len(content)].file
    for size, answer in answered.items():
        assert download(acme, answer.file.name)[1] == content[:size]
    whole = answered[len(content)].file.name
    assert download(acme, whole, offset=5 * MIB - 3, limit=2 * MIB)[1] == content[5 * MIB - 3 : 7 * MIB - 3]
    assert len(file_names(acme)) == 4
    assert not (tmp_path / "data" / "blobs").exists()


def test_an_upload_that_ended_early_goes_on_in_the_bucket(acme: Served) -> None:
    content = content_of(9 * MIB)
    first, *rest = frames(content, header("resumed.bin"), size=MIB)
    with raises_reason("FRAME_OUT_OF_ORDER", "INVALID_ARGUMENT"):
        send(acme, [first, *rest[:5]])

    whole = send(acme, [first, *rest[4:]])  # a chunk has at most 1 MiB, so that four of five are committed

    assert download(acme, whole.file.name)[1] == content


def test_a_bucket_that_is_away_is_told_and_passes(acme: Served, proxy: S3Proxy) -> None:
    name = upload(acme, content_of(MIB, seed=1), "before").file.name
    proxy.fault = lambda request: Fault(status=403, code="SignatureDoesNotMatch") if request.is_of_pack else None

    for attempt in (lambda: upload(acme, content_of(MIB)), lambda: download(acme, name)):
        with raises_reason("BLOBS_DOWN", "UNAVAILABLE") as refusal:
            attempt()
        assert refusal.retry_seconds is not None
        assert SECRET not in str(refusal)

    proxy.fault = lambda _request: None
    assert download(acme, name)[1] == content_of(MIB, seed=1)
    assert upload(acme, content_of(MIB)).created


def test_a_bucket_that_does_not_answer_holds_nobody_beyond_his_deadline(acme: Served, proxy: S3Proxy) -> None:
    name = upload(acme, content_of(MIB, seed=1), "before").file.name
    answering = Event()
    proxy.fault = lambda request: Fault(until=answering) if request.is_of_pack else None
    try:
        for attempt in (
            lambda: acme.releases.UploadReleaseFile(
                frames(content_of(MIB), header("during")), metadata=acme.operator, timeout=2
            ),
            lambda: list(
                acme.releases.DownloadReleaseFile(
                    pb.DownloadReleaseFileRequest(name=name), metadata=acme.operator, timeout=2
                )
            ),
        ):
            with pytest.raises(grpc.RpcError) as late:
                attempt()
            assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert file_names(acme) == ["before"]  # what needs no bucket goes on
    finally:
        answering.set()

    assert download(acme, name)[1] == content_of(MIB, seed=1)
    assert upload(acme, content_of(MIB), "after").created


def test_bytes_that_are_wrong_are_read_again_and_never_handed_out(acme: Served, proxy: S3Proxy) -> None:
    content = content_of(5 * MIB)
    name = upload(acme, content).file.name
    flipped = iter([Fault(flip=True)])
    proxy.fault = lambda request: next(flipped, None) if request.method == "GET" and request.is_of_pack else None
    assert download(acme, name)[1] == content

    proxy.fault = lambda request: Fault(flip=True) if request.method == "GET" and request.is_of_pack else None
    with raises_reason("CHUNK_LOST", "DATA_LOSS"):
        download(acme, name)
