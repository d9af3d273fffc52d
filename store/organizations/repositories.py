"""Creating, reading and changing repositories.

Repositories that commits name come into being by themselves (see `store.commits`); this is for telling more of one.
Among the active repositories of an organization a display name is unique, and an external id with its provider among
all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TypeVar
from uuid import UUID

from store.access.access import Access
from store.database import PLAIN, Database, Query, Reader, Statement, Terms, Transaction, hole, holes_for, new_id
from store.errors import InvalidField, RepositoryExists, RepositoryNotFound
from store.organizations.lookup import find_organization
from store.organizations.models import Repository
from store.organizations.organizations import lock_organization
from store.organizations.rows import OrganizationRow
from store.paging import Page, PageRequest, page_of, paged

M = TypeVar("M")


class RepositoryState(IntEnum):
    """Whether a repository takes commits; numbers as kept, and as in the contract."""

    ACTIVE = 1
    DISABLED = 2


@dataclass(frozen=True, slots=True)
class RepositoryRow:
    """A repository as stored; external_id is "" when it has none. Times in microseconds UTC."""

    id: bytes
    organization_id: bytes
    display_name: str
    url: str
    provider: str
    external_id: str
    state: RepositoryState
    create_time: int
    update_time: int


@dataclass(frozen=True, slots=True)
class RepositoryDraft:
    """A repository to create."""

    display_name: str
    url: str = ""
    provider: str = ""
    external_id: str = ""
    state: RepositoryState = RepositoryState.ACTIVE


@dataclass(frozen=True, slots=True)
class RepositoryChanges:
    """What to change of a repository; None leaves as it is, empty text clears (but never the display name)."""

    display_name: str | None = None
    url: str | None = None
    provider: str | None = None
    external_id: str | None = None
    state: RepositoryState | None = None


# What these verbs answer: the repository, and the organization that its name begins with.
RepositoryInOrganization = tuple[OrganizationRow, RepositoryRow]

_COLUMNS = (
    Repository.id,
    Repository.organization_id,
    Repository.display_name,
    Repository.url,
    Repository.provider,
    Repository.external_id,
    Repository.state,
    Repository.create_time,
    Repository.update_time,
)


def _repository_row(
    uid: bytes,
    organization_id: bytes,
    display_name: str,
    url: str,
    provider: str,
    external_id: str | None,
    state: int,
    create_time: int,
    update_time: int,
) -> RepositoryRow:
    return RepositoryRow(
        uid,
        organization_id,
        display_name,
        url,
        provider,
        external_id or "",
        RepositoryState(state),
        create_time,
        update_time,
    )


_BY_ID = Query(
    Repository.select(*_COLUMNS).where(
        Repository.organization_id == hole(Repository.organization_id), Repository.id == hole(Repository.id)
    ),
    row=_repository_row,
)
_BY_ACTIVE_NAME = Query(
    Repository.select(Repository.id).where(
        Repository.organization_id == hole(Repository.organization_id),
        Repository.active_name == hole(Repository.active_name),
    )
)
_BY_EXTERNAL_ID = Query(
    Repository.select(Repository.id).where(
        Repository.organization_id == hole(Repository.organization_id),
        Repository.provider == hole(Repository.provider),
        Repository.external_id == hole(Repository.external_id),
    )
)
_INSERT = Statement(Repository.insert(holes_for(*_COLUMNS, Repository.active_name)))
_UPDATE = Statement(
    Repository.update(
        holes_for(
            Repository.display_name,
            Repository.active_name,
            Repository.url,
            Repository.provider,
            Repository.external_id,
            Repository.state,
            Repository.update_time,
        )
    ).where(Repository.id == hole(Repository.id))
)


def create_repository(
    db: Database,
    access: Access,
    organization: str,
    draft: RepositoryDraft,
    terms: Terms[RepositoryInOrganization, M] = PLAIN,
) -> M:
    """Create a repository in the organization with this slug.

    Raises `OrganizationNotFound`, `InvalidField` without a display name, `RepositoryExists` when an active repository
    has the display name or any has the external id with the provider.
    """
    _check_display_name(draft.display_name)
    return db.write(lambda tx: _create(tx, access, organization, draft), terms)


def get_repository(db: Database, access: Access, organization: str, repository_id: bytes) -> RepositoryInOrganization:
    """The repository. Raises `OrganizationNotFound`, `RepositoryNotFound`."""

    def read(reader: Reader) -> RepositoryInOrganization:
        parent = find_organization(reader, access, organization)
        found = reader.row(_BY_ID, organization_id=parent.id, id=repository_id)
        if found is None:
            raise RepositoryNotFound(parent.slug, str(UUID(bytes=repository_id)))
        return parent, found

    return db.read(read)


def list_repositories(
    db: Database, access: Access, organization: str, request: PageRequest
) -> tuple[OrganizationRow, Page[RepositoryRow]]:
    """A page of the organization's repositories, by display name, then id. Raises `OrganizationNotFound`."""

    def read(reader: Reader) -> tuple[OrganizationRow, Page[RepositoryRow]]:
        parent = find_organization(reader, access, organization)
        query = Repository.select(*_COLUMNS).where(Repository.organization_id == parent.id)
        rows = reader.fetch(paged(query, request, [Repository.display_name, Repository.id]).tuples())
        return parent, page_of([_repository_row(*row) for row in rows], request, lambda row: (row.display_name, row.id))

    return db.read(read)


