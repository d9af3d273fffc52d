"""A collector with a grace time of one second beside uploads, assemblies, downloads and deletions over the wire: no
live byte is removed, and in the end every orphan is."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from peewee import Model
from releaseregistry.v1 import files_pb2

from store.blobs.check import check_storage
from store.blobs.collector import Collector
from store.blobs.models import Chunk, Content, ContentChunk, Pack
from store.database import Database
from store.errors import CollectorBusy
from tests.clocks import ManualClock
from tests.conftest import opened
from tests.rpc.fast_door import assemble, cut, missing, pages, send_chunks, start
from tests.rpc.sending import download, upload
from tests.rpc.serving import served
from tests.rpc.wire import Refusal, Served

SECONDS = float(os.environ.get("SOAK_SECONDS", "10"))
"""On each database. A drill sets it to 600."""

GRACE = 1.0
BLOCKS = [random.Random(seed).randbytes(100_000) for seed in range(24)]

# What a client may be told while chunks come and go, and repeats: none of it is a loss.
REPEATED = {"CHUNKS_MISSING", "BLOBS_DOWN", "DATABASE_BUSY", "CALLS_BUSY", "STREAMS_BUSY"}


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[Served]:
    """A server by the system's clock."""
    with opened(database_url) as database:
        database.migrate()
        with served(database, ManualClock(), tmp_path) as running:
            running.make_organization(projects=["web"])
            running.make_release("organizations/acme", "app@1.0.0", "web")
            yield running


class Soak:
    """Workers that go on until time is up, and what they saw."""

    def __init__(self, server: Served) -> None:
        self.server = server
        self.until = time.monotonic() + SECONDS
        self.counts: Counter[str] = Counter()
        self.kept: dict[str, bytes] = {}
        self.errors: list[BaseException] = []

    def run(self) -> None:
        """Work, all together, until time is up. Raises the first error of a worker."""
        works: list[Callable[[random.Random], None]] = [self.stream, self.stream, self.assembly, self.assembly]
        threads = [
            threading.Thread(target=self._repeat, args=(work, random.Random(seed)), daemon=True)
            for seed, work in enumerate([*works, self.collect, self.collect])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS + 120)
        if self.errors:
            raise self.errors[0]

    def stream(self, rng: random.Random) -> None:
        """A file through the simple door, read back, and mostly deleted."""
        content = b"".join(rng.sample(BLOCKS, rng.randint(1, 8)))
        name = self._insisted(lambda: upload(self.server, content, str(uuid.uuid4())).file.name)
        self._used(rng, name, content)

    def assembly(self, rng: random.Random) -> None:
        """A file of chunks, of which only those are sent that are missing."""
        pieces = cut(b"".join(rng.sample(BLOCKS, rng.randint(1, 8))))
        name = self._insisted(lambda: self._assembled(pieces))
        self._used(rng, name, b"".join(pieces))

    def collect(self, rng: random.Random) -> None:
        """Two collectors take turns."""
        collector = Collector(self.server.database, self.server.server.store.blobs.packs, grace_seconds=GRACE)
        try:
            found = collector.collect()
        except CollectorBusy:
            self.counts["busy"] += 1
        else:
            self.counts.update(passes=1, chunks=found.chunks, packs=found.packs, rewritten=found.rewritten_packs)
        time.sleep(rng.uniform(0.05, 0.3))

    def delete(self, name: str) -> None:
        """The file goes."""
        request = files_pb2.DeleteReleaseFileRequest(name=name)
        self.server.releases.DeleteReleaseFile(request, metadata=self.server.operator)

    def _assembled(self, pieces: list[bytes]) -> str:
        lacking = set(missing(self.server, pieces))
        send_chunks(self.server, [piece for piece in pieces if hashlib.sha256(piece).hexdigest() in lacking])
        named = start(self.server, str(uuid.uuid4()))
        return assemble(self.server, pages(named, pieces)).file.name

    def _used(self, rng: random.Random, name: str, content: bytes) -> None:
        self.counts["files"] += 1
        assert download(self.server, name)[1] == content
        if rng.random() < 0.7:
            self.delete(name)
        else:
            self.kept[name] = content
        if len(self.kept) > 20:
            old, was = self.kept.popitem()
            assert download(self.server, old)[1] == was
            self.delete(old)

    def _insisted(self, call: Callable[[], str]) -> str:
        for _ in range(50):
            try:
                return call()
            except grpc.RpcError as error:
                refusal = Refusal()
                refusal.read(error)
                assert refusal.reason in REPEATED, refusal
                self.counts[refusal.reason] += 1
        raise AssertionError("a client never got through")

    def _repeat(self, work: Callable[[random.Random], None], rng: random.Random) -> None:
        try:
            while time.monotonic() < self.until and not self.errors:
                work(rng)
        except BaseException as error:  # noqa: BLE001 - raised on the test's thread
            self.errors.append(error)


@pytest.mark.timeout(int(SECONDS) + 300)
def test_nothing_live_goes_and_every_orphan_does(server: Served) -> None:
    soak = Soak(server)
    soak.run()
    assert soak.counts["files"] > 5
    assert soak.counts["passes"] > 5
    assert soak.counts["chunks"] > 0
    for name, content in soak.kept.items():
        assert download(server, name)[1] == content
    database, packs = server.database, server.server.store.blobs.packs
    found = check_storage(database, packs, cutoff=0)
    assert found.findings == []
    for name in soak.kept:
        soak.delete(name)
    collector = Collector(database, packs, grace_seconds=GRACE)
    for _ in range(3):
        time.sleep(GRACE + 0.2)
        collector.collect(confirmed=True)
    assert [rows(database, model) for model in (Content, ContentChunk, Chunk, Pack)] == [0, 0, 0, 0]
    assert list(packs.list_packs()) == []
    print(f"soak of {SECONDS:.0f} s: {dict(soak.counts)}")


def rows(database: Database, model: type[Model]) -> int:
    return len(database.read(lambda reader: reader.fetch(model.select())))
