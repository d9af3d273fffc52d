"""Organizations in full: what is told of one to whoever asks for it, and the queries that read and write that."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any, Final

from store.access.access import Access
from store.database import Query, Statement, Transaction, hole
from store.errors import OrganizationNotFound
from store.organizations.lookup import find_organization
from store.organizations.models import Organization
from store.organizations.rows import ORGANIZATION_COLUMNS, OrganizationRow


class AvatarType(IntEnum):
    """What stands for an organization. The numbers are kept in the database."""

    LETTER = 1
    UPLOAD = 2


@dataclass(frozen=True, slots=True)
class OrganizationDetails(OrganizationRow):
    """An organization in full. avatar_content_id and avatar_uid are None until a picture is uploaded; the uid changes
    with each picture."""

    avatar_type: AvatarType
    avatar_content_id: bytes | None
    avatar_uid: bytes | None
    join_requests: bool
    early_adopter: bool
    events_member_admin: bool
    alerts_member_write: bool

    def shown(self) -> OrganizationDetails:
        """The same as it is told: the slug in place of a display name that nobody gave."""
        return self if self.display_name else replace(self, display_name=self.slug)


DETAILS_COLUMNS: Final = (
    *ORGANIZATION_COLUMNS,
    Organization.avatar_type,
    Organization.avatar_content_id,
    Organization.avatar_uid,
    Organization.join_requests,
    Organization.early_adopter,
    Organization.events_member_admin,
    Organization.alerts_member_write,
)
"""The columns of an `OrganizationDetails`, in its order."""

_NULLABLE: Final = (
    "avatar_content_id",
    "avatar_uid",
    "quota_stored_bytes",
    "quota_file_count",
    "quota_stream_count",
)


def stored_details(*columns: Any) -> OrganizationDetails:
    """The details from columns as `DETAILS_COLUMNS` names them; the display name as it is kept."""
    stored = OrganizationDetails(*columns)
    return replace(stored, avatar_type=AvatarType(stored.avatar_type))


BY_ID: Final = Query(
    Organization.select(*DETAILS_COLUMNS).where(
        Organization.id == hole(Organization.id), Organization.delete_time.is_null()
    ),
    row=stored_details,
)


def _holes() -> dict[Any, Any]:
    return {column: hole(column, nullable=column.name in _NULLABLE) for column in DETAILS_COLUMNS}


INSERT: Final = Statement(Organization.insert(_holes()))
UPDATE: Final = Statement(
    Organization.update(
        {column: value for column, value in _holes().items() if column.name not in ("id", "create_time")}
    ).where(Organization.id == hole(Organization.id))
)


def lock_details(tx: Transaction, access: Access, slug: str) -> OrganizationDetails:
    """The organization as it is stored, locked until the transaction ends. Raises `OrganizationNotFound`."""
    found = tx.lock(BY_ID, id=find_organization(tx, access, slug).id)
    if found is None:
        raise OrganizationNotFound(slug)
    return found


def write_details(tx: Transaction, statement: Statement, details: OrganizationDetails) -> None:
    """Write all columns of the organization with `INSERT` or `UPDATE`."""
    values = {field.name: getattr(details, field.name) for field in fields(details)}
    values["avatar_type"] = int(details.avatar_type)
    if statement is UPDATE:
        del values["create_time"]
    tx.run(statement, **values)
