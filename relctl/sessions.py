"""Sessions on their way to the server: batches of them, and what came of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from releaseregistry.v1.sessions_pb2 import (
    RecordedSessions,
    RefusedSession,
    SessionCounts,
    SessionUpdate,
    StreamSessionsRequest,
)

from relctl.names import organization_name

SessionItem = SessionUpdate | SessionCounts
"""What a client tells: of one session, or of many that it has counted itself."""

BATCH_SIZE: Final = 1000
MAX_BATCH_SIZE: Final = 10_000
# Well below the 4 MiB that any message may have.
BATCH_BYTES: Final = 1_000_000

# Tag and length of an item of a repeated field: one byte and at most four for these sizes.
ITEM_OVERHEAD_BYTES: Final = 5

_FIELD: Final = re.compile(r"(updates|counts)\[([0-9]+)\]\.?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """An item of a batch that was refused: its place there from 0 on, which of its fields is wrong, and why."""

    place: int
    field: str
    reason: str
    description: str


@dataclass(frozen=True, slots=True)
class RecordedBatch:
    """Items that were sent in one call, and what the server did with them. All but refused ones are safe."""

    items: Sequence[SessionItem]
    recorded: RecordedSessions

    @property
    def refused(self) -> list[RefusedItem]:
        """The refused ones in the order of the items: of more than 100, the first 100 that the server told."""
        updates = [place for place, item in enumerate(self.items) if isinstance(item, SessionUpdate)]
        counts = [place for place, item in enumerate(self.items) if isinstance(item, SessionCounts)]
        places = {"updates": updates, "counts": counts}
        told = (_refused(item, places) for item in self.recorded.refused)
        return sorted(told, key=lambda item: item.place)


def _refused(item: RefusedSession, places: dict[str, list[int]]) -> RefusedItem:
    found = _FIELD.fullmatch(item.field)
    if found is None or int(found[2]) >= len(places[found[1]]):
        return RefusedItem(0, item.field, item.reason, item.description)
    return RefusedItem(places[found[1]][int(found[2])], found[3], item.reason, item.description)


def batches(items: Iterable[SessionItem], size: int) -> Iterator[list[SessionItem]]:
    """The items in their order, at most so many and some 1 MB at a time, each batch as soon as it is full."""
    batch: list[SessionItem] = []
    batch_bytes = 0
    for item in items:
        item_bytes = item.ByteSize() + ITEM_OVERHEAD_BYTES
        if batch and (len(batch) >= size or batch_bytes + item_bytes > BATCH_BYTES):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(item)
        batch_bytes += item_bytes
        if len(batch) >= size:
            yield batch
            batch, batch_bytes = [], 0
    if batch:
        yield batch


def updates_of(batch: Iterable[SessionItem]) -> list[SessionUpdate]:
    """Those that tell of one session."""
    return [item for item in batch if isinstance(item, SessionUpdate)]


def counts_of(batch: Iterable[SessionItem]) -> list[SessionCounts]:
    """Those that tell of many."""
    return [item for item in batch if isinstance(item, SessionCounts)]


class Feed:
    """The messages of one StreamSessions call, made while they are sent.

    An error of the items ends the messages without `finish`, and is kept: grpc asks for them on a thread of its own,
    and would log it.
    """

    def __init__(
        self, organization: str, items: Iterable[SessionItem], *, size: int, progress: Callable[[int], None]
    ) -> None:
        self._organization = organization
        self._items = items
        self._size = size
        self._progress = progress
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[StreamSessionsRequest]:
        parent, left = organization_name(self._organization), 0
        try:
            for batch in batches(self._items, self._size):
                yield StreamSessionsRequest(parent=parent, updates=updates_of(batch), counts=counts_of(batch))
                parent, left = "", left + len(batch)
                self._progress(left)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for the call
            self.error = error
            return
        yield StreamSessionsRequest(parent=parent, finish=True)
