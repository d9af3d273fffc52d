"""Rows that count what organizations have."""

from peewee import CompositeKey, Model

from store.database.fields import CountField, FlagField, IdField


class OrganizationUsage(Model):
    """What is stored for an organization: the sums over all of its shards are the stored bytes of its live chunks and
    of its contents in rows, and the number of its release files. One shard alone may be negative.

    is_limited, the same in all shards: a quota of its own is set for what it stores, so that nothing is added without
    looking. Then all shards are there.
    """

    organization_id = IdField()
    shard = CountField()
    stored_bytes = CountField()
    file_count = CountField()
    is_limited = FlagField()

    class Meta:
        table_name = "organization_usage"
        primary_key = CompositeKey("organization_id", "shard")
        without_rowid = True
