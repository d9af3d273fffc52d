"""Rows of uploads and of the chunks that they have committed."""

from peewee import CompositeKey, Model

from store.database.fields import BytesField, CountField, FlagField, IdField, JsonField, TextField, TimeField

OPEN = "open"
"""The state of an upload that takes bytes."""

FINISHED = "finished"
"""The state of an upload whose file exists, or existed."""

CANCELLED = "cancelled"
"""The state of an upload that was ended without a file."""


class Upload(Model):
    """An upload under the id that its caller chose.

    header_sha256 tells a repetition from another upload, and header says what it is of. fence is raised by every stream
    that takes the upload over, and checked by each group of chunks that a stream commits: an earlier stream's group
    then fails. It is 0 when no stream has begun, and never one that a forgotten upload under this id had.
    committed_bytes is the end of the last whole chunk on stable storage.
    file_id is set when it is finished, and created is what its first answer said.
    """

    organization_id = IdField()
    id = IdField()
    header_sha256 = BytesField()
    header = JsonField()
    release_id = IdField()
    state = TextField()
    fence = CountField()
    committed_bytes = CountField()
    file_id = IdField(null=True)
    created = FlagField()
    create_time = TimeField()
    expire_time = TimeField()

    class Meta:
        table_name = "upload"
        primary_key = CompositeKey("organization_id", "id")
        indexes = ((("expire_time",), False),)


class UploadChunk(Model):
    """A committed chunk of an open upload: a reference like a content's, until the upload is finished or ends."""

    organization_id = IdField()
    upload_id = IdField()
    start_offset = CountField()
    chunk_sha256 = BytesField()
    size_bytes = CountField()

    class Meta:
        table_name = "upload_chunk"
        primary_key = CompositeKey("organization_id", "upload_id", "start_offset")
        without_rowid = True
        indexes = ((("organization_id", "chunk_sha256"), False),)
