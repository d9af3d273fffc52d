"""ListCommits over the wire: views, pages and their tokens."""

from __future__ import annotations

import pytest
from releaseregistry.v1 import commits_pb2

from tests.rpc.wire import Served, bearer, raises_reason

NAME = "organizations/acme/releases/app@1.0.0"


@pytest.fixture
def acme(server: Served) -> Served:
    """A server with a release of seven commits, `c0` the newest, each with two changed files."""
    organization = server.make_organization(projects=("web", "api"))
    server.make_release(organization, "app@1.0.0", "web")
    server.make_release(organization, "app@2.0.0", "api")
    commits = [
        commits_pb2.Commit(
            id=f"c{number}",
            changed_files=[
                commits_pb2.ChangedFile(path=path, change_type=commits_pb2.CHANGE_TYPE_ADDED) for path in ("b", "a")
            ],
        )
        for number in range(7)
    ]
    message = commits_pb2.SetCommitsRequest(name=NAME, commits=commits, finish=True, commit_count=7)
    server.releases.SetCommits(iter([message]), metadata=server.operator)
    return server


def page(acme: Served, **fields: object) -> commits_pb2.ListCommitsResponse:
    request = commits_pb2.ListCommitsRequest(**{"parent": NAME, **fields})  # type: ignore[arg-type]
    return acme.releases.ListCommits(request, metadata=acme.operator)


def ids(response: commits_pb2.ListCommitsResponse) -> list[str]:
    return [commit.id for commit in response.commits]


def test_changed_files_come_with_the_full_view_only(acme: Served) -> None:
    for view in (commits_pb2.COMMIT_VIEW_UNSPECIFIED, commits_pb2.COMMIT_VIEW_BASIC):
        assert not any(commit.changed_files for commit in page(acme, view=view).commits)
    full = page(acme, view=commits_pb2.COMMIT_VIEW_FULL)
    assert [[file.path for file in commit.changed_files] for commit in full.commits] == [["a", "b"]] * 7
    assert [commit.changed_file_count for commit in page(acme).commits] == [2] * 7


def test_tokens_lead_through_the_list_and_back(acme: Served) -> None:
    first = page(acme, page_size=3)
    second = page(acme, page_size=3, page_token=first.next_page_token)
    third = page(acme, page_size=3, page_token=second.next_page_token)
    assert [ids(found) for found in (first, second, third)] == [["c0", "c1", "c2"], ["c3", "c4", "c5"], ["c6"]]
    assert not first.previous_page_token
    assert not third.next_page_token
    assert ids(page(acme, page_size=3, page_token=third.previous_page_token)) == ["c3", "c4", "c5"]


def test_a_token_is_good_for_its_own_list_and_view_only(acme: Served) -> None:
    token = page(acme, page_size=3).next_page_token
    for other in ({"parent": "organizations/acme/releases/app@2.0.0"}, {"view": commits_pb2.COMMIT_VIEW_FULL}):
        with raises_reason("PAGE_TOKEN_INVALID", "INVALID_ARGUMENT"):
            page(acme, page_token=token, **other)


def test_a_release_of_other_projects_is_not_found(acme: Served) -> None:
    secret = acme.make_token("organizations/acme", "release:read", projects=("api",))
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
        acme.releases.ListCommits(commits_pb2.ListCommitsRequest(parent=NAME), metadata=bearer(secret))


def test_a_malformed_parent_is_refused(acme: Served) -> None:
    with raises_reason("INVALID_NAME", "INVALID_ARGUMENT"):
        page(acme, parent="organizations/acme")
