"""A blob store beside a test's database, and shorthands for what tests do with files again and again."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from peewee import Model
from pyfastcdc import FastCDC

from store.access import Access
from store.blobs.blobs import Blobs, open_blobs
from store.blobs.models import Chunk, Content, ContentChunk, Pack
from store.blobs.s3 import key_of
from store.blobs.s3_client import Bucket
from store.files.list import list_files
from store.files.lookup import OpenFile, open_file
from store.files.models import ReleaseFile
from store.files.rows import FileRow, UploadDraft, UploadedFile
from store.paging import PageRequest
from store.releases.read import get_release
from store.uploads.models import Upload, UploadChunk
from store.uploads.streams import FileUpload, open_upload
from tests.blobs.harm import flip_bit
from tests.contract.acme import Acme

FRAME = 256 * 1024


def content_of(size: int, *, seed: int = 0) -> bytes:
    """Random bytes, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def chunk_sizes(content: bytes) -> list[int]:
    """How a content is cut when it is there as a whole."""
    cdc = FastCDC(256 * 1024, min_size=64 * 1024, max_size=2**20, normalized_chunking=1)
    return [chunk.length for chunk in cdc.cut_buf(content)]


def frames_of(content: bytes, size: int = FRAME) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


class Shelf:
    """The files of an organization's releases."""

    def __init__(self, acme: Acme, place: Path | Bucket, **options: Any) -> None:
        self.acme = acme
        self.db = acme.db
        self.place = place
        self.blobs: Blobs = open_blobs(acme.db, place, **options)

    @property
    def folder(self) -> Path:
        """Where the bytes lie, for tests of what lies in a folder."""
        assert isinstance(self.place, Path)
        return self.place

    def draft(self, file_name: str = "app.js", **fields: Any) -> UploadDraft:
        fields = {"upload_id": uuid.uuid4().bytes, "version": "app@1.0.0", "organization": self.acme.slug, **fields}
        return UploadDraft(file_name=file_name, **fields)

    def send(
        self,
        content: bytes,
        draft: UploadDraft,
        *,
        access: Access | None = None,
        frames: Iterable[bytes] | None = None,
    ) -> UploadedFile:
        """Upload the content as a good client does; a finished upload answers without it."""
        with open_upload(self.db, self.blobs, access or self.acme.everybody, draft) as upload:
            if upload.finished is not None:
                return upload.finished
            for index, frame in enumerate(frames_of(content) if frames is None else frames):
                upload.write(frame, offset=None if index else 0)
            return upload.finish(size_bytes=len(content), sha256=hashlib.sha256(content).digest())

    def upload(self, content: bytes, file_name: str = "app.js", **fields: Any) -> UploadedFile:
        return self.send(content, self.draft(file_name, **fields))

    def download(
        self, file: FileRow, *, offset: int = 0, limit: int | None = None, access: Access | None = None
    ) -> bytes:
        with self.open(file, offset=offset, limit=limit, access=access) as opened:
            assert opened.file == file
            return b"".join(opened.data)

    def open(
        self, file: FileRow, *, offset: int = 0, limit: int | None = None, access: Access | None = None
    ) -> OpenFile:
        return open_file(
            self.db,
            self.blobs,
            access or self.acme.everybody,
            organization=file.organization,
            version=file.version,
            file_id=file.id,
            offset=offset,
            limit=limit,
        )

    def names(self, *, access: Access | None = None, version: str = "app@1.0.0") -> list[str]:
        page = list_files(
            self.db,
            access or self.acme.everybody,
            organization=self.acme.slug,
            version=version,
            page=PageRequest(1000),
        )
        return [file.file_name for file in page.items]

    def rows(self, model: type[Model]) -> list[Any]:
        rows: list[Any] = self.db.read(lambda reader: reader.fetch(model.select()))
        return rows

    def file_count(self) -> int:
        return get_release(self.db, self.acme.everybody, self.acme.slug, "app@1.0.0").release.file_count

    def open_upload(self, draft: UploadDraft, *, access: Access | None = None) -> FileUpload:
        """A stream of the draft's upload."""
        return open_upload(self.db, self.blobs, access or self.acme.everybody, draft)

    def assert_nothing_kept(self, *, but: Iterable[type[Model]] = ()) -> None:
        """No file of the release, no row of a file or of bytes, no bytes."""
        models = {ReleaseFile, Upload, UploadChunk, Content, ContentChunk, Chunk, Pack} - set(but)
        assert [model for model in models if self.rows(model)] == []
        assert (self.packs(), self.unfinished(), self.file_count()) == ([], [], 0)

    def packs(self) -> list[Path]:
        """The published packs on disk; of a bucket, the names of its objects."""
        if not isinstance(self.place, Path):
            return sorted(Path(key_of(pack.id)) for pack in self.blobs.packs.list_packs())
        return sorted(path for path in (self.folder / "packs").rglob("*") if path.is_file())

    def unfinished(self) -> list[Path]:
        """What lies in the folder of packs being written; a bucket has none."""
        if not isinstance(self.place, Path):
            return []
        return sorted((self.folder / "tmp").iterdir())

    def flip_byte_of(self, chunk: Chunk) -> None:
        """Change one stored byte of the chunk."""
        flip_bit(self.blobs.packs, chunk.pack_id, chunk.pack_offset + 1)

    def damage_inline(self) -> None:
        """Change the bytes of every content that lies in its row."""
        inline = Content.inline_data.is_null(is_null=False)
        self.db.write(lambda tx: tx.execute(Content.update({Content.inline_data: b"other"}).where(inline)))

    def lose_a_content_chunk(self) -> None:
        """Remove the row that says which chunk is the second of a content."""
        second = self.rows(ContentChunk)[1]
        self.db.write(
            lambda tx: tx.execute(
                ContentChunk.delete().where(
                    ContentChunk.content_id == second.content_id, ContentChunk.start_offset == second.start_offset
                )
            )
        )
