"""BatchGetReleases over the wire."""

from __future__ import annotations

import uuid
from dataclasses import replace

import grpc
import pytest
from releaseregistry.v1 import commits_pb2, deploy_service_pb2, releases_pb2

from store.releases.batch import NamedRelease, get_releases
from store.releases.details import wire_bytes_of
from tests.contract.callers import OPERATOR
from tests.rpc.wire import Metadata, Served, bearer, raises_reason

PARENT = "organizations/acme"


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization("acme", projects=("api", "web"))
    return server


def batch(
    acme: Served,
    *names: str,
    parent: str = PARENT,
    view: releases_pb2.ReleaseView = releases_pb2.RELEASE_VIEW_UNSPECIFIED,
    metadata: Metadata | None = None,
) -> releases_pb2.BatchGetReleasesResponse:
    request = releases_pb2.BatchGetReleasesRequest(parent=parent, names=names, view=view)
    return acme.releases.BatchGetReleases(request, metadata=metadata or acme.operator)


def make(acme: Served, version: str, message: str = "") -> releases_pb2.Release:
    release = releases_pb2.Release(version=version, projects=[f"{PARENT}/projects/web"])
    commits = [commits_pb2.Commit(id=version, message=message)]
    request = releases_pb2.CreateReleaseRequest(parent=PARENT, release=release, commits=commits)
    return acme.releases.CreateRelease(request, metadata=acme.operator).release


def test_releases_are_answered_in_the_order_of_their_names(acme: Served) -> None:
    one, two = make(acme, "1"), make(acme, "2")
    answer = batch(acme, two.name, one.name, two.name, view=releases_pb2.RELEASE_VIEW_FULL)
    assert list(answer.releases) == [two, one, two]
    assert list(answer.remaining_names) == []


def test_the_basic_view_is_what_is_answered_unless_said(acme: Served) -> None:
    name = make(acme, "1").name
    get = releases_pb2.GetReleaseRequest(name=name, view=releases_pb2.RELEASE_VIEW_BASIC)
    alone = acme.releases.GetRelease(get, metadata=acme.operator).release
    assert list(batch(acme, name).releases) == [alone]
    assert list(batch(acme, name, view=releases_pb2.RELEASE_VIEW_BASIC).releases) == [alone]


def test_what_does_not_fit_is_asked_for_again(acme: Served) -> None:
    made = [make(acme, str(number), message="x" * 65_000) for number in range(24)]
    names = [release.name for release in made]

    answered: list[releases_pb2.Release] = []
    answers = 0
    while names:
        answer = batch(acme, *names, view=releases_pb2.RELEASE_VIEW_FULL)
        assert 0 < sum(release.ByteSize() for release in answer.releases) <= 2**20
        assert list(answer.remaining_names) == names[len(answer.releases) :]
        answered += answer.releases
        names = list(answer.remaining_names)
        answers += 1
    assert answered == made
    assert answers == 2


def test_no_release_is_larger_than_it_is_taken_for(acme: Served) -> None:
    slugs = [f"{number:02}{'x' * 48}" for number in range(20)]
    for slug in slugs:
        acme.make_project(PARENT, slug)
    made = acme.make_release(PARENT, "1", *slugs)
    deploy = deploy_service_pb2.CreateDeployRequest(
        parent=made.name, environments=["production"], request_id=str(uuid.uuid4())
    )
    acme.deploys.CreateDeploy(deploy, metadata=acme.operator)

    (release,) = batch(acme, made.name, view=releases_pb2.RELEASE_VIEW_FULL).releases
    (details,) = get_releases(acme.database, OPERATOR, "acme", [NamedRelease("acme", "1")], contents=True)
    assert [faring.deploy_count for faring in release.in_projects] == [1] * 20
    release.ClearField("last_deploy")
    assert release.ByteSize() <= wire_bytes_of(replace(details, last_deploy=None))


def test_missing_ones_are_named_by_their_places(acme: Served) -> None:
    name = make(acme, "here").name
    nothing = [f"{PARENT}/releases/{'ü' * 190}{number}" for number in range(30)]
    with raises_reason("RELEASE_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refused:
        batch(acme, name, *nothing)
    assert refused.metadata["name"] == nothing[0]
    assert refused.metadata["missing_count"] == "30"
    fields = list(refused.violations)
    assert fields == [f"names[{index + 1}]" for index in range(len(fields))]
    assert 0 < len(fields) <= 20
    assert int(refused.metadata["violations_omitted"]) == 30 - len(fields)


def test_a_release_that_is_not_the_tokens_is_missing(acme: Served) -> None:
    name = make(acme, "1").name
    caller = bearer(acme.make_token(PARENT, "release:read", projects=("api",)))
    with raises_reason("RELEASE_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        batch(acme, name, metadata=caller)


@pytest.mark.parametrize("name", [f"{PARENT}/releases/-", f"{PARENT}/projects/web", "1.0.0", ""])
def test_what_is_no_name_of_a_release_is_refused(acme: Served, name: str) -> None:
    with raises_reason("INVALID_NAME", grpc.StatusCode.INVALID_ARGUMENT) as refused:
        batch(acme, make(acme, "1").name, name)
    assert list(refused.violations) == ["names[1]"]


def test_a_release_of_another_organization_is_refused(acme: Served) -> None:
    acme.make_organization("other", projects=("web",))
    other = acme.make_release("organizations/other", "1", "web")
    with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refused:
        batch(acme, other.name)
    assert list(refused.violations) == ["names[0]"]


def test_there_are_one_to_a_thousand_names(acme: Served) -> None:
    name = make(acme, "1").name
    for names in ([], [name] * 1001):
        with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refused:
            batch(acme, *names)
        assert list(refused.violations) == ["names"]
    assert len(batch(acme, *[name] * 1000).releases) == 1000
