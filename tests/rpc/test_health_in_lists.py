"""Release health in ListReleases and GetRelease, and lists sorted by it, over the wire."""

from __future__ import annotations

from typing import Any

import pytest
from releaseregistry.v1 import health_pb2, releases_pb2

from tests.rpc.sending import MIB
from tests.rpc.wire import Metadata, Served, bearer, raises_reason
from tests.search.dataset import write_dataset
from tests.search.sessions import Session, write_sessions
from tests.search.small_set import deploy, release, stay
from tests.search.strategies import DAY, NOW

ACME = "organizations/acme"
HEALTH = releases_pb2.HealthOptions(health=True)


def session(number: int, project: str = "web", environment: str = "production", **fields: Any) -> Session:
    return {"pair": (number, project), "environment": environment, "time": NOW, "user": 1, "crashed": False} | fields


RELEASES = [
    release("1.0", id=1, created=NOW - 9 * DAY, stays=[stay("production", adopted=8, unadopted=2)]),
    release(
        "2.0",
        id=2,
        created=NOW - 3 * DAY,
        projects=["api", "web"],
        stays=[stay("production", adopted=2), stay("staging", "api"), stay("")],
    ),
    release("3.0", id=3, created=NOW - DAY, deploys=[deploy("production", 1)]),
]
SESSIONS = [
    *[session(1, user=user, crashed=user == 1, time=NOW - 2 * DAY) for user in (1, 2, 3, 4)],
    *[session(2, user=user, crashed=user == 5) for user in (4, 5)],
    session(2, environment="", user=None),
    session(2, "api", "staging", time=NOW - 20 * DAY),
]


@pytest.fixture
def acme(server: Served) -> Served:
    server.clock.advance(seconds=(NOW - server.clock.now_us()) / 1_000_000)
    data = write_dataset(server.database, RELEASES, projects=("web", "api"), slug="acme")
    write_sessions(server.database, data, SESSIONS)
    return server


def listed(acme: Served, metadata: Metadata | None = None, **fields: Any) -> releases_pb2.ListReleasesResponse:
    request = releases_pb2.ListReleasesRequest(parent=ACME, **fields)
    answer: releases_pb2.ListReleasesResponse = acme.releases.ListReleases(request, metadata=metadata or acme.operator)
    return answer


def got(acme: Served, version: str, metadata: Metadata | None = None, **fields: Any) -> releases_pb2.GetReleaseResponse:
    request = releases_pb2.GetReleaseRequest(name=f"{ACME}/releases/{version}", **fields)
    answer: releases_pb2.GetReleaseResponse = acme.releases.GetRelease(request, metadata=metadata or acme.operator)
    return answer


def everywhere(**fields: Any) -> dict[str, Any]:
    return {"projects": [f"{ACME}/projects/-"], **fields}


def versions(answer: releases_pb2.ListReleasesResponse) -> list[str]:
    return [release.version for release in answer.releases]


def rows(answer: releases_pb2.ListReleasesResponse) -> list[tuple[str, str]]:
    return [(release.version, release.projects[0].rpartition("/")[2]) for release in answer.releases]


def test_a_list_tells_how_healthy_releases_are_in_their_projects(acme: Served) -> None:
    answer = listed(acme, **everywhere(health_options=HEALTH))
    assert versions(answer) == ["3.0", "2.0", "1.0"]
    by_version = {release.version: {row.project: row for row in release.in_projects} for release in answer.releases}
    assert by_version["2.0"].keys() == {f"{ACME}/projects/api", f"{ACME}/projects/web"}
    web = by_version["2.0"][f"{ACME}/projects/web"].health
    assert web.has_health_data
    assert (web.figures.session_count, web.figures.user_count, web.figures.crashed_session_count) == (3, 2, 1)
    assert web.figures.crash_free_sessions == pytest.approx(200 / 3)
    assert web.figures.crash_free_users == 50
    assert (web.adoption.session_count, web.adoption.project_session_count) == (3, 3)
    assert len(web.series) == 24
    assert [bucket.count for bucket in web.series][-1] == 3
    assert web.series[-1].start_time.ToMicroseconds() == NOW - NOW % 3_600_000_000
    api = by_version["2.0"][f"{ACME}/projects/api"].health
    assert api.has_health_data
    assert not api.figures.session_count
    assert not api.figures.HasField("crash_free_sessions")
    nothing = by_version["3.0"][f"{ACME}/projects/web"].health
    assert not nothing.has_health_data
    assert [bucket.count for bucket in nothing.series] == [0] * 24
    assert by_version["3.0"][f"{ACME}/projects/web"].deploy_count == 1
    # Nothing was asked of stages.
    assert not any(row.adoptions for some in by_version.values() for row in some.values())


