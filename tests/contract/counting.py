"""What tests of quotas count by hand: the rows themselves, and what the counters say of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from store.blobs.models import LIVE, Chunk, Content
from store.database import Database
from store.files.models import ReleaseFile
from store.organizations.models import Organization
from store.quotas.models import OrganizationUsage


class Sums(NamedTuple):
    """Bytes and files."""

    stored_bytes: int
    file_count: int


def rows_of(db: Database, organization_id: bytes) -> Sums:
    """What is stored for an organization, row by row."""

    def rows(model: Any) -> list[Any]:
        return db.read(lambda reader: reader.fetch(model.select().where(model.organization_id == organization_id)))

    chunks = sum(chunk.stored_bytes for chunk in rows(Chunk) if chunk.state == LIVE)
    inline = sum(len(content.inline_data) for content in rows(Content) if content.inline_data is not None)
    return Sums(chunks + inline, len(rows(ReleaseFile)))


def counters_of(db: Database, organization_id: bytes) -> Sums:
    """What the organization is charged for."""
    found = db.read(
        lambda reader: reader.fetch(
            OrganizationUsage.select().where(OrganizationUsage.organization_id == organization_id)
        )
    )
    return Sums(sum(row.stored_bytes for row in found), sum(row.file_count for row in found))


def assert_counted(db: Database) -> None:
    """Of every organization the counters say what is there."""
    organizations = db.read(lambda reader: reader.fetch(Organization.select()))
    assert organizations
    for organization in organizations:
        assert counters_of(db, organization.id) == rows_of(db, organization.id), organization.slug
