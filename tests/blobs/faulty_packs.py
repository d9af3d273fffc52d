"""A backend of packs that goes wrong as told: what lies above it must answer right, or say that it cannot."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from store.blobs.packs import PACK_BYTES, GrownPack, PackReader, PackSink, PackStore, Place, StoredPack
from store.errors import BlobsDown

RAISE: Final = "raise"
"""BlobsDown, and nothing is done."""
DO_THEN_RAISE: Final = "do, then raise"
"""It is done, and BlobsDown all the same: the answer was lost."""
TORN: Final = "torn"
"""Half of what was to be written is, then BlobsDown."""
SHORT: Final = "short"
"""Half of what was to be read comes."""
WRONG: Final = "wrong"
"""One bit of what is read is another."""
DELAY: Final = "delay"
"""A pause of 10 ms; then all is well."""
STALE: Final = "stale"
"""A list as it was before the last changes."""

FAULTS: Final = {
    "write": (RAISE, TORN, DELAY),
    "sync": (RAISE, DO_THEN_RAISE, DELAY),
    "open": (RAISE, DELAY),
    "read": (RAISE, SHORT, WRONG, DELAY),
    "remove": (RAISE, DO_THEN_RAISE, DELAY),
    "list": (RAISE, STALE),
}

Plan = Callable[[str], str | None]
"""The fault of the next operation of this name, or None."""


def by_chance(seed: int, share: float) -> Plan:
    """A plan with so large a share of faults, each kind as likely as the others."""
    chance = random.Random(seed)
    return lambda operation: chance.choice(FAULTS[operation]) if chance.random() < share else None


class FaultyPacks(PackStore):
    """`inner`, with the faults that `plan` asks for; None for none. `made` counts them by operation and fault."""

    def __init__(self, inner: PackStore, plan: Plan | None = None) -> None:
        self.inner = inner
        self.plan = plan
        self.made: dict[tuple[str, str], int] = {}
        self._listed: list[StoredPack] = []

    def fault(self, operation: str) -> str | None:
        """What is to go wrong now; a delay is over when it returns."""
        fault = None if self.plan is None else self.plan(operation)
        if fault is not None:
            self.made[operation, fault] = self.made.get((operation, fault), 0) + 1
        if fault == DELAY:
            time.sleep(0.01)
        if fault == RAISE:
            raise BlobsDown
        return fault

    @property
    def writable(self) -> bool:
        """As the inner one."""
        return self.inner.writable

    def sink(self, *, pack_bytes: int = PACK_BYTES) -> PackSink:
        """A sink whose writes and syncs go wrong."""
        return _FaultySink(self, self.inner.sink(pack_bytes=pack_bytes))

    def open(self, pack_id: bytes, *, first: tuple[int, int] = (0, 0)) -> PackReader:
        """A reader whose reads go wrong."""
        self.fault("open")
        return _FaultyReader(self, self.inner.open(pack_id, first=first))

    def remove(self, pack_id: bytes) -> None:
        """Removes, or says so."""
        fault = self.fault("remove")
        self.inner.remove(pack_id)
        if fault == DO_THEN_RAISE:
            raise BlobsDown

    def list_packs(self) -> Iterator[StoredPack]:
        """The packs of now, or of the last time."""
        if self.fault("list") != STALE:
            self._listed = list(self.inner.list_packs())
        return iter(self._listed)

    def close(self) -> None:
        """Closes the inner one."""
        self.inner.close()


class _FaultySink(PackSink):
    def __init__(self, packs: FaultyPacks, inner: PackSink) -> None:
        self._packs, self._inner = packs, inner

    def write(self, data: bytes | bytearray | memoryview) -> Place:
        if self._packs.fault("write") == TORN:
            self._inner.write(memoryview(data)[: len(data) // 2])
            raise BlobsDown
        return self._inner.write(data)

    def sync(self) -> Sequence[GrownPack]:
        fault = self._packs.fault("sync")
        grown = self._inner.sync()
        if fault == DO_THEN_RAISE:
            raise BlobsDown
        return grown

    def discard(self) -> None:
        self._inner.discard()


class _FaultyReader(PackReader):
    def __init__(self, packs: FaultyPacks, inner: PackReader) -> None:
        self._packs, self._inner = packs, inner

    def read(self, offset: int, length: int) -> bytes:
        fault = self._packs.fault("read")
        data = self._inner.read(offset, length)
        if fault == SHORT:
            return data[: len(data) // 2]
        if fault == WRONG and data:
            return bytes([data[0] ^ 1]) + data[1:]
        return data

    def close(self) -> None:
        self._inner.close()