def test_periods_stats_and_environments_are_those_that_are_asked_for(acme: Served) -> None:
    options = releases_pb2.HealthOptions(
        health=True,
        summary_period=health_pb2.HEALTH_PERIOD_LAST_30D,
        series_period=health_pb2.HEALTH_PERIOD_LAST_7D,
        series_stat=health_pb2.HEALTH_STAT_USERS,
    )
    answer = listed(acme, **everywhere(environments=["production"], health_options=options))
    first = answer.releases[versions(answer).index("1.0")].in_projects[0].health
    assert first.figures.session_count == 4
    assert [bucket.count for bucket in first.series] == [0, 0, 0, 0, 4, 0, 0]
    answer = listed(acme, **everywhere(environments=["staging"], health_options=options))
    assert versions(answer) == ["2.0"]
    counts = {
        row.project.rpartition("/")[2]: row.health.figures.session_count for row in answer.releases[0].in_projects
    }
    assert counts == {"api": 1, "web": 0}


def test_sessions_without_an_environment_are_asked_for_by_an_empty_one(acme: Served) -> None:
    answer = listed(acme, **everywhere(environments=[""], health_options=HEALTH))
    assert versions(answer) == ["2.0"]
    assert [row.health.figures.session_count for row in answer.releases[0].in_projects] == [0, 1]
    assert [name.version for name in listed(acme, **everywhere(query='environment:""')).releases] == ["2.0"]
    request = releases_pb2.BulkUpdateReleasesRequest(
        parent=ACME, action="BULK_RELEASE_ACTION_ARCHIVE", query="release:*", environments=[""], **everywhere()
    )
    changed = acme.releases.BulkUpdateReleases(request, metadata=acme.operator)
    assert [result.name for result in changed.results] == [f"{ACME}/releases/2.0"]


def test_a_list_tells_of_stages(acme: Served) -> None:
    options = releases_pb2.HealthOptions(adoption_stages=True)
    answer = listed(acme, **everywhere(environments=["production"], health_options=options))
    stages = {release.version: list(release.in_projects[-1].adoptions) for release in answer.releases}
    assert stages["1.0"] == [
        health_pb2.ReleaseAdoption(
            project=f"{ACME}/projects/web",
            environment="production",
            stage=health_pb2.ADOPTION_STAGE_REPLACED,
            adopt_time=time_of(NOW - 8 * DAY),
            unadopt_time=time_of(NOW - 2 * DAY),
        )
    ]
    assert [row.stage for row in stages["2.0"]] == [health_pb2.ADOPTION_STAGE_ADOPTED]
    assert [row.stage for row in stages["3.0"]] == [health_pb2.ADOPTION_STAGE_LOW_ADOPTION]
    assert not answer.releases[0].in_projects[0].HasField("health")


def time_of(micros: int) -> Any:
    told = releases_pb2.Release()
    told.create_time.FromMicroseconds(micros)
    return told.create_time


