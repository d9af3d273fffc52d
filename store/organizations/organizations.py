"""Creating, reading and changing organizations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from store.access.access import Access
from store.database import PLAIN, Database, Query, Reader, Statement, Terms, Transaction, hole, new_id
from store.errors import OrganizationExists, OrganizationNotFound
from store.organizations.lookup import ORGANIZATION_COLUMNS, OrganizationRow, find_organization, organization_row
from store.organizations.models import Organization, OrganizationSlug
from store.organizations.slugs import check_slug
from store.paging import Page, PageRequest, page_of, paged

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class OrganizationDraft:
    """An organization to create. An empty display_name means that the slug is shown."""

    slug: str
    display_name: str = ""
    open_membership: bool = False


@dataclass(frozen=True, slots=True)
class OrganizationChanges:
    """What to change of an organization; None leaves as it is, an empty display_name clears it."""

    slug: str | None = None
    display_name: str | None = None
    open_membership: bool | None = None


_BY_ID = Query(
    Organization.select(*ORGANIZATION_COLUMNS).where(Organization.id == hole(Organization.id)), row=organization_row
)
# The row as it is kept, without the slug in place of a missing display name.
_STORED_BY_ID = Query(
    Organization.select(*ORGANIZATION_COLUMNS).where(Organization.id == hole(Organization.id)), row=OrganizationRow
)
_INSERT = Statement(
    Organization.insert(
        {
            Organization.id: hole(Organization.id),
            Organization.slug: hole(Organization.slug),
            Organization.display_name: hole(Organization.display_name),
            Organization.open_membership: hole(Organization.open_membership),
            Organization.create_time: hole(Organization.create_time),
            Organization.update_time: hole(Organization.update_time),
        }
    )
)
_UPDATE = Statement(
    Organization.update(
        {
            Organization.slug: hole(Organization.slug),
            Organization.display_name: hole(Organization.display_name),
            Organization.open_membership: hole(Organization.open_membership),
            Organization.update_time: hole(Organization.update_time),
        }
    ).where(Organization.id == hole(Organization.id))
)
_CLAIM_SLUG = Statement(
    OrganizationSlug.insert(
        {
            OrganizationSlug.slug: hole(OrganizationSlug.slug),
            OrganizationSlug.organization_id: hole(OrganizationSlug.organization_id),
        }
    ).on_conflict(action="nothing", conflict_target=[OrganizationSlug.slug])
)
_SLUG_OWNER = Query(
    OrganizationSlug.select(OrganizationSlug.organization_id).where(
        OrganizationSlug.slug == hole(OrganizationSlug.slug)
    )
)


def create_organization(db: Database, draft: OrganizationDraft, terms: Terms[OrganizationRow, M] = PLAIN) -> M:
    """Create an organization.

    Only the installation's tokens may, which the scope of the method sees to. Raises `InvalidField` for a bad slug,
    `OrganizationExists` when the slug is, or ever was, another's; of calls at once for one slug, one succeeds.
    """
    check_slug(draft.slug, field="organization.slug")
    return db.write(lambda tx: _create(tx, draft), terms)


def get_organization(db: Database, access: Access, slug: str) -> OrganizationRow:
    """The organization that has this slug, or once had it. Raises `OrganizationNotFound`."""
    return db.read(lambda reader: find_organization(reader, access, slug))


def list_organizations(db: Database, access: Access, request: PageRequest) -> Page[OrganizationRow]:
    """A page of the organizations that the caller reaches, by slug: its own, or for an operator's token all."""

    def read(reader: Reader) -> Page[OrganizationRow]:
        query = Organization.select(*ORGANIZATION_COLUMNS)
        if not access.is_operator:
            query = query.where(Organization.id == access.organization_id)
        rows = reader.fetch(paged(query, request, [Organization.slug]).tuples())
        return page_of([organization_row(*row) for row in rows], request, lambda row: (row.slug,))

    return db.read(read)


def update_organization(
    db: Database,
    access: Access,
    slug: str,
    changes: OrganizationChanges,
    terms: Terms[OrganizationRow, M] = PLAIN,
) -> M:
    """Change an organization; without a change nothing is written and update_time stays.

    The old slug stays an alias for ever, and may be taken back by its owner. Raises `OrganizationNotFound`,
    `InvalidField` for a bad new slug, `OrganizationExists` when that is, or ever was, another's.
    """
    if changes.slug is not None:
        check_slug(changes.slug, field="organization.slug")
    return db.write(lambda tx: _update(tx, access, slug, changes), terms)


def lock_organization(tx: Transaction, access: Access, slug: str) -> OrganizationRow:
    """The organization, as `find_organization`, and nobody else changes its row until the transaction ends."""
    found = tx.lock(_BY_ID, id=find_organization(tx, access, slug).id)
    if found is None:
        raise OrganizationNotFound(slug)
    return found


def _create(tx: Transaction, draft: OrganizationDraft) -> OrganizationRow:
    organization_id = new_id()
    # The claim decides between simultaneous calls: on PostgreSQL the later one waits here for the earlier to end.
    if not tx.run(_CLAIM_SLUG, slug=draft.slug, organization_id=organization_id):
        raise OrganizationExists(draft.slug)
    tx.run(
        _INSERT,
        id=organization_id,
        slug=draft.slug,
        display_name=draft.display_name,
        open_membership=draft.open_membership,
        create_time=tx.now,
        update_time=tx.now,
    )
    return organization_row(organization_id, draft.slug, draft.display_name, draft.open_membership, tx.now, tx.now)


def _update(tx: Transaction, access: Access, slug: str, changes: OrganizationChanges) -> OrganizationRow:
    stored = tx.lock(_STORED_BY_ID, id=find_organization(tx, access, slug).id)
    if stored is None:
        raise OrganizationNotFound(slug)
    changed = replace(
        stored,
        slug=stored.slug if changes.slug is None else changes.slug,
        display_name=stored.display_name if changes.display_name is None else changes.display_name,
        open_membership=stored.open_membership if changes.open_membership is None else changes.open_membership,
    )
    if changed != stored:
        changed = replace(changed, update_time=tx.now)
        if changed.slug != stored.slug and not tx.run(_CLAIM_SLUG, slug=changed.slug, organization_id=stored.id):
            owner = tx.row(_SLUG_OWNER, slug=changed.slug)
            if owner is None or owner[0] != stored.id:
                raise OrganizationExists(changed.slug)
        tx.run(
            _UPDATE,
            id=changed.id,
            slug=changed.slug,
            display_name=changed.display_name,
            open_membership=changed.open_membership,
            update_time=changed.update_time,
        )
    return replace(changed, display_name=changed.display_name or changed.slug)
