"""Reading single chunks of an organization, verified, wherever they lie."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from store.blobs.keeping import ChunkPlace, live_chunks
from store.blobs.packs import PackMissing, PackReader, PackStore
from store.blobs.stored import NotSound, check_stored, unpacked
from store.database import Database
from store.errors import ChunkLost

log = logging.getLogger(__name__)


class ChunkReader:
    """Reads chunks of one organization; a context manager that gives back its file. For one thread at a time.

    No connection to the database is held between chunks.
    """

    def __init__(self, database: Database, packs: PackStore, organization_id: bytes) -> None:
        self._database, self._packs, self._organization_id = database, packs, organization_id
        self._pack_id = b""
        self._pack: PackReader | None = None

    def read(self, digests: Sequence[bytes]) -> Iterator[bytes]:
        """The bytes of the chunks in this order, each as large as its row says, and verified by its checksum.

        Raises ChunkLost where bytes are damaged or gone, BlobsDown.
        """
        places = live_chunks(self._database, self._organization_id, digests)
        for sha256 in digests:
            place = places.get(sha256)
            if place is None:
                raise lost(sha256, "the chunk has no row")
            stored = self._stored(place)
            try:
                check_stored(stored, place)
                yield unpacked(stored, place)
            except NotSound as problem:
                raise lost(sha256, f"the chunk {problem}") from None

    def close(self) -> None:
        """Gives back the open pack."""
        pack, self._pack = self._pack, None
        if pack is not None:
            pack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stored(self, place: ChunkPlace) -> bytes:
        try:
            if self._pack is None or self._pack_id != place.pack_id:
                self.close()
                first = (place.pack_offset, place.stored_bytes)
                self._pack, self._pack_id = self._packs.open(place.pack_id, first=first), place.pack_id
            return self._pack.read(place.pack_offset, place.stored_bytes)
        except PackMissing:
            raise lost(place.sha256, "its pack is gone") from None


def lost(sha256: bytes, what: str) -> ChunkLost:
    """The error, once it is logged."""
    log.error("stored bytes are lost: %s", what, extra={"fields": {"sha256": sha256.hex()}})
    return ChunkLost(sha256.hex())
