"""Rows of activities."""

from peewee import Model

from store.database.fields import IdField, JsonField, TextField, TimeField


class Activity(Model):
    """kind is a word such as `release_created`; subject is what it happened to (of a version the first 64 characters);
    token_id and caller say who; certificate does where no token but a client's certificate called, else it is empty."""

    id = IdField(primary_key=True)
    organization_id = IdField()
    project_id = IdField(null=True)
    kind = TextField()
    subject = TextField()
    data = JsonField()
    token_id = IdField()
    certificate = TextField()
    caller = TextField()
    happen_time = TimeField()

    class Meta:
        table_name = "activity"
        indexes = (
            (("organization_id", "project_id", "happen_time", "id"), True),
            (("organization_id", "subject", "happen_time", "id"), True),
            (("organization_id", "happen_time", "id"), True),
        )
