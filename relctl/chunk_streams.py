"""Chunks on their way to the server: asked for, sent over several streams, each only once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from threading import Event, Lock
from typing import Any, Final, TypeVar

import grpc
from releaseregistry.v1 import uploads_pb2 as messages
from releaseregistry.v1.uploads_pb2 import ChunkEncoding, GetUploadLimitsResponse, UploadChunksRequest
from releaseregistry.v1.uploads_pb2_grpc import UploadServiceStub

from relctl.chunked import Chunk, Packer
from relctl.connection import Connection, Pauses
from relctl.errors import LocalError, RegistryError, decode_error
from relctl.hash_cache import FileState
from relctl.names import organization_name
from relctl.workers import Workers

# What one stream carries. Only its end is answered, so that much may have to be asked about after an interruption.
GROUP_BYTES: Final = 16 * 2**20
# Messages end when they have so much; with one chunk more they stay below the 4 MiB that a server takes.
MESSAGE_BYTES: Final = 2**20
MAX_CHUNKS_PER_MESSAGE: Final = 1000
# What is hashed at a time: short enough for the processor's cache.
HASH_BYTES: Final = 2**20
# A server that starts again is waited for, some two minutes. There was an answer before: the address is right.
PATIENT_ATTEMPTS: Final = 10

T = TypeVar("T")


class Stopped(Exception):
    """The whole command ends: somebody else has said why."""


class Meter:
    """How far one file is, in bytes: those that are done with, those that travelled for it, and those compared.

    `report` is told by how much the three changed, from several threads; the first falls when something is sent again,
    the last when the comparison is over.
    """

    def __init__(self, size_bytes: int, report: Callable[[int, int, int], None]) -> None:
        self._size_bytes = size_bytes
        self._report = report
        self._lock = Lock()
        self._done_bytes = self._told_bytes = 0
        self.sent_bytes = 0

    def add(self, done: int, sent: int = 0) -> None:
        """So many bytes more, or fewer, are done with; and so many travelled."""
        with self._lock:
            self.sent_bytes += sent
            self._done_bytes += done
            # What is repaired is counted twice.
            shown = max(0, min(self._done_bytes, self._size_bytes))
            change, self._told_bytes = shown - self._told_bytes, shown
        self._report(change, sent, 0)

    def compare(self, count: int) -> None:
        """So many bytes more, or fewer, were compared."""
        self._report(0, 0, count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to read chunks of, as it was when its chunks were cut."""

    path: Path
    state: FileState
    meter: Meter

    def opened(self) -> BufferedReader:
        """The file, open. Raises LocalError when it changed since, OSError when it cannot be read."""
        file = self.path.open("rb")
        if FileState.of(self.path.stat()) != self.state:
            file.close()
            raise self.changed()
        return file

    def sha256(self) -> str:
        """Hash the whole file (64 hexadecimal digits), as fast as it can be read; the meter counts it as comparing.

        Raises LocalError when it changed since, OSError when it cannot be read.
        """
        digest = hashlib.sha256()
        block = memoryview(bytearray(HASH_BYTES))
        compared = 0
        try:
            with self.opened() as file:
                while count := file.readinto(block):
                    digest.update(block[:count])
                    compared += count
                    self.meter.compare(count)
        finally:
            self.meter.compare(-compared)
        if FileState.of(self.path.stat()) != self.state:
            raise self.changed()
        return digest.hexdigest()

    def changed(self) -> LocalError:
        """The error that says that the file changed."""
        return LocalError(f"{self.path} changed while it was sent")


@dataclass(slots=True)
class Group:
    """Chunks of one file that travel in one stream; `arrived` is done when the server has them."""

    chunks: list[Chunk] = field(default_factory=list)
    size_bytes: int = 0
    arrived: Future[None] = field(default_factory=Future)


