"""SetRefs, and refs of CreateRelease, over the wire."""

from __future__ import annotations

import uuid

import pytest
from releaseregistry.v1 import commits_pb2, organizations_pb2, releases_pb2

from tests.rpc.wire import Served, bearer, raises_reason

PARENT = "organizations/acme"
NAME = f"{PARENT}/releases/app@1.0.0"


@pytest.fixture
def acme(server: Served) -> Served:
    """A server with a release and two repositories."""
    server.make_organization(projects=("web", "api"))
    server.make_release(PARENT, "app@1.0.0", "web")
    for name in ("one", "two"):
        repository = organizations_pb2.Repository(display_name=name)
        server.organizations.CreateRepository(
            organizations_pb2.CreateRepositoryRequest(parent=PARENT, repository=repository), metadata=server.operator
        )
    return server


def ref(repository: str, commit: str, previous_commit: str = "") -> commits_pb2.Ref:
    return commits_pb2.Ref(repository=repository, commit=commit, previous_commit=previous_commit)


def refer(acme: Served, *refs: commits_pb2.Ref, **fields: object) -> releases_pb2.Release:
    request = releases_pb2.SetRefsRequest(**{"name": NAME, "refs": refs, **fields})  # type: ignore[arg-type]
    return acme.releases.SetRefs(request, metadata=acme.operator).release


def stored(acme: Served, name: str = NAME) -> releases_pb2.Release:
    return acme.releases.GetRelease(releases_pb2.GetReleaseRequest(name=name), metadata=acme.operator).release


def heads(release: releases_pb2.Release) -> list[tuple[str, str, str]]:
    return [(head.repository, head.commit_id, head.previous_commit_id) for head in release.head_commits]


def test_refs_and_ranges_become_heads(acme: Served) -> None:
    release = refer(acme, ref("two", "b0..b", "ignored"), ref("one", "x"), ref("one", "a", "a0"))
    assert heads(release) == [("one", "a", "a0"), ("two", "b", "b0")]
    assert release == stored(acme)
    assert release.commit_count == 0


def test_the_same_request_id_sets_refs_once(acme: Served) -> None:
    request_id = str(uuid.uuid4())
    first = refer(acme, ref("one", "a"), request_id=request_id)
    refer(acme, ref("one", "b"))
    assert refer(acme, ref("one", "a"), request_id=request_id) == first
    assert heads(stored(acme)) == [("one", "b", "")]
    with raises_reason("REQUEST_ID_REUSED", "FAILED_PRECONDITION"):
        refer(acme, ref("one", "c"), request_id=request_id)


def test_validate_only_sets_no_refs(acme: Served) -> None:
    assert heads(refer(acme, ref("one", "a"), validate_only=True)) == [("one", "a", "")]
    assert heads(stored(acme)) == []


def test_all_repositories_that_are_not_there_are_named(acme: Served) -> None:
    with raises_reason("REPOSITORY_UNKNOWN", "FAILED_PRECONDITION") as refusal:
        refer(acme, ref("none", "a"), ref("one", "a"), ref("nowhere", "a"))
    assert refusal.metadata == {"repositories": "none, nowhere", "unknown_count": "2"}
    assert "none, nowhere" in refusal.message
    assert heads(stored(acme)) == []


def test_a_hundred_repositories_that_are_not_there_fit_in_an_error(acme: Served) -> None:
    with raises_reason("REPOSITORY_UNKNOWN", "FAILED_PRECONDITION") as refusal:
        refer(acme, *(ref(f"repository-of-the-organization-{number:03}", "a") for number in range(100)))
    assert refusal.metadata["repositories"].startswith("repository-of-the-organization-000, ")
    assert refusal.metadata["repositories"].endswith(" more")
    assert refusal.metadata["unknown_count"] == "100"


@pytest.mark.parametrize("commit", ["a..b..c", "a..", "..b", "a" * 65, f"{'a' * 65}..b", "a...b"])
def test_what_is_no_range_is_refused_by_its_field(acme: Served, commit: str) -> None:
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        refer(acme, ref("one", "a"), ref("two", commit))
    assert list(refusal.violations) == ["refs[1].commit"]
    release = releases_pb2.Release(version="new", projects=[f"{PARENT}/projects/web"])
    request = releases_pb2.CreateReleaseRequest(parent=PARENT, release=release, refs=[ref("two", commit)])
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        acme.releases.CreateRelease(request, metadata=acme.operator)
    assert list(refusal.violations) == ["refs[0].commit"]


def test_fields_beyond_their_limits_are_refused(acme: Served) -> None:
    for refs in ([], [ref("one", "a")] * 101, [ref("", "a")], [ref("one", "")], [ref("one", "a", "b" * 65)]):
        with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT"):
            refer(acme, *refs)
    assert heads(stored(acme)) == []


def test_a_token_that_may_not_access_all_projects_sees_no_release(acme: Served) -> None:
    acme.make_release(PARENT, "app@1.0.0", "api")
    request = releases_pb2.SetRefsRequest(name=NAME, refs=[ref("one", "a")])
    secret = acme.make_token(PARENT, "release:write", projects=("web",))
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
        acme.releases.SetRefs(request, metadata=bearer(secret))
    reader = acme.make_token(PARENT, "release:read", all_projects=True)
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
        acme.releases.SetRefs(request, metadata=bearer(reader))
    assert heads(stored(acme)) == []


def test_a_release_is_created_with_commits_and_then_refs(acme: Served) -> None:
    release = releases_pb2.Release(version="new", projects=[f"{PARENT}/projects/web"])
    request = releases_pb2.CreateReleaseRequest(
        parent=PARENT,
        release=release,
        commits=[commits_pb2.Commit(id="b", repository="three"), commits_pb2.Commit(id="a", repository="three")],
        refs=[ref("three", "0..a"), ref("one", "x")],
    )
    answer = acme.releases.CreateRelease(request, metadata=acme.operator)
    assert answer.outcome == releases_pb2.CREATE_RELEASE_OUTCOME_CREATED
    assert heads(answer.release) == [("one", "x", ""), ("three", "a", "0")]
    assert (answer.release.commit_count, answer.release.last_commit.id) == (2, "b")
    assert stored(acme, f"{PARENT}/releases/new") == answer.release


def test_a_creation_with_an_unknown_repository_creates_nothing(acme: Served) -> None:
    release = releases_pb2.Release(version="new", projects=[f"{PARENT}/projects/web"])
    request = releases_pb2.CreateReleaseRequest(parent=PARENT, release=release, refs=[ref("none", "a")])
    with raises_reason("REPOSITORY_UNKNOWN", "FAILED_PRECONDITION"):
        acme.releases.CreateRelease(request, metadata=acme.operator)
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
        stored(acme, f"{PARENT}/releases/new")
