"""DeleteOrganization and DeleteProject over the wire."""

from __future__ import annotations

import uuid

import grpc
import pytest
from releaseregistry.v1 import organizations_pb2 as pb
from releaseregistry.v1 import releases_pb2, tokens_pb2

from store.organizations.models import Organization
from tests.rpc.wire import Metadata, Served, bearer, raises_reason

ACME = "organizations/acme"
WEB = f"{ACME}/projects/web"


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization("acme", projects=("api", "web"))
    return server


def delete(
    acme: Served,
    *,
    force: bool = False,
    request_id: str = "",
    validate_only: bool = False,
    metadata: Metadata | None = None,
) -> None:
    request = pb.DeleteOrganizationRequest(name=ACME, force=force, request_id=request_id, validate_only=validate_only)
    acme.organizations.DeleteOrganization(request, metadata=metadata or acme.operator)


def delete_web(
    acme: Served,
    *,
    force: bool = False,
    request_id: str = "",
    validate_only: bool = False,
    metadata: Metadata | None = None,
) -> None:
    request = pb.DeleteProjectRequest(name=WEB, force=force, request_id=request_id, validate_only=validate_only)
    acme.organizations.DeleteProject(request, metadata=metadata or acme.operator)


def get(acme: Served, metadata: Metadata | None = None) -> pb.Organization:
    request = pb.GetOrganizationRequest(name=ACME)
    return acme.organizations.GetOrganization(request, metadata=metadata or acme.operator).organization


def get_web(acme: Served) -> pb.Project:
    return acme.organizations.GetProject(pb.GetProjectRequest(name=WEB), metadata=acme.operator).project


def test_an_organization_with_children_is_deleted_by_force_only(acme: Served) -> None:
    acme.make_release(ACME, "1.0.0", "web")
    with raises_reason("HAS_CHILDREN", "FAILED_PRECONDITION") as refusal:
        delete(acme)
    assert refusal.metadata == {"projects": "2", "releases": "1"}
    assert get(acme).slug == "acme"
    delete(acme, force=True)
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
        get(acme)
    with raises_reason("ORGANIZATION_EXISTS", "ALREADY_EXISTS"):
        acme.make_organization("acme")
    listed = acme.organizations.ListOrganizations(pb.ListOrganizationsRequest(), metadata=acme.operator)
    assert list(listed.organizations) == []


def test_its_tokens_end_with_it_the_one_that_deleted_it_too(acme: Served) -> None:
    admin = bearer(acme.make_token(ACME, "org:admin"))
    other = bearer(acme.make_token(ACME, "org:read"))
    delete(acme, force=True, metadata=admin)
    for caller in (admin, other):
        with raises_reason("CREDENTIALS_INVALID", grpc.StatusCode.UNAUTHENTICATED):
            get(acme, caller)


def test_a_repeated_deletion_gets_the_first_answer_again(acme: Served) -> None:
    request_id = str(uuid.uuid4())
    delete(acme, force=True, request_id=request_id)
    delete(acme, force=True, request_id=request_id)
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
        delete(acme, force=True)


def test_a_rehearsal_deletes_no_organization(acme: Served) -> None:
    with raises_reason("HAS_CHILDREN", "FAILED_PRECONDITION"):
        delete(acme, validate_only=True)
    delete(acme, force=True, validate_only=True)
    assert get(acme).slug == "acme"


def test_deleting_an_organization_needs_its_admins_scope(acme: Served) -> None:
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED") as refusal:
        delete(acme, force=True, metadata=bearer(acme.make_token(ACME, "org:write")))
    assert refusal.metadata == {"scope": "org:admin"}


def test_an_organization_of_others_is_not_there_to_be_deleted(acme: Served) -> None:
    acme.make_organization("other")
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
        delete(acme, force=True, metadata=bearer(acme.make_token("organizations/other", "org:admin")))
    assert get(acme).slug == "acme"


def test_a_project_with_releases_is_deleted_by_force_only(acme: Served) -> None:
    for version, projects in (("1.0.0", ("web",)), ("1.1.0", ("api", "web"))):
        acme.make_release(ACME, version, *projects)
    with raises_reason("HAS_CHILDREN", "FAILED_PRECONDITION") as refusal:
        delete_web(acme)
    assert refusal.metadata == {"releases": "2"}
    delete_web(acme, force=True)
    with raises_reason("PROJECT_NOT_FOUND", "NOT_FOUND"):
        get_web(acme)
    with raises_reason("PROJECT_EXISTS", "ALREADY_EXISTS"):
        acme.make_project(ACME, "web")
    listed = acme.releases.ListReleases(releases_pb2.ListReleasesRequest(parent=ACME), metadata=acme.operator)
    assert [(release.version, list(release.projects)) for release in listed.releases] == [
        ("1.1.0", [f"{ACME}/projects/api"])
    ]


def test_a_repeated_deletion_of_a_project_gets_the_first_answer_again(acme: Served) -> None:
    request_id = str(uuid.uuid4())
    delete_web(acme, request_id=request_id)
    delete_web(acme, request_id=request_id)
    with raises_reason("PROJECT_NOT_FOUND", "NOT_FOUND"):
        delete_web(acme)


def test_a_rehearsal_deletes_no_project(acme: Served) -> None:
    delete_web(acme, validate_only=True)
    assert get_web(acme).slug == "web"


def test_a_project_is_deleted_only_by_who_has_access_to_it(acme: Served) -> None:
    caller = bearer(acme.make_token(ACME, "project:write", projects=("api",)))
    with raises_reason("PROJECT_NOT_FOUND", "NOT_FOUND"):
        delete_web(acme, metadata=caller)
    delete_web(acme, metadata=bearer(acme.make_token(ACME, "project:write", projects=("web",))))


def test_a_token_is_told_without_the_project(acme: Served) -> None:
    caller = bearer(acme.make_token(ACME, "project:write", projects=("api", "web")))
    delete_web(acme)
    token = acme.tokens.WhoAmI(tokens_pb2.WhoAmIRequest(), metadata=caller).token
    assert list(token.projects) == [f"{ACME}/projects/api"]


def test_what_belongs_to_a_deleted_organization_is_removed_by_the_housekeeping(acme: Served) -> None:
    acme.make_release(ACME, "1.0.0", "web")
    delete(acme, force=True)
    acme.clock.advance(seconds=60)
    acme.server.housekeeping.run_once()
    assert acme.database.read(lambda reader: reader.fetch(Organization.select())) == []
