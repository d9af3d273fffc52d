"""Pages of large things: they end before a client's limit of 4 MiB a message is anywhere near."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from releaseregistry.v1 import commits_pb2, files_pb2, releases_pb2

from tests.rpc.sending import MIB, RELEASE, upload
from tests.rpc.wire import Served

Listed = Callable[[str], Any]


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization(projects=["web"])
    server.make_release("organizations/acme", "app@1.0.0", "web")
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
