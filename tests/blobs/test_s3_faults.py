"""What a bucket's service and the network before it can do to us (behaviour.md, Files)."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from store.blobs.packs import IndexDamaged, PackMissing, Place
from store.blobs.s3 import OBJECT_BYTES, S3Packs, key_of
from store.blobs.s3_client import Bucket, Retries, S3Client
from store.blobs.s3_index import read_index
from store.database import new_id
from store.deadlines import Deadline, bound_by
from store.errors import BlobsDown, DeadlinePassed, StorageFull
from tests.blobs.s3_proxy import Fault, Request, S3Proxy, role
from tests.s3_server import SECRET, S3Server

KIB = 1024
MIB = 2**20
OURS = new_id()


@pytest.fixture
def packs(bucket: Bucket) -> Iterator[S3Packs]:
    packs = S3Packs(bucket, registry_id=OURS, expected=False, streams=2, retries=Retries(6, 5))
    yield packs
    packs.close()


def chunk(size: int, *, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def written(packs: S3Packs, data: bytes) -> Place:
    with packs.sink() as sink:
        place = sink.write(data)
        sink.sync()
    return place


def read(packs: S3Packs, place: Place, size: int) -> bytes:
    with packs.open(place.pack_id, first=(place.offset, size)) as reader:
        return reader.read(place.offset, size)


def first_of(method: str, fault: Fault, *, times: int = 1) -> Callable[[Request], Fault | None]:
    """This fault for the first requests of the method about a pack."""
    left = [times]

    def choose(request: Request) -> Fault | None:
        if request.method == method and request.is_of_pack and left[0] > 0:
            left[0] -= 1
            return fault
        return None

    return choose


def always(method: str, fault: Fault) -> Callable[[Request], Fault | None]:
    return first_of(method, fault, times=10**6)


def test_a_service_that_fails_now_and_then_is_asked_again(packs: S3Packs, proxy: S3Proxy) -> None:
    chance = random.Random(7)
    faults = [Fault(status=500), Fault(status=503, code="SlowDown"), Fault(lose_answer=True), Fault(cut=True)]
    proxy.fault = lambda request: chance.choice(faults) if request.is_of_pack and chance.random() < 0.3 else None

    places = [written(packs, chunk(20 * KIB, seed=seed)) for seed in range(12)]

    assert [read(packs, place, 20 * KIB) for place in places] == [chunk(20 * KIB, seed=seed) for seed in range(12)]
    assert proxy.packs_asked("PUT") > 12
    assert {pack.id for pack in packs.list_packs()} == {place.pack_id for place in places}


@pytest.mark.parametrize("fault", [Fault(status=503, code="SlowDown"), Fault(status=500), Fault(lose_answer=True)])
def test_a_service_that_goes_on_failing_is_down_after_a_bounded_time(
    bucket: Bucket, proxy: S3Proxy, fault: Fault, packs: S3Packs
) -> None:
    place = written(packs, chunk(KIB))
    hasty = S3Packs(bucket, registry_id=OURS, expected=True, streams=1, retries=Retries(2, 2))
    proxy.fault = lambda request: fault if request.is_of_pack or "list-type" in request.path else None
    before = len(proxy.requests)

    with pytest.raises(BlobsDown) as refused:
        written(hasty, chunk(KIB))
    assert len(proxy.requests) - before <= 3 * 2  # three times the object, three times its removal
    assert refused.value.retry_after_seconds is not None
    for attempt in (
        lambda: read(hasty, place, KIB),
        lambda: hasty.remove(new_id()),
        lambda: list(hasty.list_packs()),
    ):
        with pytest.raises(BlobsDown):
            attempt()

    hasty.close()
    proxy.fault = lambda _request: None
    assert read(packs, place, KIB) == chunk(KIB)


def test_a_put_whose_answer_is_lost_is_done_once_and_stands(packs: S3Packs, proxy: S3Proxy) -> None:
    proxy.fault = first_of("PUT", Fault(lose_answer=True))

    place = written(packs, chunk(KIB))

    assert proxy.packs_asked("PUT") == 2
    assert [pack.id for pack in packs.list_packs()] == [place.pack_id]
    assert read(packs, place, KIB) == chunk(KIB)


def test_a_sink_that_failed_takes_no_more_and_leaves_nothing(packs: S3Packs, proxy: S3Proxy) -> None:
    kept = written(packs, chunk(KIB))
    with packs.sink(pack_bytes=MIB) as sink:
        sink.write(chunk(MIB, seed=1))
        sink.write(chunk(MIB, seed=2))  # the first is sent
        proxy.fault = first_of("PUT", Fault(status=400, code="BadDigest"))
        with pytest.raises(BlobsDown):
            sink.write(chunk(MIB, seed=3))
        with pytest.raises(BlobsDown):
            sink.write(b"more")
        with pytest.raises(BlobsDown):
            sink.sync()

    packs.close()  # what failed is removed behind the back of whoever waited
    assert {pack.id for pack in packs.list_packs()} == {kept.pack_id}


@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_a_request_ends_with_its_call_though_the_service_does_not_answer(
    packs: S3Packs, proxy: S3Proxy, method: str
) -> None:
    place = written(packs, chunk(KIB))
    answers = threading.Event()
    proxy.fault = always(method, Fault(until=answers))
    asks: dict[str, Callable[[], object]] = {
        "PUT": lambda: written(packs, chunk(KIB, seed=1)),
        "GET": lambda: read(packs, place, KIB),
    }
    bound_by(Deadline(time.monotonic() + 0.2))
    try:
        with pytest.raises(DeadlinePassed):
            asks[method]()
    finally:
        bound_by(None)
        answers.set()
    proxy.fault = lambda _: None
    assert read(packs, place, KIB) == chunk(KIB)


@pytest.mark.parametrize("code", ["QuotaExceeded", "XMinioStorageFull"])
def test_a_full_service_is_told_apart(packs: S3Packs, proxy: S3Proxy, code: str) -> None:
    proxy.fault = always("PUT", Fault(status=403 if code == "QuotaExceeded" else 507, code=code))

    with pytest.raises(StorageFull):
        written(packs, chunk(KIB))

    assert not packs.takes_writes
    proxy.fault = lambda _: None
    written(packs, chunk(KIB))
    assert packs.takes_writes


def test_an_answer_with_too_few_bytes_is_asked_for_again(packs: S3Packs, proxy: S3Proxy) -> None:
    place = written(packs, chunk(100 * KIB))
    for fault in (Fault(shorten=True), Fault(cut=True)):
        proxy.fault = first_of("GET", fault)
        assert read(packs, place, 100 * KIB) == chunk(100 * KIB)

    proxy.fault = always("GET", Fault(shorten=True))
    assert len(read(packs, place, 100 * KIB)) < 100 * KIB  # so that its checksum is wrong for whoever asked


def test_wrong_bytes_are_right_when_the_pack_is_opened_anew(packs: S3Packs, proxy: S3Proxy) -> None:
    place = written(packs, chunk(100 * KIB))
    proxy.fault = first_of("GET", Fault(flip=True))

    assert read(packs, place, 100 * KIB) != chunk(100 * KIB)
    assert read(packs, place, 100 * KIB) == chunk(100 * KIB)


@pytest.mark.parametrize(
    "fault", [Fault(status=403, code="AccessDenied"), Fault(status=400, code="ExpiredToken"), Fault(status=401)]
)
def test_credentials_that_expire_are_renewed_once(packs: S3Packs, proxy: S3Proxy, fault: Fault) -> None:
    proxy.fault = first_of("PUT", fault)
    place = written(packs, chunk(KIB))
    proxy.fault = first_of("GET", fault)
    assert read(packs, place, KIB) == chunk(KIB)

    proxy.fault = always("PUT", fault)
    before = proxy.packs_asked("PUT")
    with pytest.raises(BlobsDown):
        written(packs, chunk(KIB))
    assert proxy.packs_asked("PUT") == before + 2


def test_a_list_goes_on_with_renewed_credentials(packs: S3Packs, proxy: S3Proxy) -> None:
    place = written(packs, chunk(KIB))
    refused = iter([Fault(status=403, code="AccessDenied")])
    proxy.fault = lambda request: next(refused, None) if "list-type" in request.path else None

    assert [pack.id for pack in packs.list_packs()] == [place.pack_id]


def test_the_credentials_of_a_role_are_asked_for_again_when_they_are_refused(
    bucket: Bucket, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with role() as given:
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", given.endpoint)
        packs = S3Packs(
            replace(bucket, access_key_id="", secret_access_key=None), registry_id=OURS, expected=False, streams=1
        )
        written(packs, chunk(KIB))
        assert given.count == 1

        proxy.fault = lambda request: (
            Fault(status=400, code="ExpiredToken") if request.headers["x-amz-security-token"] == "token-1" else None
        )
        place = written(packs, chunk(KIB))

        assert given.count == 2
        assert proxy.requests[-1].headers["x-amz-security-token"] == "token-2"
        assert read(packs, place, KIB) == chunk(KIB)
        packs.close()


def test_amazons_variables_do_not_mix_with_settings(
    bucket: Bucket, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_BUCKET": "another",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "another",
        "AWS_SECRET_ACCESS_KEY": "another",
        "AWS_SESSION_TOKEN": "another",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_UNSIGNED_PAYLOAD": "true",
    }.items():
        monkeypatch.setenv(name, value)
    packs = S3Packs(bucket, registry_id=OURS, expected=False, streams=1)
    written(packs, chunk(KIB))
    packs.close()

    headers = proxy.requests[-1].headers
    assert f"Credential={bucket.access_key_id}/" in headers["authorization"]
    assert "/us-east-1/s3/" in headers["authorization"]
    assert "x-amz-security-token" not in headers
    assert headers["x-amz-content-sha256"] != "UNSIGNED-PAYLOAD"


def test_the_bucket_stands_before_the_host_where_that_is_wanted(bucket: Bucket) -> None:
    apart = replace(bucket, name="releases", endpoint="https://s3.example.com:9000", path_style=False)

    assert S3Client(apart, Retries()).unguarded.config["endpoint"] == "https://releases.s3.example.com:9000"


def test_no_secret_and_no_answer_of_the_service_is_told_or_logged(
    bucket: Bucket, proxy: S3Proxy, packs: S3Packs, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy.fault = lambda request: Fault(status=403, code="SignatureDoesNotMatch") if request.is_of_pack else None

    with pytest.raises(BlobsDown) as refused:
        written(packs, chunk(KIB))

    assert refused.value.__cause__ is None
    logged = "".join(f"{record.getMessage()}{record.__dict__}{record.exc_info}" for record in caplog.records)
    told = f"{refused.value}{refused.value.metadata}{logged}{bucket}{bucket!r}{packs!r}"
    assert ("SignatureDoesNotMatch" in logged, SECRET in told, "Signature=" in told) == (True, False, False)


def test_a_bucket_that_vanished_is_down_and_not_a_loss(bucket: Bucket, proxy: S3Proxy, packs: S3Packs) -> None:
    place = written(packs, chunk(KIB))
    proxy.fault = lambda _request: Fault(status=404, code="NoSuchBucket")

    for attempt in (
        lambda: packs.open(place.pack_id),
        lambda: packs.remove(place.pack_id),
        lambda: written(packs, chunk(KIB)),
        lambda: list(packs.list_packs()),
    ):
        with pytest.raises(BlobsDown):
            attempt()

    proxy.fault = lambda request: Fault(status=404, code="NoSuchKey") if "/packs/" in request.path else None
    with pytest.raises(PackMissing):  # the prefix is ours, and the pack is not in it
        packs.open(place.pack_id)


def test_a_large_stream_is_sent_in_objects_and_never_in_parts(packs: S3Packs, proxy: S3Proxy) -> None:
    data = [chunk(MIB, seed=seed) for seed in range(20)]
    with packs.sink() as sink:
        places = [sink.write(part) for part in data]
        assert proxy.packs_asked("PUT") >= 1
        grown = sink.sync()

    assert [pack.size_bytes // OBJECT_BYTES for pack in grown] == [1, 1, 0]
    assert not any("upload" in request.path for request in proxy.requests)  # of parts, which could be left behind
    sent = [int(request.headers["content-length"]) for request in proxy.requests if request.method == "PUT"][1:]
    assert all(0 < size - pack.size_bytes < 1000 for size, pack in zip(sent, grown, strict=True))  # the index
    assert [read(packs, place, MIB) for place in places] == data


def test_reading_in_order_asks_ahead_and_asks_for_no_byte_twice(packs: S3Packs, proxy: S3Proxy) -> None:
    with packs.sink() as sink:
        places = [sink.write(chunk(MIB, seed=seed)) for seed in range(8)]
        (grown,) = sink.sync()

    with packs.open(grown.id, first=(0, MIB)) as reader:
        for seed, place in enumerate(places):
            assert reader.read(place.offset, MIB) == chunk(MIB, seed=seed)

    ranges = [request.headers["range"] for request in proxy.requests if request.method == "GET" and request.is_of_pack]
    asked = sorted(tuple(map(int, part.removeprefix("bytes=").split("-"))) for part in ranges)
    assert [first for first, _ in asked] == [0, *(last + 1 for _, last in asked[:-1])]
    assert len(asked) <= 5


def test_a_pack_says_what_is_in_it(packs: S3Packs) -> None:
    data = [chunk(size, seed=size) for size in (1, KIB, 100 * KIB)]
    with packs.sink() as sink:
        places = [sink.write(part) for part in data]
        (grown,) = sink.sync()
    whole = read(packs, Place(grown.id, 0), grown.size_bytes + MIB)

    index = read_index(whole[grown.size_bytes :], grown.size_bytes)

    assert [entry.offset for entry in index] == [place.offset for place in places]
    assert [whole[entry.offset : entry.offset + entry.stored_bytes] for entry in index] == data
    with packs.open(grown.id, first=(grown.size_bytes, KIB)) as reader:
        assert reader.index(grown.size_bytes) == index
    for damaged in (whole[:-1], whole[:-30] + b"?" + whole[-29:], whole[: grown.size_bytes], b"rrpack1\n" * 2):
        with pytest.raises(IndexDamaged):
            read_index(damaged[grown.size_bytes :], grown.size_bytes)
    with pytest.raises(IndexDamaged):
        read_index(whole[grown.size_bytes :], grown.size_bytes - 1)


def test_what_others_put_into_the_prefix_is_not_listed(packs: S3Packs, s3_server: S3Server) -> None:
    place = written(packs, chunk(KIB))
    name = place.pack_id.hex()
    for key in ("packs/readme", f"packs/00/{name}", f"packs/{name}", f"packs/zz/{'zz' * 16}", "packs/ab/ab"):
        s3_server.put(packs.bucket, key, b"something")

    assert [pack.id for pack in packs.list_packs()] == [place.pack_id]
    assert key_of(place.pack_id) == f"packs/{name[-2:]}/{name}"


def test_a_list_goes_over_pages(packs: S3Packs, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.blobs.s3.PAGE_OBJECTS", 10)
    made = {new_id() for _ in range(25)}
    for pack_id in made:
        s3_server.put(packs.bucket, key_of(pack_id), b"x")

    assert sorted(pack.id for pack in packs.list_packs()) == sorted(made)
