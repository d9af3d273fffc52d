"""Large files whose content the organization has, in whole or in part, and no cache remembers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from relctl import hash_cache
from relctl.chunk_streams import Source
from relctl.chunked import READ_BYTES
from relctl.client import Client
from relctl.errors import LocalError, RegistryError
from relctl.hash_cache import FileState, HashCache
from relctl.uploads import HEAD_BYTES, Standing
from tests.relctl.uploading import MIB, Calls, Counted, chunks_of, content_of, digests, noise, upload, written
from tests.rpc.fast_door import send_chunks
from tests.rpc.wire import Served

SIZE = 12 * MIB
STARTED = ["GetUploadLimits", "StartUpload"]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes were read of large files, read by read."""
    read: list[int] = []
    opened = Source.opened
    monkeypatch.setattr(Source, "opened", lambda source: Counted(opened(source).detach(), read))
    return read


def again(client: Client, calls: Calls, read: list[int], folder: Path, name: str, content: bytes) -> list[Standing]:
    """Upload it, and notes begin anew before; what progress was told."""
    calls.messages.clear()
    read.clear()
    seen: list[Standing] = []
    upload(client, written(folder, name, content), progress=seen.append)
    return seen


def asked(calls: Calls) -> list[str]:
    """The digests that the server was asked about."""
    return [sha256 for request in calls.of("FindMissingChunks") for sha256 in request.sha256]


def test_content_that_is_there_is_hashed_once_and_only_its_beginning_is_cut(
    client: Client, calls: Calls, read: list[int], tmp_path: Path
) -> None:
    content = noise(SIZE)
    upload(client, written(tmp_path, "app.bin", content))
    beginning = [chunk for chunk in chunks_of(client, tmp_path / "app.bin") if chunk.offset < HEAD_BYTES]

    seen = again(client, calls, read, tmp_path, "other.bin", content)

    assert calls.names == [*STARTED, "FindMissingChunks", "CreateReleaseFile"]
    assert asked(calls) == digests(beginning)
    assert sum(read) == READ_BYTES + SIZE
    assert max(standing.compared_bytes for standing in seen) == SIZE
    assert seen[-1] == Standing(total_bytes=SIZE, done_bytes=SIZE, sent_bytes=0)
    (created,) = [file for file in client.files.list("acme", "app@1.0.0") if file.file_name == "other.bin"]
    assert created.sha256 == hashlib.sha256(content).hexdigest()


def test_new_content_is_not_compared_and_no_chunk_is_asked_about_twice(
    client: Client, calls: Calls, read: list[int], tmp_path: Path
) -> None:
    seen = again(client, calls, read, tmp_path, "app.bin", noise(SIZE))

    assert "CreateReleaseFile" not in calls.names
    assert sum(read) == 2 * SIZE, "it is read to be cut, and to be sent"
    assert {standing.compared_bytes for standing in seen} == {0}
    assert asked(calls) == digests(chunks_of(client, tmp_path / "app.bin"))


