from __future__ import annotations

import hashlib
import time
from pathlib import Path
from threading import Thread

import pytest

from relctl import connect, hash_cache, missing_chunks, uploads
from relctl.chunked import Cutting
from relctl.client import Client
from relctl.errors import LocalError, RegistryError
from relctl.files import FileDraft
from relctl.hash_cache import HashCache
from relctl.releases import ReleaseDraft
from relctl.uploads import FileToUpload, Standing
from tests.relctl.uploading import MIB, chunks_of, content_of, noise, upload, written
from tests.rpc.fast_door import missing
from tests.rpc.sending import eventually
from tests.rpc.wire import OPERATOR_TOKEN, Served
from tests.server_process import ServerProcess


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Much is cut off in the middle of files that are quickly sent."""
    monkeypatch.setattr(missing_chunks, "GROUP_BYTES", MIB)


def test_a_large_file_arrives_and_its_content_never_travels_again(server: Served, tmp_path: Path) -> None:
    server.make_release(server.make_organization("acme", projects=["web"]), "app@1.0.0", "web")
    content = noise(5 * MIB) + noise(2 * MIB) + b"text " * MIB
    with connect(server.address, token=OPERATOR_TOKEN) as client:
        (first,) = upload(client, written(tmp_path, "app.bin", content))
        assert first.created
        assert first.file.sha256 == hashlib.sha256(content).hexdigest()
        assert content_of(client, first, tmp_path) == content
        # Two of the seven MiB of noise are there twice, and text packs well.
        assert 5 * MIB <= first.sent_bytes < 6.5 * MIB
        (again,) = upload(client, written(tmp_path, "app.bin", content))
        assert (again.created, again.sent_bytes, again.file.uid) == (False, 0, first.file.uid)
        (other,) = upload(client, written(tmp_path, "other.bin", content))
        assert (other.created, other.sent_bytes) == (True, 0)


def test_of_an_edited_file_only_what_changed_travels(client: Client, tmp_path: Path) -> None:
    content = noise(8 * MIB)
    upload(client, written(tmp_path, "app.bin", content))
    edited = content[: 3 * MIB] + b"a few bytes more" + content[3 * MIB :]
    (uploaded,) = upload(client, written(tmp_path, "edited.bin", edited))
    assert 0 < uploaded.sent_bytes < 2 * MIB
    assert content_of(client, uploaded, tmp_path) == edited


def test_small_empty_and_large_files_go_together_and_progress_ends_at_the_whole(client: Client, tmp_path: Path) -> None:
    contents = {"a": b"", "b": b"x", "c": noise(MIB), "d": noise(3 * MIB, seed=2), "e": bytes(10 * MIB)}
    seen: list[Standing] = []
    items = [written(tmp_path, name, content) for name, content in contents.items()]
    done = list(client.uploads.upload("acme", "app@1.0.0", items, progress=seen.append))
    assert {each.path.name: each.file.sha256 for each in done} == {
        name: hashlib.sha256(content).hexdigest() for name, content in contents.items()
    }
    total = sum(map(len, contents.values()))
    assert seen[-1].done_bytes == seen[-1].total_bytes == total
    assert seen[-1].sent_bytes == sum(each.sent_bytes for each in done)
    assert 9 * MIB < seen[-1].saved_bytes < 10 * MIB


def test_files_with_the_same_content_sent_side_by_side_travel_once(client: Client, tmp_path: Path) -> None:
    content = noise(6 * MIB)
    done = upload(client, *(written(tmp_path, f"copy-{number}", content) for number in range(4)))
    assert {each.file.sha256 for each in done} == {hashlib.sha256(content).hexdigest()}
    assert sum(each.sent_bytes for each in done) == len(content)


def test_a_file_that_is_remembered_is_not_even_read(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_cache, "SETTLED_NS", 0)
    cache = HashCache(tmp_path / "cache")
    item = written(tmp_path, "app.bin", noise(2 * MIB))
    upload(client, item, cache=cache)

    def refuse(*arguments: object) -> Cutting:
        raise AssertionError("it was read")

    monkeypatch.setattr(uploads, "Cutting", refuse)
    renamed = FileToUpload(path=item.path, draft=FileDraft(file_name="other", dist="d", project="web"))
    (uploaded,) = upload(client, renamed, cache=cache)
    assert (uploaded.created, uploaded.sent_bytes) == (True, 0)
    assert (uploaded.file.dist, uploaded.file.project) == ("d", "organizations/acme/projects/web")


def test_a_file_that_is_remembered_but_not_there_is_sent(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_cache, "SETTLED_NS", 0)
    cache = HashCache(tmp_path / "cache")
    content = noise(2 * MIB)
    item = written(tmp_path, "app.bin", content)
    cache.remember(item.path, hash_cache.FileState.of(item.path.stat()), hashlib.sha256(content).hexdigest())
    (uploaded,) = upload(client, item, cache=cache)
    assert (uploaded.created, uploaded.sent_bytes) == (True, len(content))


def test_an_upload_that_broke_off_is_gone_on_with_by_another_and_nothing_is_sent_twice(
    acme: Served, client: Client, tmp_path: Path
) -> None:
    content = noise(24 * MIB)
    item = written(tmp_path, "app.bin", content)

    class Interrupted(Exception):
        pass

    def interrupt(standing: Standing) -> None:
        if standing.sent_bytes > 8 * MIB:
            raise Interrupted

    with connect(acme.address, token=OPERATOR_TOKEN) as first, pytest.raises((Interrupted, RegistryError)):
        list(first.uploads.upload("acme", "app@1.0.0", [item], progress=interrupt))
    assert eventually(lambda: acme.server.running_calls == 0)  # what was cut is not taken any more
    with item.path.open("rb") as file:
        cutting = Cutting(file, client.uploads.limits().chunking)
        pieces = {chunk.sha256.hex(): content[chunk.offset :][: chunk.size_bytes] for chunk in cutting}
    absent = missing(acme, list(pieces.values()))
    assert 0 < len(absent) < len(pieces)
    (uploaded,) = upload(client, item)
    assert uploaded.created
    assert uploaded.sent_bytes == sum(len(pieces[sha256]) for sha256 in absent)
    assert content_of(client, uploaded, tmp_path) == content


def test_an_upload_outlives_a_server_that_is_killed_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = noise(40 * MIB)
    item = written(tmp_path, "app.bin", content)
    server = ServerProcess(tmp_path / "server")
    server.start()
    restarts: list[Thread] = []

    def restart() -> None:
        server.kill()
        server.start()

    def kill_once(standing: Standing) -> None:
        if standing.done_bytes > 12 * MIB and not restarts:
            restarts.append(Thread(target=restart))
            restarts[0].start()

    def pause(seconds: float) -> None:
        time.sleep(seconds)
        for restarted in restarts:  # the client would give a server up that takes minutes to start
            restarted.join()

    monkeypatch.setattr("relctl.connection.sleep", pause)
    try:
        with connect(server.address, token=server.token) as client:
            client.organizations.create("acme")
            client.organizations.create_project("acme", "web")
            client.releases.create("acme", ReleaseDraft(version="app@1.0.0", projects=["web"]))
            (uploaded,) = client.uploads.upload("acme", "app@1.0.0", [item], progress=kill_once)
            restarts[0].join()
            assert uploaded.created
            assert content_of(client, uploaded, tmp_path) == content
            assert uploaded.sent_bytes < len(content) + 8 * MIB, "more was sent again than was on its way"
    finally:
        for restarted in restarts:
            restarted.join()
        server.kill()


def test_a_chunk_that_is_damaged_on_the_server_is_sent_again(acme: Served, client: Client, tmp_path: Path) -> None:
    content = noise(3 * MIB)
    upload(client, written(tmp_path, "app.bin", content))
    packs = [path for path in (tmp_path / "data").rglob("*") if path.is_file() and path.stat().st_size >= MIB]
    with packs[0].open("r+b") as file:
        file.seek(MIB // 2)
        file.write(bytes(100))
    (uploaded,) = upload(client, written(tmp_path, "longer.bin", content + noise(MIB, seed=2)))
    assert MIB < uploaded.sent_bytes < 4 * MIB
    assert content_of(client, uploaded, tmp_path) == content + noise(MIB, seed=2)


def test_a_file_that_changes_while_it_is_sent_becomes_no_file(client: Client, tmp_path: Path) -> None:
    item = written(tmp_path, "app.bin", noise(4 * MIB))

    def change(standing: Standing) -> None:
        with item.path.open("r+b") as file:
            file.write(b"changed")

    with pytest.raises(LocalError, match=r"app\.bin changed while it was sent"):
        list(client.uploads.upload("acme", "app@1.0.0", [item], progress=change))
    assert list(client.files.list("acme", "app@1.0.0")) == []


def test_a_release_that_is_not_there_is_told_before_anything_is_read(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = written(tmp_path, "app.bin", noise(2 * MIB))

    def refuse(*arguments: object) -> Cutting:
        raise AssertionError("it was read")

    monkeypatch.setattr(uploads, "Cutting", refuse)
    with pytest.raises(RegistryError) as raised:
        list(client.uploads.upload("acme", "missing", [item]))
    assert raised.value.reason == "RELEASE_NOT_FOUND"


def test_other_content_under_the_same_name_is_refused_and_takes_its_place_when_told_to(
    client: Client, tmp_path: Path
) -> None:
    for size in (1000, 2 * MIB):
        name = f"app-{size}"
        upload(client, written(tmp_path, name, noise(size)))
        item = written(tmp_path, name, noise(size, seed=2))
        with pytest.raises(RegistryError) as raised:
            upload(client, item)
        assert raised.value.reason == "FILE_EXISTS"
        (uploaded,) = upload(client, FileToUpload(path=item.path, draft=FileDraft(file_name=name, replace=True)))
        assert content_of(client, uploaded, tmp_path) == noise(size, seed=2)


@pytest.mark.parametrize("size", [2 * MIB, 3 * MIB], ids=["of the same size", "of another size"])
def test_that_other_content_is_refused_is_told_before_a_byte_of_it_travels(
    acme: Served, client: Client, tmp_path: Path, size: int
) -> None:
    upload(client, written(tmp_path, "app.bin", noise(2 * MIB)))
    other = noise(size, seed=2)

    with pytest.raises(RegistryError) as raised:
        upload(client, written(tmp_path, "app.bin", other))

    assert raised.value.reason == "FILE_EXISTS"
    pieces = [other[chunk.offset :][: chunk.size_bytes] for chunk in chunks_of(client, tmp_path / "app.bin")]
    assert len(missing(acme, pieces)) == len(pieces) > 1


def test_the_same_content_under_the_same_name_is_not_even_cut(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = upload(client, written(tmp_path, "app.bin", noise(2 * MIB)))
    monkeypatch.delattr(uploads, "Cutting")

    (again,) = upload(client, written(tmp_path, "app.bin", noise(2 * MIB)))

    assert (again.file, again.created, again.sent_bytes) == (first.file, False, 0)


def test_a_file_that_makes_room_while_it_is_compared_with_is_no_hindrance(client: Client, tmp_path: Path) -> None:
    (first,) = upload(client, written(tmp_path, "app.bin", noise(2 * MIB)))
    deleted: list[str] = []

    def delete(standing: Standing) -> None:
        if standing.compared_bytes and not deleted:
            deleted.append(first.file.uid)
            client.files.delete("acme", "app@1.0.0", first.file.uid)

    (other,) = upload(client, written(tmp_path, "app.bin", noise(2 * MIB, seed=2)), progress=delete)

    assert other.created
    assert content_of(client, other, tmp_path) == noise(2 * MIB, seed=2)


def test_a_file_that_cannot_be_read_is_told_before_anything_travels(client: Client, tmp_path: Path) -> None:
    good = written(tmp_path, "good", b"x")
    gone = FileToUpload(path=tmp_path / "gone", draft=FileDraft(file_name="gone"))
    with pytest.raises(LocalError, match="cannot read"):
        upload(client, good, gone)
    assert list(client.files.list("acme", "app@1.0.0")) == []