def update_repository(
    db: Database,
    access: Access,
    organization: str,
    repository_id: bytes,
    changes: RepositoryChanges,
    terms: Terms[RepositoryInOrganization, M] = PLAIN,
) -> M:
    """Change a repository; without a change nothing is written and update_time stays.

    Raises `OrganizationNotFound`, `RepositoryNotFound`, `InvalidField` for an emptied display name,
    `RepositoryExists` as `create_repository`, also for one that becomes active again.
    """
    if changes.display_name is not None:
        _check_display_name(changes.display_name)
    return db.write(lambda tx: _update(tx, access, organization, repository_id, changes), terms)


def _check_display_name(display_name: str) -> None:
    if not display_name:
        raise InvalidField("repository.display_name", "must not be empty: commits name the repository by it")


def _create(tx: Transaction, access: Access, organization: str, draft: RepositoryDraft) -> RepositoryInOrganization:
    parent = lock_organization(tx, access, organization)
    made = RepositoryRow(
        id=new_id(),
        organization_id=parent.id,
        display_name=draft.display_name,
        url=draft.url,
        provider=draft.provider,
        external_id=draft.external_id,
        state=draft.state,
        create_time=tx.now,
        update_time=tx.now,
    )
    _check_free(tx, made)
    tx.run(_INSERT, organization_id=parent.id, create_time=made.create_time, **_columns(made))
    return parent, made


def _update(
    tx: Transaction, access: Access, organization: str, repository_id: bytes, changes: RepositoryChanges
) -> RepositoryInOrganization:
    parent = find_organization(tx, access, organization)
    stored = tx.lock(_BY_ID, organization_id=parent.id, id=repository_id)
    if stored is None:
        raise RepositoryNotFound(parent.slug, str(UUID(bytes=repository_id)))
    changed = replace(
        stored,
        display_name=stored.display_name if changes.display_name is None else changes.display_name,
        url=stored.url if changes.url is None else changes.url,
        provider=stored.provider if changes.provider is None else changes.provider,
        external_id=stored.external_id if changes.external_id is None else changes.external_id,
        state=stored.state if changes.state is None else changes.state,
    )
    if changed != stored:
        changed = replace(changed, update_time=tx.now)
        _check_free(tx, changed)
        tx.run(_UPDATE, **_columns(changed))
    return parent, changed


def _check_free(tx: Transaction, repository: RepositoryRow) -> None:
    """Whoever takes the name between this look and the write makes the write violate a key; it then runs again."""
    if repository.state is RepositoryState.ACTIVE:
        holder = tx.row(
            _BY_ACTIVE_NAME, organization_id=repository.organization_id, active_name=repository.display_name
        )
        if holder is not None and holder[0] != repository.id:
            raise RepositoryExists(repository.display_name)
    if repository.external_id:
        holder = tx.row(
            _BY_EXTERNAL_ID,
            organization_id=repository.organization_id,
            provider=repository.provider,
            external_id=repository.external_id,
        )
        if holder is not None and holder[0] != repository.id:
            raise RepositoryExists(repository.display_name, repository.external_id)


def _columns(repository: RepositoryRow) -> dict[str, bytes | str | int | None]:
    active = repository.state is RepositoryState.ACTIVE
    return {
        "id": repository.id,
        "display_name": repository.display_name,
        "active_name": repository.display_name if active else None,
        "url": repository.url,
        "provider": repository.provider,
        "external_id": repository.external_id or None,
        "state": int(repository.state),
        "update_time": repository.update_time,
    }
