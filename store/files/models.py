"""Rows of release files."""

from peewee import Model

from store.database.fields import BytesField, CountField, IdField, JsonField, TextField, TimeField

NO_PROJECT = b""
"""project_id of a file that belongs to all projects of its release: not NULL, which no unique index would compare."""

NO_DIST = ""
"""dist of a file that belongs to no distribution; a named one is never empty."""


class ReleaseFile(Model):
    """folded_name is file_name in Unicode form NFKC and without case: names that are alike there collide on some disks,
    and substrings are sought there."""

    id = IdField(primary_key=True)
    organization_id = IdField()
    release_id = IdField()
    file_name = TextField()
    project_id = BytesField()
    dist = TextField()
    headers = JsonField()
    content_id = IdField()
    kind = CountField()
    folded_name = TextField()
    create_time = TimeField()

    class Meta:
        table_name = "release_file"
        indexes = (
            (("release_id", "file_name", "project_id", "dist"), True),
            (("release_id", "file_name", "id"), True),
            (("release_id", "folded_name", "file_name"), False),
            (("content_id", "release_id"), False),
        )
