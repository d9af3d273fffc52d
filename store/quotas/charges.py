"""Charging organizations for what is stored for them, in the very transactions that store or remove it.

What a transaction adds and removes is gathered, and written to a counter as its last step. Where no quota is set that
is one statement, which reads nothing and waits for hardly anybody: each takes one of several counters. Where one is
set, whoever adds something holds one counter until its transaction ends, and so looks at what all others have added.
See behaviour.md, Quotas.
"""

from __future__ import annotations

import random
from typing import Any, Final

import peewee

from store.database import Query, Statement, Transaction, hole, holes_for
from store.database.engine import LastStep
from store.errors import QuotaExceeded
from store.organizations.models import Organization
from store.quotas.models import OrganizationUsage
from store.quotas.quota import FILE_COUNT, NO_QUOTA, STORED_BYTES, Quota

SHARDS: Final = 16
"""Counters an organization on PostgreSQL. On SQLite one is enough: there one writes at a time."""

_ROW: Final = {
    **holes_for(
        OrganizationUsage.organization_id,
        OrganizationUsage.shard,
        OrganizationUsage.stored_bytes,
        OrganizationUsage.file_count,
    ),
    OrganizationUsage.is_limited: False,
}
_KEY: Final = [OrganizationUsage.organization_id, OrganizationUsage.shard]
_SUMS: Final = {
    OrganizationUsage.stored_bytes: OrganizationUsage.stored_bytes + peewee.EXCLUDED.stored_bytes,
    OrganizationUsage.file_count: OrganizationUsage.file_count + peewee.EXCLUDED.file_count,
}
_ADD: Final = Statement(OrganizationUsage.insert(_ROW).on_conflict(conflict_target=_KEY, update=_SUMS))
_ADD_FREELY: Final = Statement(
    OrganizationUsage.insert(_ROW).on_conflict(conflict_target=_KEY, update=_SUMS, where=~OrganizationUsage.is_limited)
)
_STANDING: Final = Query(
    Organization.select(
        Organization.quota_stored_bytes,
        Organization.quota_file_count,
        peewee.fn.SUM(OrganizationUsage.stored_bytes),
        peewee.fn.SUM(OrganizationUsage.file_count),
    )
    .join(OrganizationUsage, on=(OrganizationUsage.organization_id == Organization.id))
    .where(Organization.id == hole(Organization.id))
    .group_by(Organization.id, Organization.quota_stored_bytes, Organization.quota_file_count)
)


class Charges(LastStep):
    """What one transaction adds to organizations and removes from them, net."""

    def __init__(self) -> None:
        self._sums: dict[bytes, tuple[int, int]] = {}
        self._unasked: set[bytes] = set()

    def add(self, organization_id: bytes, stored_bytes: int, file_count: int, *, asked: bool) -> None:
        """So much more, or less where negative."""
        before = self._sums.get(organization_id, (0, 0))
        self._sums[organization_id] = (before[0] + stored_bytes, before[1] + file_count)
        if not asked:
            self._unasked.add(organization_id)

    def carry_out(self, tx: Transaction) -> None:
        """Write the sums. In the order of the organizations: two transactions may have several in common."""
        for organization_id, (stored_bytes, file_count) in sorted(self._sums.items()):
            if stored_bytes or file_count:
                _settle(tx, organization_id, stored_bytes, file_count, asked=organization_id not in self._unasked)


def charge(
    tx: Transaction, organization_id: bytes, *, stored_bytes: int = 0, file_count: int = 0, asked: bool = True
) -> None:
    """Whoever changes rows that count tells by how much, in the same transaction.

    The transaction fails with QuotaExceeded in the end when it adds, net, to something of which a quota then allows
    less. What stands already never fails, nor what was not `asked` for: a repair.
    """
    tx.last_step(Charges).add(organization_id, stored_bytes, file_count, asked=asked)


def shard_count(tx: Transaction) -> int:
    """How many counters an organization may have here."""
    return 1 if tx.is_alone else SHARDS


def _settle(tx: Transaction, organization_id: bytes, stored_bytes: int, file_count: int, *, asked: bool) -> None:
    added = {STORED_BYTES: stored_bytes, FILE_COUNT: file_count}
    sums: dict[str, Any] = {"organization_id": organization_id, **added}
    shard = random.randrange(shard_count(tx))  # noqa: S311 - no secret
    growing = [name for name, more in added.items() if more > 0]
    if not asked or not growing:
        tx.run(_ADD, shard=shard, **sums)
        return
    defaults: Quota = tx.configured.get(Quota, NO_QUOTA)
    if not defaults.limits(growing) and tx.run(_ADD_FREELY, shard=shard, **sums):
        return
    # From here to its end this transaction holds the first counter, as all do that add something to an organization
    # with a quota: in the next statement it sees what every one before it has added.
    tx.run(_ADD, shard=0, **sums)
    found = tx.row(_STANDING, id=organization_id)
    if found is None:  # deleted meanwhile: the collector will see to it
        return
    holds = Quota(found[0], found[1]).over(defaults)
    total = {STORED_BYTES: int(found[2]), FILE_COUNT: int(found[3])}
    for name in growing:
        limit: int | None = getattr(holds, name)
        if limit is not None and total[name] > limit:
            raise QuotaExceeded(name, limit=limit, used=total[name] - added[name])
