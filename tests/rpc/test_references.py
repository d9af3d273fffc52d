"""References over the wire: where they are told, and that pages that hold many of them stay small."""

from __future__ import annotations

import pytest
from releaseregistry.v1 import commits_pb2, releases_pb2

from tests.rpc.wire import Served

PARENT = "organizations/acme"
MIB = 1 << 20


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization(projects=("web",))
    return server


def create(acme: Served, version: str, *commits: commits_pb2.Commit) -> releases_pb2.Release:
    release = releases_pb2.Release(version=version, projects=[f"{PARENT}/projects/web"])
    request = releases_pb2.CreateReleaseRequest(parent=PARENT, release=release, commits=commits)
    return acme.releases.CreateRelease(request, metadata=acme.operator).release


def of_many(number: int) -> commits_pb2.Commit:
    """A commit that fixes a hundred issues with long names: 20 KB of message, and as much again of references."""
    links = (f"https://x.example/{number}/{issue:03}/".ljust(198, "x") for issue in range(100))
    return commits_pb2.Commit(id=str(number), message="Fixes " + ", ".join(links))


def test_a_commit_and_its_release_tell_what_they_fix(acme: Served) -> None:
    release = create(
        acme, "1", commits_pb2.Commit(id="a", message="Fixes web-2, WEB-1"), commits_pb2.Commit(id="b", message="Fix x")
    )
    assert list(release.references) == ["WEB-1", "WEB-2"]
    assert list(release.last_commit.references) == ["WEB-2", "WEB-1"]
    answer = acme.releases.ListCommits(commits_pb2.ListCommitsRequest(parent=release.name), metadata=acme.operator)
    assert [list(commit.references) for commit in answer.commits] == [["WEB-2", "WEB-1"], []]
    basic = releases_pb2.GetReleaseRequest(name=release.name, view=releases_pb2.RELEASE_VIEW_BASIC)
    assert not acme.releases.GetRelease(basic, metadata=acme.operator).release.references


def test_what_a_caller_says_of_references_is_ignored(acme: Served) -> None:
    release = create(acme, "1", commits_pb2.Commit(id="a", message="words", references=["WEB-1"]))
    assert not release.references
    assert not release.last_commit.references


def test_a_page_of_commits_with_many_references_ends_before_it_is_large(acme: Served) -> None:
    name = create(acme, "1", *(of_many(number) for number in range(40))).name
    request = commits_pb2.ListCommitsRequest(parent=name, page_size=1000)
    ids: list[str] = []
    pages = 0
    while True:
        page = acme.releases.ListCommits(request, metadata=acme.operator)
        assert page.ByteSize() <= MIB
        assert all(len(commit.references) == 100 for commit in page.commits)
        ids += [commit.id for commit in page.commits]
        pages += 1
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert ids == [str(number) for number in range(40)]
    assert pages == 2


def test_a_page_of_releases_with_many_references_ends_before_it_is_large(acme: Served) -> None:
    for number in range(25):
        create(acme, str(number), of_many(number))
    request = releases_pb2.ListReleasesRequest(parent=PARENT, page_size=1000, view=releases_pb2.RELEASE_VIEW_FULL)
    first = acme.releases.ListReleases(request, metadata=acme.operator)
    assert first.ByteSize() <= MIB
    assert first.next_page_token
    assert all(len(release.references) == 100 for release in first.releases)
    request.page_token = first.next_page_token
    second = acme.releases.ListReleases(request, metadata=acme.operator)
    assert len(first.releases) + len(second.releases) == 25
