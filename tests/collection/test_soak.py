"""Collectors with a grace time of one second beside uploads, assemblies, downloads and deletions over the wire, packs
that are written anew and merged included: no live byte is removed, and in the end every orphan is."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import grpc
import pytest
from peewee import Model
from releaseregistry.v1 import files_pb2

import store.blobs.collector as collector_module
from store.blobs import merging
from store.blobs.check import check_storage
from store.blobs.collector import Collector
from store.blobs.models import Chunk, Content, ContentChunk, Pack
from store.blobs.packs import PackStore
from store.blobs.rewriting import rewrite_packs
from store.blobs.unused import PackUse
from store.database import Database
from store.errors import CollectorBusy
from store.leases import Lease
from tests.clocks import ManualClock
from tests.conftest import opened
from tests.rpc.fast_door import assemble, cut, missing, pages, send_chunks, start
from tests.rpc.sending import download, upload
from tests.rpc.serving import served
from tests.rpc.wire import Served, refusal_of

SECONDS = float(os.environ.get("SOAK_SECONDS", "10"))
"""On each database, and longer where the machine is too slow for LEAST in that time. A drill sets it to 600."""

PATIENCE = 300
LEAST = {"files": 10, "lasting reads": 1, "passes": 6, "chunks": 1, "packs": 1, "rewritten": 1, "merged": 4}
"""What must have happened for a soak to tell anything."""

GRACE = 1.0
BLOCKS = [random.Random(seed).randbytes(100_000) for seed in range(24)]

# What a client may be told while it uploads and chunks come and go, and repeats: none of it is a loss.
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
        self.began = time.monotonic()
        self.counts: Counter[str] = Counter()
        self.kept: dict[str, bytes] = {}
        self.errors: list[BaseException] = []
        self._lock = threading.Lock()

    def run(self) -> None:
        """Work, all together, until time is up. Raises the first error of a worker."""
        works: list[Callable[[random.Random], None]] = [self.stream, self.stream, self.assembly, self.assembly]
        works += [self.read_again, self.read_for_long]
        threads = [
            threading.Thread(target=self._repeat, args=(work, random.Random(seed)), daemon=True)
            for seed, work in enumerate([*works, self.collect, self.collect])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS + 2 * PATIENCE)
        if self.errors:
            raise self.errors[0]
        assert not any(thread.is_alive() for thread in threads)

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

    def read_again(self, rng: random.Random) -> None:
        """A file that was kept, perhaps for long, is read, and kept on or deleted."""
        with self._lock:
            name = rng.choice(list(self.kept) or [""])
            content = self.kept.pop(name, b"")
        if not name:
            time.sleep(0.05)
            return
        self._read(name, content)
        self._keep_or_delete(name, content, keep=len(self.kept) < 40)

    def read_for_long(self, rng: random.Random) -> None:
        """A download that lasts longer than the grace time, while what it reads is moved and removed behind it."""
        content = b"".join(rng.choices(BLOCKS, k=80))
        name = self._insisted(lambda: upload(self.server, content, str(uuid.uuid4())).file.name)
        request = files_pb2.DownloadReleaseFileRequest(name=name)
        data = bytearray()
        for answer in self.server.releases.DownloadReleaseFile(request, metadata=self.server.operator):
            data += answer.data
            time.sleep(0.1)
        assert data == content
        self.counts["lasting reads"] += 1
        self._keep_or_delete(name, content, keep=False)

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
        self._read(name, content)
        self._keep_or_delete(name, content, keep=rng.random() < 0.3)

    def _read(self, name: str, content: bytes) -> None:
        """What is missing, or wrong, ends the soak."""
        assert download(self.server, name)[1] == content
        self.counts["reads"] += 1

    def _keep_or_delete(self, name: str, content: bytes, *, keep: bool) -> None:
        if keep:
            with self._lock:
                self.kept[name] = content
        else:
            self.delete(name)

    def _goes_on(self) -> bool:
        seconds = time.monotonic() - self.began
        lacking = any(self.counts[what] < least for what, least in LEAST.items())
        return not self.errors and (seconds < SECONDS or (lacking and seconds < SECONDS + PATIENCE))

    def _insisted(self, call: Callable[[], str]) -> str:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                return call()
            except grpc.RpcError as error:
                refusal = refusal_of(error)
                assert refusal.reason in REPEATED, refusal
                self.counts[refusal.reason] += 1
        raise AssertionError("a client never got through")

    def _repeat(self, work: Callable[[random.Random], None], rng: random.Random) -> None:
        try:
            while self._goes_on():
                work(rng)
        except BaseException as error:  # noqa: BLE001 - raised on the test's thread
            self.errors.append(error)


@pytest.mark.timeout(int(SECONDS) + 4 * PATIENCE)
def test_nothing_live_goes_and_every_orphan_does(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    soak = Soak(server)

    def counted(database: Database, packs: PackStore, lease: Lease, sources: Sequence[PackUse]) -> int:
        soak.counts["merged"] += len(sources) if len(sources) > 1 else 0
        return rewrite_packs(database, packs, lease, sources)

    monkeypatch.setattr(collector_module, "rewrite_packs", counted)
    monkeypatch.setattr(merging, "LEAST_PACKS", 4)
    soak.run()
    assert {what: soak.counts[what] for what, least in LEAST.items() if soak.counts[what] < least} == {}
    for name, content in soak.kept.items():
        assert download(server, name)[1] == content
    database, packs = server.database, server.server.store.blobs.packs
    found = check_storage(database, packs, cutoff=0)
    assert found.findings == []
    for name in soak.kept:
        soak.delete(name)
    collector = Collector(database, packs, grace_seconds=GRACE)
    deadline = time.monotonic() + PATIENCE
    while rows(database, Pack) and time.monotonic() < deadline:
        time.sleep(GRACE)
        collector.collect(confirmed=True)
    assert [rows(database, model) for model in (Content, ContentChunk, Chunk, Pack)] == [0, 0, 0, 0]
    assert list(packs.list_packs()) == []
    print(f"soak of {SECONDS:.0f} s: {dict(soak.counts)}")


def rows(database: Database, model: type[Model]) -> int:
    return len(database.read(lambda reader: reader.fetch(model.select())))
