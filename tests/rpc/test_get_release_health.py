"""GetReleaseHealth over the wire."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import health_pb2 as pb
from releaseregistry.v1 import sessions_pb2

from tests.rpc.wire import Served, bearer, raises_reason

PARENT = "organizations/acme"
VERSION = "app@1.0.0"
NAME = f"{PARENT}/releases/{VERSION}"
HOUR, DAY = 3600, 86_400


@pytest.fixture
def acme(server: Served) -> Served:
    server.clock.advance(seconds=40 * DAY + 15 * HOUR + 1234.5)
    server.make_organization("acme", projects=("web", "api"))
    return server


def now(acme: Served) -> float:
    return acme.clock.now_us() / 1e6


def at(seconds: float) -> Timestamp:
    time = Timestamp()
    time.FromMicroseconds(round(seconds * 1e6))
    return time


def tell(acme: Served, *, ago: float = 0, project: str = "web", **fields: Any) -> None:
    """Tell of a session that ended as it should, unless it is said how."""
    told: dict[str, Any] = {
        "session_id": str(uuid.uuid4()),
        "status": sessions_pb2.SESSION_STATUS_EXITED,
        "version": VERSION,
        "environment": "production",
        "project": f"{PARENT}/projects/{project}",
        "start_time": at(now(acme) - ago),
    }
    update = sessions_pb2.SessionUpdate(**{**told, **fields})
    request = sessions_pb2.RecordSessionsRequest(parent=PARENT, updates=[update])
    answer = acme.health.RecordSessions(request, metadata=acme.operator)
    assert answer.recorded.recorded_count == 1


def health(acme: Served, name: str = NAME, *, metadata: Any = None, **fields: Any) -> pb.GetReleaseHealthResponse:
    request = pb.GetReleaseHealthRequest(name=name, **fields)
    return acme.health.GetReleaseHealth(request, metadata=metadata or acme.operator)


def test_a_release_tells_what_its_sessions_say(acme: Served) -> None:
    acme.make_release(PARENT, VERSION, "web", "api")
    tell(acme, distinct_user_id="ada", duration=Duration(seconds=10))
    tell(acme, distinct_user_id="ada", duration=Duration(seconds=90), error_count=3)
    tell(acme, distinct_user_id="bob", status=sessions_pb2.SESSION_STATUS_CRASHED, error_count=1)
    tell(acme, distinct_user_id="cyd", status=sessions_pb2.SESSION_STATUS_ABNORMAL, ago=2 * DAY)
    tell(acme, version="app@2.0.0", distinct_user_id="dan")
    answer = health(acme)
    today = int(now(acme)) // DAY * DAY
    assert (answer.start_time.seconds, answer.end_time.seconds) == (today - 13 * DAY, today + DAY)
    assert answer.interval.seconds == DAY
    api, web = answer.projects
    assert (api.project, web.project) == (f"{PARENT}/projects/api", f"{PARENT}/projects/web")
    assert web.figures == pb.HealthFigures(
        session_count=4,
        user_count=3,
        crashed_session_count=1,
        abnormal_session_count=1,
        errored_session_count=1,
        crashed_user_count=1,
        error_count=4,
        crash_free_sessions=75.0,
        crash_free_users=web.figures.crash_free_users,
        duration_p50=Duration(seconds=10),
        duration_p90=Duration(seconds=90),
    )
    assert web.figures.crash_free_users == pytest.approx(200 / 3)
    assert web.adoption == pb.HealthAdoption(
        user_adoption=web.adoption.user_adoption,
        session_adoption=75.0,
        user_count=2,
        session_count=3,
        project_user_count=3,
        project_session_count=4,
    )
    assert web.adoption.user_adoption == pytest.approx(200 / 3)
    assert (web.has_health_data, api.has_health_data) == (True, False)
    assert [bucket.start_time.seconds for bucket in web.buckets] == list(range(today - 13 * DAY, today + DAY, DAY))
    assert [bucket.figures.session_count for bucket in web.buckets] == [0] * 11 + [1, 0, 3]
    assert [bucket.HasField("session_adoption") for bucket in web.buckets] == [False] * 11 + [True, False, True]
    assert (web.buckets[-1].session_adoption, web.buckets[-1].figures.crash_free_sessions) == (75.0, 200 / 3)
    assert web.first_session_time == at(now(acme) - 2 * DAY)
    assert web.last_session_time == at(now(acme))


def test_what_is_nothing_is_zero_and_what_is_unknown_is_not_set(acme: Served) -> None:
    acme.make_release(PARENT, VERSION, "api")
    (api,) = health(acme).projects
    assert api.figures == pb.HealthFigures()
    assert api.adoption == pb.HealthAdoption()
    assert api.HasField("figures")
    assert api.HasField("adoption")
    for field in ("crash_free_sessions", "crash_free_users", "duration_p50", "duration_p90"):
        assert not api.figures.HasField(field)
    for field in ("user_adoption", "session_adoption"):
        assert not api.adoption.HasField(field)
    assert not api.HasField("first_session_time")
    assert not api.HasField("last_session_time")
    assert [bucket.figures for bucket in api.buckets] == [pb.HealthFigures()] * 14
    assert not api.breakdown


@pytest.mark.parametrize(
    ("period", "seconds", "buckets", "sessions"),
    [
        (pb.HEALTH_PERIOD_LAST_1H, HOUR, 1, 1),
        (pb.HEALTH_PERIOD_LAST_24H, HOUR, 24, 2),
        (pb.HEALTH_PERIOD_LAST_48H, HOUR, 48, 3),
        (pb.HEALTH_PERIOD_LAST_7D, DAY, 7, 4),
        (pb.HEALTH_PERIOD_LAST_14D, DAY, 14, 5),
        (pb.HEALTH_PERIOD_LAST_30D, DAY, 30, 6),
        (pb.HEALTH_PERIOD_LAST_90D, 3 * DAY, 30, 7),
    ],
)
def test_each_period_has_its_buckets(acme: Served, period: Any, seconds: int, buckets: int, sessions: int) -> None:
    tell(acme, ago=30 * DAY)
    for ago in (0, 20 * HOUR, 40 * HOUR, 5 * DAY, 10 * DAY, 20 * DAY):
        tell(acme, ago=ago)
    answer = health(acme, period=period)
    assert answer.interval.seconds == seconds
    assert answer.end_time.seconds - answer.start_time.seconds == seconds * buckets
    (web,) = answer.projects
    assert (len(web.buckets), web.figures.session_count) == (buckets, sessions)
    assert sum(bucket.figures.session_count for bucket in web.buckets) == sessions


def test_a_span_of_its_own_is_rounded_outward(acme: Served) -> None:
    for ago in range(0, 12 * HOUR, HOUR):
        tell(acme, ago=ago)
    start = now(acme) - 5 * HOUR
    answer = health(acme, start_time=at(start), end_time=at(now(acme) - HOUR))
    assert (answer.start_time.seconds % HOUR, answer.end_time.seconds % HOUR, answer.interval.seconds) == (0, 0, HOUR)
    assert answer.projects[0].figures.session_count == 5
    two = health(acme, start_time=at(start), interval=Duration(seconds=2 * HOUR))
    assert two.start_time.seconds == int(start) // (2 * HOUR) * 2 * HOUR
    assert two.interval.seconds == 2 * HOUR
    assert two.end_time.seconds >= now(acme) > two.end_time.seconds - 2 * HOUR
    daily = health(acme, start_time=at(now(acme) - 39 * DAY), end_time=at(now(acme) - 38 * DAY))
    assert daily.interval.seconds == DAY
    halves = health(acme, period=pb.HEALTH_PERIOD_LAST_7D, interval=Duration(seconds=12 * HOUR))
    assert len(halves.projects[0].buckets) == 14


def test_spans_that_make_no_sense_are_refused_by_their_field(acme: Served) -> None:
    acme.make_release(PARENT, VERSION, "web")
    here = now(acme)
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("period", {"period": 99}),
        ("period", {"period": pb.HEALTH_PERIOD_LAST_1H, "start_time": at(here - HOUR)}),
        ("start_time", {"end_time": at(here)}),
        ("start_time", {"period": pb.HEALTH_PERIOD_LAST_1H, "end_time": at(here)}),
        ("start_time", {"start_time": at(here)}),
        ("end_time", {"start_time": at(here - HOUR), "end_time": at(here - HOUR)}),
        ("interval", {"interval": Duration(seconds=0)}),
        ("interval", {"interval": Duration(seconds=-HOUR)}),
        ("interval", {"interval": Duration(seconds=HOUR + 1)}),
        ("interval", {"interval": Duration(seconds=HOUR, nanos=1)}),
        ("interval", {"period": pb.HEALTH_PERIOD_LAST_90D, "interval": Duration(seconds=12 * HOUR)}),
        ("interval", {"period": pb.HEALTH_PERIOD_LAST_90D, "interval": Duration(seconds=HOUR)}),
        ("start_time", {"start_time": at(here - 1001 * DAY)}),
        ("end_time", {"start_time": at(here - 1001 * DAY), "end_time": at(here)}),
        ("start_time", {"start_time": at(-62135596800), "interval": Duration(seconds=10**6 * DAY)}),
        ("end_time", {"start_time": at(here - 1), "end_time": Timestamp(seconds=253402300799)}),
        (
            "end_time",
            {
                "start_time": at(here - 1),
                "end_time": Timestamp(seconds=253402300799),
                "interval": Duration(seconds=3_000_000 * DAY),
            },
        ),
    ]
    for field, fields in wrong:
        with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refused:
            health(acme, **fields)
        assert refused.metadata["field"] == field, fields


def test_only_the_environments_and_projects_that_are_asked_for_count(acme: Served) -> None:
    acme.make_release(PARENT, VERSION, "web", "api")
    tell(acme)
    tell(acme, environment="")
    tell(acme, environment="staging", project="api")
    assert [each.figures.session_count for each in health(acme).projects] == [1, 2]
    assert [each.figures.session_count for each in health(acme, environments=[""]).projects] == [0, 1]
    both = health(acme, environments=["", "staging", ""])
    assert [each.figures.session_count for each in both.projects] == [1, 1]
    (web,) = health(acme, projects=[f"{PARENT}/projects/web"]).projects
    assert web.figures.session_count == 2
    with raises_reason("PROJECT_FORBIDDEN", "PERMISSION_DENIED"):
        health(acme, projects=[f"{PARENT}/projects/nothing"])


def test_a_release_that_only_sessions_know_is_found_by_whoever_may_see_their_project(acme: Served) -> None:
    tell(acme, version="not yet there", ago=3 * DAY)
    name = f"{PARENT}/releases/not yet there"
    (web,) = health(acme, name, breakdown=True).projects
    assert [row.figures.session_count for row in web.breakdown] == [1, 1]
    assert web.breakdown[0].end_time == at(now(acme) - 2 * DAY)
    for slug, found in (("web", True), ("api", False)):
        token = acme.make_token(PARENT, "health:read", projects=(slug,))
        if found:
            assert health(acme, name, metadata=bearer(token)).projects[0].has_health_data
        else:
            with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
                health(acme, name, metadata=bearer(token))
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND"):
        health(acme, f"{PARENT}/releases/nothing")


def test_the_breakdown_counts_from_the_releases_creation(acme: Served) -> None:
    acme.make_release(PARENT, VERSION, "web")
    created = now(acme)
    for _ in range(9):
        tell(acme)
        acme.clock.advance(seconds=DAY)
    (web,) = health(acme, breakdown=True).projects
    assert [row.end_time for row in web.breakdown] == [at(created + days * DAY) for days in (1, 2, 7, 9)]
    # Rounded up to the hour in which it ends, and in that the next day's session began.
    assert [row.figures.session_count for row in web.breakdown] == [2, 3, 8, 9]


def test_health_is_read_with_its_scope(acme: Served) -> None:
    acme.make_release(PARENT, VERSION, "web")
    token = acme.make_token(PARENT, "release:read", all_projects=True)
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
        health(acme, metadata=bearer(token))
