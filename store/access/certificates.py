"""Callers that are known by a client's certificate instead of a token.

Which name in a certificate stands for whom, the operator says in a file; what that is in the database is looked up
here, when somebody calls.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Final

from store.access.access import SERVER, Access
from store.access.projects import projects_to_create_in
from store.access.scopes import with_included
from store.database import Database, Reader
from store.organizations.lookup import find_organization
from store.organizations.models import Organization, OrganizationSlug, Project, ProjectSlug

_TABLES: Final = tuple(model._meta.table_name for model in (Organization, OrganizationSlug, Project, ProjectSlug))


@dataclass(frozen=True, slots=True)
class CertificateGrant:
    """What whoever has a certificate with this name may do.

    name is the name with its kind, such as `URI:spiffe://example.com/ci`. organization is a slug, None for the
    installation; projects are slugs of the organization, empty when all_projects.
    """

    name: str
    organization: str | None
    scopes: tuple[str, ...]
    all_projects: bool = False
    projects: tuple[str, ...] = ()


class CertificateRights:
    """What grants come to, in one database.

    Remembered as the `Authenticator` remembers tokens: for as long as nobody wrote an organization or a project, where
    only this process writes; elsewhere looked up each time.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[CertificateGrant, tuple[Hashable, Access]] = {}

    def __call__(self, grant: CertificateGrant, caller: str = "") -> Access:
        """What the bearer may do. Raises `OrganizationNotFound`, or `ProjectForbidden` with projects that are not."""
        stamp = self._db.stamp(*_TABLES)  # before looking: what is written meanwhile must not be overlooked
        known = self._known.get(grant)
        if known is None or known[0] != stamp or stamp is None:
            known = (stamp, self._db.read(lambda reader: _access(reader, grant)))
            if stamp is not None:
                self._known[grant] = known
        return replace(known[1], caller=caller) if caller else known[1]

    def forget(self) -> None:
        """Forget all grants: there are others now."""
        self._known = {}


def _access(reader: Reader, grant: CertificateGrant) -> Access:
    if grant.organization is None:
        return _made(grant, None, frozenset())
    # The operator says what is granted, so nobody's rights narrow what is found.
    organization = find_organization(reader, SERVER, grant.organization)
    projects = projects_to_create_in(reader, SERVER, organization, grant.projects)
    return _made(grant, organization.id, frozenset(project.id for project in projects))


def _made(grant: CertificateGrant, organization_id: bytes | None, project_ids: frozenset[bytes]) -> Access:
    # Of the name and the organization: what is kept under the id, such as answers to request ids, is nothing to a
    # caller of the same name in another organization.
    identity = hashlib.sha256(b"\0".join((b"certificate", grant.name.encode(), organization_id or b""))).digest()
    return Access(
        token_id=identity[:16],
        organization_id=organization_id,
        scopes=with_included(grant.scopes),
        all_projects=grant.all_projects or organization_id is None,
        project_ids=project_ids,
        certificate=grant.name,
    )
