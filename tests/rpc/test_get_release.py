"""GetRelease over the wire."""

from __future__ import annotations

import grpc
import pytest
from releaseregistry.v1 import commits_pb2, releases_pb2

from tests.rpc.wire import Metadata, Served, bearer, raises_reason

PARENT = "organizations/acme"


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization("acme", projects=("api", "web"))
    return server


def get(
    acme: Served,
    name: str,
    view: releases_pb2.ReleaseView = releases_pb2.RELEASE_VIEW_UNSPECIFIED,
    metadata: Metadata | None = None,
) -> releases_pb2.Release:
    request = releases_pb2.GetReleaseRequest(name=name, view=view)
    return acme.releases.GetRelease(request, metadata=metadata or acme.operator).release


def test_a_release_is_read_as_it_was_created(acme: Served) -> None:
    created = acme.make_release(PARENT, "app@1.0.0", "web", "api")
    assert get(acme, created.name) == created


def test_a_version_stands_in_the_name_as_it_is(acme: Served) -> None:
    for version in ("a b", "100%", "%2F", "a:b", "é", "x@y@z+1"):
        assert get(acme, acme.make_release(PARENT, version, "web").name).version == version


def test_the_basic_view_leaves_out_what_is_in_the_release(acme: Served) -> None:
    release = releases_pb2.Release(version="1.0.0", projects=[f"{PARENT}/projects/web"])
    commits = [commits_pb2.Commit(id="a", author_email="a@example.com")]
    request = releases_pb2.CreateReleaseRequest(parent=PARENT, release=release, commits=commits)
    created = acme.releases.CreateRelease(request, metadata=acme.operator).release

    full = get(acme, created.name, releases_pb2.RELEASE_VIEW_FULL)
    basic = get(acme, created.name, releases_pb2.RELEASE_VIEW_BASIC)
    assert full == created == get(acme, created.name)
    assert full.last_commit.id == "a"
    for field in ("last_commit", "head_commits", "authors", "in_projects"):
        full.ClearField(field)
    assert basic == full


def test_a_release_that_is_missing_or_not_the_tokens_looks_the_same(acme: Served) -> None:
    name = acme.make_release(PARENT, "1.0.0", "api").name
    caller = bearer(acme.make_token(PARENT, "release:read", projects=("web",)))

    with raises_reason("RELEASE_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as forbidden:
        get(acme, name, metadata=caller)
    with raises_reason("RELEASE_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as missing:
        get(acme, f"{PARENT}/releases/2.0.0", metadata=caller)
    assert forbidden.metadata == {"name": name}
    assert forbidden.message.replace("1.0.0", "2.0.0") == missing.message


def test_a_token_of_one_of_its_projects_reads_a_release(acme: Served) -> None:
    created = acme.make_release(PARENT, "1.0.0", "api", "web")
    caller = bearer(acme.make_token(PARENT, "release:read", projects=("web",)))
    found = get(acme, created.name, metadata=caller)
    assert [faring.project for faring in found.in_projects] == [f"{PARENT}/projects/web"]
    for release in (found, created):
        release.ClearField("in_projects")
    assert found == created


@pytest.mark.parametrize(
    "name", ["", "1.0.0", f"{PARENT}/releases/", f"{PARENT}/releases/latest", f"{PARENT}/releases/a/b"]
)
def test_a_name_of_another_form_is_refused(acme: Served, name: str) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        get(acme, name)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
