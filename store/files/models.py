"""Rows of release files and of their uploads."""

from peewee import CompositeKey, Model

from store.database.fields import BytesField, FlagField, IdField, JsonField, TextField, TimeField

NO_PROJECT = b""
"""project_id of a file that belongs to all projects of its release: not NULL, which no unique index would compare."""

NO_DIST = ""
"""dist of a file that belongs to no distribution; a named one is never empty."""


class ReleaseFile(Model):
    id = IdField(primary_key=True)
    organization_id = IdField()
    release_id = IdField()
    file_name = TextField()
    project_id = BytesField()
    dist = TextField()
    headers = JsonField()
    content_id = IdField()
    create_time = TimeField()

    class Meta:
        table_name = "release_file"
        indexes = (
            (("release_id", "file_name", "project_id", "dist"), True),
            (("release_id", "file_name", "id"), True),
        )


class Upload(Model):
    """An upload under the id that its caller chose. header_sha256 tells a repetition from another upload; file_id is
    set when it is finished, and created is what its first answer said."""

    organization_id = IdField()
    id = IdField()
    header_sha256 = BytesField()
    release_id = IdField()
    file_id = IdField(null=True)
    created = FlagField()
    create_time = TimeField()
    expire_time = TimeField()

    class Meta:
        table_name = "upload"
        primary_key = CompositeKey("organization_id", "id")
        indexes = ((("expire_time",), False),)