def test_of_content_with_a_known_beginning_the_rest_is_sent_and_the_whole_hashed_only_once(
    client: Client, calls: Calls, read: list[int], tmp_path: Path
) -> None:
    upload(client, written(tmp_path, "app.bin", noise(SIZE)))
    edited = noise(SIZE)[: 10 * MIB] + b"a few bytes more" + noise(SIZE)[10 * MIB :]

    seen = again(client, calls, read, tmp_path, "edited.bin", edited)

    assert calls.names.count("CreateReleaseFile") == calls.names.count("FindMissingChunks") - 1 == 1
    assert asked(calls) == digests(chunks_of(client, tmp_path / "edited.bin"))
    assert 0 < seen[-1].sent_bytes < 3 * MIB
    assert sum(read) == 2 * len(edited) + seen[-1].sent_bytes
    assert (seen[-1].done_bytes, seen[-1].compared_bytes) == (len(edited), 0)
    (file,) = [file for file in client.files.list("acme", "app@1.0.0") if file.file_name == "edited.bin"]
    client.files.download(file, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == edited


def test_chunks_that_are_all_there_become_a_file_although_no_file_had_that_content(
    acme: Served, client: Client, calls: Calls, read: list[int], tmp_path: Path
) -> None:
    content = noise(SIZE)
    cut = chunks_of(client, written(tmp_path, "app.bin", content).path)
    send_chunks(acme, [content[chunk.offset :][: chunk.size_bytes] for chunk in cut])

    seen = again(client, calls, read, tmp_path, "app.bin", content)

    assert seen[-1] == Standing(total_bytes=SIZE, done_bytes=SIZE, sent_bytes=0)
    assert calls.names.count("CreateReleaseFile") == 1
    assert "UploadChunks" not in calls.names
    assert "AssembleUpload" in calls.names


def test_content_that_is_remembered_and_not_there_is_not_compared_again(
    client: Client, calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_cache, "SETTLED_NS", 0)
    upload(client, written(tmp_path, "app.bin", noise(SIZE)))
    content = noise(8 * MIB) + noise(MIB, seed=2)
    item = written(tmp_path, "other.bin", content)
    cache = HashCache(tmp_path / "cache")
    cache.remember(item.path, FileState.of(item.path.stat()), hashlib.sha256(content).hexdigest())
    calls.messages.clear()
    seen: list[Standing] = []

    (uploaded,) = upload(client, item, cache=cache, progress=seen.append)

    assert calls.names.count("CreateReleaseFile") == 1
    assert {standing.compared_bytes for standing in seen} == {0}
    assert content_of(client, uploaded, tmp_path) == content


def test_content_that_is_there_takes_the_place_of_other_content_only_when_told_to(
    client: Client, calls: Calls, tmp_path: Path
) -> None:
    upload(client, written(tmp_path, "app.bin", noise(SIZE)))
    (other,) = upload(client, written(tmp_path, "other.bin", noise(SIZE, seed=2)))
    calls.messages.clear()

    with pytest.raises(RegistryError) as raised:
        upload(client, written(tmp_path, "other.bin", noise(SIZE)))
    assert raised.value.reason == "FILE_EXISTS"
    assert calls.names == [*STARTED, "StartUpload"], "it was told later than it could be"

    (uploaded,) = upload(client, written(tmp_path, "other.bin", noise(SIZE), replace=True))
    assert (uploaded.created, uploaded.sent_bytes) == (True, 0)
    assert uploaded.file.uid != other.file.uid
    assert calls.names[-1] == "CreateReleaseFile"
    assert content_of(client, uploaded, tmp_path) == noise(SIZE)


def test_a_file_that_changes_while_it_is_compared_becomes_no_file(client: Client, tmp_path: Path) -> None:
    upload(client, written(tmp_path, "app.bin", noise(SIZE)))
    item = written(tmp_path, "other.bin", noise(SIZE))

    def change(standing: Standing) -> None:
        if standing.compared_bytes:
            with item.path.open("r+b") as file:
                file.write(b"changed")

    with pytest.raises(LocalError, match=r"other\.bin changed while it was sent"):
        upload(client, item, progress=change)
    assert [file.file_name for file in client.files.list("acme", "app@1.0.0")] == ["app.bin"]


def test_a_file_that_changed_unseen_after_it_was_compared_becomes_no_file(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(client, written(tmp_path, "app.bin", noise(SIZE)))
    edited = noise(10 * MIB) + noise(MIB, seed=2)
    compared: list[str] = []

    def before_the_change(source: Source, *_: Any) -> str:
        compared.append(source.path.name)
        return hashlib.sha256(b"other bytes, of the same state").hexdigest()

    monkeypatch.setattr(Source, "sha256", before_the_change)
    with pytest.raises(LocalError, match=r"edited\.bin changed while it was sent"):
        upload(client, written(tmp_path, "edited.bin", edited))
    assert compared == ["edited.bin"]
    assert [file.file_name for file in client.files.list("acme", "app@1.0.0")] == ["app.bin"]
