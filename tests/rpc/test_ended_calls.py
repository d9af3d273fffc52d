"""Calls that have ended hold nothing: neither their place in the connection nor what they worked with."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator
from typing import NoReturn

import grpc
import pytest
from releaseregistry.v1 import commits_pb2, files_pb2, organizations_pb2

from store.blobs.local import LocalPacks
from store.errors import BlobsDown, StorageFull
from tests.blobs.harm import flip_bit
from tests.rpc.fast_door import assemble, cut, messages, pages, plain, send_chunks, start
from tests.rpc.fast_door import send as send_messages
from tests.rpc.sending import MIB, RELEASE, content_of, download, header, send, upload
from tests.rpc.wire import Served, raises_reason

CALLS = 120
"""More than a connection may have at once (`grpc.max_concurrent_streams`)."""


@pytest.fixture
def acme(edge: Served) -> Served:
    edge.make_organization(projects=["web"])
    edge.make_release("organizations/acme", "app@1.0.0", "web")
    return edge


@pytest.fixture
def _no_collector() -> Iterator[None]:
    """What hangs together in circles stays, as it does on a busy server for seconds."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def one_in_its_row(server: Served, number: int) -> None:
    upload(server, content_of(5, seed=number), f"{number}.js")


def one_in_chunks(server: Served, number: int) -> None:
    upload(server, content_of(17 * 1024, seed=number), f"{number}.js")


def one_that_is_refused(server: Served, _number: int) -> None:
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
        send(server, [header(parent="organizations/acme/releases/other@1")])


def one_that_breaks_off(server: Served, number: int) -> None:
    with raises_reason("FRAME_OUT_OF_ORDER", "INVALID_ARGUMENT"):
        send(server, [header(f"{number}.js")])


def one_of_chunks(server: Served, number: int) -> None:
    pieces = cut(content_of(20 * 1024, seed=number))
    send_chunks(server, pieces)
    assemble(server, pages(start(server, f"{number}.js"), pieces))


def one_whose_chunks_are_missing(server: Served, number: int) -> None:
    with raises_reason("CHUNKS_MISSING", "FAILED_PRECONDITION"):
        assemble(server, pages(start(server, f"{number}.js"), cut(content_of(20 * 1024, seed=number))))


def one_of_other_chunks(server: Served, number: int) -> None:
    chunk = plain(content_of(100, seed=number))
    chunk.data = bytes(100)
    with raises_reason("DIGEST_MISMATCH", "INVALID_ARGUMENT"):
        send_messages(server, messages([chunk]))


def one_of_commits(server: Served, number: int) -> None:
    commits = [commits_pb2.Commit(id=str(number), repository="acme/web")]
    request = commits_pb2.SetCommitsRequest(name=RELEASE, commits=commits, finish=True, commit_count=1)
    server.releases.SetCommits(iter([request]), metadata=server.operator)


def one_of_other_commits(server: Served, _number: int) -> None:
    request = commits_pb2.SetCommitsRequest(name=RELEASE, finish=True, commit_count=1)
    with raises_reason("SIZE_MISMATCH", "INVALID_ARGUMENT"):
        server.releases.SetCommits(iter([request]), metadata=server.operator)


def one_of_no_picture(server: Served, _number: int) -> None:
    frames = [
        organizations_pb2.UploadAvatarRequest(header=organizations_pb2.AvatarHeader(name="organizations/acme")),
        organizations_pb2.UploadAvatarRequest(
            finish=organizations_pb2.AvatarFinish(size_bytes=0, sha256=hashlib.sha256(b"").hexdigest())
        ),
    ]
    with raises_reason("AVATAR_INVALID", "INVALID_ARGUMENT"):
        server.organizations.UploadAvatar(iter(frames), metadata=server.operator)


WAYS = (
    one_in_its_row,
    one_in_chunks,
    one_that_is_refused,
    one_that_breaks_off,
    one_of_chunks,
    one_whose_chunks_are_missing,
    one_of_other_chunks,
    one_of_commits,
    one_of_other_commits,
    one_of_no_picture,
)


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("one", WAYS)
def test_one_connection_carries_any_number_of_uploads_one_after_the_other(
    acme: Served, one: Callable[[Served, int], None]
) -> None:
    for number in range(CALLS):
        one(acme, number)


@pytest.mark.usefixtures("_no_collector")
def test_one_connection_carries_any_number_of_uploads_for_which_there_is_no_room(
    acme: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise StorageFull

    monkeypatch.setattr(LocalPacks, "writing", full)
    for number in range(CALLS):
        with raises_reason("STORAGE_FULL", "RESOURCE_EXHAUSTED"):
            upload(acme, content_of(17 * 1024, seed=number))


@pytest.mark.usefixtures("_no_collector")
def test_one_connection_carries_any_number_of_assemblies_of_chunks_that_cannot_be_read(
    acme: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = cut(content_of(20 * 1024))
    send_chunks(acme, pieces)

    def away(*_: object, **__: object) -> NoReturn:
        raise BlobsDown

    monkeypatch.setattr(LocalPacks, "open", away)
    for number in range(CALLS):
        with raises_reason("BLOBS_DOWN", "UNAVAILABLE"):
            assemble(acme, pages(start(acme, f"{number}.js"), pieces))


@pytest.mark.usefixtures("_no_collector")
def test_one_connection_carries_any_number_of_downloads_one_after_the_other(acme: Served) -> None:
    content = content_of(MIB)
    name = upload(acme, content).file.name
    for _ in range(CALLS):
        assert download(acme, name)[1] == content


@pytest.mark.usefixtures("_no_collector")
def test_one_connection_carries_any_number_of_downloads_that_are_cut_off(acme: Served) -> None:
    request = files_pb2.DownloadReleaseFileRequest(name=upload(acme, content_of(4 * MIB)).file.name)
    for _ in range(CALLS):
        call = acme.releases.DownloadReleaseFile(request, metadata=acme.operator, timeout=60)
        assert next(call).WhichOneof("frame") == "file"
        call.cancel()
        with pytest.raises(grpc.RpcError):
            next(call)


@pytest.mark.usefixtures("_no_collector")
def test_one_connection_carries_any_number_of_downloads_of_what_is_damaged(acme: Served) -> None:
    name = upload(acme, content_of(MIB)).file.name
    packs = acme.server.store.blobs.packs
    (pack,) = packs.list_packs()
    flip_bit(packs, pack.id, pack.size_bytes - 1)  # behind what is read first: the rest is read ahead
    for _ in range(CALLS):
        with raises_reason("CHUNK_LOST", "DATA_LOSS"):
            download(acme, name)
