"""Packs as objects in a bucket of an S3-compatible service.

    <prefix>/registry          the id of the installation that the prefix belongs to
    <prefix>/packs/<xx>/<id>   packs, named as in a local folder

An object cannot be appended to, so a pack is one PUT: of some 8 MiB, or of what there is when the stream syncs. One
request either stores it whole or not at all: nothing is left half-uploaded, and repeating a request whose answer was
lost stores the same bytes under the same name. Names are never used twice, so nothing needs a condition.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from store.blobs.packs import PACK_BYTES, PACK_ID_BYTES, PackMissing, PackReader, PackSink, PackStore, StoredPack
from store.blobs.s3_client import DEFAULT_RETRIES, Bucket, Retries, S3Client
from store.blobs.s3_errors import Refusal
from store.blobs.s3_streams import Part, S3Reader, S3Sink
from store.database.failures import CannotOpen
from store.deadlines import carried_out, unbounded
from store.errors import BlobsDown, StorageFull
from store.last_writes import LastWrites
from store.metrics import BLOB_LIST, BLOB_READ, BLOB_REMOVE, BLOB_WRITE

if TYPE_CHECKING:
    from obstore import ObjectMeta

log = logging.getLogger(__name__)

R = TypeVar("R")

MARKER: Final = "registry"

OBJECT_BYTES: Final = 8 * 2**20
"""A pack takes no further chunk once it has so many bytes: large enough for the price and the latency of a request,
small enough to lie in memory for each stream that fills one."""

FIRST_BYTES: Final = 256 * 2**10
"""What is asked for of a pack when nobody says what will be read first: most begin at its beginning."""

PAGE_OBJECTS: Final = 1000
"""How many objects one answer lists at most; services give no more."""


class BucketRefused(CannotOpen):
    """The bucket is not this registry's, or cannot be used; the message is one line for the operator."""


