"""Creating, reading and changing organizations."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final, TypeVar
from uuid import UUID

from store.access.access import Access
from store.access.scopes import INSTALLATION_ADMIN, SCOPES
from store.activity.record import record_activity
from store.database import PLAIN, Database, Query, Reader, Statement, Terms, Transaction, hole, holes_for, new_id
from store.errors import InvalidField, OrganizationExists, OrganizationNotFound, ScopeMissing
from store.organizations.details import (
    BY_ID,
    DETAILS_COLUMNS,
    INSERT,
    UPDATE,
    AvatarType,
    OrganizationDetails,
    lock_details,
    stored_details,
    write_details,
)
from store.organizations.lookup import find_organization
from store.organizations.models import Organization, OrganizationSlug
from store.organizations.rows import ORGANIZATION_COLUMNS, OrganizationRow, organization_row
from store.organizations.slugs import check_slug
from store.paging import Page, PageRequest, page_of, paged
from store.quotas.quota import Usage
from store.quotas.usage import default_quota, set_limited, usage_of

M = TypeVar("M")

ROLES: Final = SCOPES - {INSTALLATION_ADMIN}
"""The scopes that downloading files of a kind may be made to need: those that tokens of an organization can have."""


@dataclass(frozen=True, slots=True)
class OrganizationDraft:
    """An organization to create. An empty display_name means that the slug is shown, an empty role `release:read`."""

    slug: str
    display_name: str = ""
    open_membership: bool = False
    debug_files_role: str = ""
    attachments_role: str = ""
    avatar_type: AvatarType = AvatarType.LETTER
    join_requests: bool = False
    early_adopter: bool = False
    events_member_admin: bool = False
    alerts_member_write: bool = False
    quota_stored_bytes: int | None = None
    quota_file_count: int | None = None
    quota_stream_count: int | None = None


@dataclass(frozen=True, slots=True)
class OrganizationChanges:
    """What to change of an organization; None leaves as it is, an empty display_name or role clears it, and so does
    CLEARED for a quota."""

    slug: str | None = None
    display_name: str | None = None
    open_membership: bool | None = None
    debug_files_role: str | None = None
    attachments_role: str | None = None
    avatar_type: AvatarType | None = None
    join_requests: bool | None = None
    early_adopter: bool | None = None
    events_member_admin: bool | None = None
    alerts_member_write: bool | None = None
    quota_stored_bytes: int | None = None
    quota_file_count: int | None = None
    quota_stream_count: int | None = None


_ROW_BY_ID = Query(
    Organization.select(*ORGANIZATION_COLUMNS).where(
        Organization.id == hole(Organization.id), Organization.delete_time.is_null()
    ),
    row=organization_row,
)
_CLAIM_SLUG = Statement(
    OrganizationSlug.insert(holes_for(OrganizationSlug.slug, OrganizationSlug.organization_id)).on_conflict(
        action="nothing", conflict_target=[OrganizationSlug.slug]
    )
)
_SLUG_OWNER = Query(
    OrganizationSlug.select(OrganizationSlug.organization_id).where(
        OrganizationSlug.slug == hole(OrganizationSlug.slug)
    )
)


CLEARED: Final = -1
"""The change of a quota to what the server's settings say."""


def create_organization(db: Database, draft: OrganizationDraft, terms: Terms[OrganizationDetails, M] = PLAIN) -> M:
    """Create an organization.

    Only the installation's tokens may, which the scope of the method sees to. Raises `InvalidField` for a bad slug, a
    role that is no scope and for avatar type UPLOAD, `OrganizationExists` when the slug is, or ever was, another's; of
    calls at once for one slug, one succeeds.
    """
    check_slug(draft.slug, field="organization.slug")
    _check_roles(draft.debug_files_role, draft.attachments_role)
    if draft.avatar_type is AvatarType.UPLOAD:
        raise _no_picture()
    return db.write(lambda tx: _create(tx, draft), terms)


def get_organization(db: Database, access: Access, slug: str) -> OrganizationDetails:
    """The organization that has this slug, or once had it. Raises `OrganizationNotFound`."""

    def read(reader: Reader) -> OrganizationDetails:
        found = reader.row(BY_ID, id=find_organization(reader, access, slug).id)
        if found is None:  # deleted between the two, on PostgreSQL
            raise OrganizationNotFound(slug)
        return found.shown()

    return db.read(read)


def get_usage(db: Database, access: Access, slug: str) -> tuple[OrganizationDetails, Usage]:
    """The same, with how much it has and may have."""
    defaults = default_quota(db)

    def read(reader: Reader) -> tuple[OrganizationDetails, Usage]:
        found = reader.row(BY_ID, id=find_organization(reader, access, slug).id)
        if found is None:
            raise OrganizationNotFound(slug)
        return found.shown(), usage_of(reader, found, defaults)

    return db.read(read)


