"""What every backend of packs keeps to, in a folder and in a bucket (behaviour.md, Files)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store.blobs.local import LocalPacks
from store.blobs.packs import GrownPack, PackMissing, PackStore, Place
from store.blobs.s3 import S3Packs
from store.database import CannotOpen, new_id
from tests.s3_server import S3Server

MIB = 2**20
KIB = 1024
OURS = new_id()

Opener = Callable[..., PackStore]


@pytest.fixture(params=["folder", "bucket"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens packs on one and the same place."""
    opened: list[PackStore] = []
    if request.param == "bucket":
        s3_server: S3Server = request.getfixturevalue("s3_server")
        bucket = s3_server.fresh_bucket()

    def open_packs(*, registry_id: bytes = OURS, expected: bool = False) -> PackStore:
        if request.param == "bucket":
            opened.append(S3Packs(bucket, registry_id=registry_id, expected=expected, streams=2))
        else:
            opened.append(LocalPacks(tmp_path / "blobs", registry_id=registry_id, expected=expected))
        return opened[-1]

    yield open_packs
    for packs in opened:
        packs.close()


@pytest.fixture
def packs(opener: Opener) -> PackStore:
    return opener()


def chunk(size: int, *, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def read(packs: PackStore, place: Place, size: int) -> bytes:
    with packs.open(place.pack_id) as reader:
        return reader.read(place.offset, size)


def ids(packs: PackStore) -> set[bytes]:
    return {pack.id for pack in packs.list_packs()}


def test_what_was_synced_is_read_where_it_was_written(packs: PackStore) -> None:
    chunks = [chunk(size, seed=size) for size in (1, 100, 64 * KIB, MIB, 300 * KIB)]
    with packs.sink() as sink:
        places = [sink.write(data) for data in chunks]
        grown = sink.sync()

    assert [read(packs, place, len(data)) for place, data in zip(places, chunks, strict=True)] == chunks
    assert {place.pack_id for place in places} == {pack.id for pack in grown}
    assert [pack.is_new for pack in grown] == [True]
    assert ids(packs) == {pack.id for pack in grown}


def test_a_stream_goes_on_after_a_sync(packs: PackStore) -> None:
    written: list[tuple[Place, bytes]] = []
    with packs.sink() as sink:
        for seed in range(4):
            data = chunk(100 * KIB + seed, seed=seed)
            written.append((sink.write(data), data))
            sink.sync()
            assert [read(packs, place, len(data)) for place, data in written] == [data for _, data in written]
        assert sink.sync() == []


def test_the_caller_may_use_its_memory_again_at_once(packs: PackStore) -> None:
    block = bytearray(chunk(MIB))
    with packs.sink() as sink:
        first = sink.write(memoryview(block)[: 512 * KIB])
        second = sink.write(memoryview(block)[512 * KIB :])
        block[:] = bytes(MIB)
        sink.sync()

    assert read(packs, first, 512 * KIB) + read(packs, second, 512 * KIB) == chunk(MIB)


def test_a_pack_takes_no_further_chunk_once_it_is_full(packs: PackStore) -> None:
    data = [chunk(400 * KIB, seed=seed) for seed in range(7)]
    with packs.sink(pack_bytes=MIB) as sink:
        places = [sink.write(part) for part in data]
        grown = sink.sync()

    assert [place.offset for place in places] == [0, 400 * KIB, 800 * KIB] * 2 + [0]
    assert len({place.pack_id for place in places}) == len(grown) == 3
    assert [read(packs, place, 400 * KIB) for place in places] == data


def test_what_was_not_synced_is_removed(packs: PackStore) -> None:
    with packs.sink(pack_bytes=MIB) as sink:
        kept = sink.write(chunk(MIB))
        sink.sync()
        for seed in range(3):
            sink.write(chunk(MIB, seed=seed))

    assert ids(packs) == {kept.pack_id}
    assert read(packs, kept, MIB) == chunk(MIB)
    sink.discard()
    assert ids(packs) == {kept.pack_id}


def test_a_sink_without_a_byte_makes_nothing(packs: PackStore) -> None:
    with packs.sink() as sink:
        assert sink.sync() == []

    assert ids(packs) == set()


def test_a_pack_ends_where_it_ends(packs: PackStore) -> None:
    data = chunk(10 * KIB)
    with packs.sink() as sink:
        place = sink.write(data)
        (grown,) = sink.sync()

    with packs.open(place.pack_id) as reader:
        everything = reader.read(0, MIB)  # behind the chunks may be what the backend needs
        assert (grown.size_bytes, everything[: len(data)]) == (len(data), data)
        assert reader.read(len(everything) - 1, 10) == everything[-1:]
        assert reader.read(len(everything), 10) == b""
        assert reader.read(len(everything) + 100 * MIB, 10) == b""
    with packs.open(place.pack_id, first=(MIB, 10)) as reader:
        assert reader.read(MIB, 10) == b""
        assert reader.read(0, len(data)) == data


def test_a_pack_is_read_in_any_order(packs: PackStore) -> None:
    with packs.sink() as sink:
        data = b"".join(chunk(MIB, seed=seed) for seed in range(7))
        place = sink.write(data[:MIB])
        for start in range(MIB, len(data), MIB):
            assert sink.write(data[start : start + MIB]).pack_id == place.pack_id
        sink.sync()

    chance = random.Random(5)
    with packs.open(place.pack_id, first=(0, 100)) as reader:
        at = 0
        for _ in range(60):
            if chance.random() < 0.3:  # else in order, as most read
                at = chance.randrange(len(data))
            length = min(chance.choice([1, 1000, 256 * KIB, 2 * MIB]), len(data) - at)
            assert reader.read(at, length) == data[at : at + length]
            at += length
        reader.close()
        reader.close()


def test_a_pack_that_is_not_there_is_missing(packs: PackStore) -> None:
    with pytest.raises(PackMissing):
        packs.open(new_id())


def test_a_removed_pack_is_gone_and_may_be_removed_again(packs: PackStore) -> None:
    with packs.sink() as sink:
        gone, stays = [(sink.write(chunk(KIB)), sink.sync())[0] for _ in range(2)]
    if gone.pack_id == stays.pack_id:  # it grew: another stream writes to another
        with packs.sink() as sink:
            stays = sink.write(chunk(KIB))
            sink.sync()

    packs.remove(gone.pack_id)
    packs.remove(gone.pack_id)

    assert ids(packs) == {stays.pack_id}
    with pytest.raises(PackMissing):
        packs.open(gone.pack_id)


def test_the_list_tells_sizes_and_times(packs: PackStore) -> None:
    grown: list[GrownPack] = []
    for seed in range(5):
        with packs.sink() as sink:
            sink.write(chunk(10 * KIB + seed))
            grown += sink.sync()

    listed = list(packs.list_packs())

    made = {pack.id: pack.size_bytes for pack in grown}
    assert {pack.id for pack in listed} == {pack.id for pack in grown}
    assert all(0 <= pack.size_bytes - made[pack.id] < 100 for pack in listed)
    assert all(1_700_000_000_000_000 < pack.modify_time < 10_000_000_000_000_000 for pack in listed)


def test_another_process_of_the_registry_reads_what_one_has_written(opener: Opener) -> None:
    with opener().sink() as sink:
        place = sink.write(chunk(KIB))
        sink.sync()

    other = opener(expected=True)

    assert read(other, place, KIB) == chunk(KIB)
    assert ids(other) == {place.pack_id}


def test_a_place_belongs_to_one_registry(opener: Opener) -> None:
    opener()

    with pytest.raises(CannotOpen, match="belongs to another registry") as refused:
        opener(registry_id=new_id())

    assert "\n" not in str(refused.value)
    opener()


def test_an_empty_place_is_refused_where_the_database_knows_packs(opener: Opener) -> None:
    with pytest.raises(CannotOpen, match="is empty"):
        opener(expected=True)

    opener()
    opener(expected=True)


def test_every_backend_takes_writes(packs: PackStore) -> None:
    assert packs.writable