class ChunkStreams:
    """Brings chunks to one organization, over `streams` streams at once. Threads share it; close it in the end.

    What one file has asked for or sent is not asked for or sent again for another.
    """

    def __init__(
        self, connection: Connection, organization: str, *, limits: GetUploadLimitsResponse, streams: int
    ) -> None:
        self._connection = connection
        self._stub = UploadServiceStub(connection.channel)
        self._parent = organization_name(organization)
        self._workers: Workers[None] = Workers(streams)
        self._compress = ChunkEncoding.CHUNK_ENCODING_ZSTD in limits.encodings
        self._lock = Lock()
        self._known: dict[bytes, Future[None]] = {}
        self._there: Future[None] = Future()
        self._there.set_result(None)
        self._stopped = Event()
        self._calls: set[grpc.Future[Any]] = set()

    def claim(self, chunks: Sequence[Chunk]) -> tuple[list[Chunk], set[Future[None]]]:
        """Which of some chunks, all different, the caller has to send (by `put`), and what to wait for of the others.

        Chunks that are there already stand in neither. Raises RegistryError, Stopped.
        """
        with self._lock:
            unknown = [chunk for chunk in chunks if chunk.sha256 not in self._known]
        missing = self.missing(unknown)
        mine: list[Chunk] = []
        others: set[Future[None]] = set()
        with self._lock:
            for chunk in unknown:
                if chunk.sha256 not in missing:
                    self._known.setdefault(chunk.sha256, self._there)
            for chunk in chunks:
                known = self._known.get(chunk.sha256)
                if known is None:
                    mine.append(chunk)
                elif not known.done():
                    others.add(known)
        return mine, others

    def put(self, group: Group, chunk: Chunk) -> Future[None]:
        """Have a chunk travel with this group, unless it does so with another by now. Answers what to wait for."""
        with self._lock:
            arrived = self._known.setdefault(chunk.sha256, group.arrived)
        if arrived is group.arrived:
            group.chunks.append(chunk)
            group.size_bytes += chunk.size_bytes
        return arrived

    def send(self, source: Source, group: Group) -> None:
        """Send a group, soon: its `arrived` tells when it is there."""
        self._workers.submit(lambda: self._settle(source, group))

    def forget(self, chunks: Iterable[Chunk]) -> None:
        """Take chunks for unknown again: they are not there after all, or were not sent."""
        with self._lock:
            for chunk in chunks:
                self._known.pop(chunk.sha256, None)

    def drop(self, group: Group) -> None:
        """Give up a group that was not sent."""
        self.forget(group.chunks)
        group.arrived.cancel()

    def missing(self, chunks: Sequence[Chunk]) -> set[bytes]:
        """The SHA-256 of those chunks that the organization does not have, of at most one message's. Patient."""
        if not chunks:
            return set()
        request = messages.FindMissingChunksRequest(
            parent=self._parent, sha256=[chunk.sha256.hex() for chunk in chunks]
        )
        answer = self.patiently(lambda: self._connection.call(self._stub.FindMissingChunks, request))
        return {bytes.fromhex(sha256) for sha256 in answer.missing_sha256}

    def patiently(self, attempt: Callable[[], T]) -> T:
        """Do what may find the server away, again until it is back. Raises RegistryError, and Stopped."""
        pauses = Pauses(attempts=PATIENT_ATTEMPTS)
        while not self._stopped.is_set():
            try:
                return attempt()
            except RegistryError as error:
                if self._stopped.is_set():
                    break
                pauses.wait_after(error)
        raise Stopped

    def stream(self, method: Callable[..., Any], requests: Iterator[Any]) -> Any:
        """Call a method that takes a stream, and wait for its answer. Raises RegistryError."""
        # No deadline: how long is right depends on the file. A server that is gone ends the call by keepalive.
        call = method(requests, metadata=self._connection.metadata)
        with self._lock:
            self._calls.add(call)
        try:
            if self._stopped.is_set():
                raise Stopped
            return call.result()
        except grpc.RpcError as error:
            raise decode_error(error) from None
        except grpc.FutureCancelledError:
            raise Stopped from None
        finally:
            with self._lock:
                self._calls.discard(call)
            call.cancel()

    def close(self) -> None:
        """End what runs, without waiting for it."""
        self._stopped.set()
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.cancel()
        self._workers.close()

    def _settle(self, source: Source, group: Group) -> None:
        try:
            self._send_all(source, group.chunks)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the group gets it
            self.forget(group.chunks)
            group.arrived.set_exception(error)
        else:
            group.arrived.set_result(None)

    def _send_all(self, source: Source, chunks: list[Chunk]) -> None:
        pauses = Pauses(attempts=PATIENT_ATTEMPTS)
        left = chunks
        while left and not self._stopped.is_set():
            sending = _Sending(source, left, self._parent, Packer(compress=self._compress))
            try:
                self.stream(self._stub.UploadChunks.future, iter(sending))
            except (RegistryError, Stopped) as error:
                source.meter.add(-sending.done_bytes)
                if sending.failure is not None:
                    raise sending.failure from None
                if isinstance(error, Stopped) or self._stopped.is_set():
                    raise Stopped from None
                if error.reason == "DIGEST_MISMATCH":
                    raise source.changed() from None
                pauses.wait_after(error)
            else:
                return
            # Without an answer nothing is sure: what is there by now is not sent again.
            missing = self.missing(left)
            found = sum(chunk.size_bytes for chunk in left if chunk.sha256 not in missing)
            if found:
                source.meter.add(found)
                pauses.reset()
            left = [chunk for chunk in left if chunk.sha256 in missing]
        if left:
            raise Stopped


class _Sending:
    """The messages of one stream. What goes wrong in reading is kept in `failure` and ends them without a finish: grpc
    would log the exception and answer UNKNOWN."""

    def __init__(self, source: Source, chunks: Sequence[Chunk], parent: str, packer: Packer) -> None:
        self._source, self._chunks, self._parent, self._packer = source, chunks, parent, packer
        self.done_bytes = 0
        self.failure: LocalError | None = None

    def __iter__(self) -> Iterator[UploadChunksRequest]:
        try:
            yield from self._messages()
        except OSError as error:
            self.failure = LocalError(f"cannot read {self._source.path}: {error.strerror or error}")
        except LocalError as error:
            self.failure = error

    def _messages(self) -> Iterator[UploadChunksRequest]:
        message = UploadChunksRequest(parent=self._parent)
        plain_bytes = packed_bytes = 0
        with self._source.opened() as file:
            for chunk in self._chunks:
                file.seek(chunk.offset)
                data = file.read(chunk.size_bytes)
                if len(data) != chunk.size_bytes:
                    raise self._source.changed()
                packed = self._packer.packed(chunk, data)
                message.chunks.append(packed)
                plain_bytes += chunk.size_bytes
                packed_bytes += len(packed.data)
                if packed_bytes >= MESSAGE_BYTES or len(message.chunks) == MAX_CHUNKS_PER_MESSAGE:
                    yield message
                    self._count(plain_bytes, packed_bytes)
                    plain_bytes = packed_bytes = 0
                    message = UploadChunksRequest()
        message.finish, message.chunk_count = True, len(self._chunks)
        yield message
        self._count(plain_bytes, packed_bytes)

    def _count(self, plain_bytes: int, packed_bytes: int) -> None:
        self.done_bytes += plain_bytes
        self._source.meter.add(plain_bytes, packed_bytes)


def arrival_of(group: Future[None]) -> BaseException | None:
    """Waits until a group is there; what kept it from that, if anything did."""
    try:
        return group.exception()
    except CancelledError as error:
        return error
