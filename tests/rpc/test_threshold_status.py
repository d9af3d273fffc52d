"""GetThresholdStatus."""

from __future__ import annotations

import uuid

import pytest
from google.protobuf.duration_pb2 import Duration
from releaseregistry.v1 import deploy_service_pb2, deploys_pb2, sessions_pb2
from releaseregistry.v1 import releases_pb2 as releases
from releaseregistry.v1 import thresholds_pb2 as pb

from store.health import threshold_status
from tests.rpc.wire import Metadata, Served, bearer, raises_reason

ACME = "organizations/acme"
WEB, API = f"{ACME}/projects/web", f"{ACME}/projects/api"
ERRORS, CRASH_FREE = pb.THRESHOLD_METRIC_TOTAL_ERROR_COUNT, pb.THRESHOLD_METRIC_CRASH_FREE_SESSION_RATE
OVER, UNDER = pb.THRESHOLD_TRIGGER_OVER, pb.THRESHOLD_TRIGGER_UNDER
HEALTHY, UNHEALTHY = pb.THRESHOLD_STATE_HEALTHY, pb.THRESHOLD_STATE_UNHEALTHY
NO_DATA = pb.THRESHOLD_STATE_NO_DATA
LAST_DAY = releases.TimeRange(period="1d")


def threshold(server: Served, *, parent: str = WEB, environment: str | None = None, **changes: object) -> pb.Threshold:
    fields = {"metric": ERRORS, "trigger": OVER, "value": 1.0, "window": Duration(seconds=7200)} | changes
    made = pb.Threshold(environment=environment, **fields)  # type: ignore[arg-type]
    request = pb.CreateThresholdRequest(parent=parent, threshold=made)
    return server.health.CreateThreshold(request, metadata=server.operator).threshold


def sessions(server: Served, version: str, *error_counts: int, environment: str = "", crashed: bool = False) -> None:
    """One session in web for each number of errors."""
    status = sessions_pb2.SESSION_STATUS_CRASHED if crashed else sessions_pb2.SESSION_STATUS_EXITED
    updates = [
        sessions_pb2.SessionUpdate(
            session_id=str(uuid.uuid4()),
            status=status,
            error_count=errors,
            version=version,
            environment=environment,
            project=WEB,
        )
        for errors in error_counts
    ]
    for update in updates:
        update.start_time.FromMicroseconds(server.clock.now_us())
    request = sessions_pb2.RecordSessionsRequest(parent=ACME, updates=updates)
    answer = server.health.RecordSessions(request, metadata=server.operator)
    assert answer.recorded.recorded_count == len(updates)


def deploy(server: Served, version: str, environment: str) -> None:
    request = deploy_service_pb2.CreateDeployRequest(
        parent=f"{ACME}/releases/{version}",
        environments=[environment],
        deploy=deploys_pb2.Deploy(),
        request_id=str(uuid.uuid4()),
    )
    server.deploys.CreateDeploy(request, metadata=server.operator)


def status(
    server: Served,
    *,
    created: releases.TimeRange = LAST_DAY,
    metadata: Metadata | None = None,
    **fields: object,
) -> pb.GetThresholdStatusResponse:
    request = pb.GetThresholdStatusRequest(parent=ACME, created=created, **fields)  # type: ignore[arg-type]
    return server.health.GetThresholdStatus(request, metadata=metadata or server.operator)


def names(answer: pb.GetThresholdStatusResponse) -> list[tuple[str, str]]:
    return [(each.release.rpartition("/")[2], each.project.rpartition("/")[2]) for each in answer.releases]


def test_each_release_is_told_with_each_threshold_of_its_project(server: Served) -> None:
    organization = server.make_organization(projects=["web"])
    server.make_release(organization, "app@1.0.0", "web")
    created = server.clock.now_us()
    errors = threshold(server)
    crash_free = threshold(server, metric=CRASH_FREE, trigger=UNDER, value=75.0, environment="production")
    empty = threshold(server, metric=CRASH_FREE, trigger=UNDER, value=75.0, environment="qa")
    server.clock.advance(seconds=600)
    deploy(server, "app@1.0.0", "production")
    deployed = server.clock.now_us()
    sessions(server, "app@1.0.0", 0, 2, 0, environment="production")
    sessions(server, "app@1.0.0", 0, environment="production", crashed=True)
    (told,) = status(server).releases
    assert (told.release, told.project) == (f"{ACME}/releases/app@1.0.0", WEB)
    assert [each.threshold for each in told.statuses] == [errors, crash_free, empty]
    assert [each.state for each in told.statuses] == [UNHEALTHY, HEALTHY, NO_DATA]
    assert [each.measured for each in told.statuses if each.HasField("measured")] == [2.0, 75.0]
    times = [(each.start_time.ToMicroseconds(), each.end_time.ToMicroseconds()) for each in told.statuses]
    hours = 7200 * 1_000_000
    assert times == [(created, created + hours), (deployed, deployed + hours), (created, created + hours)]


def test_nothing_measured_and_zero_measured_are_two_things(server: Served) -> None:
    organization = server.make_organization(projects=["web"])
    server.make_release(organization, "app@1.0.0", "web")
    threshold(server)
    threshold(server, metric=CRASH_FREE)
    (told,) = status(server).releases
    assert [(each.state, each.HasField("measured"), each.measured) for each in told.statuses] == [
        (HEALTHY, True, 0.0),
        (NO_DATA, False, 0.0),
    ]


