"""Reading single chunks of an organization, verified, wherever they lie."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Final, Self

import xxhash
import zstandard

from store.blobs.keeping import ChunkPlace, live_chunks
from store.blobs.models import AS_IT_IS, ZSTD
from store.blobs.packs import PackMissing, PackReader, PackStore
from store.database import Database
from store.errors import ChunkLost

log = logging.getLogger(__name__)

MAX_WINDOW_BYTES: Final = 8 * 2**20


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
            yield unpacked(place, self._stored(place))

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
                self._pack, self._pack_id = self._packs.open(place.pack_id), place.pack_id
            return self._pack.read(place.pack_offset, place.stored_bytes)
        except PackMissing:
            raise lost(place.sha256, "its pack is gone") from None


def unpacked(place: ChunkPlace, stored: bytes) -> bytes:
    """The bytes of a chunk out of its stored ones, with bounded memory. Raises ChunkLost."""
    if len(stored) != place.stored_bytes or xxhash.xxh3_64_digest(stored) != place.checksum:
        raise lost(place.sha256, "its bytes are damaged")
    data = stored
    if place.encoding == ZSTD:
        try:
            unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
            with unpacker.stream_reader(stored) as reader:
                data = reader.read(place.size_bytes + 1)  # bounded by what the row says, whatever the frame says
        except zstandard.ZstdError:
            raise lost(place.sha256, "its bytes cannot be unpacked") from None
    elif place.encoding != AS_IT_IS:
        raise lost(place.sha256, "its encoding is unknown")
    if len(data) != place.size_bytes:
        raise lost(place.sha256, "its bytes are fewer or more than its row says")
    return data


def lost(sha256: bytes, what: str) -> ChunkLost:
    """The error, once it is logged."""
    log.error("stored bytes are lost: %s", what, extra={"fields": {"sha256": sha256.hex()}})
    return ChunkLost(sha256.hex())
