"""Pages of large things: they end before a client's limit of 4 MiB a message is anywhere near."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from releaseregistry.v1 import (
    commits_pb2,
    comparisons_pb2,
    deploy_service_pb2,
    deploys_pb2,
    files_pb2,
    organizations_pb2,
    releases_pb2,
)

from tests.rpc.sending import MIB, RELEASE, upload
from tests.rpc.wire import Served

Listed = Callable[[str], Any]


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization(projects=["web"])
    server.make_release("organizations/acme", "app@1.0.0", "web")
    server.clock.advance(seconds=1)
    return server


def walked(listed: Listed) -> tuple[list[Any], list[Any]]:
    """All pages to the end, and from there all pages back."""
    there = [listed("")]
    while there[-1].next_page_token:
        there.append(listed(there[-1].next_page_token))
    back = [there[-1]]
    while back[0].previous_page_token:
        back.insert(0, listed(back[0].previous_page_token))
    return there, back


def check(listed: Listed, names: Callable[[Any], list[str]], expected: list[str]) -> None:
    for pages in walked(listed):
        assert [name for page in pages for name in names(page)] == expected
        assert len(pages) > 1
        assert all(names(page) and page.ByteSize() <= MIB for page in pages)


def test_a_page_of_releases_with_long_messages_ends_before_a_mebibyte(acme: Served) -> None:
    versions = [f"app@1.{number}.0" for number in range(1, 12)]
    for version in versions:
        request = releases_pb2.CreateReleaseRequest(
            parent="organizations/acme",
            release=releases_pb2.Release(version=version, projects=["organizations/acme/projects/web"]),
            commits=[commits_pb2.Commit(id=version, message="😀" * 65_536)],
        )
        acme.releases.CreateRelease(request, metadata=acme.operator)
        acme.clock.advance(seconds=1)

    def listed(token: str) -> releases_pb2.ListReleasesResponse:
        request = releases_pb2.ListReleasesRequest(parent="organizations/acme", view="RELEASE_VIEW_FULL")
        request.page_token = token
        return acme.releases.ListReleases(request, metadata=acme.operator)

    check(listed, lambda page: [release.version for release in page.releases], [*reversed(versions), "app@1.0.0"])


def test_a_page_of_releases_with_long_texts_ends_before_a_mebibyte(acme: Served) -> None:
    long = "😀" * 200
    versions = [f"{number:03}{long[3:]}" for number in range(400)]
    for version in versions:
        release = releases_pb2.Release(
            version=version, projects=["organizations/acme/projects/web"], ref=long, owner=long
        )
        request = releases_pb2.CreateReleaseRequest(parent="organizations/acme", release=release)
        acme.releases.CreateRelease(request, metadata=acme.operator)
        acme.clock.advance(seconds=1)

    def listed(token: str) -> releases_pb2.ListReleasesResponse:
        request = releases_pb2.ListReleasesRequest(parent="organizations/acme", page_size=1000, page_token=token)
        return acme.releases.ListReleases(request, metadata=acme.operator)

    check(listed, lambda page: [release.version for release in page.releases], [*reversed(versions), "app@1.0.0"])


@pytest.mark.parametrize("part", ["", "1"])
def test_a_page_of_files_with_long_headers_ends_before_a_mebibyte(acme: Served, part: str) -> None:
    headers = {f"{number:02}{'é' * 126}": "é" * 1024 for number in range(64)}
    names = [f"{number:02}" for number in range(20)]
    for name in names:
        upload(acme, b"", name, headers=headers)

    def listed(token: str) -> files_pb2.ListReleaseFilesResponse:
        request = files_pb2.ListReleaseFilesRequest(parent=RELEASE, file_name_contains=[part], page_token=token)
        return acme.releases.ListReleaseFiles(request, metadata=acme.operator)

    check(listed, lambda page: [file.file_name for file in page.files], [name for name in names if part in name])


def shown_back_and_forth(listed: Listed, names: Callable[[Any], list[str]], expected: list[str]) -> None:
    for pages in walked(listed):
        assert [name for page in pages for name in names(page)] == expected
        assert len(pages) > 1


def test_long_paths_are_walked_page_by_page(acme: Served) -> None:
    paths = [f"{number}/{'😀' * 508}" for number in range(3)]
    commit = commits_pb2.Commit(
        id="c1",
        repository="acme/web",
        changed_files=[commits_pb2.ChangedFile(path=path, change_type="CHANGE_TYPE_ADDED") for path in paths],
    )
    request = commits_pb2.SetCommitsRequest(name=RELEASE, commits=[commit], finish=True, commit_count=1)
    acme.releases.SetCommits(iter([request]), metadata=acme.operator)
    acme.make_release("organizations/acme", "app@0.9.0", "web")

    def changed(token: str) -> commits_pb2.ListChangedFilesResponse:
        request = commits_pb2.ListChangedFilesRequest(parent=RELEASE, page_size=1, page_token=token)
        return acme.releases.ListChangedFiles(request, metadata=acme.operator)

    def compared(token: str) -> comparisons_pb2.CompareReleasesResponse:
        request = comparisons_pb2.CompareReleasesRequest(
            name=RELEASE,
            base="organizations/acme/releases/app@0.9.0",
            section="COMPARISON_SECTION_CHANGED_FILES",
            page_size=1,
            page_token=token,
        )
        return acme.releases.CompareReleases(request, metadata=acme.operator)

    shown_back_and_forth(changed, lambda page: [change.path for change in page.changes], paths)
    shown_back_and_forth(compared, lambda page: [difference.change.path for difference in page.differences], paths)


def test_files_with_long_names_are_compared_page_by_page(acme: Served) -> None:
    acme.make_release("organizations/acme", "app@0.9.0", "web")
    names = [f"{number}{'é' * 511}" for number in range(3)]
    for name in names:
        upload(acme, b"", name, dist="😀" * 64)

    def compared(token: str) -> comparisons_pb2.CompareReleasesResponse:
        request = comparisons_pb2.CompareReleasesRequest(
            name=RELEASE,
            base="organizations/acme/releases/app@0.9.0",
            section="COMPARISON_SECTION_FILES",
            page_size=1,
            page_token=token,
        )
        return acme.releases.CompareReleases(request, metadata=acme.operator)

    shown_back_and_forth(compared, lambda page: [each.file.file.file_name for each in page.differences], names)


def test_repositories_with_long_names_are_listed_page_by_page(acme: Served) -> None:
    names = [f"{number}{'😀' * 199}" for number in range(3)]
    for name in names:
        repository = organizations_pb2.Repository(display_name=name)
        request = organizations_pb2.CreateRepositoryRequest(parent="organizations/acme", repository=repository)
        acme.organizations.CreateRepository(request, metadata=acme.operator)

    def listed(token: str) -> organizations_pb2.ListRepositoriesResponse:
        request = organizations_pb2.ListRepositoriesRequest(parent="organizations/acme", page_size=1, page_token=token)
        return acme.organizations.ListRepositories(request, metadata=acme.operator)

    shown_back_and_forth(listed, lambda page: [each.display_name for each in page.repositories], names)


def test_pages_of_deploys_of_many_projects_end_before_a_mebibyte(acme: Served) -> None:
    projects = [acme.make_project("organizations/acme", f"{number:03}-{'p' * 40}") for number in range(100)]
    release = releases_pb2.Release(version="app@2.0.0", projects=projects)
    acme.releases.CreateRelease(
        releases_pb2.CreateReleaseRequest(parent="organizations/acme", release=release), metadata=acme.operator
    )
    uids: list[str] = []
    for number in range(190):
        told = deploys_pb2.Deploy(display_name="😀" * 64)
        told.finish_time.FromSeconds(number)
        request = deploy_service_pb2.CreateDeployRequest(
            parent="organizations/acme/releases/app@2.0.0",
            environments=["production"],
            deploy=told,
            request_id=str(uuid.uuid4()),
        )
        (made,) = acme.deploys.CreateDeploy(request, metadata=acme.operator).deploys
        uids.insert(0, made.uid)

    def listed(token: str) -> deploy_service_pb2.ListDeploysResponse:
        request = deploy_service_pb2.ListDeploysRequest(
            parent="organizations/acme/releases/-", page_size=1000, page_token=token
        )
        return acme.deploys.ListDeploys(request, metadata=acme.operator)

    def before(token: str) -> deploy_service_pb2.GetCurrentReleaseResponse:
        request = deploy_service_pb2.GetCurrentReleaseRequest(
            parent="organizations/acme",
            project=projects[0],
            environment="production",
            page_size=1000,
            page_token=token,
        )
        answer = acme.deploys.GetCurrentRelease(request, metadata=acme.operator)
        assert answer.deploy.uid == uids[0]
        # The page is the history: what runs comes along with every one.
        answer.ClearField("release")
        answer.ClearField("deploy")
        return answer

    check(listed, lambda page: [deploy.uid for deploy in page.deploys], uids)
    check(before, lambda page: [deploy.uid for deploy in page.history], uids[1:])


def test_a_page_of_releases_that_run_in_many_places_ends_before_a_mebibyte(acme: Served) -> None:
    versions: list[str] = []
    for number in range(18):
        projects = [acme.make_project("organizations/acme", f"p{number:02}-{each}") for each in range(5)]
        version = f"1.{number}.0-{'a' * 190}"
        versions.append(version)
        request = releases_pb2.CreateReleaseRequest(
            parent="organizations/acme",
            release=releases_pb2.Release(version=version, projects=projects),
            commits=[commits_pb2.Commit(id="abcdef01", repository="acme/web", message="😀" * 60_000)],
        )
        acme.releases.CreateRelease(request, metadata=acme.operator)
        deploy = deploy_service_pb2.CreateDeployRequest(
            parent=f"organizations/acme/releases/{version}",
            environments=[f"{place:02}{'😀' * 62}" for place in range(20)],
            request_id=str(uuid.uuid4()),
        )
        acme.deploys.CreateDeploy(deploy, metadata=acme.operator)

    def found(token: str) -> releases_pb2.FindReleasesByCommitResponse:
        request = releases_pb2.FindReleasesByCommitRequest(
            parent="organizations/acme", commit_id="abcdef01", page_size=1000, page_token=token
        )
        answer = acme.releases.FindReleasesByCommit(request, metadata=acme.operator)
        assert all(len(each.running) == 100 for each in answer.releases)
        return answer

    check(found, lambda page: [each.release.version for each in page.releases], versions)
