"""GetRelease with a project, over the wire."""

from __future__ import annotations

import uuid
from typing import Any

import grpc
import pytest
from releaseregistry.v1 import commits_pb2, deploy_service_pb2, releases_pb2

from tests.clocks import START_US
from tests.rpc.wire import Metadata, Served, bearer, raises_reason

PARENT = "organizations/acme"
WEB = f"{PARENT}/projects/web"


@pytest.fixture
def acme(server: Served) -> Served:
    """Releases 1 to 5 of web, one a second; all but 4 open."""
    server.make_organization("acme", projects=("api", "web"))
    for version in ("1", "2", "3", "4", "5"):
        archived = releases_pb2.RELEASE_STATUS_ARCHIVED if version == "4" else releases_pb2.RELEASE_STATUS_OPEN
        release = releases_pb2.Release(version=version, projects=[WEB], status=archived)
        request = releases_pb2.CreateReleaseRequest(parent=PARENT, release=release)
        server.releases.CreateRelease(request, metadata=server.operator)
        server.clock.advance(seconds=1)
    return server


def get(
    acme: Served, version: str, project: str = WEB, metadata: Metadata | None = None, **asked: Any
) -> releases_pb2.GetReleaseResponse:
    request = releases_pb2.GetReleaseRequest(name=f"{PARENT}/releases/{version}", project=project, **asked)
    return acme.releases.GetRelease(request, metadata=metadata or acme.operator)


def deploy(acme: Served, version: str, environment: str) -> None:
    request = deploy_service_pb2.CreateDeployRequest(
        parent=f"{PARENT}/releases/{version}", environments=[environment], request_id=str(uuid.uuid4())
    )
    acme.deploys.CreateDeploy(request, metadata=acme.operator)


def named(version: str) -> str:
    return f"{PARENT}/releases/{version}"


def beside(answer: releases_pb2.GetReleaseResponse) -> tuple[str, str]:
    view = answer.project_view
    return view.previous_release, view.next_release


def test_the_view_names_what_is_beside_the_release(acme: Served) -> None:
    view = get(acme, "3").project_view
    assert (view.previous_release, view.next_release) == (named("2"), named("5"))
    assert (view.first_release, view.last_release) == (named("1"), named("5"))
    assert not view.incomplete
    assert beside(get(acme, "5")) == (named("3"), "")
    assert beside(get(acme, "1")) == ("", named("2"))


def test_filters_say_what_is_beside_it(acme: Served) -> None:
    archived = [releases_pb2.RELEASE_STATUS_ARCHIVED]
    assert beside(get(acme, "3", statuses=archived)) == ("", named("4"))
    assert beside(get(acme, "3", query="release:1 OR release:5")) == (named("1"), named("5"))
    deploy(acme, "1", "production")
    assert beside(get(acme, "3", environments=["production"])) == (named("1"), "")


def test_the_view_counts_deploys_and_changed_files(acme: Served) -> None:
    changed = [commits_pb2.ChangedFile(path=path, change_type=commits_pb2.CHANGE_TYPE_ADDED) for path in ("a", "b")]
    commits = [commits_pb2.Commit(id="c1", changed_files=changed), commits_pb2.Commit(id="c2", changed_files=changed)]
    request = releases_pb2.CreateReleaseRequest(
        parent=PARENT, release=releases_pb2.Release(version="3", projects=[f"{PARENT}/projects/api"]), commits=commits
    )
    acme.releases.CreateRelease(request, metadata=acme.operator)
    deploy(acme, "3", "production")

    answer = get(acme, "3")
    view = answer.project_view
    assert (view.in_project.project, view.in_project.deploy_count) == (WEB, 1)
    assert view.in_project.last_deploy_time.ToMicroseconds() == START_US + 5_000_000
    assert view.come_time == answer.release.create_time
    assert (view.changed_file_count, view.changed_file_count_is_least) == (2, False)
    assert list(answer.release.in_projects) == [view.in_project]
    assert len(get(acme, "3", project="").release.in_projects) == 2


def test_without_a_project_there_is_no_view(acme: Served) -> None:
    assert not get(acme, "3", project="").HasField("project_view")


@pytest.mark.parametrize(
    "asked",
    [
        {"query": "release:1"},
        {"environments": ["production"]},
        {"statuses": [releases_pb2.RELEASE_STATUS_OPEN]},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_filters_without_a_project_are_refused(acme: Served, asked: dict[str, Any]) -> None:
    with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refused:
        get(acme, "3", project="", **asked)
    assert list(refused.violations) == list(asked)


@pytest.mark.parametrize("query", ["(", "x" * 4097], ids=["malformed", "too long"])
def test_a_query_that_cannot_be_read_is_refused(acme: Served, query: str) -> None:
    with raises_reason("QUERY_INVALID", grpc.StatusCode.INVALID_ARGUMENT) as refused:
        get(acme, "3", query=query)
    assert refused.metadata["position"]


def test_a_project_that_is_not_the_tokens_is_not_found(acme: Served) -> None:
    caller = bearer(acme.make_token(PARENT, "release:read", projects=("web",)))
    assert beside(get(acme, "3", metadata=caller)) == (named("2"), named("5"))
    for project in ("api", "nothing"):
        with raises_reason("PROJECT_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
            get(acme, "3", f"{PARENT}/projects/{project}", caller)
    with raises_reason("INVALID_NAME", grpc.StatusCode.INVALID_ARGUMENT) as refused:
        get(acme, "3", "web")
    assert list(refused.violations) == ["project"]


def test_a_release_of_other_projects_is_not_found(acme: Served) -> None:
    with raises_reason("RELEASE_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        get(acme, "3", f"{PARENT}/projects/api")
