"""Holding the counters against the rows that they count, and forgetting those of organizations that are gone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any, Final, NamedTuple

import peewee

from store.blobs.models import LIVE, Chunk, Content
from store.database import Database, Query, Reader, Statement, Transaction, hole
from store.files.models import ReleaseFile
from store.organizations.models import Organization
from store.quotas.charges import shard_count
from store.quotas.models import OrganizationUsage
from store.releases.models import Release

PAGE_ROWS: Final = 500

_ID: Final = hole(OrganizationUsage.organization_id)


def _sum(model: Any, value: Any, where: Any) -> Any:
    """A sum over rows of one organization, as a column."""
    return peewee.fn.COALESCE(model.select(peewee.fn.SUM(value)).where(where), 0)


_COUNTED: Final = (
    _sum(OrganizationUsage, OrganizationUsage.stored_bytes, OrganizationUsage.organization_id == _ID),
    _sum(OrganizationUsage, OrganizationUsage.file_count, OrganizationUsage.organization_id == _ID),
)
_THERE: Final = (
    _sum(Chunk, Chunk.stored_bytes, (Chunk.organization_id == _ID) & (Chunk.state == LIVE)),
    _sum(
        Content,
        peewee.fn.LENGTH(Content.inline_data),
        (Content.organization_id == _ID) & Content.inline_data.is_null(False),
    ),
    # Found by their releases: files have no index by their organization.
    Release.select(peewee.fn.COUNT(ReleaseFile.id))
    .join(ReleaseFile, on=(ReleaseFile.release_id == Release.id))
    .where(Release.organization_id == _ID),
)
# One statement, so that all sums are of one moment.
_COUNTED_AND_THERE: Final = Query(peewee.Select(columns=[*_COUNTED, *_THERE]))

_ORGANIZATIONS: Final = Query(
    Organization.select(Organization.id)
    .where(Organization.id > hole(Organization.id))
    .order_by(Organization.id)
    .limit(PAGE_ROWS)
)
_OF: Final = OrganizationUsage.organization_id == hole(OrganizationUsage.organization_id)
_LOCK: Final = Query(OrganizationUsage.select(OrganizationUsage.shard).where(_OF).order_by(OrganizationUsage.shard))
_EMPTY: Final = Statement(
    OrganizationUsage.update({OrganizationUsage.stored_bytes: 0, OrganizationUsage.file_count: 0}).where(_OF)
)
_MAKE: Final = Statement(
    OrganizationUsage.insert(
        {
            OrganizationUsage.organization_id: _ID,
            OrganizationUsage.shard: hole(OrganizationUsage.shard),
            OrganizationUsage.stored_bytes: 0,
            OrganizationUsage.file_count: 0,
            OrganizationUsage.is_limited: False,
        }
    ).on_conflict(action="nothing", conflict_target=[OrganizationUsage.organization_id, OrganizationUsage.shard])
)
_SET: Final = Statement(
    OrganizationUsage.update(
        {
            OrganizationUsage.stored_bytes: hole(OrganizationUsage.stored_bytes),
            OrganizationUsage.file_count: hole(OrganizationUsage.file_count),
        }
    ).where(_OF, OrganizationUsage.shard == 0)
)
_GONE: Final = Query(
    OrganizationUsage.select(OrganizationUsage.organization_id)
    .join(Organization, peewee.JOIN.LEFT_OUTER, on=(Organization.id == OrganizationUsage.organization_id))
    .where(Organization.id.is_null(), OrganizationUsage.organization_id > _ID)
    .order_by(OrganizationUsage.organization_id)
    .limit(1)
)
_FORGET: Final = Statement(OrganizationUsage.delete().where(_OF))
_ANYTHING: Final = tuple(
    Query(model.select(peewee.SQL("1")).where(model.organization_id == hole(model.organization_id)).limit(1))
    for model in (Chunk, Content, Release)
)


class Counted(NamedTuple):
    """An organization, what its counters say, and what its rows are."""

    organization_id: bytes
    stored_bytes: int
    file_count: int
    real_stored_bytes: int
    real_file_count: int

    @property
    def is_right(self) -> bool:
        """Whether the counters say what is there."""
        return (self.stored_bytes, self.file_count) == (self.real_stored_bytes, self.real_file_count)


def counted_organizations(database: Database) -> Iterator[Counted]:
    """Every organization with its counters held against its rows, each of one moment."""
    for organization_id in chain(_organizations(database), gone_organizations(database)):
        yield database.read(partial(_count, organization_id=organization_id))


def recount(tx: Transaction, organization_id: bytes) -> Counted:
    """Makes the counters say what is there; what they said. Who adds or removes something waits meanwhile."""
    _hold(tx, organization_id)
    found = _count(tx, organization_id)
    if not found.is_right:
        tx.run(_EMPTY, organization_id=organization_id)
        tx.run(
            _SET,
            organization_id=organization_id,
            stored_bytes=found.real_stored_bytes,
            file_count=found.real_file_count,
        )
    return found


def gone_organizations(database: Database) -> Iterator[bytes]:
    """The organizations that have counters, and no row any more."""
    after = b"\0" * 16
    while (row := database.row(_GONE, organization_id=after)) is not None:
        after = row[0]
        yield after


def forget_counters(tx: Transaction, organization_id: bytes) -> int:
    """Removes the counters of an organization that is gone, once nothing is left of what they count; how many."""
    _hold(tx, organization_id)
    if any(tx.row(query, organization_id=organization_id) is not None for query in _ANYTHING):
        return 0
    return tx.run(_FORGET, organization_id=organization_id)


def _organizations(database: Database) -> Iterator[bytes]:
    after = b"\0" * 16
    while rows := database.rows(_ORGANIZATIONS, id=after):
        yield from (organization_id for (organization_id,) in rows)
        after = rows[-1][0]


def _hold(tx: Transaction, organization_id: bytes) -> None:
    """Holds all counters that there may be, so that what later statements see is counted, and nothing else is."""
    for shard in range(shard_count(tx)):
        tx.run(_MAKE, organization_id=organization_id, shard=shard)
    tx.lock_all(_LOCK, organization_id=organization_id)


def _count(reader: Reader, organization_id: bytes) -> Counted:
    (found,) = reader.rows(_COUNTED_AND_THERE, organization_id=organization_id)
    counted_bytes, counted_files, chunk_bytes, inline_bytes, files = map(int, found)
    return Counted(organization_id, counted_bytes, counted_files, chunk_bytes + inline_bytes, files)
