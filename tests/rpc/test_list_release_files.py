"""ListReleaseFiles over the wire."""

from __future__ import annotations

from typing import Any

import pytest
from releaseregistry.v1 import files_pb2 as pb

from tests.rpc.sending import RELEASE, digest_of, file_names, upload
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


def sought(server: Served, **fields: Any) -> list[str]:
    answer = server.releases.ListReleaseFiles(
        pb.ListReleaseFilesRequest(parent=RELEASE, **fields), metadata=server.operator
    )
    return [file.file_name for file in answer.files]


def test_files_are_sought_by_name_project_dist_and_digest(acme: Served) -> None:
    web = "organizations/acme/projects/web"
    upload(acme, b"1", "lib/App.js", project=web)
    upload(acme, b"2", "lib/app.css", dist="linux")
    upload(acme, b"1", "other", project=web, dist="linux")

    assert sought(acme, file_name_contains=["APP"]) == ["lib/App.js", "lib/app.css"]
    assert sought(acme, file_name_contains=["js", "oth"]) == ["lib/App.js", "other"]
    assert sought(acme, projects=[web]) == ["lib/App.js", "other"]
    assert sought(acme, projects=[""]) == ["lib/app.css"]
    assert sought(acme, dists=["linux"]) == ["lib/app.css", "other"]
    assert sought(acme, dists=["", "x"]) == ["lib/App.js"]
    assert sought(acme, sha256=[digest_of(b"1")]) == ["lib/App.js", "other"]
    assert sought(acme, sha256=[digest_of(b"1")], dists=["linux"], file_name_contains=["o"]) == ["other"]
    assert sought(acme, sha256=[digest_of(b"nothing")]) == []


def test_filters_have_limits_and_belong_to_the_page_token(acme: Served) -> None:
    for name in ("a1", "a2", "b"):
        upload(acme, b"", name)
    request = pb.ListReleaseFilesRequest(parent=RELEASE, file_name_contains=["a"], page_size=1)
    token = acme.releases.ListReleaseFiles(request, metadata=acme.operator).next_page_token

    assert sought(acme, file_name_contains=["a"], page_size=1, page_token=token) == ["a2"]
    with raises_reason("PAGE_TOKEN_INVALID", "INVALID_ARGUMENT"):
        sought(acme, file_name_contains=["b"], page_token=token)
    for fields in (
        {"file_name_contains": ["a"] * 21},
        {"file_name_contains": ["a" * 201]},
        {"projects": [""] * 101},
        {"dists": [""] * 101},
        {"dists": ["x" * 65]},
        {"sha256": ["abc"]},
    ):
        with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT"):
            sought(acme, **fields)
    for project in ("organizations/acme/projects/nobody-has-this", "organizations/other/projects/web"):
        with raises_reason("PROJECT_FORBIDDEN", "PERMISSION_DENIED"):
            sought(acme, projects=[project])