SORTED = {
    "SESSIONS": [("1.0", "web"), ("2.0", "web")],
    "USERS": [("1.0", "web"), ("2.0", "web")],
    "SESSIONS_24H": [("2.0", "web")],
    "USERS_24H": [("2.0", "web")],
    # The least stable first.
    "CRASH_FREE_SESSIONS": [("2.0", "web"), ("1.0", "web")],
    "CRASH_FREE_USERS": [("2.0", "web"), ("1.0", "web")],
}
ALL_ROWS = [("3.0", "web"), ("2.0", "web"), ("2.0", "api"), ("1.0", "web")]


@pytest.mark.parametrize("sort", SORTED)
def test_a_flattened_list_is_sorted_by_what_sessions_say(acme: Served, sort: str) -> None:
    first = SORTED[sort]
    rest = {row for row in ALL_ROWS if row not in first}
    for direction in ("UNSPECIFIED", "ASCENDING", "DESCENDING"):
        share = sort.startswith("CRASH_FREE")
        turned = direction == ("DESCENDING" if share else "ASCENDING")
        pages: list[tuple[str, str]] = []
        token = ""
        while True:
            answer = listed(
                acme,
                **everywhere(
                    flatten=True,
                    sort=f"RELEASE_SORT_{sort}",
                    direction=f"SORT_DIRECTION_{direction}",
                    page_size=1,
                    page_token=token,
                ),
            )
            pages += rows(answer)
            token = answer.next_page_token
            if not token:
                break
        assert pages[: len(first)] == (first[::-1] if turned else first)
        assert set(pages[len(first) :]) == rest
        # Those without sessions are the newest first, whichever the direction.
        assert [version for version, _ in pages[len(first) :]] == sorted((each for each, _ in rest), reverse=True)


def test_the_summary_period_is_what_a_list_is_sorted_by(acme: Served) -> None:
    options = releases_pb2.HealthOptions(summary_period=health_pb2.HEALTH_PERIOD_LAST_30D)
    asked = everywhere(flatten=True, sort="RELEASE_SORT_SESSIONS", direction="SORT_DIRECTION_ASCENDING")
    assert rows(listed(acme, **asked, health_options=options))[0] == ("2.0", "api")
    assert rows(listed(acme, **asked))[0] == ("2.0", "web")


def test_a_list_is_sorted_by_adoption_in_one_environment(acme: Served) -> None:
    for flatten in (True, False):
        asked = everywhere(sort="RELEASE_SORT_ADOPTION", environments=["production"], flatten=flatten)
        newest_first = versions(listed(acme, **asked))
        assert list(dict.fromkeys(newest_first)) == ["2.0", "1.0", "3.0"]
        ascending = versions(listed(acme, **asked, direction="SORT_DIRECTION_ASCENDING"))
        assert ascending[0] == "1.0"
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refused:
        listed(acme, **everywhere(sort="RELEASE_SORT_ADOPTION"))
    assert refused.violations.keys() == {"sort"}


def test_what_cannot_be_sorted_or_told_is_refused(acme: Served) -> None:
    for field, asked in (
        ("sort", {"sort": "RELEASE_SORT_SESSIONS"}),
        ("sort", {"sort": 99}),
        ("direction", {"sort": "RELEASE_SORT_USERS", "flatten": True, "direction": 9}),
        ("health_options.summary_period", {"health_options": {"summary_period": 99}}),
        ("health_options.series_period", {"health_options": {"series_period": 99, "health": True}}),
        ("health_options.series_stat", {"health_options": {"series_stat": 99, "health": True}}),
    ):
        with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refused:
            listed(acme, **everywhere(**asked))
        assert refused.violations.keys() == {field}


def test_what_sessions_say_needs_a_scope_of_its_own(acme: Served) -> None:
    blind = bearer(acme.make_token(ACME, "release:read", all_projects=True))
    stages = releases_pb2.HealthOptions(adoption_stages=True)
    assert versions(listed(acme, blind, health_options=stages)) == ["3.0", "2.0", "1.0"]
    assert got(acme, "2.0", blind, health_options=stages).release.in_projects
    for call in (
        lambda: listed(acme, blind, health_options=HEALTH),
        lambda: listed(acme, blind, sort="RELEASE_SORT_SESSIONS", flatten=True),
        lambda: got(acme, "2.0", blind, health_options=HEALTH),
        lambda: got(acme, "2.0", blind, health_options=HEALTH, project=f"{ACME}/projects/web"),
    ):
        with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED") as refused:
            call()
        assert refused.metadata["scope"] == "health:read"


