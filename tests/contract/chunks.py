"""Shorthands for what tests do with chunks again and again."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import zstandard

from store.access import Access
from store.blobs.models import AS_IT_IS, ZSTD, Chunk
from store.files.rows import UploadedFile
from store.uploads.assemble import Assembly, ChunkRef, start_assembly
from store.uploads.chunks import SentChunk, StoredChunks, missing_chunks, receive_chunks
from store.uploads.uploads import get_upload, register_upload
from tests.blobs.harm import flip_bit
from tests.contract.shelf import Shelf

PIECE = 64 * 1024


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def cut(content: bytes, size: int = PIECE) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


def plain(data: bytes) -> SentChunk:
    return SentChunk(digest(data), len(data), AS_IT_IS, data)


def packed(data: bytes) -> SentChunk:
    return SentChunk(digest(data), len(data), ZSTD, zstandard.ZstdCompressor().compress(data))


def refs(pieces: Iterable[bytes]) -> list[ChunkRef]:
    return [ChunkRef(digest(piece), len(piece)) for piece in pieces]


class Sender:
    """A client of the fast door, of an organization."""

    def __init__(self, shelf: Shelf, *, access: Access | None = None) -> None:
        self.shelf = shelf
        self.access = access or shelf.acme.everybody
        self.organization = shelf.acme.slug

    def missing(self, pieces: Iterable[bytes]) -> list[bytes]:
        """The SHA-256 of those that the organization lacks."""
        return missing_chunks(self.shelf.db, self.access, self.organization, [digest(piece) for piece in pieces])

    def send(self, chunks: Sequence[SentChunk], *, count: int | None = None, at_once: int = 16) -> StoredChunks:
        with receive_chunks(self.shelf.db, self.shelf.blobs, self.access, self.organization) as intake:
            for start in range(0, len(chunks), at_once):
                intake.take(chunks[start : start + at_once])
            return intake.finish(chunk_count=len(chunks) if count is None else count)

    def send_plain(self, pieces: Iterable[bytes]) -> StoredChunks:
        return self.send([plain(piece) for piece in pieces])

    def start(self, file_name: str = "app.js", **fields: Any) -> bytes:
        """The id of a new upload."""
        draft = self.shelf.draft(file_name, **fields)
        register_upload(self.shelf.db, self.shelf.blobs, self.access, draft)
        return draft.upload_id

    def state_of(self, upload_id: bytes) -> tuple[str, int]:
        """The upload's state, and how many bytes are committed."""
        row = get_upload(self.shelf.db, self.access, organization=self.organization, upload_id=upload_id)
        return row.state, row.committed_bytes

    def assembly(self, upload_id: bytes) -> Assembly:
        return start_assembly(
            self.shelf.db, self.shelf.blobs, self.access, organization=self.organization, upload_id=upload_id
        )

    def assemble(
        self,
        pieces: Sequence[bytes],
        *,
        upload_id: bytes | None = None,
        size_bytes: int | None = None,
        sha256: bytes | None = None,
        page: int = 10_000,
    ) -> UploadedFile:
        """The file of these pieces, in this order; of a new upload unless one is named."""
        content = b"".join(pieces)
        assembly = self.assembly(self.start() if upload_id is None else upload_id)
        if assembly.finished is not None:
            return assembly.finished
        for start in range(0, len(pieces), page):
            assembly.add(refs(pieces[start : start + page]))
        return assembly.finish(
            size_bytes=len(content) if size_bytes is None else size_bytes,
            sha256=digest(content) if sha256 is None else sha256,
        )

    def row(self, piece: bytes) -> Any:
        """The row of a chunk of the organization."""
        (found,) = (
            row
            for row in self.shelf.rows(Chunk)
            if (row.organization_id, row.sha256) == (self.shelf.acme.id, digest(piece))
        )
        return found

    def damage(self, piece: bytes) -> None:
        """Turns a bit of the stored bytes of a chunk."""
        row = self.row(piece)
        flip_bit(self.shelf.blobs.packs, row.pack_id, row.pack_offset + row.stored_bytes // 2)


def some_upload_id() -> bytes:
    return uuid.uuid4().bytes
