"""Reading many chunks of an organization one behind another, verified, with the next ones read ahead.

Neighbours in a pack are read at once, as far as they are small together, unpacked as well as packed: a run of chunks
that unpack to a thousand times their size needs no more memory than any other.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Final

from store.blobs.keeping import ChunkPlace, live_chunks
from store.blobs.packs import PackMissing, PackStore
from store.blobs.stored import NotSound, check_stored, unpacked
from store.blobs.verifying import PackedChunk, mark_damaged, stored_bytes_of
from store.database import Database
from store.deadlines import await_end
from store.metrics import CHUNK_DAMAGE, CHUNKS

log = logging.getLogger(__name__)

Plain = bytes | memoryview

RUN_BYTES: Final = 2 * 2**20
"""A run has at most so many bytes, packed and unpacked; or it is one chunk."""

RUNS_AHEAD: Final = 3
"""So many runs are read, or wait to be taken, beside the one that is being taken."""


class RunReader:
    """Reads chunks of an organization. Memory: 4 runs of 2 MiB. Between runs no file and no connection is held."""

    def __init__(self, database: Database, packs: PackStore, executor: Executor, organization_id: bytes) -> None:
        self._database, self._packs, self._executor = database, packs, executor
        self._organization_id = organization_id

    def read(self, places: Sequence[ChunkPlace]) -> Generator[Plain | None, None, None]:
        """The verified bytes of each chunk, in this order; None for one that is damaged or gone: it counts as missing
        from then on.

        Closing the generator ends the reading ahead. Raises BlobsDown, DatabaseBusy, DatabaseDown.
        """
        ahead: deque[tuple[list[ChunkPlace], Future[list[Plain | None]]]] = deque()
        runs = runs_of(places)
        try:
            while True:
                while len(ahead) <= RUNS_AHEAD and (run := next(runs, None)) is not None:
                    ahead.append((run, self._executor.submit(self._fetch, run)))
                if not ahead:
                    return
                run = ahead[0][0]
                await_end(ahead[0][1])
                # In no local variable: what it raised would hold this frame, and the frame what it raised.
                for place, data in zip(run, ahead.popleft()[1].result(), strict=True):
                    yield self._read_anew(place) if data is None else data
        finally:
            for _, reading in ahead:
                reading.cancel()

    def _fetch(self, run: Sequence[ChunkPlace]) -> list[Plain | None]:
        """The bytes of the chunks of a run; None for one that is not sound."""
        start = run[0].pack_offset
        length = run[-1].pack_offset + run[-1].stored_bytes - start
        try:
            with self._packs.open(run[0].pack_id, first=(start, length)) as pack:
                data = memoryview(pack.read(start, length))
        except PackMissing:
            return [None] * len(run)
        found: list[Plain | None] = []
        for place in run:
            stored = data[place.pack_offset - start :][: place.stored_bytes]
            found.append(_plain(stored, place))
        CHUNKS.labels("verified").inc(len(run))
        return found

    def _read_anew(self, place: ChunkPlace) -> Plain | None:
        """Reads a chunk again, from where its row says it is now: the collector may have moved it."""
        found = live_chunks(self._database, self._organization_id, [place.sha256]).get(place.sha256)
        if found is None:
            return None
        chunk = PackedChunk(
            self._organization_id,
            found.sha256,
            found.size_bytes,
            found.pack_offset,
            found.stored_bytes,
            found.encoding,
            found.checksum,
        )
        try:
            with self._packs.open(found.pack_id) as pack:
                stored = stored_bytes_of(pack, chunk)
        except PackMissing:
            stored = None
        plain = None if stored is None else _plain(memoryview(stored), found)
        if plain is None:
            CHUNK_DAMAGE.labels("read", "damaged").inc()
            log.error("stored bytes are damaged", extra={"fields": {"sha256": found.sha256.hex()}})
            self._database.write(lambda tx: mark_damaged(tx, found.pack_id, [chunk]))
        return plain


def runs_of(places: Sequence[ChunkPlace]) -> Iterator[list[ChunkPlace]]:
    """The chunks in order; those that lie behind one another in a pack together, up to RUN_BYTES."""
    run: list[ChunkPlace] = []
    stored_bytes = size_bytes = 0
    for place in places:
        stored_bytes += place.stored_bytes
        size_bytes += place.size_bytes
        if run and (max(stored_bytes, size_bytes) > RUN_BYTES or not _neighbours(run[-1], place)):
            yield run
            run, stored_bytes, size_bytes = [], place.stored_bytes, place.size_bytes
        run.append(place)
    if run:
        yield run


def _neighbours(place: ChunkPlace, following: ChunkPlace) -> bool:
    return place.pack_id == following.pack_id and place.pack_offset + place.stored_bytes == following.pack_offset


def _plain(stored: memoryview, place: ChunkPlace) -> Plain | None:
    try:
        check_stored(stored, place)
        return unpacked(stored, place)
    except NotSound:
        return None
