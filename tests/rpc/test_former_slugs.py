"""An organization under a new slug: what callers kept under the former one goes on, however both are mixed."""

from __future__ import annotations

import uuid

import pytest
from releaseregistry.v1 import files_pb2, organizations_pb2, releases_pb2, tokens_pb2

from tests.rpc.fast_door import assemble, pages, send_chunks, start
from tests.rpc.sending import digest_of, upload
from tests.rpc.wire import Served, bearer

FORMER, PRESENT = "organizations/acme", "organizations/acme2"

either_way = pytest.mark.parametrize(("parent", "owner"), [(FORMER, PRESENT), (PRESENT, FORMER), (FORMER, FORMER)])


@pytest.fixture
def renamed(server: Served) -> Served:
    """acme with the project web and its release app@1.0.0, called acme2 since."""
    server.make_organization("acme", projects=["web"])
    server.make_release(FORMER, "app@1.0.0", "web")
    changed = organizations_pb2.Organization(name=FORMER, slug="acme2")
    request = organizations_pb2.UpdateOrganizationRequest(organization=changed)
    assert server.organizations.UpdateOrganization(request, metadata=server.operator).organization.name == PRESENT
    return server


@either_way
def test_a_release_is_created(renamed: Served, parent: str, owner: str) -> None:
    release = releases_pb2.Release(version="app@2.0.0", projects=[f"{owner}/projects/web"])
    request = releases_pb2.CreateReleaseRequest(parent=parent, release=release)
    created = renamed.releases.CreateRelease(request, metadata=renamed.operator).release
    assert list(created.projects) == [f"{PRESENT}/projects/web"]


@either_way
@pytest.mark.parametrize("project", ["web", "-"])
def test_releases_are_listed(renamed: Served, parent: str, owner: str, project: str) -> None:
    request = releases_pb2.ListReleasesRequest(parent=parent, projects=[f"{owner}/projects/{project}"])
    listed = renamed.releases.ListReleases(request, metadata=renamed.operator).releases
    assert [release.name for release in listed] == [f"{PRESENT}/releases/app@1.0.0"]


@either_way
def test_a_token_is_created_that_works(renamed: Served, parent: str, owner: str) -> None:
    token = tokens_pb2.Token(scopes=["release:read"], projects=[f"{owner}/projects/web"])
    request = tokens_pb2.CreateTokenRequest(parent=parent, token=token, request_id=str(uuid.uuid4()))
    created = renamed.tokens.CreateToken(request, metadata=renamed.operator)
    assert list(created.token.projects) == [f"{PRESENT}/projects/web"]
    listing = releases_pb2.ListReleasesRequest(parent=owner)
    assert len(renamed.releases.ListReleases(listing, metadata=bearer(created.secret)).releases) == 1


@either_way
def test_a_file_is_uploaded(renamed: Served, parent: str, owner: str) -> None:
    uploaded = upload(renamed, b"abc", parent=f"{parent}/releases/app@1.0.0", project=f"{owner}/projects/web")
    assert uploaded.file.project == f"{PRESENT}/projects/web"


@either_way
def test_a_file_is_made_of_chunks(renamed: Served, parent: str, owner: str) -> None:
    send_chunks(renamed, [b"abc"], parent=owner)
    name = start(renamed, parent=f"{parent}/releases/app@1.0.0", project=f"{owner}/projects/web")
    assembled = assemble(renamed, pages(name, [b"abc"]))
    assert assembled.file.project == f"{PRESENT}/projects/web"


@either_way
def test_a_file_of_known_content_is_created(renamed: Served, parent: str, owner: str) -> None:
    release = f"{parent}/releases/app@1.0.0"
    upload(renamed, b"abc", parent=release)
    file = files_pb2.ReleaseFile(file_name="copy.js", sha256=digest_of(b"abc"), project=f"{owner}/projects/web")
    request = files_pb2.CreateReleaseFileRequest(parent=release, file=file, request_id=str(uuid.uuid4()))
    created = renamed.releases.CreateReleaseFile(request, metadata=renamed.operator).file
    assert created.project == f"{PRESENT}/projects/web"


@either_way
def test_files_of_a_project_are_listed(renamed: Served, parent: str, owner: str) -> None:
    release = f"{parent}/releases/app@1.0.0"
    upload(renamed, b"abc", "of the release", parent=release)
    upload(renamed, b"abc", "of the project", parent=release, project=f"{owner}/projects/web")
    request = files_pb2.ListReleaseFilesRequest(parent=release, projects=[f"{owner}/projects/web"])
    listed = renamed.releases.ListReleaseFiles(request, metadata=renamed.operator).files
    assert [file.file_name for file in listed] == ["of the project"]
