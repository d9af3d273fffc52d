"""ListReleases over the wire."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import pytest
from releaseregistry.v1 import releases_pb2

from tests.rpc.wire import Metadata, Served, bearer, raises_reason

PARENT = "organizations/acme"


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization("acme", projects=("api", "web"))
    return server


def page(
    acme: Served,
    *projects: str,
    size: int = 0,
    token: str = "",
    statuses: Sequence[releases_pb2.ReleaseStatus] = (),
    view: releases_pb2.ReleaseView = releases_pb2.RELEASE_VIEW_UNSPECIFIED,
    metadata: Metadata | None = None,
) -> releases_pb2.ListReleasesResponse:
    request = releases_pb2.ListReleasesRequest(
        parent=PARENT,
        projects=[f"{PARENT}/projects/{slug}" for slug in projects],
        statuses=statuses,
        page_size=size,
        page_token=token,
        view=view,
    )
    return acme.releases.ListReleases(request, metadata=metadata or acme.operator)


def versions(answer: releases_pb2.ListReleasesResponse) -> list[str]:
    return [release.version for release in answer.releases]


def test_releases_come_newest_first_each_once(acme: Served) -> None:
    for version in ("1", "2", "3"):
        acme.make_release(PARENT, version, "web", "api")
        acme.clock.advance(seconds=1)
    for projects in ((), ("web",), ("web", "api"), ("-",)):
        answer = page(acme, *projects)
        assert versions(answer) == ["3", "2", "1"]
        assert (answer.next_page_token, answer.previous_page_token) == ("", "")


def test_pages_lead_there_and_back(acme: Served) -> None:
    for number in range(5):
        acme.make_release(PARENT, str(number), "web")
        acme.clock.advance(seconds=1)
    first = page(acme, "web", size=2)
    second = page(acme, "web", size=2, token=first.next_page_token)
    third = page(acme, "web", size=100, token=second.next_page_token)

    assert [versions(first), versions(second), versions(third)] == [["4", "3"], ["2", "1"], ["0"]]
    assert (first.previous_page_token, third.next_page_token) == ("", "")
    assert versions(page(acme, "web", size=2, token=second.previous_page_token)) == ["4", "3"]


def test_a_page_token_of_another_list_is_refused(acme: Served) -> None:
    for number in range(3):
        acme.make_release(PARENT, str(number), "web")
        acme.clock.advance(seconds=1)
    token = page(acme, "web", size=1).next_page_token
    for asked in (("api",), ()):
        with raises_reason("PAGE_TOKEN_INVALID", grpc.StatusCode.INVALID_ARGUMENT):
            page(acme, *asked, token=token)


def test_archived_releases_are_listed_when_asked_for(acme: Served) -> None:
    acme.make_release(PARENT, "open", "web")
    acme.clock.advance(seconds=1)
    archived = releases_pb2.Release(
        version="archived", projects=[f"{PARENT}/projects/web"], status=releases_pb2.RELEASE_STATUS_ARCHIVED
    )
    request = releases_pb2.CreateReleaseRequest(parent=PARENT, release=archived)
    acme.releases.CreateRelease(request, metadata=acme.operator)

    assert versions(page(acme)) == ["open"]
    assert versions(page(acme, statuses=[releases_pb2.RELEASE_STATUS_ARCHIVED])) == ["archived"]
    both = [releases_pb2.RELEASE_STATUS_OPEN, releases_pb2.RELEASE_STATUS_ARCHIVED]
    assert versions(page(acme, statuses=both)) == ["archived", "open"]


def test_items_hold_what_get_release_answers(acme: Served) -> None:
    created = acme.make_release(PARENT, "app@1.0.0", "web", "api")
    assert list(page(acme, view=releases_pb2.RELEASE_VIEW_FULL).releases) == [created]
    basic = releases_pb2.Release()
    basic.CopyFrom(created)
    basic.ClearField("in_projects")
    assert list(page(acme).releases) == [basic]


def test_a_token_lists_the_projects_it_is_a_member_of(acme: Served) -> None:
    acme.make_release(PARENT, "web", "web")
    acme.make_release(PARENT, "api", "api")
    caller = bearer(acme.make_token(PARENT, "release:read", projects=("web",)))

    assert versions(page(acme, metadata=caller)) == ["web"]
    assert versions(page(acme, "-", metadata=caller)) == ["web"]
    with raises_reason("PROJECT_FORBIDDEN", grpc.StatusCode.PERMISSION_DENIED):
        page(acme, "api", metadata=caller)


def test_an_organization_without_projects_has_an_empty_list(server: Served) -> None:
    server.make_organization("acme")
    assert versions(page(server)) == []


def test_a_negative_page_size_is_refused(acme: Served) -> None:
    with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        page(acme, size=-1)
    assert list(refusal.violations) == ["page_size"]
