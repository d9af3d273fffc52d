"""Rows of tokens and of the installation's secrets."""

from peewee import CompositeKey, Model

from store.database.fields import BytesField, FlagField, IdField, TextField, TimeField


class Token(Model):
    """secret_sha256 is all that is kept of the secret; scopes are words joined by a space, sorted.

    old_secret_sha256 is that of the secret before the last rotation, which goes on until old_secret_expire_time.
    """

    id = IdField(primary_key=True)
    organization_id = IdField(null=True)
    display_name = TextField()
    secret_sha256 = BytesField(unique=True)
    secret_suffix = TextField()
    old_secret_sha256 = BytesField(null=True, unique=True)
    old_secret_expire_time = TimeField(null=True)
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
