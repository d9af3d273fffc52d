"""Writing and reading packs that are objects: each stream fills one while another is on its way."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from store.blobs.chunking import MAX_CHUNK_BYTES
from store.blobs.packs import GrownPack, PackReader, PackSink, Place
from store.blobs.s3_index import IndexWriter
from store.database.ids import new_id
from store.errors import BlobsDown

WINDOW_BYTES: Final = 2 * 2**20
"""What a reader that goes on where it stopped asks for at once, with as much again on its way."""

_ROOM_BYTES: Final = MAX_CHUNK_BYTES + 16 * 2**10  # the last chunk goes beyond the mark, and the index follows


class Part(NamedTuple):
    """Bytes of a pack, and how many the whole pack has."""

    data: memoryview
    pack_bytes: int


class Objects(Protocol):
    """What a stream needs of the bucket."""

    @property
    def executor(self) -> Executor:
        """Runs what blocks while a request is on its way."""
        ...

    def put(self, pack_id: bytes, content: memoryview) -> None:
        """Stores a pack. Raises StorageFull, BlobsDown."""

    def get(self, pack_id: bytes, offset: int, length: int) -> Part | None:
        """A part of a pack, in one request: fewer bytes where the pack ends, or where less came; None when there is no
        such pack. Raises BlobsDown.
        """

    def remove(self, pack_id: bytes) -> None:
        """Deletes a pack. Raises BlobsDown."""


class S3Sink(PackSink):
    """Fills one object while the one before it is sent. Memory: two objects."""

    def __init__(self, store: Objects, object_bytes: int) -> None:
        self._store = store
        self._object_bytes = object_bytes
        self._draft: _Draft | None = None
        self._spare: bytearray | None = None
        self._sending: tuple[_Draft, Future[None]] | None = None
        self._sent: list[GrownPack] = []
        self._ended = False

    def write(self, data: bytes | bytearray | memoryview) -> Place:
        """Copies `data`; sends what is full."""
        if self._ended:
            raise BlobsDown
        draft = self._draft
        if draft is not None and draft.size_bytes >= self._object_bytes:
            self._send(draft)
            draft = None
        if draft is None:
            draft = self._draft = _Draft(self._spare, self._object_bytes)
            self._spare = None
        return Place(draft.id, draft.add(data))

    def sync(self) -> Sequence[GrownPack]:
        """Sends what there is, and waits until the service has stored all of it."""
        if self._ended:
            raise BlobsDown
        if self._draft is not None:
            self._send(self._draft)
        self._arrived()
        grown, self._sent = self._sent, []
        return grown

    def discard(self) -> None:
        """Removes the objects that were sent and not synced."""
        self._ended = True
        self._draft = self._spare = None
        unwanted = [pack.id for pack in self._sent]
        sending, self._sending, self._sent = self._sending, None, []
        if sending is None or sending[1].cancel():
            _remove(self._store, unwanted)
        elif sending[1].exception() is None:  # waits: removing what has not arrived would be in vain
            _remove(self._store, [*unwanted, sending[0].id])
        else:  # what failed may have arrived all the same; whoever waits for an answer gets it now
            self._store.executor.submit(_remove, self._store, [*unwanted, sending[0].id])

    def _send(self, draft: _Draft) -> None:
        self._arrived()
        draft.end()
        self._draft = None
        self._sending = (draft, self._store.executor.submit(_put, self._store, draft))

    def _arrived(self) -> None:
        """Waits for what is being sent."""
        if self._sending is None:
            return
        draft, future = self._sending
        try:
            future.result()
        except BaseException:
            self._ended = True
            raise
        self._sending = None
        self._sent.append(GrownPack(draft.id, draft.chunk_bytes, is_new=True))
        self._spare = draft.buffer


class _Draft:
    """An object being filled; its buffer may have been another's before."""

    def __init__(self, spare: bytearray | None, object_bytes: int) -> None:
        self.id = new_id()
        self.size_bytes = self.chunk_bytes = 0
        self.buffer = bytearray(object_bytes + _ROOM_BYTES) if spare is None else spare
        self._index = IndexWriter()

    def add(self, data: bytes | bytearray | memoryview) -> int:
        """Copies `data` to the end and answers where it begins."""
        offset = self.size_bytes
        self._put(data)
        self._index.add(data)
        return offset

    def end(self) -> None:
        """Writes the index behind the last chunk. It does not count: to the collector, a pack is its chunks."""
        self.chunk_bytes = self.size_bytes
        self._put(self._index.footer())

    @property
    def content(self) -> memoryview:
        """What is to be stored."""
        return memoryview(self.buffer)[: self.size_bytes]

    def _put(self, data: bytes | bytearray | memoryview) -> None:
        stop = self.size_bytes + len(data)
        if stop > len(self.buffer):
            self.buffer += bytes(stop - len(self.buffer))
        with memoryview(self.buffer) as view:  # a slice of the bytearray itself would copy twice
            view[self.size_bytes : stop] = data
        self.size_bytes = stop


def _remove(store: Objects, pack_ids: Sequence[bytes]) -> None:
    """Removes packs that nobody mentions; what stays is found by the collector."""
    with suppress(BlobsDown):
        for pack_id in pack_ids:
            store.remove(pack_id)


def _put(store: Objects, draft: _Draft) -> None:
    with draft.content as content:
        store.put(draft.id, content)


class S3Reader(PackReader):
    """Holds the last answer, and asks ahead for the next once it is read in order. For one thread at a time."""

    def __init__(self, store: Objects, pack_id: bytes, start: int, first: Part) -> None:
        self._store = store
        self._pack_id = pack_id
        self._size_bytes = first.pack_bytes
        self._start, self._data = start, first.data
        self._next = -1  # where a reader in order goes on
        self._ahead: tuple[int, Future[memoryview]] | None = None

    def read(self, offset: int, length: int) -> bytes:
        """From what is here, then from the service, which is asked for the rest where it gives less than it said."""
        in_order = offset == self._next
        self._next = offset + length
        rest = min(length, self._size_bytes - offset)
        parts = []
        while rest > 0:
            if not self._start <= offset < self._start + len(self._data):
                self._load(offset, rest, in_order)
                if not self._data:
                    break
            part = self._data[offset - self._start :][:rest]
            parts.append(part)
            offset += len(part)
            rest -= len(part)
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Lets go of what it holds."""
        if self._ahead is not None:
            self._ahead[1].cancel()
        self._ahead = None
        self._start, self._data = 0, memoryview(b"")

    def _load(self, offset: int, length: int, in_order: bool) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == offset:
            data = ahead[1].result()
        else:
            if ahead is not None:
                ahead[1].cancel()
            data = self._fetch(offset, max(length, WINDOW_BYTES) if in_order else length)
        self._start, self._data = offset, data
        following = offset + len(data)
        if in_order and data and following < self._size_bytes:
            self._ahead = (following, self._store.executor.submit(self._fetch, following, WINDOW_BYTES))

    def _fetch(self, offset: int, length: int) -> memoryview:
        part = self._store.get(self._pack_id, offset, length)
        return memoryview(b"") if part is None else part.data