def test_a_release_tells_of_its_health_with_any_view(acme: Served) -> None:
    for view in ("RELEASE_VIEW_FULL", "RELEASE_VIEW_BASIC"):
        release = got(acme, "2.0", view=view, health_options=HEALTH, environments=["production"]).release
        counts = {row.project.rpartition("/")[2]: row.health.figures.session_count for row in release.in_projects}
        assert counts == {"api": 0, "web": 2}
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refused:
        got(acme, "2.0", environments=["production"])
    assert refused.violations.keys() == {"environments"}
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refused:
        got(acme, "2.0", query="web", health_options=HEALTH)
    assert refused.violations.keys() == {"query"}


def test_a_release_in_a_project_tells_of_its_first_and_last_session(acme: Served) -> None:
    web = got(acme, "1.0", project=f"{ACME}/projects/web", health_options=HEALTH)
    assert web.project_view.first_session_time.ToMicroseconds() == NOW - 2 * DAY
    assert web.project_view.last_session_time.ToMicroseconds() == NOW - 2 * DAY
    assert web.project_view.in_project.health.figures.session_count == 4
    assert [row.project for row in web.release.in_projects] == [f"{ACME}/projects/web"]
    elsewhere = got(acme, "1.0", project=f"{ACME}/projects/web", environments=["staging", ""])
    assert not elsewhere.project_view.HasField("first_session_time")
    assert not elsewhere.project_view.HasField("last_session_time")
    assert not elsewhere.project_view.in_project.HasField("health")


def test_stages_are_found_in_the_one_environment_of_a_list(acme: Served) -> None:
    for query, found in (
        ("release.stage:adopted", ["2.0"]),
        ("release.stage:[adopted, replaced]", ["2.0", "1.0"]),
        ("release.stage:low_adoption", ["3.0"]),
        ("!release.stage:low_adoption", ["2.0", "1.0"]),
    ):
        assert versions(listed(acme, **everywhere(query=query, environments=["production"]))) == found
    for environments in ([], [""], ["production", "staging"]):
        with raises_reason("QUERY_INVALID", "INVALID_ARGUMENT") as refused:
            listed(acme, **everywhere(query="web (release.stage:adopted)", environments=environments))
        assert refused.metadata["position"] == "6"
        assert refused.metadata["found"] == "`release.stage`"
        assert "environment" in refused.metadata["expected"]


def test_a_page_with_health_ends_before_a_mebibyte(server: Served) -> None:
    server.clock.advance(seconds=(NOW - server.clock.now_us()) / 1_000_000)
    many = [
        release(f"{number}.0", id=number, projects=["web", "api", "cli"], stays=[stay("production", adopted=1)])
        for number in range(1, 1001)
    ]
    write_dataset(server.database, many, projects=("web", "api", "cli"), slug="acme")
    options = releases_pb2.HealthOptions(
        health=True, adoption_stages=True, series_period=health_pb2.HEALTH_PERIOD_LAST_48H
    )
    found: list[str] = []
    sizes: list[int] = []
    token = ""
    while True:
        answer = listed(server, **everywhere(health_options=options, page_size=1000, page_token=token))
        found += versions(answer)
        sizes.append(answer.ByteSize())
        token = answer.next_page_token
        if not token:
            break
    assert found == [f"{number}.0" for number in range(1000, 0, -1)]
    assert len(sizes) > 1
    assert max(sizes) <= MIB
    # What is reckoned for a row is no more than some times what it takes.
    assert sizes[0] > MIB // 4
