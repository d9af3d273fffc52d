"""The blob store as the rest of the store uses it."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from store.access.secrets import installation_secret
from store.blobs.contents import ContentRow, live_chunks, read_content
from store.blobs.intake import THREADS
from store.blobs.local import LocalPacks
from store.blobs.models import Pack
from store.blobs.packs import PACK_ID_BYTES, PackStore
from store.blobs.writing import PACK_BYTES, ContentWriter, Received
from store.database import Database, Query
from store.errors import BlobsDown

log = logging.getLogger(__name__)

DEFAULT_MAX_CONTENT_BYTES: Final = 10 * 2**30
DEFAULT_MAX_STREAMS: Final = 64

_ANY_PACK = Query(Pack.select(Pack.id).limit(1))


class Blobs:
    """Contents of organizations: rows in the database, bytes in packs. Safe for several threads.

    At most `max_streams` contents larger than 16 KiB come in at once, further ones wait: a server accepts no more
    streams than that. `max_content_bytes` is the largest content.
    """

    def __init__(
        self,
        database: Database,
        packs: PackStore,
        *,
        max_content_bytes: int = DEFAULT_MAX_CONTENT_BYTES,
        max_streams: int = DEFAULT_MAX_STREAMS,
        pack_bytes: int = PACK_BYTES,
    ) -> None:
        self.packs = packs
        self.max_content_bytes = max_content_bytes
        self._database = database
        self.pack_bytes = pack_bytes
        self._slots = threading.BoundedSemaphore(max_streams)
        # Threads are kept and shared: each has a connection to the database, and costs nothing while it waits.
        self._executor = ThreadPoolExecutor(max_streams * THREADS, thread_name_prefix="blobs")

    def writer(self, organization_id: bytes) -> ContentWriter:
        """Takes one content of the organization; a context manager that leaves nothing behind unless it is kept."""
        return ContentWriter(
            self.packs,
            self._executor,
            self._slots,
            known=partial(live_chunks, self._database, organization_id),
            max_bytes=self.max_content_bytes,
            pack_bytes=self.pack_bytes,
        )

    def publish(self, received: Received) -> None:
        """Makes the bytes of what was received stable under their names; rows may mention them now.

        Raises StorageFull, ReadOnly, BlobsDown; nothing is left behind then.
        """
        if not received.packs:
            return
        try:
            self.packs.publish(received.packs)
        except BaseException:
            self.withdraw(received)
            raise

    def withdraw(self, received: Received) -> None:
        """Removes the packs of what was received, to which certainly no row refers. What cannot be removed stays."""
        for pack in received.packs:
            pack.discard()
            with suppress(BlobsDown):
                self.packs.remove(pack.id)

    def read(self, content: ContentRow, *, offset: int = 0, limit: int | None = None) -> Generator[bytes, None, None]:
        """The content's bytes from `offset` on, at most `limit`: verified pieces of at most 1 MiB.

        Raises ChunkLost where bytes are damaged or gone, BlobsDown.
        """
        return read_content(self._database, self.packs, content, offset=offset, limit=limit)

    def close(self) -> None:
        """Waits for the contents that are coming in, and gives everything back."""
        self._executor.shutdown()
        self.packs.close()


def open_blobs(
    database: Database,
    folder: Path,
    *,
    max_content_bytes: int = DEFAULT_MAX_CONTENT_BYTES,
    max_streams: int = DEFAULT_MAX_STREAMS,
) -> Blobs:
    """The blob store of this database's installation, in a local folder that is made when it does not exist.

    The database is migrated. Raises CannotOpen when the folder is another registry's or not fit, one line for the
    operator.
    """
    secret = installation_secret(database, "blob-folder")
    registry_id = hashlib.sha256(secret).digest()[:PACK_ID_BYTES]  # lies open in the folder: not the secret itself
    packs = LocalPacks(folder, registry_id=registry_id, expected=database.row(_ANY_PACK) is not None)
    return Blobs(database, packs, max_content_bytes=max_content_bytes, max_streams=max_streams)
