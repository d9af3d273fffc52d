"""Chunks when the disk or the database is in trouble, and in a bucket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from store.blobs.blobs import open_blobs
from store.blobs.local_sink import LocalSink
from store.blobs.models import Chunk, Pack
from store.errors import BlobsDown, DatabaseBusy, RegistryError, StorageFull
from store.files.models import ReleaseFile
from store.uploads import chunks as chunks_module
from store.uploads.chunks import StoredChunks
from tests.contract.chunks import Sender, cut, digest, packed, plain, refs
from tests.contract.shelf import Shelf, content_of
from tests.s3_server import S3Server

MIB = 2**20


def raising(error: RegistryError) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("call", ["write", "sync"])
@pytest.mark.parametrize("error", [StorageFull(), BlobsDown()], ids=["full", "down"])
def test_chunks_that_cannot_be_made_stable_are_not_there(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, call: str, error: RegistryError
) -> None:
    pieces = cut(content_of(MIB))
    with monkeypatch.context() as trouble:
        trouble.setattr(LocalSink, call, raising(error))
        with pytest.raises(type(error)):
            sender.send_plain(pieces)
    assert sender.missing(pieces) == [digest(piece) for piece in pieces]
    assert (sender.shelf.rows(Chunk), sender.shelf.packs(), sender.shelf.unfinished()) == ([], [], [])
    assert sender.send_plain(pieces) == StoredChunks(16, MIB)


@pytest.mark.parametrize("error", [DatabaseBusy(), BlobsDown(), StorageFull()], ids=["busy", "collected", "full"])
def test_chunks_whose_rows_cannot_be_written_leave_no_bytes(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, error: RegistryError
) -> None:
    pieces = cut(content_of(MIB))
    with monkeypatch.context() as trouble:
        trouble.setattr(chunks_module, "keep_chunks", raising(error))
        with pytest.raises(type(error)):
            sender.send_plain(pieces)
    assert (sender.shelf.rows(Chunk), sender.shelf.rows(Pack)) == ([], [])
    assert (sender.shelf.packs(), sender.shelf.unfinished()) == ([], [])


def test_groups_before_the_trouble_are_kept(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks_module, "GROUP_CHUNKS", 4)
    pieces = cut(content_of(MIB))
    real, calls = LocalSink.sync, iter(range(100))

    def third_fails(sink: LocalSink) -> Any:
        if next(calls) == 2:
            raise StorageFull
        return real(sink)

    with monkeypatch.context() as trouble:
        trouble.setattr(LocalSink, "sync", third_fails)
        with pytest.raises(StorageFull):
            sender.send([plain(piece) for piece in pieces], at_once=4)
    assert sender.missing(pieces) == [digest(piece) for piece in pieces[8:]]
    sender.send_plain(pieces[8:])
    assert sender.shelf.download(sender.assemble(pieces).file) == b"".join(pieces)


def test_a_file_whose_rows_cannot_be_written_is_assembled_later(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = content_of(MIB)
    sender.send_plain(cut(content))
    upload_id = sender.start()
    assembly = sender.assembly(upload_id)
    assembly.add(refs(cut(content)))
    with monkeypatch.context() as trouble:
        trouble.setattr("store.uploads.assemble.place_file", raising(DatabaseBusy()))
        with pytest.raises(DatabaseBusy):
            assembly.finish(size_bytes=MIB, sha256=digest(content))
    assert sender.shelf.rows(ReleaseFile) == []
    assert sender.assemble(cut(content), upload_id=upload_id).created


def test_chunks_lie_in_a_bucket_as_well(shelf: Shelf, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks_module, "GROUP_BYTES", 2 * MIB)
    shelf.blobs.close()
    shelf.blobs = open_blobs(shelf.db, s3_server.fresh_bucket())
    sender = Sender(shelf)
    pieces = [*cut(content_of(5 * MIB)), *(bytes([number]) * 100_000 for number in range(10))]
    stored = sender.send([packed(piece) for piece in pieces])
    assert (stored.chunk_count, stored.stored_bytes > 5 * MIB) == (90, True)
    assert len(shelf.rows(Pack)) > 1
    assert sender.send_plain(pieces) == StoredChunks(0, 0)
    made = sender.assemble(pieces[::-1])
    assert shelf.download(made.file) == b"".join(pieces[::-1])
