"""Uploads, deletions and a collector with a short grace time, and what they were told."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from releaseregistry.v1 import files_pb2

from store.blobs.collector import Collector
from store.errors import CollectorBusy
from tests.rpc.sending import upload
from tests.rpc.wire import Served, refusal_of

SIZES = (3_000, 60_000, 400_000, 1_500_000)
KEPT_AT_MOST = 60
STAYING = 10
"""The oldest files are never deleted: else, while a slow backup is taken, all that were there before it may go."""
PASSING = {"BLOBS_DOWN", "DATABASE_BUSY", "CALLS_BUSY", "STREAMS_BUSY"}


@dataclass(slots=True)
class KeptFile:
    """A file that was answered; `leaving` from when its deletion was asked for."""

    content: bytes
    leaving: bool = False


class Load:
    """Workers on a server, until told to end."""

    def __init__(self, server: Served, *, seed: int, grace_seconds: float) -> None:
        self.files: dict[str, KeptFile] = {}
        self.counts: Counter[str] = Counter()
        self._server, self._seed, self._grace = server, seed, grace_seconds
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._errors: list[Exception] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """The workers work while the block runs."""
        works: list[Callable[[random.Random], None]] = [self._upload, self._upload, self._delete, self._collect]
        threads = [
            threading.Thread(target=self._repeat, args=(work, random.Random(f"{self._seed} {number}")), daemon=True)
            for number, work in enumerate(works)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in threads:
                thread.join(120)
        if self._errors:
            raise self._errors[0]

    def lasting(self) -> dict[str, bytes]:
        """The files that are there now, and stay as long as nobody asks for their deletion."""
        with self._lock:
            return {name: file.content for name, file in self.files.items() if not file.leaving}

    def wait_for(self, **counts: int) -> None:
        """Until so much of each has happened since the beginning."""
        deadline = time.monotonic() + 100
        while any(self.counts[name] < count for name, count in counts.items()):
            assert time.monotonic() < deadline, self.counts
            assert not self._errors, self._errors
            time.sleep(0.02)

    def _repeat(self, work: Callable[[random.Random], None], rng: random.Random) -> None:
        while not self._ended.is_set():
            try:
                work(rng)
            except grpc.RpcError as error:
                if refusal_of(error).reason not in PASSING:
                    self._errors.append(error)
                    return
                self.counts["refused"] += 1
            except Exception as error:  # noqa: BLE001 - raised again where the load was started
                self._errors.append(error)
                return

    def _upload(self, rng: random.Random) -> None:
        content = rng.randbytes(rng.choice(SIZES))
        name = upload(self._server, content, f"{uuid.uuid4()}.bin").file.name
        with self._lock:
            self.files[name] = KeptFile(content)
        self.counts["uploads"] += 1

    def _delete(self, rng: random.Random) -> None:
        with self._lock:
            lasting = [name for name, file in self.files.items() if not file.leaving]
            name = rng.choice(lasting[STAYING:]) if len(lasting) > KEPT_AT_MOST / 2 else ""
            if name:
                self.files[name].leaving = True
        if not name:
            time.sleep(0.01)
            return
        request = files_pb2.DeleteReleaseFileRequest(name=name)
        self._server.releases.DeleteReleaseFile(request, metadata=self._server.operator, timeout=60)
        with self._lock:
            del self.files[name]
        self.counts["deletions"] += 1

    def _collect(self, rng: random.Random) -> None:
        packs = self._server.server.store.blobs.packs
        try:
            found = Collector(self._server.database, packs, grace_seconds=self._grace).collect(confirmed=True)
        except CollectorBusy:
            return
        self.counts.update(passes=1, collected_packs=found.packs, collected_chunks=found.chunks)
        time.sleep(rng.uniform(0.05, 0.2))
