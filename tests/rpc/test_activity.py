"""ListActivity over the wire: every kind, filters, and who sees what."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from releaseregistry.v1 import activities_pb2 as pb
from releaseregistry.v1 import commits_pb2, deploy_service_pb2, organizations_pb2, releases_pb2

from tests.rpc.sending import frames, header
from tests.rpc.wire import Served, bearer, raises_reason

PARENT = "organizations/acme"
RELEASE = f"{PARENT}/releases/1.0.0"


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization("acme", projects=("web", "api"))
    return server


def listed(acme: Served, metadata: Any = None, **fields: Any) -> list[pb.Activity]:
    request = pb.ListActivityRequest(parent=PARENT, **fields)
    found: list[pb.Activity] = []
    while True:
        answer = acme.organizations.ListActivity(request, metadata=metadata or acme.operator)
        found += answer.activities
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


def kinds(activities: list[pb.Activity]) -> list[str]:
    return [pb.ActivityKind.Name(each.kind).removeprefix("ACTIVITY_KIND_").lower() for each in activities]


def do_everything(acme: Served) -> None:
    """Each kind of activity once, in the order of the enum, a second after the other."""
    releases, organizations, operator = acme.releases, acme.organizations, acme.operator
    caller = (*operator, ("x-caller", "ci of acme"))

    def step() -> None:
        acme.clock.advance(seconds=1)

    acme.make_release(PARENT, "1.0.0", "web")
    step()
    update = releases_pb2.UpdateReleaseRequest(release=releases_pb2.Release(name=RELEASE))
    update.release.release_time.FromMicroseconds(acme.clock.now_us())
    releases.UpdateRelease(update, metadata=operator)
    step()
    for status in (releases_pb2.RELEASE_STATUS_ARCHIVED, releases_pb2.RELEASE_STATUS_OPEN):
        change = releases_pb2.UpdateReleaseRequest(release=releases_pb2.Release(name=RELEASE, status=status))
        releases.UpdateRelease(change, metadata=operator)
        step()
    deploy = deploy_service_pb2.CreateDeployRequest(
        parent=RELEASE, environments=["production"], request_id=str(uuid.uuid4())
    )
    acme.deploys.CreateDeploy(deploy, metadata=caller)
    step()
    commits = commits_pb2.SetCommitsRequest(
        name=RELEASE, commits=[commits_pb2.Commit(id="c1", repository="acme/web")], finish=True, commit_count=1
    )
    releases.SetCommits(iter([commits]), metadata=operator)
    step()
    refs = releases_pb2.SetRefsRequest(name=RELEASE, refs=[commits_pb2.Ref(repository="acme/web", commit="a..b")])
    releases.SetRefs(refs, metadata=operator)
    step()
    for content in (b"old", b"new"):
        first = header(parent=RELEASE, file_name="app.js", replace=True)
        releases.UploadReleaseFile(frames(content, first), metadata=operator)
    step()
    changed = organizations_pb2.Organization(name=PARENT, display_name="Acme")
    organizations.UpdateOrganization(
        organizations_pb2.UpdateOrganizationRequest(organization=changed), metadata=operator
    )
    step()
    organizations.DeleteProject(
        organizations_pb2.DeleteProjectRequest(name=f"{PARENT}/projects/api"), metadata=operator
    )
    step()
    releases.DeleteRelease(releases_pb2.DeleteReleaseRequest(name=RELEASE), metadata=operator)


def test_everything_that_is_done_is_told_newest_first(acme: Served) -> None:
    do_everything(acme)
    found = listed(acme)
    assert kinds(found) == [
        "release_deleted",
        "project_deleted",
        "organization_changed",
        "file_replaced",
        "refs_set",
        "commits_set",
        "release_deployed",
        "release_reopened",
        "release_archived",
        "release_finalized",
        "release_created",
    ]
    assert {name.removeprefix("ACTIVITY_KIND_").lower() for name in pb.ActivityKind.keys()} == {  # noqa: SIM118
        "unspecified",
        *kinds(found),
    }
    by_kind = dict(zip(kinds(found), found, strict=True))
    deployed = by_kind["release_deployed"]
    assert (deployed.project, deployed.subject, deployed.caller) == (f"{PARENT}/projects/web", "1.0.0", "ci of acme")
    assert MessageToDict(deployed.data).keys() == {"version", "environment", "deploy"}
    assert MessageToDict(by_kind["organization_changed"].data) == {"display_name": ["", "Acme"]}
    assert by_kind["organization_changed"].project == ""
    assert MessageToDict(by_kind["commits_set"].data) == {"version": "1.0.0", "commit_count": 1}
    assert "tokens/" in deployed.token


@pytest.mark.parametrize("page_size", [0, 1, 3])
def test_filters_leave_what_matches_all_of_them(acme: Served, page_size: int) -> None:
    acme.make_release(PARENT, "1.0.0", "web", "api")
    acme.clock.advance(seconds=1)
    middle = acme.clock.now_us()
    acme.make_release(PARENT, "1.0.0-rc.1", "web")
    acme.clock.advance(seconds=1)
    acme.releases.DeleteRelease(releases_pb2.DeleteReleaseRequest(name=RELEASE), metadata=acme.operator)

    def found(**fields: Any) -> list[tuple[str, str, str]]:
        answer = listed(acme, page_size=page_size, **fields)
        return [
            (kind, each.subject, each.project.rpartition("/")[2])
            for kind, each in zip(kinds(answer), answer, strict=True)
        ]

    deleted = [("release_deleted", "1.0.0", "web"), ("release_deleted", "1.0.0", "api")]
    created = [("release_created", "1.0.0", "web"), ("release_created", "1.0.0", "api")]
    candidate = [("release_created", "1.0.0-rc.1", "web")]
    assert sorted(found()) == sorted([*deleted, *candidate, *created])
    assert sorted(found(release=RELEASE)) == sorted([*deleted, *created])
    assert found(projects=[f"{PARENT}/projects/web"]) == [deleted[0], *candidate, created[0]]
    assert sorted(found(kinds=[pb.ACTIVITY_KIND_RELEASE_DELETED])) == sorted(deleted)
    request = pb.ListActivityRequest(parent=PARENT)
    request.start_time.FromMicroseconds(middle)
    request.end_time.FromMicroseconds(middle + 1)
    assert [each.subject for each in acme.organizations.ListActivity(request, metadata=acme.operator).activities] == [
        "1.0.0-rc.1"
    ]


def test_a_token_sees_its_projects_and_the_organization(acme: Served) -> None:
    acme.make_release(PARENT, "1.0.0", "web", "api")
    changed = organizations_pb2.Organization(name=PARENT, display_name="Acme")
    acme.organizations.UpdateOrganization(
        organizations_pb2.UpdateOrganizationRequest(organization=changed), metadata=acme.operator
    )
    api = bearer(acme.make_token(PARENT, "org:read", projects=("api",)))
    assert sorted((each.project.rpartition("/")[2], each.subject) for each in listed(acme, api)) == [
        ("", "acme"),
        ("api", "1.0.0"),
    ]
    with raises_reason("PROJECT_FORBIDDEN", "PERMISSION_DENIED"):
        listed(acme, api, projects=[f"{PARENT}/projects/web"])


def test_times_the_wrong_way_round_are_refused(acme: Served) -> None:
    request = pb.ListActivityRequest(parent=PARENT)
    request.start_time.FromSeconds(2)
    request.end_time.FromSeconds(1)
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        acme.organizations.ListActivity(request, metadata=acme.operator)
    assert list(refusal.violations) == ["end_time"]
