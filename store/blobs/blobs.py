"""The blob store as the rest of the store uses it."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from store.access.secrets import installation_secret
from store.blobs.chunking import check_cutting
from store.blobs.collector import DEFAULT_GRACE_SECONDS
from store.blobs.contents import ContentRow
from store.blobs.intake import THREADS
from store.blobs.keeping import Group, live_chunks
from store.blobs.local import LocalPacks
from store.blobs.models import Pack
from store.blobs.packs import PACK_BYTES, PACK_ID_BYTES, PackStore
from store.blobs.reader import ContentReader, stream_content
from store.blobs.runs import RunReader
from store.blobs.s3 import S3Packs
from store.blobs.s3_client import Bucket
from store.blobs.source import ChunkSource
from store.blobs.writing import Beginning, ContentWriter
from store.crashpoints import crashpoint
from store.database import Database, Query
from store.errors import BlobsDown, DatabaseDown, ReadOnly

log = logging.getLogger(__name__)

DEFAULT_MAX_CONTENT_BYTES: Final = 10 * 2**30
DEFAULT_MAX_STREAMS: Final = 64
OUTCOME_UNKNOWN: Final = (DatabaseDown, ReadOnly)
"""After these a write may have been committed, or be found so by the next start (a failed sync undoes nothing): what
its rows would name must stay."""

READ_THREADS: Final = 16
"""So many runs of contents are read ahead at once, by all streams together."""

REGISTRY_PURPOSE: Final = "blob-folder"
"""The purpose of the secret that says whose a place of packs is."""

_ANY_PACK = Query(Pack.select(Pack.id).limit(1))


class Blobs:
    """Contents of organizations: rows in the database, bytes in packs. Safe for several threads.

    At most `max_streams` contents larger than 16 KiB come in at once, further ones wait: a server accepts no more
    streams than that. `max_content_bytes` is the largest content, and `grace_seconds` how long what nothing refers to
    is kept.
    """

    def __init__(
        self,
        database: Database,
        packs: PackStore,
        *,
        max_content_bytes: int = DEFAULT_MAX_CONTENT_BYTES,
        max_streams: int = DEFAULT_MAX_STREAMS,
        pack_bytes: int = PACK_BYTES,
        grace_seconds: float = DEFAULT_GRACE_SECONDS,
    ) -> None:
        self.packs = packs
        self.max_content_bytes = max_content_bytes
        self.grace_seconds = grace_seconds
        self._database = database
        self.pack_bytes = pack_bytes
        self._slots = threading.BoundedSemaphore(max_streams)
        # Threads are kept and shared: each has a connection to the database, and costs nothing while it waits.
        self._executor = ThreadPoolExecutor(max_streams * THREADS, thread_name_prefix="blobs")
        # A slow reader holds none of these: each reads a run, and is free again.
        self._reading = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="read-ahead")

    def writer(
        self,
        organization_id: bytes,
        *,
        beginning: Beginning | None = None,
        commit: Callable[[Group], None] | None = None,
    ) -> ContentWriter:
        """Takes one content of the organization; a context manager. What it hands over becomes the organization's by
        `keep_received`, or `keep_chunks`, in a transaction of the caller's."""
        return ContentWriter(
            self.packs,
            self._executor,
            self._slots,
            known=partial(live_chunks, self._database, organization_id),
            max_bytes=self.max_content_bytes,
            pack_bytes=self.pack_bytes,
            beginning=beginning,
            commit=commit,
        )

    def withdraw(self, group: Group) -> None:
        """Removes the packs that hold nothing but this group, to which certainly no row refers. What cannot be removed
        stays, and is the collector's."""
        for pack in group.packs:
            if pack.is_new:
                crashpoint("pack.unwanted")
                with suppress(BlobsDown):
                    self.packs.remove(pack.id)
                crashpoint("pack.withdrawn")

    def open(self, content: ContentRow) -> ContentReader:
        """The content as a file object, which gives back its file when it is closed. Reading verifies."""
        return ContentReader(ChunkSource(self._database, self.packs, content))

    def read(self, content: ContentRow, *, offset: int = 0, limit: int | None = None) -> Generator[bytes, None, None]:
        """The content's bytes from `offset` on, at most `limit`: verified pieces of at most 1 MiB, the next ones read
        ahead.

        Raises ChunkLost where bytes are damaged or gone, BlobsDown, ContentMissing.
        """
        stop = content.size_bytes if limit is None else min(content.size_bytes, offset + limit)
        return stream_content(ChunkSource(self._database, self.packs, content), self._reading, offset=offset, stop=stop)

    def chunks(self, organization_id: bytes) -> RunReader:
        """Reads chunks of the organization, whatever content they are of."""
        return RunReader(self._database, self.packs, self._reading, organization_id)

    def close(self) -> None:
        """Waits for the contents that are coming in, and gives everything back."""
        self._executor.shutdown()
        self._reading.shutdown()
        self.packs.close()


def open_blobs(
    database: Database,
    place: Path | Bucket,
    *,
    max_content_bytes: int = DEFAULT_MAX_CONTENT_BYTES,
    max_streams: int = DEFAULT_MAX_STREAMS,
    grace_seconds: float = DEFAULT_GRACE_SECONDS,
) -> Blobs:
    """The blob store of this database's installation, in a bucket, or in a local folder that is made when it does not
    exist.

    The database is migrated. Raises CannotOpen when the place is another registry's or not fit, one line for the
    operator.
    """
    check_cutting()
    registry_id = registry_id_of(installation_secret(database, REGISTRY_PURPOSE))
    expected = database.row(_ANY_PACK) is not None
    packs = open_packs(place, registry_id=registry_id, expected=expected, max_streams=max_streams)
    return Blobs(
        database, packs, max_content_bytes=max_content_bytes, max_streams=max_streams, grace_seconds=grace_seconds
    )


def registry_id_of(secret: bytes) -> bytes:
    """What a place of packs says of whose it is. It lies open there, so it is not the secret itself."""
    return hashlib.sha256(secret).digest()[:PACK_ID_BYTES]


def open_packs(
    place: Path | Bucket, *, registry_id: bytes, expected: bool, max_streams: int = DEFAULT_MAX_STREAMS
) -> LocalPacks | S3Packs:
    """The packs of the installation `registry_id`; `expected` says that there are some. Raises CannotOpen."""
    if isinstance(place, Bucket):
        return S3Packs(place, registry_id=registry_id, expected=expected, streams=max_streams)
    return LocalPacks(place, registry_id=registry_id, expected=expected)
