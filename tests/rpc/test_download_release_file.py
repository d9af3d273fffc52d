"""DownloadReleaseFile over the wire."""

from __future__ import annotations

import uuid
from itertools import accumulate
from pathlib import Path

import pytest
from releaseregistry.v1 import files_pb2 as pb

from tests.contract.shelf import chunk_sizes
from tests.rpc.sending import FRAME, MIB, RELEASE, content_of, download, eventually, upload
from tests.rpc.wire import Served, bearer, raises_reason

SIZE = 3 * MIB + 7


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization(projects=["web", "api"])
    server.make_release("organizations/acme", "app@1.0.0", "web", "api")
    return server


def only_pack(server: Served) -> Path:
    (path,) = (path for path in (server.server.settings.data / "blobs" / "packs").rglob("*") if path.is_file())
    return path


@pytest.mark.parametrize(
    ("offset", "limit"),
    [(0, 0), (0, 1), (1, 0), (FRAME - 1, 2), (FRAME, FRAME), (MIB + 5, MIB), (SIZE - 1, 0), (SIZE, 0), (5, 2**62)],
)
def test_a_range_brings_the_whole_files_header_and_its_own_bytes(acme: Served, offset: int, limit: int) -> None:
    content = content_of(SIZE)
    file = upload(acme, content).file

    got, data = download(acme, file.name, offset=offset, limit=limit)

    assert got == file
    assert data == content[offset : offset + limit if limit else None]


def test_a_read_beyond_the_end_is_refused(acme: Served) -> None:
    name = upload(acme, b"abc").file.name

    with raises_reason("READ_OUT_OF_RANGE", "OUT_OF_RANGE") as refusal:
        download(acme, name, offset=4)
    assert refusal.metadata == {"size_bytes": "3"}
    with raises_reason("READ_OUT_OF_RANGE", "OUT_OF_RANGE"):
        download(acme, name, offset=2**63 - 1, limit=2**63 - 1)
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT"):
        download(acme, name, offset=-1)
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT"):
        download(acme, name, limit=-1)


def test_damage_ends_the_stream_after_the_right_bytes(acme: Served) -> None:
    content = content_of(SIZE)
    name = upload(acme, content).file.name
    pack = only_pack(acme)
    stored = bytearray(pack.read_bytes())
    stored[MIB + 1] ^= 0x10
    pack.write_bytes(stored)

    got = b""
    stream = acme.releases.DownloadReleaseFile(pb.DownloadReleaseFileRequest(name=name), metadata=acme.operator)
    with raises_reason("CHUNK_LOST", "DATA_LOSS"):
        for answer in stream:
            got += answer.data

    begins = [0, *accumulate(chunk_sizes(content))]
    assert got == content[: max(begin for begin in begins if begin <= MIB + 1)] != b""


def test_a_vanished_pack_is_lost_data_and_no_missing_file(acme: Served) -> None:
    name = upload(acme, content_of(SIZE)).file.name
    only_pack(acme).unlink()

    with raises_reason("CHUNK_LOST", "DATA_LOSS"):
        download(acme, name)


def test_a_reader_who_goes_away_frees_the_stream(acme: Served) -> None:
    name = upload(acme, content_of(16 * MIB)).file.name
    for _ in range(40):  # more than there are slots for streams
        stream = acme.releases.DownloadReleaseFile(pb.DownloadReleaseFileRequest(name=name), metadata=acme.operator)
        next(stream)
        next(stream)
        stream.cancel()
        assert eventually(lambda: acme.server.running_calls < 8)  # the client is told first

    assert eventually(lambda: acme.server.running_calls == 0)
    assert len(download(acme, name)[1]) == 16 * MIB


def test_what_is_not_there_and_what_is_not_yours_look_alike(acme: Served) -> None:
    theirs = upload(acme, b"abc", project="organizations/acme/projects/api").file
    mine = upload(acme, b"abc", project="organizations/acme/projects/web").file
    caller = bearer(acme.make_token("organizations/acme", "release:read", projects=["web"]))
    nobody = bearer(acme.make_token("organizations/acme", "release:read"))

    assert download(acme, mine.name, metadata=caller)[1] == b"abc"
    for name in (theirs.name, f"{RELEASE}/files/{uuid.uuid4()}"):
        with raises_reason("FILE_NOT_FOUND", "NOT_FOUND") as refusal:
            download(acme, name, metadata=caller)
        assert refusal.metadata == {"name": name}
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
        download(acme, mine.name, metadata=nobody)
    with raises_reason("INVALID_NAME", "INVALID_ARGUMENT"):
        download(acme, f"{RELEASE}/files/1")
