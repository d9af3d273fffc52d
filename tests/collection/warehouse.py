"""Chunks, contents and packs beside a test's database, made row by row: what the collector and the check see."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xxhash
from peewee import Model

from store.blobs.collector import Collector
from store.blobs.keeping import Group, ListedManifest, StoredChunk, keep_chunks, keep_content, live_chunks
from store.blobs.local import LocalPacks
from store.blobs.models import Chunk, Content, ContentChunk, Pack
from store.blobs.packs import PackStore
from store.database import Database, Transaction, new_id
from store.files.models import ReleaseFile
from store.uploads.models import UploadChunk
from tests.blobs.harm import flip_bit

GRACE = 3600


class Warehouse:
    """The packs of a folder and the rows of a database. Organizations are ids, and releases are not needed."""

    def __init__(self, database: Database, folder: Path, *, packs: PackStore | None = None) -> None:
        self.db = database
        self.packs = packs or LocalPacks(folder, registry_id=b"\1" * 16, expected=False)
        self.collector = Collector(database, self.packs, grace_seconds=GRACE)
        self.acme = new_id()

    def group(self, *chunks: bytes, organization: bytes | None = None) -> Group:
        """The chunks that are new, written to a pack of their own and synced; the database does not know yet."""
        digests = [hashlib.sha256(chunk).digest() for chunk in chunks]
        known = live_chunks(self.db, organization or self.acme, digests) if digests else {}
        start = 0
        with self.packs.sink() as sink:
            stored = []
            for chunk, sha256 in zip(chunks, digests, strict=True):
                stored.append(
                    StoredChunk(
                        start_offset=start,
                        sha256=sha256,
                        size_bytes=len(chunk),
                        place=None if sha256 in known else sink.write(chunk),
                        checksum=xxhash.xxh3_64_digest(chunk),
                        stored_bytes=len(chunk),
                    )
                )
                start += len(chunk)
            return Group(tuple(sink.sync()), stored)

    def content(self, *chunks: bytes, organization: bytes | None = None) -> bytes:
        """The id of a content of these chunks, to which nothing refers."""
        group = self.group(*chunks, organization=organization)
        whole = b"".join(chunks)

        def keep(tx: Transaction) -> bytes:
            keep_chunks(tx, organization or self.acme, group)
            return keep_content(
                tx,
                organization or self.acme,
                sha256=hashlib.sha256(whole).digest(),
                size_bytes=len(whole),
                manifest=ListedManifest(group.chunks),
            ).id

        return self.db.write(keep)

    def inline(self, data: bytes) -> bytes:
        """The id of a content that lies in its row, to which nothing refers."""

        def keep(tx: Transaction) -> bytes:
            sha256 = hashlib.sha256(data).digest()
            return keep_content(tx, self.acme, sha256=sha256, size_bytes=len(data), inline_data=data).id

        return self.db.write(keep)

    def file(self, content_id: bytes, *, organization: bytes | None = None) -> bytes:
        """The id of a file with this content."""
        file_id = new_id()
        values: dict[Any, Any] = {
            ReleaseFile.id: file_id,
            ReleaseFile.organization_id: organization or self.acme,
            ReleaseFile.release_id: self.acme,
            ReleaseFile.file_name: file_id.hex(),
            ReleaseFile.project_id: b"",
            ReleaseFile.dist: "",
            ReleaseFile.headers: {},
            ReleaseFile.content_id: content_id,
            ReleaseFile.kind: 0,
            ReleaseFile.folded_name: file_id.hex(),
            ReleaseFile.create_time: 0,
        }
        self.db.write(lambda tx: tx.execute(ReleaseFile.insert(values)))
        return file_id

    def drop(self, file_id: bytes) -> None:
        """Deletes a file, and leaves its content as it is."""
        self.db.write(lambda tx: tx.execute(ReleaseFile.delete().where(ReleaseFile.id == file_id)))

    def upload(self, *chunks: bytes) -> bytes:
        """The id of an open upload that committed these chunks."""
        group, upload_id = self.group(*chunks), new_id()

        def commit(tx: Transaction) -> None:
            keep_chunks(tx, self.acme, group)
            for chunk in group.chunks:
                values: dict[Any, Any] = {
                    UploadChunk.organization_id: self.acme,
                    UploadChunk.upload_id: upload_id,
                    UploadChunk.start_offset: chunk.start_offset,
                    UploadChunk.chunk_sha256: chunk.sha256,
                    UploadChunk.size_bytes: chunk.size_bytes,
                }
                tx.execute(UploadChunk.insert(values))

        self.db.write(commit)
        return upload_id

    def rows(self, model: type[Model]) -> list[Any]:
        rows: list[Any] = self.db.read(lambda reader: reader.fetch(model.select()))
        return rows

    def counts(self) -> Sequence[int]:
        """How many contents, listed chunks, chunks, packs and files of packs there are."""
        models = (Content, ContentChunk, Chunk, Pack)
        return (*(len(self.rows(model)) for model in models), len(list(self.packs.list_packs())))

    def change(self, query: Any) -> None:
        """Executes a statement of Peewee's."""
        self.db.write(lambda tx: tx.execute(query))

    def flip(self, pack_id: bytes, offset: int) -> None:
        """Changes a bit of a stored pack."""
        flip_bit(self.packs, pack_id, offset)