class S3Packs(PackStore):
    """Packs in `bucket`, whose prefix belongs to the installation `registry_id` (16 bytes).

    `expected` says whether the database already knows packs: a prefix without a marker is then refused, because it is
    more likely another bucket than a new store. At most `streams` write, and as many read ahead, at full speed. Raises
    CannotOpen.
    """

    def __init__(
        self,
        bucket: Bucket,
        *,
        registry_id: bytes,
        expected: bool,
        streams: int = 64,
        retries: Retries = DEFAULT_RETRIES,
    ) -> None:
        self.bucket = bucket
        self._registry_id = registry_id
        self._last_writes = LastWrites()
        self._client = S3Client(bucket, retries)
        self._claim(expected)
        # Requests block a thread each, and let go of the interpreter's lock.
        self.executor = ThreadPoolExecutor(streams * 2, thread_name_prefix="s3")

    @property
    def writable(self) -> bool:
        """True: a failed request says nothing about the next one."""
        return True

    @property
    def takes_writes(self) -> bool:
        """See `PackStore.takes_writes`."""
        return self._last_writes.went_well

    @property
    def full_bytes(self) -> int:
        """Objects are smaller than files."""
        return OBJECT_BYTES

    @property
    def sync_ends_packs(self) -> bool:
        """True: an object is stored whole, and takes no more then."""
        return True

    def sink(self, *, pack_bytes: int = PACK_BYTES) -> PackSink:
        """Objects of OBJECT_BYTES, or of `pack_bytes` where that is less."""
        return S3Sink(self, min(pack_bytes, OBJECT_BYTES))

    def open(self, pack_id: bytes, *, first: tuple[int, int] = (0, 0)) -> PackReader:
        """The pack, with what will be read first, or its beginning, as the answer that it is there."""
        offset, length = first
        part = self.get(pack_id, offset, length or FIRST_BYTES)
        if part is None:
            raise PackMissing
        return S3Reader(self, pack_id, offset, part)

    @BLOB_REMOVE.measured
    def remove(self, pack_id: bytes) -> None:
        """Deletes the object. On a bucket with versions the service keeps it until its own rules remove it."""
        with unbounded():  # what is not wanted goes, also at the end of a call whose time is over
            try:
                self._ask(lambda store: obstore.delete(store, key_of(pack_id)), "remove a pack", pack_id)
            except FileNotFoundError:
                self._check_marker()

    def list_packs(self) -> Iterator[StoredPack]:
        """One request a page. Objects of other names are left out, and left alone."""
        last: str | None = None
        while page := self._page_after(last):
            last = page[-1]["path"]
            for entry in page:
                with suppress(ValueError):
                    pack_id = bytes.fromhex(entry["path"].rpartition("/")[2])
                    if len(pack_id) == PACK_ID_BYTES and entry["path"] == key_of(pack_id):
                        yield StoredPack(pack_id, entry["size"], int(entry["last_modified"].timestamp() * 1_000_000))

    def close(self) -> None:
        """Waits for what is on its way."""
        self.executor.shutdown()

    @BLOB_WRITE.measured
    def put(self, pack_id: bytes, content: Sequence[memoryview]) -> None:
        """Stores a pack, whole or not at all; its parts are not copied.

        Raises StorageFull, BlobsDown: it may be there then, or come later.
        """
        try:
            self._ask(
                lambda store: obstore.put(store, key_of(pack_id), content, use_multipart=False), "store a pack", pack_id
            )
        except FileNotFoundError:  # there is no such bucket any more
            raise BlobsDown from None
        except StorageFull:
            self._last_writes.refuse()
            raise
        self._last_writes.succeed()

    def put_back(self, pack_id: bytes, source: Path) -> None:
        """Stores a pack from a file that holds all of it, index included. Raises StorageFull, BlobsDown."""
        self.put(pack_id, [memoryview(source.read_bytes())])

    @BLOB_READ.measured
    def get(self, pack_id: bytes, offset: int, length: int) -> Part | None:
        """A part of a pack, in one request: fewer bytes where the pack ends, or where less came; None when there is no
        such pack. Raises BlobsDown.
        """

        def ask(store: S3Store) -> Part:
            try:
                answer = obstore.get(store, key_of(pack_id), options={"range": (offset, offset + length)})
            except BaseError as error:
                if Refusal.of(error).status != 416:
                    raise
                return Part(memoryview(b""), offset)  # the pack ends before
            return Part(memoryview(answer.bytes()), answer.meta["size"])

        try:
            return self._ask(ask, "read a pack", pack_id)
        except FileNotFoundError:
            self._check_marker()
            return None

    def _ask(self, call: Callable[[S3Store], R], what: str, pack_id: bytes | None = None) -> R:
        """Ask the service, within the deadline of the call: a request that takes longer is left to itself."""
        return carried_out(self.executor, lambda: self._client.ask(call, what, pack_id))

    @BLOB_LIST.measured
    def _page_after(self, last: str | None) -> Sequence[ObjectMeta]:
        def ask(store: S3Store) -> Sequence[ObjectMeta]:
            return next(iter(obstore.list(store, prefix="packs", offset=last, chunk_size=PAGE_OBJECTS)), ())

        try:
            return self._ask(ask, "list packs")
        except FileNotFoundError:
            raise BlobsDown from None

    def _check_marker(self) -> None:
        """Returns when the prefix is still ours: what is not in it is gone. Else it is another bucket, or none."""
        try:
            owner = self._ask(_owner, "read the marker")
        except FileNotFoundError:
            owner = ""
        if owner != self._registry_id.hex():
            log.error("the bucket is not the one that this server was started on", extra={"fields": self._fields})
            raise BlobsDown

    @property
    def _fields(self) -> dict[str, str]:
        return {"bucket": self.bucket.name, "prefix": self.bucket.prefix}

    # --- start -------------------------------------------------------------------------------------------------------

    def _claim(self, expected: bool) -> None:
        """Makes sure that the prefix is ours; an empty one becomes so."""
        store = self._client.unguarded
        try:
            owner = _owner_if_any(store)
            if owner is None:
                if expected:
                    raise BucketRefused(f"{self.bucket} is empty: the database has files whose bytes should be in it.")
                if next(iter(obstore.list(store, chunk_size=1)), None):
                    raise BucketRefused(f"{self.bucket} holds something else; name an empty prefix.")
                _write_owner(store, self._registry_id.hex())
                owner = _owner(store)
        except (BaseError, OSError) as error:
            raise BucketRefused(f"{self.bucket} cannot be used: {Refusal.of(error).advice}") from None
        if owner != self._registry_id.hex():
            raise BucketRefused(f"{self.bucket} belongs to another registry.")


def key_of(pack_id: bytes) -> str:
    """The object's name below the prefix."""
    name = pack_id.hex()
    return f"packs/{name[-2:]}/{name}"


def _owner(store: S3Store) -> str:
    return bytes(obstore.get(store, MARKER).bytes()).decode("ascii", errors="replace").strip()


def _owner_if_any(store: S3Store) -> str | None:
    try:
        return _owner(store)
    except FileNotFoundError as error:
        if Refusal.of(error).code == "NoSuchBucket":
            raise
        return None


def _write_owner(store: S3Store, owner: str) -> None:
    text = f"{owner}\n".encode()
    try:
        obstore.put(store, MARKER, text, mode="create")
    except (AlreadyExistsError, PreconditionError):
        return  # another server, of this registry or not, was faster
    except BaseError as error:
        if Refusal.of(error).status not in {400, 501}:
            raise
        obstore.put(store, MARKER, text)  # a service without conditions
