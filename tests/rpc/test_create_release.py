"""CreateRelease over the wire."""

from __future__ import annotations

import uuid
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import commits_pb2, releases_pb2

from tests.clocks import START_US
from tests.rpc.wire import Served, bearer, raises_reason

PARENT = "organizations/acme"


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization("acme", projects=("api", "web"))
    return server


def request(version: str, *projects: str, **fields: Any) -> releases_pb2.CreateReleaseRequest:
    """A request for the release; fields of the request itself by their names, the others are the release's."""
    own = {name: fields.pop(name) for name in ("commits", "request_id", "validate_only") if name in fields}
    names = [f"{PARENT}/projects/{slug}" for slug in projects]
    release = releases_pb2.Release(version=version, projects=names, **fields)
    return releases_pb2.CreateReleaseRequest(parent=PARENT, release=release, **own)


def create(acme: Served, version: str, *projects: str, **fields: Any) -> releases_pb2.CreateReleaseResponse:
    return acme.releases.CreateRelease(request(version, *projects, **fields), metadata=acme.operator)


def test_a_new_release_answers_everything_that_is_known_of_it(acme: Served) -> None:
    answer = create(
        acme,
        "app@1.2.3-rc.1+45",
        "web",
        "api",
        ref="main",
        url="https://example.com/notes",
        owner="someone",
        release_time=Timestamp(seconds=1_700_000_000, nanos=123_456_789),
    )

    release = answer.release
    assert answer.outcome == releases_pb2.CREATE_RELEASE_OUTCOME_CREATED
    assert release.name == f"{PARENT}/releases/app@1.2.3-rc.1+45"
    assert uuid.UUID(release.uid).version == 7
    assert list(release.projects) == [f"{PARENT}/projects/api", f"{PARENT}/projects/web"]
    assert release.status == releases_pb2.RELEASE_STATUS_OPEN
    assert (release.ref, release.url, release.owner) == ("main", "https://example.com/notes", "someone")
    assert release.release_time == Timestamp(seconds=1_700_000_000, nanos=123_456_000)
    assert release.create_time.ToMicroseconds() == release.update_time.ToMicroseconds() == START_US
    assert release.etag.startswith('"')
    assert release.user_agent.startswith("grpc-python/")
    info = release.version_info
    assert (info.package, info.description) == ("app", "1.2.3-rc.1 (45)")
    semantic = info.semantic
    assert (semantic.major, semantic.minor, semantic.patch, semantic.revision) == (1, 2, 3, 0)
    assert (semantic.prerelease, semantic.build_code, semantic.build_number) == ("rc.1", "45", 45)
    assert semantic.component_count == 3


def test_a_version_that_is_no_semantic_one_has_no_parts(acme: Served) -> None:
    info = create(acme, "app@0123456789abcdef", "web").release.version_info
    assert not info.HasField("semantic")
    assert (info.package, info.description, info.build_hash) == ("app", "0123456789ab", "0123456789abcdef")


def test_a_second_create_is_unchanged_and_a_third_with_another_project_extends(acme: Served) -> None:
    first = create(acme, "1.0.0", "web")
    second = create(acme, "1.0.0", "web", ref="ignored")
    third = create(acme, "1.0.0", "api")

    assert second.outcome == releases_pb2.CREATE_RELEASE_OUTCOME_UNCHANGED
    assert second.release == first.release
    assert third.outcome == releases_pb2.CREATE_RELEASE_OUTCOME_EXTENDED
    assert list(third.release.projects) == [f"{PARENT}/projects/api", f"{PARENT}/projects/web"]


def test_an_existing_release_is_archived_and_opened_again(acme: Served) -> None:
    create(acme, "1.0.0", "web")
    archived = create(acme, "1.0.0", status=releases_pb2.RELEASE_STATUS_ARCHIVED)
    left_alone = create(acme, "1.0.0")
    opened = create(acme, "1.0.0", status=releases_pb2.RELEASE_STATUS_OPEN)

    statuses = [answer.release.status for answer in (archived, left_alone, opened)]
    assert statuses == [
        releases_pb2.RELEASE_STATUS_ARCHIVED,
        releases_pb2.RELEASE_STATUS_ARCHIVED,
        releases_pb2.RELEASE_STATUS_OPEN,
    ]


