"""Writing and reading packs that are objects: each stream fills one, and waits while it is on its way."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from store.blobs.chunking import MAX_CHUNK_BYTES
from store.blobs.memory import anonymous_memory
from store.blobs.packs import GrownPack, Indexed, PackReader, PackSink, Place
from store.blobs.s3_index import IndexWriter, read_index
from store.crashpoints import crashpoint
from store.database.ids import new_id
from store.deadlines import await_end
from store.errors import BlobsDown

WINDOW_BYTES: Final = 2 * 2**20
"""What a reader that goes on where it stopped asks for at once, with as much again on its way."""


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

    def put(self, pack_id: bytes, content: Sequence[memoryview]) -> None:
        """Stores a pack, whose parts these are. Raises StorageFull, BlobsDown."""

    def get(self, pack_id: bytes, offset: int, length: int) -> Part | None:
        """A part of a pack, in one request: fewer bytes where the pack ends, or where less came; None when there is no
        such pack. Raises BlobsDown.
        """

    def remove(self, pack_id: bytes) -> None:
        """Deletes a pack. Raises BlobsDown."""


class S3Sink(PackSink):
    """Fills an object and sends it. Memory: one object, and none before its first byte."""

    def __init__(self, store: Objects, object_bytes: int) -> None:
        self._store = store
        self._object_bytes = object_bytes
        self._draft: _Draft | None = None
        self._sent: list[GrownPack] = []
        self._failed: list[bytes] = []
        self._ended = False

    def write(self, data: bytes | bytearray | memoryview) -> Place:
        """Copies `data`; before that sends what is full, and waits until the service has stored it."""
        if self._ended:
            raise BlobsDown
        if self._draft is not None and self._draft.size_bytes >= self._object_bytes:
            self._send(self._draft)
        if self._draft is None:
            self._draft = _Draft(self._object_bytes)
        return Place(self._draft.id, self._draft.add(data))

    def sync(self) -> Sequence[GrownPack]:
        """Sends what there is, and waits until the service has stored all of it."""
        if self._ended:
            raise BlobsDown
        if self._draft is not None:
            self._send(self._draft)
        crashpoint("object.all_stored")
        grown, self._sent = self._sent, []
        return grown

    def discard(self) -> None:
        """Removes the objects that were sent and not synced."""
        self._ended = True
        self._draft = None
        unwanted, self._sent = [pack.id for pack in self._sent], []
        if self._failed:  # it may have arrived all the same; whoever waits for an answer gets it now
            unwanted, self._failed = unwanted + self._failed, []
            self._store.executor.submit(_remove, self._store, unwanted)
        else:
            _remove(self._store, unwanted)

    def _send(self, draft: _Draft) -> None:
        crashpoint("object.filled")
        try:
            self._store.put(draft.id, draft.content())
        except BaseException:
            self._draft, self._ended = None, True
            self._failed.append(draft.id)
            raise
        crashpoint("object.stored")
        self._draft = None
        self._sent.append(GrownPack(draft.id, draft.size_bytes, is_new=True))


class _Draft:
    """An object being filled. Its memory is its own: who knows when a request that was repeated lets go of it."""

    def __init__(self, object_bytes: int) -> None:
        self.id = new_id()
        self.size_bytes = 0
        """How many bytes its chunks have. The index does not count: to the collector, a pack is its chunks."""
        self._buffer = anonymous_memory(object_bytes + MAX_CHUNK_BYTES)  # the last chunk goes beyond the mark
        self._index = IndexWriter()

    def add(self, data: bytes | bytearray | memoryview) -> int:
        """Copies `data` to the end and answers where it begins."""
        offset = self.size_bytes
        self.size_bytes += len(data)
        self._buffer[offset : self.size_bytes] = data
        self._index.add(data)
        return offset

    def content(self) -> Sequence[memoryview]:
        """What is to be stored: the chunks, and their index."""
        return self._buffer[: self.size_bytes], memoryview(self._index.footer())


def _remove(store: Objects, pack_ids: Sequence[bytes]) -> None:
    """Removes packs that nobody mentions; what stays is found by the collector."""
    with suppress(BlobsDown):
        for pack_id in pack_ids:
            store.remove(pack_id)


class S3Reader(PackReader):
    """Holds the last answer, and asks ahead for the next once it is read in order. For one thread at a time."""

    def __init__(self, store: Objects, pack_id: bytes, start: int, first: Part) -> None:
        self._store = store
        self._pack_id = pack_id
        self._size_bytes = first.pack_bytes
        self._start, self._data = start, first.data
        self._next = -1  # where a reader in order goes on
        # At most one; in no variable of its own: what it raised would hold a frame, and the frame what it raised.
        self._ahead: list[tuple[int, Future[memoryview]]] = []

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

    def index(self, chunk_bytes: int) -> Sequence[Indexed]:
        """The index at the end of the object: a request where it did not come with the first answer."""
        return read_index(self.read(chunk_bytes, self._size_bytes - chunk_bytes), chunk_bytes)

    def close(self) -> None:
        """Lets go of what it holds."""
        self._ask_no_further()
        self._start, self._data = 0, memoryview(b"")

    def _load(self, offset: int, length: int, in_order: bool) -> None:
        if self._ahead and self._ahead[0][0] == offset:
            await_end(self._ahead[0][1])
            data = self._ahead.pop()[1].result()
        else:
            self._ask_no_further()
            data = self._fetch(offset, max(length, WINDOW_BYTES) if in_order else length)
        self._start, self._data = offset, data
        following = offset + len(data)
        if in_order and data and following < self._size_bytes:
            self._ahead.append((following, self._store.executor.submit(self._fetch, following, WINDOW_BYTES)))

    def _ask_no_further(self) -> None:
        while self._ahead:
            self._ahead.pop()[1].cancel()

    def _fetch(self, offset: int, length: int) -> memoryview:
        part = self._store.get(self._pack_id, offset, length)
        return memoryview(b"") if part is None else part.data
