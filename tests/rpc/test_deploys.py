"""CreateDeploy, ListDeploys, GetCurrentRelease and ListEnvironments over the wire."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from releaseregistry.v1 import deploy_service_pb2 as pb
from releaseregistry.v1 import deploys_pb2, organizations_pb2, releases_pb2

from tests.rpc.wire import Served, bearer, raises_reason

PARENT = "organizations/acme"
RELEASE = f"{PARENT}/releases/1.0.0"


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization("acme", projects=("web", "api"))
    server.make_release(PARENT, "1.0.0", "web", "api")
    return server


def deploy(
    acme: Served, *environments: str, parent: str = RELEASE, seconds: int | None = None, **fields: Any
) -> list[deploys_pb2.Deploy]:
    told = deploys_pb2.Deploy(projects=[f"{PARENT}/projects/{slug}" for slug in fields.pop("projects", ())])
    for name in ("display_name", "url"):
        setattr(told, name, fields.pop(name, ""))
    if seconds is not None:
        told.finish_time.FromSeconds(seconds)
    request = pb.CreateDeployRequest(
        parent=parent,
        environments=environments,
        deploy=told,
        **{"request_id": str(uuid.uuid4()), **fields},
    )
    return list(acme.deploys.CreateDeploy(request, metadata=acme.operator).deploys)


def release(acme: Served, name: str = RELEASE) -> releases_pb2.Release:
    return acme.releases.GetRelease(releases_pb2.GetReleaseRequest(name=name), metadata=acme.operator).release


def current(acme: Served, project: str, environment: str, **fields: Any) -> pb.GetCurrentReleaseResponse:
    request = pb.GetCurrentReleaseRequest(
        parent=PARENT, project=f"{PARENT}/projects/{project}", environment=environment, **fields
    )
    return acme.deploys.GetCurrentRelease(request, metadata=acme.operator)


def test_a_deploy_goes_to_each_environment_and_stands_in_its_release(acme: Served) -> None:
    made = deploy(acme, "staging", "production", "staging", seconds=100, display_name="7", url="https://ci.acme.dev/7")
    assert [each.environment for each in made] == ["staging", "production"]
    assert all(each.name == f"{RELEASE}/deploys/{each.uid}" for each in made)
    assert made[0].projects == [f"{PARENT}/projects/api", f"{PARENT}/projects/web"]
    assert (made[0].display_name, made[0].url, made[0].finish_time.seconds) == ("7", "https://ci.acme.dev/7", 100)
    assert not made[0].HasField("start_time")
    assert (release(acme).deploy_count, release(acme).last_deploy) == (2, made[1])


def test_a_repeated_request_deploys_once(acme: Served) -> None:
    request_id = str(uuid.uuid4())
    first = deploy(acme, "production", request_id=request_id)
    assert deploy(acme, "production", request_id=request_id) == first
    assert release(acme).deploy_count == 1
    with raises_reason("REQUEST_ID_REUSED", "FAILED_PRECONDITION"):
        deploy(acme, "staging", request_id=request_id)


def test_what_is_only_checked_changes_nothing(acme: Served) -> None:
    assert len(deploy(acme, "production", validate_only=True)) == 1
    assert release(acme).deploy_count == 0
    assert not current(acme, "web", "production").HasField("release")


@pytest.mark.parametrize(
    ("environments", "fields", "field"),
    [
        ((), {}, "environments"),
        (("bad/name",), {}, "environments[0]"),
        (("production", ""), {}, "environments[1]"),
        ((" production",), {}, "environments[0]"),
        (("x" * 65,), {}, "environments[0]"),
        (("two\nlines",), {}, "environments[0]"),
        (tuple(f"e{number}" for number in range(21)), {}, "environments"),
        (("production",), {"request_id": ""}, "request_id"),
        (("production",), {"display_name": "x" * 65}, "deploy.display_name"),
        (("production",), {"url": "ftp://acme.dev"}, "deploy.url"),
    ],
)
def test_what_a_deploy_may_not_say_is_named(
    acme: Served, environments: tuple[str, ...], fields: dict[str, Any], field: str
) -> None:
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        deploy(acme, *environments, **fields)
    assert list(refusal.violations) == [field]
    assert release(acme).deploy_count == 0


def test_a_project_of_another_release_is_refused(acme: Served) -> None:
    acme.make_project(PARENT, "cli")
    with raises_reason("PROJECT_NOT_IN_RELEASE", "FAILED_PRECONDITION") as refusal:
        deploy(acme, "production", projects=("web", "cli"))
    assert refusal.metadata == {"project": f"{PARENT}/projects/cli"}
    assert release(acme).deploy_count == 0


def test_the_current_release_comes_with_its_deploy_and_what_ran_before(acme: Served) -> None:
    acme.make_release(PARENT, "2.0.0", "web")
    old = deploy(acme, "production", seconds=100)[0]
    new = deploy(acme, "production", parent=f"{PARENT}/releases/2.0.0", seconds=200)[0]

    web, api = current(acme, "web", "production"), current(acme, "api", "production")
    assert (web.release, web.deploy, list(web.history)) == (release(acme, f"{PARENT}/releases/2.0.0"), new, [old])
    assert (api.release.version, api.deploy, list(api.history)) == ("1.0.0", old, [])
    with raises_reason("PROJECT_NOT_FOUND", "NOT_FOUND"):
        current(acme, "nowhere", "production")


def test_deploys_are_listed_of_one_release_or_of_all(acme: Served) -> None:
    acme.make_release(PARENT, "2.0.0", "web")
    made = [
        deploy(acme, "production", seconds=100)[0],
        deploy(acme, "staging", parent=f"{PARENT}/releases/2.0.0", seconds=200)[0],
        deploy(acme, "production", seconds=300, projects=("api",))[0],
    ]

    def listed(parent: str = f"{PARENT}/releases/-", **fields: Any) -> list[int]:
        request = pb.ListDeploysRequest(parent=parent, **fields)
        for name in ("start_time", "end_time"):
            if name in fields:
                getattr(request, name).FromSeconds(fields[name])
        found = []
        while True:
            answer = acme.deploys.ListDeploys(request, metadata=acme.operator)
            found += [made.index(each) for each in answer.deploys]
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    assert listed() == listed(page_size=1) == [2, 1, 0]
    assert listed(RELEASE, page_size=1) == [2, 0]
    assert listed(environments=["staging"]) == [1]
    assert listed(projects=[f"{PARENT}/projects/api"]) == [2, 0]
    assert listed(latest_only=True, page_size=1) == [2, 1, 0]
    with raises_reason("INVALID_NAME", "INVALID_ARGUMENT"):
        listed(f"{PARENT}/releases/")
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT"):
        listed(environments=[""])


def test_times_bound_a_list(acme: Served) -> None:
    made = [deploy(acme, "production", seconds=seconds)[0] for seconds in (100, 200, 300)]
    request = pb.ListDeploysRequest(parent=RELEASE)
    request.start_time.FromSeconds(200)
    assert list(acme.deploys.ListDeploys(request, metadata=acme.operator).deploys) == made[:0:-1]
    request.end_time.FromSeconds(300)
    assert list(acme.deploys.ListDeploys(request, metadata=acme.operator).deploys) == [made[1]]
    request.end_time.FromSeconds(100)
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        acme.deploys.ListDeploys(request, metadata=acme.operator)
    assert list(refusal.violations) == ["end_time"]


def test_environments_are_those_of_projects_that_the_token_may_access(acme: Served) -> None:
    deploy(acme, "production")
    deploy(acme, "staging", projects=("web",))
    api = bearer(acme.make_token(PARENT, "org:read", projects=("api",)))

    def listed(metadata: Any) -> dict[str, list[str]]:
        request = organizations_pb2.ListEnvironmentsRequest(parent=PARENT)
        found = acme.organizations.ListEnvironments(request, metadata=metadata).environments
        return {each.display_name: list(each.projects) for each in found}

    assert listed(api) == {"production": [f"{PARENT}/projects/api"]}
    assert listed(acme.operator) == {
        "production": [f"{PARENT}/projects/api", f"{PARENT}/projects/web"],
        "staging": [f"{PARENT}/projects/web"],
    }


def test_a_token_needs_the_scope_and_every_project_to_deploy(acme: Served) -> None:
    reader = bearer(acme.make_token(PARENT, "release:read", all_projects=True))
    member = bearer(acme.make_token(PARENT, "release:write", projects=("api",)))
    request = pb.CreateDeployRequest(parent=RELEASE, environments=["production"], request_id=str(uuid.uuid4()))
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
        acme.deploys.CreateDeploy(request, metadata=reader)
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
        acme.deploys.CreateDeploy(request, metadata=member)


def test_what_ran_before_in_an_environment_is_the_previous_release(acme: Served) -> None:
    acme.make_release(PARENT, "2.0.0", "web")
    deploy(acme, "production", seconds=100)
    deploy(acme, "production", parent=f"{PARENT}/releases/2.0.0", seconds=200)
    request = releases_pb2.GetPreviousReleaseRequest(name=f"{PARENT}/releases/2.0.0", environment="production")
    assert acme.releases.GetPreviousRelease(request, metadata=acme.operator).release.version == "1.0.0"
    request.environment = ""
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        acme.releases.GetPreviousRelease(request, metadata=acme.operator)
    assert list(refusal.violations) == ["environment"]


def test_eight_clients_that_deploy_at_once_leave_the_counters_right(acme: Served) -> None:
    acme.make_release(PARENT, "2.0.0", "web")

    def client(number: int) -> list[deploys_pb2.Deploy]:
        parent = f"{PARENT}/releases/{1 + number % 2}.0.0"
        return [
            made
            for turn in range(10)
            for made in deploy(acme, "production", parent=parent, seconds=1000 + (turn * 37 + number * 11) % 100)
        ]

    with ThreadPoolExecutor(8) as clients:
        made = [each for some in clients.map(client, range(8)) for each in some]

    newest = max(made, key=lambda each: (each.finish_time.seconds, uuid.UUID(each.uid).bytes))
    web = current(acme, "web", "production", page_size=1000)
    assert web.deploy == newest
    assert {each.uid for each in (web.deploy, *web.history)} == {each.uid for each in made}
    for version in ("1.0.0", "2.0.0"):
        its = [each for each in made if f"/releases/{version}/" in each.name]
        stored = release(acme, f"{PARENT}/releases/{version}")
        assert stored.deploy_count == len(its) == 40
        assert stored.last_deploy == max(its, key=lambda each: (each.finish_time.seconds, uuid.UUID(each.uid).bytes))
