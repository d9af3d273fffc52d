"""ListReleases over the wire: what a search finds, in every order, flattened, counted, and what is refused."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import deploy_service_pb2, deploys_pb2, releases_pb2
from releaseregistry.v1 import releases_pb2 as pb

from store.search import find, total
from tests.rpc.wire import Served, raises_reason

PARENT = "organizations/acme"
DAY = 24 * 3600


@pytest.fixture
def acme(server: Served) -> Served:
    """Five releases, a day between them: the youngest `old`, which is no semantic version."""
    server.make_organization("acme", projects=("api", "web"))
    for version, projects in (
        ("app@1.0.0+7", ("web",)),
        ("app@2.0.0", ("web", "api")),
        ("app@1.10.0+3", ("api",)),
        ("lib@1.2.0", ("web",)),
        ("old", ("web", "api")),
    ):
        server.make_release(PARENT, version, *projects)
        server.clock.advance(seconds=DAY)
    return server


def listed(acme: Served, *projects: str, **fields: Any) -> releases_pb2.ListReleasesResponse:
    request = releases_pb2.ListReleasesRequest(
        parent=PARENT, projects=[f"{PARENT}/projects/{slug}" for slug in projects], **fields
    )
    return acme.releases.ListReleases(request, metadata=acme.operator)


def versions(acme: Served, *projects: str, **fields: Any) -> list[str]:
    return [release.version for release in listed(acme, *projects, **fields).releases]


def pages(acme: Served, *projects: str, **fields: Any) -> Iterator[releases_pb2.ListReleasesResponse]:
    token = ""
    while True:
        answer = listed(acme, *projects, page_token=token, **fields)
        yield answer
        token = answer.next_page_token
        if not token:
            return


def at(acme: Served, days_ago: float) -> Timestamp:
    time = Timestamp()
    time.FromMicroseconds(acme.clock.now_us() - round(days_ago * DAY * 1_000_000))
    return time


def deploy_web(acme: Served, version: str) -> None:
    """To production, of the project web."""
    request = deploy_service_pb2.CreateDeployRequest(
        parent=f"{PARENT}/releases/{version}",
        environments=["production"],
        deploy=deploys_pb2.Deploy(projects=[f"{PARENT}/projects/web"]),
        request_id=str(uuid.uuid4()),
    )
    acme.deploys.CreateDeploy(request, metadata=acme.operator)


def test_a_query_says_which_releases(acme: Served) -> None:
    assert versions(acme, query="release.package:app") == ["app@1.10.0+3", "app@2.0.0", "app@1.0.0+7"]
    assert versions(acme, query="release.version:<2 project:web") == ["lib@1.2.0", "app@1.0.0+7"]
    assert versions(acme, "api", query="app") == ["app@1.10.0+3", "app@2.0.0"]
    assert versions(acme, query="nothing") == []


@pytest.mark.parametrize(
    ("sort", "ascending"),
    [
        (pb.RELEASE_SORT_DATE, ["app@1.0.0+7", "app@2.0.0", "app@1.10.0+3", "lib@1.2.0", "old"]),
        (pb.RELEASE_SORT_RELEASED, ["app@1.0.0+7", "app@2.0.0", "app@1.10.0+3", "lib@1.2.0", "old"]),
        (pb.RELEASE_SORT_NAME, ["app@1.0.0+7", "app@1.10.0+3", "app@2.0.0", "lib@1.2.0", "old"]),
        (pb.RELEASE_SORT_COMMITS, ["app@1.0.0+7", "app@2.0.0", "app@1.10.0+3", "lib@1.2.0", "old"]),
        (pb.RELEASE_SORT_DEPLOYS, ["app@1.0.0+7", "app@2.0.0", "app@1.10.0+3", "lib@1.2.0", "old"]),
    ],
)
def test_a_list_is_sorted_either_way(acme: Served, sort: pb.ReleaseSort, ascending: list[str]) -> None:
    assert versions(acme, sort=sort, direction=pb.SORT_DIRECTION_ASCENDING) == ascending
    assert versions(acme, sort=sort, direction=pb.SORT_DIRECTION_DESCENDING) == ascending[::-1]
    by_default = ascending if sort == pb.RELEASE_SORT_NAME else ascending[::-1]
    assert versions(acme, sort=sort) == by_default


def test_releases_without_a_semantic_version_come_last_either_way(acme: Served) -> None:
    highest = ["app@2.0.0", "app@1.10.0+3", "lib@1.2.0", "app@1.0.0+7"]
    assert versions(acme, sort=pb.RELEASE_SORT_VERSION) == [*highest, "old"]
    assert versions(acme, sort=pb.RELEASE_SORT_VERSION, direction=pb.SORT_DIRECTION_ASCENDING) == [
        *reversed(highest),
        "old",
    ]


def test_releases_without_a_build_number_come_last_by_age_either_way(acme: Served) -> None:
    assert versions(acme, sort=pb.RELEASE_SORT_BUILD) == [
        "app@1.0.0+7",
        "app@1.10.0+3",
        "old",
        "lib@1.2.0",
        "app@2.0.0",
    ]
    assert versions(acme, sort=pb.RELEASE_SORT_BUILD, direction=pb.SORT_DIRECTION_ASCENDING) == [
        "app@1.10.0+3",
        "app@1.0.0+7",
        "app@2.0.0",
        "lib@1.2.0",
        "old",
    ]


def test_a_deployed_release_is_found_by_environment_and_sorted_by_deploys(acme: Served) -> None:
    deploy_web(acme, "app@2.0.0")

    assert versions(acme, sort=pb.RELEASE_SORT_DEPLOYS)[0] == "app@2.0.0"
    assert versions(acme, environments=["production"]) == ["app@2.0.0"]
    assert versions(acme, "web", environments=["production", "staging"]) == ["app@2.0.0"]
    assert versions(acme, "api", environments=["production"]) == []
    assert versions(acme, environments=["nowhere"]) == []


def test_spans_of_time_begin_with_their_start_and_end_before_their_end(acme: Served) -> None:
    span = pb.TimeRange(start_time=at(acme, 3), end_time=at(acme, 1))
    assert versions(acme, created=span) == ["lib@1.2.0", "app@1.10.0+3"]
    assert versions(acme, created=pb.TimeRange(start_time=at(acme, 1))) == ["old"]
    assert versions(acme, created=pb.TimeRange(end_time=at(acme, 4))) == ["app@1.0.0+7"]
    assert versions(acme, created=pb.TimeRange(period="48h")) == ["old", "lib@1.2.0"]
    assert len(versions(acme, created=pb.TimeRange())) == 5


def test_releases_that_were_never_released_are_in_no_span_of_release(acme: Served) -> None:
    release = pb.Release(name=f"{PARENT}/releases/lib@1.2.0", release_time=at(acme, 10))
    acme.releases.UpdateRelease(pb.UpdateReleaseRequest(release=release), metadata=acme.operator)
    assert versions(acme, released=pb.TimeRange(period="2w")) == ["lib@1.2.0"]
    assert versions(acme, released=pb.TimeRange(start_time=at(acme, 9))) == []
    assert versions(acme, sort=pb.RELEASE_SORT_RELEASED)[-1] == "lib@1.2.0"


@pytest.mark.parametrize("field", ["created", "released"])
@pytest.mark.parametrize("period", ["14", "d", "-3d", "1y", "36501d", "1.5h", " 3d"])
def test_a_period_that_is_none_is_refused(acme: Served, field: str, period: str) -> None:
    with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        versions(acme, **{field: pb.TimeRange(period=period)})
    assert list(refusal.violations) == [f"{field}.period"]


def test_a_period_and_times_together_are_refused(acme: Served) -> None:
    for times in ({"start_time": at(acme, 1)}, {"end_time": at(acme, 1)}):
        with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
            versions(acme, created=pb.TimeRange(period="3d", **times))
        assert list(refusal.violations) == ["created.period"]


def test_a_span_that_ends_before_it_begins_is_refused(acme: Served) -> None:
    with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        versions(acme, released=pb.TimeRange(start_time=at(acme, 1), end_time=at(acme, 2)))
    assert list(refusal.violations) == ["released.end_time"]


@pytest.mark.parametrize(("field", "number"), [("sort", 99), ("direction", 99)])
def test_a_sort_or_direction_that_there_is_not_is_refused(acme: Served, field: str, number: Any) -> None:
    with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        versions(acme, **{field: number})
    assert list(refusal.violations) == [field]


def test_a_query_that_cannot_be_read_is_refused_with_the_place(acme: Served) -> None:
    with raises_reason("QUERY_INVALID", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        versions(acme, query="ref:main (")
    assert refusal.metadata["position"] == "11"
    assert list(refusal.violations) == ["query"]


def test_a_flattened_list_has_a_row_for_each_release_and_project(acme: Served) -> None:
    answer = listed(acme, flatten=True, count_total=True)
    rows = [(release.version, *release.projects) for release in answer.releases]
    assert sorted(rows) == sorted(
        (version, f"{PARENT}/projects/{slug}")
        for version, slugs in (
            ("old", ("web", "api")),
            ("lib@1.2.0", ("web",)),
            ("app@1.10.0+3", ("api",)),
            ("app@2.0.0", ("web", "api")),
            ("app@1.0.0+7", ("web",)),
        )
        for slug in slugs
    )
    assert [row[0] for row in rows] == [
        "old",
        "old",
        "lib@1.2.0",
        "app@1.10.0+3",
        "app@2.0.0",
        "app@2.0.0",
        "app@1.0.0+7",
    ]
    assert (answer.total_count, answer.total_count_is_least) == (7, False)
    for release in answer.releases:
        assert [each.project for each in release.in_projects] == list(release.projects)


def test_a_page_of_a_flattened_list_may_end_between_the_rows_of_a_release(acme: Served) -> None:
    at_once = [(release.version, *release.projects) for release in listed(acme, flatten=True).releases]
    for size in (1, 2, 3):
        by_page = [
            (release.version, *release.projects)
            for answer in pages(acme, flatten=True, page_size=size)
            for release in answer.releases
        ]
        assert by_page == at_once


def test_flattened_rows_tell_the_deploys_of_their_project(acme: Served) -> None:
    deploy_web(acme, "old")
    for view in (pb.RELEASE_VIEW_BASIC, pb.RELEASE_VIEW_FULL):
        rows = listed(acme, flatten=True, query="release:old", view=view).releases
        assert {each.project: each.deploy_count for row in rows for each in row.in_projects} == {
            f"{PARENT}/projects/web": 1,
            f"{PARENT}/projects/api": 0,
        }


def test_all_releases_are_counted_when_asked_for(acme: Served) -> None:
    answer = listed(acme, page_size=2, count_total=True)
    assert (len(answer.releases), answer.total_count, answer.total_count_is_least) == (2, 5, False)
    assert listed(acme, query="app", count_total=True).total_count == 3
    assert listed(acme, query="nothing", count_total=True).total_count == 0
    assert not listed(acme).HasField("total_count")


@pytest.mark.parametrize(
    "bounds", [{"MOST_WALKED": 2}, {"MOST_TESTED": 2, "MOST_SECONDS": 0}], ids=["releases", "time"]
)
def test_a_page_that_stopped_looking_says_so_and_leads_on(acme: Served, bounds: dict[str, Any]) -> None:
    with patch.multiple(find, **bounds), patch.object(total, "MOST_TESTED", 2):
        answers = list(pages(acme, query="lib OR release:app@1.0.0*", sort=pb.RELEASE_SORT_NAME))
        counted = listed(acme, query="lib OR app@2", count_total=True)
    assert [[release.version for release in answer.releases] for answer in answers] == [
        ["app@1.0.0+7"],
        ["lib@1.2.0"],
        [],
    ]
    assert [answer.incomplete for answer in answers] == [True, True, False]
    assert (counted.total_count, counted.total_count_is_least) == (1, True)


def test_periods_reckon_from_the_first_page_on_all_pages(acme: Served) -> None:
    asked = {"query": "release.created:>-4d", "page_size": 1}
    first = listed(acme, **asked)
    acme.clock.advance(seconds=DAY)
    second = listed(acme, page_token=first.next_page_token, **asked)
    acme.clock.advance(seconds=DAY)
    third = listed(acme, page_token=second.next_page_token, **asked)
    assert [answer.releases[0].version for answer in (first, second, third)] == ["old", "lib@1.2.0", "app@1.10.0+3"]


@pytest.mark.parametrize(
    "other",
    [
        {"query": "app"},
        {"sort": pb.RELEASE_SORT_NAME},
        {"direction": pb.SORT_DIRECTION_ASCENDING},
        {"flatten": True},
        {"environments": ["production"]},
        {"created": pb.TimeRange(period="3d")},
        {"released": pb.TimeRange(period="3d")},
        {"view": pb.RELEASE_VIEW_FULL},
        {"statuses": [pb.RELEASE_STATUS_OPEN]},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_page_token_bears_nothing_but_its_own_arguments(acme: Served, other: dict[str, Any]) -> None:
    token = listed(acme, page_size=1).next_page_token
    with raises_reason("PAGE_TOKEN_INVALID", grpc.StatusCode.INVALID_ARGUMENT):
        listed(acme, page_token=token, **other)


def test_the_total_may_be_asked_for_on_some_pages_only(acme: Served) -> None:
    first = listed(acme, page_size=1, count_total=True)
    second = listed(acme, page_size=1, page_token=first.next_page_token)
    third = listed(acme, page_size=1, page_token=second.next_page_token, count_total=True)
    assert [answer.HasField("total_count") for answer in (first, second, third)] == [True, False, True]
    assert len({answer.releases[0].name for answer in (first, second, third)}) == 3


def test_pages_by_the_longest_names_lead_on(server: Served) -> None:
    server.make_organization("acme", projects=("web",))
    for last in "abc":
        server.make_release(PARENT, "\U0001f680" * 199 + last, "web")
    for flatten in (False, True):
        found = pages(server, sort=pb.RELEASE_SORT_NAME, page_size=1, flatten=flatten)
        assert [answer.releases[0].version[-1] for answer in found] == ["a", "b", "c"]