def test_commits_come_with_the_release(acme: Served) -> None:
    commits = [
        commits_pb2.Commit(
            id="a", repository="acme/web", author_email="Ann@example.com", commit_time=Timestamp(seconds=1)
        ),
        commits_pb2.Commit(id="b", repository="acme/web", message="Second", commit_time=Timestamp(seconds=2)),
    ]
    release = create(acme, "1.0.0", "web", commits=commits).release

    assert (release.commit_count, release.author_count) == (2, 1)
    assert (release.last_commit.id, release.last_commit.message) == ("b", "Second")
    assert [(head.repository, head.commit_id) for head in release.head_commits] == [("acme/web", "b")]
    assert [author.email for author in release.authors] == ["ann@example.com"]


def test_nothing_is_kept_of_a_create_that_is_refused(acme: Served) -> None:
    with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT):
        create(acme, "1.0.0", "web", commits=[commits_pb2.Commit(id="")])
    with raises_reason("RELEASE_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        acme.releases.GetRelease(
            releases_pb2.GetReleaseRequest(name=f"{PARENT}/releases/1.0.0"), metadata=acme.operator
        )


@pytest.mark.parametrize("version", ["", "latest", "..", "a/b", " 1.0", "x" * 201, "1\n0"])
def test_a_bad_version_is_refused_by_its_field(acme: Served, version: str) -> None:
    with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        create(acme, version, "web")
    assert list(refusal.violations) == ["release.version"]


def test_a_new_release_without_projects_is_refused(acme: Served) -> None:
    with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        create(acme, "1.0.0")
    assert list(refusal.violations) == ["release.projects"]


def test_a_status_that_does_not_exist_is_refused(acme: Served) -> None:
    with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        create(acme, "1.0.0", "web", status=7)
    assert list(refusal.violations) == ["release.status"]


def test_a_project_of_another_organization_is_refused(acme: Served) -> None:
    sent = request("1.0.0")
    sent.release.projects.append("organizations/other/projects/web")
    with raises_reason("PROJECT_FORBIDDEN", grpc.StatusCode.PERMISSION_DENIED) as refusal:
        acme.releases.CreateRelease(sent, metadata=acme.operator)
    assert refusal.metadata == {"projects": "organizations/other/projects/web"}


def test_projects_that_are_missing_or_not_the_tokens_are_refused_alike(acme: Served) -> None:
    caller = bearer(acme.make_token(PARENT, "release:write", projects=("web",)))
    for project in ("api", "nowhere"):
        with raises_reason("PROJECT_FORBIDDEN", grpc.StatusCode.PERMISSION_DENIED) as refusal:
            acme.releases.CreateRelease(request("1.0.0", "web", project), metadata=caller)
        assert refusal.metadata == {"projects": project}


def test_a_repeated_request_id_gets_the_first_answer_again(acme: Served) -> None:
    request_id = str(uuid.uuid4())
    first = create(acme, "1.0.0", "web", request_id=request_id)
    again = create(acme, "1.0.0", "web", request_id=request_id)

    assert again == first
    assert again.outcome == releases_pb2.CREATE_RELEASE_OUTCOME_CREATED
    with raises_reason("REQUEST_ID_REUSED", grpc.StatusCode.FAILED_PRECONDITION):
        create(acme, "2.0.0", "web", request_id=request_id)


def test_a_rehearsal_answers_and_changes_nothing(acme: Served) -> None:
    rehearsed = create(acme, "1.0.0", "web", validate_only=True)
    assert rehearsed.outcome == releases_pb2.CREATE_RELEASE_OUTCOME_CREATED
    assert create(acme, "1.0.0", "web").outcome == releases_pb2.CREATE_RELEASE_OUTCOME_CREATED
