"""What a client's certificate may do is looked up when it calls, and is never older than the last write."""

from __future__ import annotations

import pytest

from store.access.certificates import CertificateGrant, CertificateRights
from store.access.tokens import whoami
from store.database import Database
from store.errors import OrganizationNotFound, ProjectForbidden
from store.organizations.delete import delete_organization, delete_project
from store.organizations.organizations import OrganizationChanges, update_organization
from tests.contract.callers import OPERATOR, new_organization, new_project
from tests.contract.test_authenticator import statements

CI = CertificateGrant("URI:spiffe://ci", "acme", ("release:write", "org:read"), projects=("web", "api"))


def test_a_grant_of_projects_comes_to_their_ids_and_included_scopes(database: Database) -> None:
    acme = new_organization(database)
    web, api = (new_project(database, acme, slug) for slug in ("web", "api"))
    access = CertificateRights(database)(CI, "job 7")
    assert access.scopes == {"release:write", "release:read", "org:read"}
    assert access.project_ids == {web.id, api.id}
    assert (access.organization_id, access.all_projects, access.caller) == (acme.id, False, "job 7")
    assert access.certificate == "URI:spiffe://ci"
    told = whoami(database, access)
    assert (told.organization, told.scopes, told.projects) == ("acme", ("org:read", "release:write"), ("api", "web"))
    assert told.id == access.token_id


def test_the_id_is_of_the_name_and_the_organization(database: Database) -> None:
    for slug in ("acme", "other"):
        new_organization(database, slug)
    rights = CertificateRights(database)

    def id_of(name: str, organization: str | None) -> bytes:
        return rights(CertificateGrant(name, organization, ("org:read",))).token_id

    ids = [id_of(name, organization) for name in ("DNS:a", "URI:a") for organization in ("acme", "other", None)]
    assert len(set(ids)) == 6
    assert {len(id_) for id_ in ids} == {16}
    assert CertificateRights(database)(CertificateGrant("DNS:a", "acme", ("health:read",))).token_id == ids[0]


def test_the_installations_grant_is_an_operators(database: Database) -> None:
    access = CertificateRights(database)(CertificateGrant("DNS:ops", None, ("installation:admin",)))
    assert (access.is_operator, access.all_projects, set(access.scopes)) == (True, True, {"installation:admin"})
    told = whoami(database, access)
    assert (told.organization, told.scopes, told.all_projects) == (None, ("installation:admin",), False)


def test_what_is_not_there_grants_nothing(database: Database) -> None:
    rights = CertificateRights(database)
    with pytest.raises(OrganizationNotFound):
        rights(CI)
    acme = new_organization(database)
    new_project(database, acme, "web")
    with pytest.raises(ProjectForbidden) as raised:
        rights(CI)
    assert raised.value.metadata == {"projects": "api"}


def test_changes_are_seen_by_the_next_call(database: Database) -> None:
    acme = new_organization(database)
    new_project(database, acme, "web")
    rights = CertificateRights(database)
    with pytest.raises(ProjectForbidden):
        rights(CI)
    new_project(database, acme, "api")
    rights(CI)
    update_organization(database, OPERATOR, "acme", OrganizationChanges(slug="acme-2"))
    assert rights(CI).organization_id == acme.id  # a former slug stays its organization's
    delete_project(database, OPERATOR, "acme", "web")
    with pytest.raises(ProjectForbidden):
        rights(CI)
    new_project(database, acme, "web-2")
    other = CertificateGrant("URI:spiffe://ci", "acme", ("release:read",), projects=("web-2",))
    rights(other)
    delete_organization(database, OPERATOR, "acme", force=True)
    with pytest.raises(OrganizationNotFound):
        rights(other)


def test_it_is_looked_up_again_only_where_others_may_write(database: Database) -> None:
    acme = new_organization(database)
    for slug in ("web", "api"):
        new_project(database, acme, slug)
    rights = CertificateRights(database)
    first = rights(CI)
    with statements(database) as seen:
        assert rights(CI) == first
    assert len(seen) == (0 if database.engine == "sqlite" else 2)
