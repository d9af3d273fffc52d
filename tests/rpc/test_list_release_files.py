"""ListReleaseFiles over the wire."""

from __future__ import annotations

import pytest
from releaseregistry.v1 import files_pb2 as pb

from tests.rpc.sending import RELEASE, file_names, upload
from tests.rpc.wire import Served, bearer, raises_reason


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization(projects=["web", "api"])
    server.make_release("organizations/acme", "app@1.0.0", "web", "api")
    return server


def page(server: Served, token: str = "", *, size: int = 2) -> pb.ListReleaseFilesResponse:
    request = pb.ListReleaseFilesRequest(parent=RELEASE, page_size=size, page_token=token)
    return server.releases.ListReleaseFiles(request, metadata=server.operator)


def test_a_release_without_files_has_an_empty_page(acme: Served) -> None:
    assert page(acme) == pb.ListReleaseFilesResponse()


def test_pages_walk_forward_and_back(acme: Served) -> None:
    files = [upload(acme, b"", name).file for name in ("e", "a", "d", "b", "c")]
    files.sort(key=lambda file: file.file_name)

    first = page(acme)
    second = page(acme, first.next_page_token)
    third = page(acme, second.next_page_token)

    assert [list(each.files) for each in (first, second, third)] == [files[:2], files[2:4], files[4:]]
    assert (first.previous_page_token, third.next_page_token) == ("", "")
    assert list(page(acme, third.previous_page_token).files) == files[2:4]
    assert list(page(acme, second.previous_page_token).files) == files[:2]


@pytest.mark.parametrize("name", ["x" * 1024, '"' * 1024, "é" * 512, "😀" * 256])
def test_the_longest_names_fit_into_a_page_token(acme: Served, name: str) -> None:
    upload(acme, b"", name)
    upload(acme, b"", name, dist="x")

    first = page(acme, size=1)
    second = page(acme, first.next_page_token, size=1)

    assert [file.file_name for file in (*first.files, *second.files)] == [name, name]


def test_a_token_of_another_list_is_refused(acme: Served) -> None:
    acme.make_release("organizations/acme", "app@2.0.0", "web")
    for name in ("a", "b", "c"):
        upload(acme, b"", name)
    token = page(acme).next_page_token

    request = pb.ListReleaseFilesRequest(parent="organizations/acme/releases/app@2.0.0", page_token=token)
    with raises_reason("PAGE_TOKEN_INVALID", "INVALID_ARGUMENT"):
        acme.releases.ListReleaseFiles(request, metadata=acme.operator)
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT"):
        page(acme, size=-1)


def test_files_of_projects_that_are_not_the_callers_are_left_out(acme: Served) -> None:
    upload(acme, b"", "all")
    upload(acme, b"", "api", project="organizations/acme/projects/api")
    upload(acme, b"", "web", project="organizations/acme/projects/web")
    caller = bearer(acme.make_token("organizations/acme", "release:read", projects=["web"]))
    nobody = bearer(acme.make_token("organizations/acme", "release:read"))

    assert file_names(acme, metadata=caller) == ["all", "web"]
    assert file_names(acme) == ["all", "api", "web"]
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
        file_names(acme, metadata=nobody)
