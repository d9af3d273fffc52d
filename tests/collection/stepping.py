"""A database and packs with a step before each operation, at which another actor may have its turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from store.blobs.packs import GrownPack, PackMissing, PackReader, PackSink, PackStore, Place, StoredPack
from store.database import Database, Query, Transaction, new_id
from store.database.sqlite_writer import Job, SqliteWriter
from store.leases import JobLease, Lease
from tests.clocks import ManualClock
from tests.collection.turns import Violation, step

_FENCE = Query(JobLease.select(JobLease.fence).where(JobLease.id == 1))


class AtOnce(SqliteWriter):
    """Commits on the thread that asks: those who take turns are never two, and to wake another thread costs more than
    what it would do."""

    def carry_out(self, job: Job, wait_seconds: float) -> None:
        self._inside.busy = True
        try:
            self._commit([job])
        finally:
            self._inside.busy = False


class SteppingDatabase:
    """A database, with a step before each read and each write."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.step: Callable[[], None] = step
        self.engine, self.clock = database.engine, database.clock

    def rows(self, query: Any, /, **params: Any) -> Any:
        self.step()
        return self._database.rows(query, **params)

    def row(self, query: Any, /, **params: Any) -> Any:
        self.step()
        return self._database.row(query, **params)

    def read(self, fn: Callable[[Any], Any]) -> Any:
        self.step()
        return self._database.read(fn)

    def write(self, fn: Callable[[Transaction], Any], *args: Any, **kwargs: Any) -> Any:
        self.step()
        lease = fn.keywords.get("lease") if isinstance(fn, partial) else None
        return self._database.write(fn if lease is None else partial(_held, fn, lease), *args, **kwargs)

    def now_us(self) -> int:
        return self._database.now_us()

    def pending_migrations(self) -> list[str]:
        return []


def _held(fn: Callable[[Transaction], Any], lease: Lease, tx: Transaction) -> Any:
    """What a collector writes, it writes while it holds the lease."""
    result = fn(tx)
    if tx.row(_FENCE) != (lease.fence,):
        raise Violation("a collector whose lease was taken over went on")
    return result


class MemoryPacks(PackStore):
    """Packs in memory, with a step before each operation."""

    def __init__(self, clock: ManualClock) -> None:
        self.files: dict[bytes, tuple[bytes, int]] = {}
        self.step: Callable[[], None] = step
        self._clock = clock

    def sink(self, *, pack_bytes: int = 0) -> PackSink:
        return _MemorySink(self)

    def open(self, pack_id: bytes, *, first: tuple[int, int] = (0, 0)) -> PackReader:
        self.step()
        if pack_id not in self.files:
            raise PackMissing
        return _MemoryReader(self, self.files[pack_id][0])

    def remove(self, pack_id: bytes) -> None:
        self.step()
        self.files.pop(pack_id, None)

    def list_packs(self) -> Iterator[StoredPack]:
        self.step()
        return iter([StoredPack(pack_id, len(data), when) for pack_id, (data, when) in self.files.items()])

    def keep(self, pack_id: bytes, data: bytes) -> None:
        """Makes the bytes durable."""
        self.step()
        self.files[pack_id] = (data, self._clock.now_us())

    @property
    def full_bytes(self) -> int:
        """So little that packs of a few chunks are small, and ten are full."""
        return 2048

    @property
    def writable(self) -> bool:
        return True

    def close(self) -> None:
        pass


class _MemorySink(PackSink):
    def __init__(self, packs: MemoryPacks) -> None:
        self._packs, self._id, self._data = packs, new_id(), bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> Place:
        self._data += data
        return Place(self._id, len(self._data) - len(data))

    def sync(self) -> Sequence[GrownPack]:
        if not self._data:
            return ()
        self._packs.keep(self._id, bytes(self._data))
        return (GrownPack(self._id, len(self._data), True),)

    def discard(self) -> None:
        pass


class _MemoryReader(PackReader):
    def __init__(self, packs: MemoryPacks, data: bytes) -> None:
        self._packs, self._data = packs, data

    def read(self, offset: int, length: int) -> bytes:
        self._packs.step()
        return self._data[offset : offset + length]

    def close(self) -> None:
        pass