def list_organizations(db: Database, access: Access, request: PageRequest) -> Page[OrganizationDetails]:
    """A page of the organizations that the caller reaches, by slug: its own, or for an operator's token all."""

    def read(reader: Reader) -> Page[OrganizationDetails]:
        query = Organization.select(*DETAILS_COLUMNS).where(Organization.delete_time.is_null())
        if not access.is_operator:
            query = query.where(Organization.id == access.organization_id)
        rows = reader.fetch(paged(query, request, [Organization.slug]).tuples())
        return page_of([stored_details(*row).shown() for row in rows], request, lambda row: (row.slug,))

    return db.read(read)


def update_organization(
    db: Database,
    access: Access,
    slug: str,
    changes: OrganizationChanges,
    terms: Terms[OrganizationDetails, M] = PLAIN,
) -> M:
    """Change an organization; without a change nothing is written and update_time stays.

    The old slug stays an alias for ever, and may be taken back by its owner. A quota is for tokens of the installation
    that may administer it, and holds for whatever is added from then on. An activity `organization_changed` tells of
    every field from what to what. Raises `OrganizationNotFound`; `ScopeMissing` for a quota; `InvalidField` for a bad
    new slug, a role that is no scope and avatar type UPLOAD without an uploaded picture; `OrganizationExists` when the
    new slug is, or ever was, another's.
    """
    if changes.slug is not None:
        check_slug(changes.slug, field="organization.slug")
    _check_roles(changes.debug_files_role or "", changes.attachments_role or "")
    return db.write(lambda tx: _update(tx, access, slug, changes), terms)


def lock_organization(tx: Transaction, access: Access, slug: str) -> OrganizationRow:
    """The organization, as `find_organization`, and nobody else changes its row until the transaction ends."""
    found = tx.lock(_ROW_BY_ID, id=find_organization(tx, access, slug).id)
    if found is None:
        raise OrganizationNotFound(slug)
    return found


def record_changes(tx: Transaction, access: Access, before: OrganizationDetails, after: OrganizationDetails) -> None:
    """Record the activity `organization_changed`: each changed field with what it was and what it is now."""
    told = {
        field.name: [_told(getattr(before, field.name)), _told(getattr(after, field.name))]
        for field in fields(OrganizationChanges)
        if getattr(before, field.name) != getattr(after, field.name)
    }
    if before.avatar_uid != after.avatar_uid:
        told["avatar_uid"] = [_told(before.avatar_uid), _told(after.avatar_uid)]
    record_activity(
        tx,
        access,
        organization_id=after.id,
        project_id=None,
        kind="organization_changed",
        subject=after.slug,
        data=told,
        happen_time=tx.now,
    )


def _told(value: Any) -> Any:
    """A value as an activity holds it."""
    if isinstance(value, AvatarType):
        return value.name
    return str(UUID(bytes=value)) if isinstance(value, bytes) else value


def _create(tx: Transaction, draft: OrganizationDraft) -> OrganizationDetails:
    organization_id = new_id()
    # The claim decides between simultaneous calls: on PostgreSQL the later one waits here for the earlier to end.
    if not tx.run(_CLAIM_SLUG, slug=draft.slug, organization_id=organization_id):
        raise OrganizationExists(draft.slug)
    made = OrganizationDetails(
        id=organization_id,
        create_time=tx.now,
        update_time=tx.now,
        avatar_content_id=None,
        avatar_uid=None,
        **{field.name: getattr(draft, field.name) for field in fields(draft)},
    )
    write_details(tx, INSERT, made)
    if made.quota.limits_storage:
        set_limited(tx, made.id, made.quota)
    return made.shown()


def _update(tx: Transaction, access: Access, slug: str, changes: OrganizationChanges) -> OrganizationDetails:
    stored = lock_details(tx, access, slug)
    said = {field.name: getattr(changes, field.name) for field in fields(changes)}
    new: dict[str, Any] = {
        name: None if value == CLEARED else value for name, value in said.items() if value is not None
    }
    changed = replace(stored, **new)
    if changed.quota != stored.quota and not access.may(INSTALLATION_ADMIN):
        raise ScopeMissing(INSTALLATION_ADMIN)
    if changes.avatar_type is AvatarType.UPLOAD and stored.avatar_content_id is None:
        raise _no_picture()
    if changed != stored:
        changed = replace(changed, update_time=tx.now)
        if changed.slug != stored.slug and not tx.run(_CLAIM_SLUG, slug=changed.slug, organization_id=stored.id):
            owner = tx.row(_SLUG_OWNER, slug=changed.slug)
            if owner is None or owner[0] != stored.id:
                raise OrganizationExists(changed.slug)
        write_details(tx, UPDATE, changed)
        if changed.quota != stored.quota:
            set_limited(tx, stored.id, changed.quota)
        record_changes(tx, access, stored, changed)
    return changed.shown()


def _check_roles(debug_files_role: str, attachments_role: str) -> None:
    for field, role in (("debug_files_role", debug_files_role), ("attachments_role", attachments_role)):
        if role and role not in ROLES:
            problem = f"{role!r} is no scope of an organization's tokens; those are {', '.join(sorted(ROLES))}"
            raise InvalidField(f"organization.{field}", problem)


def _no_picture() -> InvalidField:
    return InvalidField("organization.avatar_type", "UPLOAD needs an uploaded picture: UploadAvatar sets both")
