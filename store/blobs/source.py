"""The chunks of one content, read in runs and verified one by one.

Chunks of an upload lie behind one another in its pack: a run of such neighbours is read at once, which costs an object
store one request in place of eight, and a disk one seek.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import peewee
import xxhash

from store.blobs.contents import ContentRow
from store.blobs.models import AS_IT_IS, LIVE, Chunk, Content, ContentChunk
from store.blobs.packs import PackMissing, PackReader, PackStore
from store.blobs.stored import NotSound, check_stored, unpacked
from store.blobs.verifying import PackedChunk, mark_damaged
from store.database import CountField, Database, Query, hole
from store.errors import ChunkLost, RegistryError
from store.metrics import CHUNK_DAMAGE, CHUNKS

log = logging.getLogger(__name__)

RUN_BYTES: Final = 2 * 2**20
"""So much is read at once where somebody reads on and on."""

_FEW_ROWS: Final = 16
_MANY_ROWS: Final = 512


class ContentMissing(Exception):
    """The content has no row any more: what referred to it was deleted, and the collector came."""


class _Damaged(Exception):
    """The stored bytes of a chunk are not what its row says, or not there."""

    def __init__(self, span: Span, what: str) -> None:
        super().__init__(what)
        self.span = span
        self.what = what


class _NotThere(_Damaged):
    """There are no stored bytes to be wrong: a pack that is gone may be a disk that is."""


@dataclass(frozen=True, slots=True)
class Span:
    """A chunk of a content and where it lies; what lies nowhere has no pack_id."""

    start_offset: int
    sha256: bytes
    size_bytes: int
    pack_id: bytes | None
    pack_offset: int
    stored_bytes: int
    encoding: int
    checksum: bytes

    @property
    def stop_offset(self) -> int:
        """Where the next chunk of the content begins."""
        return self.start_offset + self.size_bytes


class Part(NamedTuple):
    """Verified bytes of a content, and where in it they begin."""

    start: int
    data: memoryview


_LIMIT = CountField()
_LIMIT.name = "limit"

_INLINE: Final = Query(Content.select(Content.inline_data, Content.checksum).where(Content.id == hole(Content.id)))
_FIRST_OFFSET: Final = Query(
    ContentChunk.select(peewee.fn.MAX(ContentChunk.start_offset)).where(
        ContentChunk.content_id == hole(ContentChunk.content_id),
        ContentChunk.start_offset <= hole(ContentChunk.start_offset),
    )
)
_SPANS: Final = Query(
    ContentChunk.select(
        ContentChunk.start_offset,
        ContentChunk.chunk_sha256,
        ContentChunk.size_bytes,
        Chunk.pack_id,
        Chunk.pack_offset,
        Chunk.stored_bytes,
        Chunk.encoding,
        Chunk.checksum,
    )
    .join(
        Chunk,
        peewee.JOIN.LEFT_OUTER,
        on=(
            (Chunk.organization_id == hole(Chunk.organization_id))
            & (Chunk.sha256 == ContentChunk.chunk_sha256)
            & (Chunk.state == LIVE)
        ),
    )
    .where(
        ContentChunk.content_id == hole(ContentChunk.content_id),
        ContentChunk.start_offset >= hole(ContentChunk.start_offset, "start"),
    )
    .order_by(ContentChunk.start_offset)
    .limit(hole(_LIMIT)),
    row=Span,
)


class ChunkSource:
    """Reads chunks of one content, at any place. For one thread at a time; close it to give back its file.

    No connection to the database is held between calls. What is read is verified against the checksum of its chunk.
    """

    def __init__(self, database: Database, packs: PackStore, content: ContentRow) -> None:
        self.content = content
        self._database, self._packs = database, packs
        self._row: memoryview | None = None
        self._begun = False
        self._spans: Sequence[Span] = ()
        self._next = 0
        self._reader: PackReader | None = None
        self._open_pack: bytes | None = None

    def plan(self, at: int, *, most: int, until: int) -> list[Span]:
        """The chunk that holds the offset, which lies in the content, and the neighbours behind it in its pack, as far
        as they begin before `until` and all that is at most so many bytes, packed and unpacked; nothing when the
        content lies in its row.

        Raises ChunkLost where the rows have a gap, ContentMissing.
        """
        first = self._span_at(at)
        if first is None:
            return []
        run = [first]
        while run[-1].stop_offset < until:
            following = self._span_at(run[-1].stop_offset)
            if following is None or not _neighbours(run[-1], following):
                break
            stored_bytes = following.pack_offset + following.stored_bytes - first.pack_offset
            # Unpacked, too: compressed chunks may be a thousand times as large as what lies in the pack.
            if max(stored_bytes, following.stop_offset - first.start_offset) > most:
                break
            run.append(following)
        return run

    def fetch(self, run: Sequence[Span]) -> list[Part]:
        """The bytes of a run that was planned, in order and without a gap: all of them, or fewer, but at least the one
        that the run was planned for.

        May be called by another thread. What was moved to another pack, repaired, or cut elsewhere since it was planned
        is read from where it now is. Raises ChunkLost where bytes are damaged or gone, BlobsDown, ContentMissing.
        """
        if not run:
            return [Part(0, self._inlined())]
        try:
            return self._read(run)
        except _Damaged as error:
            log.info("a run is read anew", extra={"fields": {"sha256": error.span.sha256.hex(), "why": error.what}})
        self.close()
        self._spans = ()
        parts: list[Part] = []
        for span in run:  # one by one: each may lie elsewhere now
            found = self._span_at(span.start_offset)
            same = found is not None and (found.start_offset, found.size_bytes) == (span.start_offset, span.size_bytes)
            if parts and not same:
                return parts
            try:
                parts += [Part(0, self._inlined())] if found is None else self._read([found])
            except _Damaged as error:
                if parts:  # they are right; the next run begins with what is lost
                    return parts
                gone = isinstance(error, _NotThere)
                CHUNK_DAMAGE.labels("read", "lost" if gone else "damaged").inc()
                if not gone:
                    self._quarantine(error.span)
                raise _lost(error.span.sha256, error.what) from None
            if not same:
                return parts
        return parts

    def close(self) -> None:
        """Gives back the open pack; repeating it does nothing."""
        reader, self._reader, self._open_pack = self._reader, None, None
        if reader is not None:
            reader.close()

    def _quarantine(self, span: Span) -> None:
        """Bytes that were read wrongly twice: the chunk counts as missing from here on, so that whoever has its content
        is asked for it."""
        assert span.pack_id is not None
        chunk = PackedChunk(
            self.content.organization_id,
            span.sha256,
            span.size_bytes,
            span.pack_offset,
            span.stored_bytes,
            span.encoding,
            span.checksum,
        )
        with suppress(RegistryError):  # a database that takes no writes: the next reader finds the same
            self._database.write(partial(mark_damaged, pack_id=span.pack_id, chunks=[chunk]))

    def _read(self, run: Sequence[Span]) -> list[Part]:
        first, last = run[0], run[-1]
        pack = self._pack(first, last)
        start = first.pack_offset
        data = memoryview(pack.read(start, last.pack_offset + last.stored_bytes - start))
        for span in run:
            stored = data[span.pack_offset - start :][: span.stored_bytes]
            try:
                check_stored(stored, span)
            except NotSound as problem:
                raise _Damaged(span, f"the chunk {problem}") from None
        CHUNKS.labels("verified").inc(len(run))
        if all(span.encoding == AS_IT_IS and span.stored_bytes == span.size_bytes for span in run):
            return [Part(first.start_offset, data)]
        return [
            Part(span.start_offset, _decoded(span, data[span.pack_offset - start :][: span.stored_bytes]))
            for span in run
        ]

    def _pack(self, span: Span, last: Span) -> PackReader:
        if span.pack_id is None:
            raise _NotThere(span, "the chunk has no row")
        if self._reader is None or span.pack_id != self._open_pack:
            self.close()
            try:
                run = (span.pack_offset, last.pack_offset + last.stored_bytes - span.pack_offset)
                self._reader = self._packs.open(span.pack_id, first=run)
            except PackMissing:
                raise _NotThere(span, "its pack is gone") from None
            self._open_pack = span.pack_id
        return self._reader

    def _inlined(self) -> memoryview:
        assert self._row is not None, "no chunk holds the content"
        return self._row

    def _inline(self) -> memoryview | None:
        """What lies in the content's row, None when chunks hold it."""
        content = self.content
        found = self._database.row(_INLINE, id=content.id)
        if found is None:
            raise ContentMissing
        data, checksum = found
        if data is None:
            return None
        if len(data) != content.size_bytes or xxhash.xxh3_64_digest(data) != checksum:
            raise _lost(content.sha256, "the bytes in the row are damaged")
        return memoryview(data)

    def _span_at(self, at: int) -> Span | None:
        """The chunk that holds the offset; None when the content lies in its row. Rows are read a page at a time."""
        for index in (self._next, self._next + 1):
            if index < len(self._spans) and self._spans[index].start_offset <= at < self._spans[index].stop_offset:
                self._next = index
                return self._spans[index]
        if not self._begun:
            self._row, self._begun = self._inline(), True
        if self._row is not None:
            return None
        spans: Sequence[Span] = ()
        if self._spans and at == self._spans[-1].stop_offset:
            spans = self._rows(at, limit=_MANY_ROWS)
        if not spans or spans[0].start_offset != at:  # a jump, or the content was cut elsewhere when it came again
            found = self._database.row(_FIRST_OFFSET, content_id=self.content.id, start_offset=at)
            spans = self._rows(found[0] if found is not None and found[0] is not None else 0, limit=_FEW_ROWS)
        if not spans:
            self._row = self._inline()
            if self._row is not None:
                return None
        self._check(spans, at)
        self._spans, self._next = spans, 0
        return spans[0]

    def _check(self, spans: Sequence[Span], at: int) -> None:
        """Returns when the first chunk holds the offset, and each other one begins where the one before it ends."""
        if not spans or not spans[0].start_offset <= at < spans[0].stop_offset:
            raise self._rows_lost("its list of chunks ends early")
        stop = spans[0].start_offset
        for span in spans:
            if span.start_offset != stop or span.size_bytes <= 0:
                raise self._rows_lost("its list of chunks has a gap")
            stop = span.stop_offset

    def _rows(self, start: int, *, limit: int) -> list[Span]:
        content = self.content
        return self._database.rows(
            _SPANS, organization_id=content.organization_id, content_id=content.id, start=start, limit=limit
        )

    def _rows_lost(self, what: str) -> Exception:
        if self._database.row(_INLINE, id=self.content.id) is None:
            return ContentMissing()
        return _lost(self.content.sha256, what)


def _neighbours(span: Span, following: Span) -> bool:
    return (
        span.pack_id is not None
        and span.pack_id == following.pack_id
        and span.pack_offset + span.stored_bytes == following.pack_offset
    )


def _decoded(span: Span, stored: memoryview) -> memoryview:
    try:
        return memoryview(unpacked(stored, span))
    except NotSound as problem:
        raise _Damaged(span, f"the chunk {problem}") from None


def _lost(sha256: bytes, what: str) -> ChunkLost:
    log.error("stored bytes are lost: %s", what, extra={"fields": {"sha256": sha256.hex()}})
    return ChunkLost(sha256.hex())
