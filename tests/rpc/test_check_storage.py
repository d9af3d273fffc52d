"""CheckStorage over the wire."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from releaseregistry.v1 import admin_pb2 as pb
from releaseregistry.v1 import admin_pb2_grpc

from tests.rpc.sending import MIB, content_of, download, upload
from tests.rpc.wire import Served, bearer, raises_reason


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization(projects=["web"])
    server.make_release("organizations/acme", "app@1.0.0", "web")
    return server


def check(server: Served, *, percent: int = 0, repair: bool = False) -> pb.CheckStorageResponse:
    stub = admin_pb2_grpc.AdminServiceStub(server.channel)
    request = pb.CheckStorageRequest(percent=percent, repair=repair)
    return stub.CheckStorage(request, metadata=server.operator)


def flip(server: Served) -> None:
    """Changes a bit of the only pack."""
    (path,) = packs(server)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def packs(server: Served) -> list[Path]:
    return [path for path in (server.server.settings.data / "blobs" / "packs").rglob("*") if path.is_file()]


def test_a_sound_store_is_told_to_be_sound(acme: Served) -> None:
    upload(acme, content_of(MIB))
    upload(acme, b"small", "small.txt")
    answer = check(acme)
    assert answer.checked_chunk_count >= 1
    assert answer == pb.CheckStorageResponse(checked_chunk_count=answer.checked_chunk_count, checked_bytes=MIB)


def test_damage_is_told_marked_and_mended_by_uploading_again(acme: Served) -> None:
    content = content_of(MIB)
    name = upload(acme, content).file.name
    flip(acme)
    told = check(acme)
    assert (told.damaged_chunk_count, told.finding_count, told.repaired_count) == (1, 1, 0)
    (finding,) = told.findings
    assert re.fullmatch(
        "chunk [0-9a-f]{64} of organization acme does not have its checksum"
        r" \(pack [0-9a-f]{32}\); in 'app\.js' of release 'app@1\.0\.0'",
        finding,
    )
    mended = check(acme, repair=True)
    assert mended.repaired_count == 1
    assert "); it is marked: the next upload of its content mends it; in 'app.js'" in mended.findings[0]
    with raises_reason("CHUNK_LOST", "DATA_LOSS"):
        download(acme, name)
    upload(acme, content, "again.bin")
    assert download(acme, name)[1] == content
    assert check(acme).finding_count == 0


@pytest.mark.parametrize("percent", [-1, 101])
def test_a_share_that_is_none_is_refused(acme: Served, percent: int) -> None:
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        check(acme, percent=percent)
    assert list(refusal.violations) == ["percent"]


def test_only_the_operator_checks(acme: Served) -> None:
    token = bearer(acme.make_token("organizations/acme", "org:admin", "release:admin", all_projects=True))
    stub = admin_pb2_grpc.AdminServiceStub(acme.channel)
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
        stub.CheckStorage(pb.CheckStorageRequest(), metadata=token)
