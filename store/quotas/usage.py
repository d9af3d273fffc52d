"""Reading usage, and saying what is limited (behaviour.md, Quotas)."""

from __future__ import annotations

from typing import Final

import peewee

from store.blobs.models import Content
from store.database import Database, Query, Reader, Statement, Transaction, hole, holes_for
from store.errors import QuotaExceeded
from store.organizations.rows import OrganizationRow
from store.quotas.charges import shard_count
from store.quotas.models import OrganizationUsage
from store.quotas.quota import FILE_COUNT, NO_QUOTA, STORED_BYTES, Quota, Usage

_OF: Final = OrganizationUsage.organization_id == hole(OrganizationUsage.organization_id)
_SUMS: Final = Query(
    OrganizationUsage.select(
        peewee.fn.COALESCE(peewee.fn.SUM(OrganizationUsage.stored_bytes), 0),
        peewee.fn.COALESCE(peewee.fn.SUM(OrganizationUsage.file_count), 0),
    ).where(_OF)
)
_LIMIT: Final = Statement(
    OrganizationUsage.insert(
        {
            **holes_for(OrganizationUsage.organization_id, OrganizationUsage.shard, OrganizationUsage.is_limited),
            OrganizationUsage.stored_bytes: 0,
            OrganizationUsage.file_count: 0,
        }
    ).on_conflict(
        conflict_target=[OrganizationUsage.organization_id, OrganizationUsage.shard],
        update={OrganizationUsage.is_limited: peewee.EXCLUDED.is_limited},
    )
)
_OWN_CONTENT: Final = Query(
    Content.select(Content.id).where(
        Content.organization_id == hole(Content.organization_id), Content.sha256 == hole(Content.sha256)
    )
)


def usage_of(reader: Reader, organization: OrganizationRow, defaults: Quota) -> Usage:
    """How much the organization has."""
    stored_bytes, file_count = _counted(reader, organization.id)
    return Usage(stored_bytes, file_count, organization.quota.over(defaults))


def default_quota(database: Database) -> Quota:
    """What holds for organizations of which nothing else is said."""
    found: Quota = database.configured.get(Quota, NO_QUOTA)
    return found


def set_default_quota(database: Database, quota: Quota) -> None:
    """From now on this holds for organizations of which nothing else is said, as far as this process serves them."""
    database.configured[Quota] = quota


def set_limited(tx: Transaction, organization_id: bytes, quota: Quota) -> None:
    """The organization, whose row is locked, has this quota of its own from now on.

    Waits for those who add something just now; who comes later finds that a quota is set.
    """
    for shard in range(shard_count(tx)):
        tx.run(_LIMIT, organization_id=organization_id, shard=shard, is_limited=quota.limits_storage)


def check_room(
    reader: Reader,
    organization: OrganizationRow,
    defaults: Quota,
    *,
    adds_bytes: bool = True,
    adds_file: bool = True,
    sha256: bytes | None = None,
) -> None:
    """Returns unless what is to come, of which nothing is stored yet, certainly exceeds a quota that is used up.

    How many bytes it adds is not known before it came: what the organization has already adds none. sha256, if it is
    announced, is looked for, therefore. Reads nothing where no quota is set. Raises QuotaExceeded.
    """
    quota = organization.quota.over(defaults)
    limits = {STORED_BYTES: quota.stored_bytes if adds_bytes else None, FILE_COUNT: quota.file_count}
    if not adds_file:
        limits[FILE_COUNT] = None
    if limits == {STORED_BYTES: None, FILE_COUNT: None}:
        return
    stored_bytes, file_count = _counted(reader, organization.id)
    for name, used in ((FILE_COUNT, file_count), (STORED_BYTES, stored_bytes)):
        limit = limits[name]
        if limit is None or used < limit:
            continue
        if name == FILE_COUNT or not _has_content(reader, organization.id, sha256):
            raise QuotaExceeded(name, limit=limit, used=used)


def _counted(reader: Reader, organization_id: bytes) -> tuple[int, int]:
    (stored_bytes, file_count), *_ = reader.rows(_SUMS, organization_id=organization_id)
    return int(stored_bytes), int(file_count)


def _has_content(reader: Reader, organization_id: bytes, sha256: bytes | None) -> bool:
    return sha256 is not None and bool(reader.rows(_OWN_CONTENT, organization_id=organization_id, sha256=sha256))
