"""Rows of contents, chunks and packs.

A content is an ordered list of chunks. A chunk is known by its organization and SHA-256, so nothing is shared between
organizations and nothing can be probed. Its bytes lie in a pack, or in the row itself when the content is small.
"""

from peewee import CompositeKey, Model

from store.database.fields import BytesField, CountField, IdField, TextField, TimeField

DELETING = "deleting"
"""The state of a pack whose file the collector is removing; nothing refers to it, and nothing will."""

DAMAGED = "damaged"
"""The state of a chunk whose stored bytes did not verify; it counts as missing, until its content comes again."""

LIVE = "live"
"""The state of a chunk or pack that may be referenced and read; every other state counts as missing."""

AS_IT_IS = 0
"""The encoding of a chunk whose stored bytes are its bytes."""

ZSTD = 1
"""The encoding of a chunk whose stored bytes are one zstd frame."""


class Content(Model):
    """inline_data holds the whole content when it is at most 16 KiB; it then has no chunks."""

    id = IdField(primary_key=True)
    organization_id = IdField()
    sha256 = BytesField()
    size_bytes = CountField()
    inline_data = BytesField(null=True)
    checksum = BytesField(null=True)
    create_time = TimeField()
    touched_at = TimeField()

    class Meta:
        table_name = "content"
        # None by time: contents are walked and locked by their ids, and every use of one would have to change it.
        indexes = ((("organization_id", "sha256"), True),)


class ContentChunk(Model):
    """start_offset is where the chunk begins in the content: a range read finds its first chunk by it."""

    content_id = IdField()
    organization_id = IdField()
    start_offset = CountField()
    chunk_sha256 = BytesField()
    size_bytes = CountField()

    class Meta:
        table_name = "content_chunk"
        primary_key = CompositeKey("content_id", "start_offset")
        without_rowid = True
        indexes = ((("organization_id", "chunk_sha256"), False),)


class Chunk(Model):
    """Where a chunk's bytes are. checksum is the xxh3 (64 bit, big endian) of the stored bytes."""

    organization_id = IdField()
    sha256 = BytesField()
    size_bytes = CountField()
    pack_id = IdField()
    pack_offset = CountField()
    stored_bytes = CountField()
    encoding = CountField()
    checksum = BytesField()
    state = TextField()
    touched_at = TimeField()

    class Meta:
        table_name = "chunk"
        primary_key = CompositeKey("organization_id", "sha256")
        without_rowid = True
        # None by time, as of contents.
        indexes = ((("pack_id", "pack_offset"), False),)


class Pack(Model):
    """One file of the blob folder (or one object) that holds the bytes of many chunks. Its name is its id: random
    enough, and never used twice."""

    id = IdField(primary_key=True)
    organization_id = IdField()
    size_bytes = CountField()
    state = TextField()
    create_time = TimeField()
    touched_at = TimeField()

    class Meta:
        table_name = "pack"