def test_releases_are_told_newest_first_in_pages_both_ways(server: Served) -> None:
    organization = server.make_organization(projects=["web", "api"])
    for minor in range(3):
        server.make_release(organization, f"app@1.{minor}.0", "web", "api")
        server.clock.advance(seconds=1)
    threshold(server)
    threshold(server, parent=API)
    every = [(f"app@1.{minor}.0", project) for minor in (2, 1, 0) for project in ("api", "web")]
    first = status(server, page_size=4)
    second = status(server, page_size=4, page_token=first.next_page_token)
    assert names(first) + names(second) == every
    assert (first.previous_page_token, second.next_page_token) == ("", "")
    assert names(status(server, page_size=4, page_token=second.previous_page_token)) == every[:4]
    with raises_reason("PAGE_TOKEN_INVALID", "INVALID_ARGUMENT"):
        status(server, page_token=first.next_page_token, environments=["qa"])


def test_what_is_asked_for_leaves_the_rest_out(server: Served) -> None:
    organization = server.make_organization(projects=["web", "api"])
    start = releases.TimeRange()
    start.start_time.FromMicroseconds(server.clock.now_us())
    for minor in range(3):
        server.make_release(organization, f"app@1.{minor}.0", "web", "api")
        server.clock.advance(seconds=60)
    threshold(server)
    threshold(server, environment="qa")
    threshold(server, parent=API, environment="")
    web = [(f"app@1.{minor}.0", "web") for minor in (2, 1, 0)]
    assert names(status(server, projects=[WEB])) == web
    assert names(status(server, projects=[WEB], created=releases.TimeRange(period="2m"))) == web[:2]
    end = releases.TimeRange(start_time=start.start_time, end_time=start.start_time)
    end.end_time.seconds += 60
    assert names(status(server, projects=[WEB], created=end)) == web[2:]
    assert names(status(server, versions=["app@1.1.0", "app@9"], created=start)) == [
        ("app@1.1.0", "api"),
        ("app@1.1.0", "web"),
    ]
    assert names(status(server, environments=["qa"])) == web
    assert [len(each.statuses) for each in status(server, environments=["qa"]).releases] == [1, 1, 1]
    assert names(status(server, environments=[""], versions=["app@1.0.0"])) == [("app@1.0.0", "api")]
    reader = bearer(server.make_token(organization, "health:read", projects=["web"]))
    assert names(status(server, metadata=reader)) == web
    assert names(status(server, metadata=reader, projects=[f"{ACME}/projects/-"])) == web
    with raises_reason("PROJECT_FORBIDDEN", "PERMISSION_DENIED") as refusal:
        status(server, metadata=reader, projects=[API])
    assert refusal.metadata == {"projects": "api"}


@pytest.mark.parametrize(
    ("created", "field"),
    [
        (releases.TimeRange(), "created"),
        (releases.TimeRange(end_time={"seconds": 7}), "created"),
        (releases.TimeRange(period="7"), "created.period"),
        (releases.TimeRange(period="1d", start_time={"seconds": 7}), "created.period"),
        (releases.TimeRange(start_time={"seconds": 7}, end_time={"seconds": 6}), "created.end_time"),
        (releases.TimeRange(start_time={"nanos": -1}), "created.start_time"),
    ],
)
def test_a_time_is_needed_that_makes_sense(edge: Served, created: releases.TimeRange, field: str) -> None:
    edge.make_organization(projects=["web"])
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        status(edge, created=created)
    assert list(refusal.violations) == [field]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"environments": ["a/b"]}, "environments[0]"),
        ({"environments": ["x"] * 101}, "environments"),
        ({"projects": [WEB] * 101}, "projects"),
        ({"versions": ["x"] * 101}, "versions"),
        ({"versions": ["x" * 201]}, "versions[0]"),
        ({"page_size": -1}, "page_size"),
    ],
)
def test_a_bad_field_is_named(edge: Served, fields: dict[str, object], field: str) -> None:
    edge.make_organization(projects=["web"])
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        status(edge, **fields)  # type: ignore[arg-type]
    assert list(refusal.violations) == [field]


def test_a_time_and_an_organization_are_needed(edge: Served) -> None:
    edge.make_organization()
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        edge.health.GetThresholdStatus(pb.GetThresholdStatusRequest(), metadata=edge.operator)
    assert list(refusal.violations) == ["parent", "created"]
    request = pb.GetThresholdStatusRequest(parent="organizations/umbrella", created=LAST_DAY)
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
        edge.health.GetThresholdStatus(request, metadata=edge.operator)


def test_a_page_ends_before_it_is_too_large_for_a_message(edge: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is reckoned to take is what it takes at most, with whatever texts, and not much more."""
    monkeypatch.setattr(threshold_status, "PAGE_BYTES", 10_000)
    organization = edge.make_organization("o" * 50, projects=["p" * 50])
    for index in range(3):
        environment = f"{index}{chr(0x1F600) * 63}"
        far = Duration(seconds=90 * 86_400)
        threshold(edge, parent=f"{organization}/projects/{'p' * 50}", environment=environment, value=1e12, window=far)
    for minor in range(12):
        edge.make_release(organization, f"{minor}{chr(0x1F600) * 198}", "p" * 50)
    request = pb.GetThresholdStatusRequest(parent=organization, created=LAST_DAY, page_size=1000)
    sizes, seen = [], 0
    while True:
        answer = edge.health.GetThresholdStatus(request, metadata=edge.operator)
        sizes.append(answer.ByteSize())
        seen += len(answer.releases)
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert seen == 12
    assert max(sizes) <= 10_000
    assert min(sizes[:-1]) > 7_000
