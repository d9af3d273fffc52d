"""Rows of tokens and of the installation's secrets."""

from peewee import CompositeKey, Model

from store.database.fields import BytesField, FlagField, IdField, TextField, TimeField


class Token(Model):
    """secret_sha256 is all that is kept of the secret; scopes are words joined by a space, sorted."""

    id = IdField(primary_key=True)
    organization_id = IdField(null=True)
    display_name = TextField()
    secret_sha256 = BytesField(unique=True)
    secret_suffix = TextField()
    scopes = TextField()
    all_projects = FlagField()
    create_time = TimeField()
    expire_time = TimeField(null=True)
    revoke_time = TimeField(null=True)

    class Meta:
        table_name = "token"
        indexes = ((("organization_id", "id"), True),)


class TokenProject(Model):
    token_id = IdField()
    project_id = IdField()

    class Meta:
        table_name = "token_project"
        primary_key = CompositeKey("token_id", "project_id")


class InstallationSecret(Model):
    """Keys that every server of the installation shares, such as the one that signs page tokens."""

    purpose = TextField(primary_key=True)
    value = BytesField()

    class Meta:
        table_name = "installation_secret"
