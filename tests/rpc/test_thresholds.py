"""CreateThreshold, ListThresholds, UpdateThreshold, DeleteThreshold."""

from __future__ import annotations

import math
import uuid

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from releaseregistry.v1 import thresholds_pb2 as pb

from tests.rpc.wire import Metadata, Served, bearer, raises_reason

ACME = "organizations/acme"
WEB, API = f"{ACME}/projects/web", f"{ACME}/projects/api"
ERRORS, CRASH_FREE = pb.THRESHOLD_METRIC_TOTAL_ERROR_COUNT, pb.THRESHOLD_METRIC_CRASH_FREE_USER_RATE
OVER, UNDER = pb.THRESHOLD_TRIGGER_OVER, pb.THRESHOLD_TRIGGER_UNDER
HOUR = Duration(seconds=3600)


def draft(**changes: object) -> pb.Threshold:
    """A good threshold, but for what is said; None takes a field out."""
    fields = {"metric": ERRORS, "trigger": OVER, "value": 5.0, "window": HOUR} | changes
    return pb.Threshold(**{name: value for name, value in fields.items() if value is not None})  # type: ignore[arg-type]


def create(
    server: Served,
    threshold: pb.Threshold,
    *,
    parent: str = WEB,
    metadata: Metadata | None = None,
    request_id: str = "",
    validate_only: bool = False,
) -> pb.Threshold:
    request = pb.CreateThresholdRequest(
        parent=parent, threshold=threshold, request_id=request_id, validate_only=validate_only
    )
    return server.health.CreateThreshold(request, metadata=metadata or server.operator).threshold


def update(server: Served, threshold: pb.Threshold, *paths: str) -> pb.Threshold:
    request = pb.UpdateThresholdRequest(threshold=threshold, update_mask=FieldMask(paths=paths))
    return server.health.UpdateThreshold(request, metadata=server.operator).threshold


def delete(server: Served, name: str, *, request_id: str = "", validate_only: bool = False) -> None:
    request = pb.DeleteThresholdRequest(name=name, request_id=request_id, validate_only=validate_only)
    server.health.DeleteThreshold(request, metadata=server.operator)


def listed(
    server: Served, parent: str = WEB, *, page_size: int = 0, page_token: str = "", metadata: Metadata | None = None
) -> pb.ListThresholdsResponse:
    request = pb.ListThresholdsRequest(parent=parent, page_size=page_size, page_token=page_token)
    return server.health.ListThresholds(request, metadata=metadata or server.operator)


def test_a_created_threshold_is_answered_in_full_and_listed(server: Served) -> None:
    server.make_organization(projects=["web"])
    made = create(server, draft(metric=CRASH_FREE, trigger=UNDER, value=99.995, environment="production"))
    assert made.name == f"{WEB}/thresholds/{uuid.UUID(made.uid)}"
    assert (made.environment, made.metric, made.trigger, made.value) == ("production", CRASH_FREE, UNDER, 99.995)
    assert made.window == HOUR
    assert made.create_time.ToMicroseconds() == made.update_time.ToMicroseconds() == server.clock.now_us()
    assert list(listed(server).thresholds) == [made]


def test_no_environment_and_an_empty_one_are_two_things(server: Served) -> None:
    server.make_organization(projects=["web"])
    create(server, draft())
    create(server, draft(environment=""))
    told = [(each.HasField("environment"), each.environment) for each in listed(server).thresholds]
    assert told == [(False, ""), (True, "")]


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (draft(metric=None), "metric"),
        (draft(metric=77), "metric"),
        (draft(trigger=None), "trigger"),
        (draft(trigger=77), "trigger"),
        (draft(window=None), "window"),
        (draft(window=Duration()), "window"),
        (draft(window=Duration(seconds=-60)), "window"),
        (draft(window=Duration(seconds=90)), "window"),
        (draft(window=Duration(seconds=60, nanos=1)), "window"),
        (draft(window=Duration(seconds=90 * 86_400 + 60)), "window"),
        (draft(window=Duration(seconds=2**62)), "window"),
        (draft(value=-0.001), "value"),
        (draft(value=0.0001), "value"),
        (draft(value=5e-324), "value"),
        (draft(value=1e12 + 1), "value"),
        (draft(value=1e300), "value"),
        (draft(value=math.inf), "value"),
        (draft(value=-math.inf), "value"),
        (draft(value=math.nan), "value"),
        (draft(metric=CRASH_FREE, value=100.001), "value"),
        (draft(environment="a/b"), "environment"),
        (draft(environment=" a"), "environment"),
        (draft(environment="x" * 65), "environment"),
    ],
)
def test_a_bad_field_is_named(edge: Served, bad: pb.Threshold, field: str) -> None:
    edge.make_organization(projects=["web"])
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        create(edge, bad)
    assert list(refusal.violations) == [f"threshold.{field}"]
    assert list(listed(edge).thresholds) == []


@pytest.mark.parametrize(
    "value", [0, 0.001, 0.1, 0.007, 33.333, 99.999, 100, 123_456_789.123, 1e12, 999_999_999_999.999]
)
def test_a_value_comes_back_as_it_was_sent(edge: Served, value: float) -> None:
    edge.make_organization(projects=["web"])
    assert create(edge, draft(value=value)).value == value


def test_a_threshold_is_needed_and_a_project(edge: Served) -> None:
    edge.make_organization(projects=["web"])
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        edge.health.CreateThreshold(pb.CreateThresholdRequest(), metadata=edge.operator)
    assert list(refusal.violations) == ["parent", "threshold"]
    with raises_reason("INVALID_NAME", "INVALID_ARGUMENT"):
        create(edge, draft(), parent=ACME)
    with raises_reason("PROJECT_NOT_FOUND", "NOT_FOUND"):
        create(edge, draft(), parent=f"{ACME}/projects/nowhere")
    with raises_reason("PROJECT_NOT_FOUND", "NOT_FOUND"):
        create(edge, draft(), parent=f"{ACME}/projects/-")
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
        create(edge, draft(), parent="organizations/umbrella/projects/web")


def test_a_project_has_no_more_than_a_hundred(server: Served) -> None:
    server.make_organization(projects=["web"])
    for _ in range(100):
        create(server, draft())
    with raises_reason("TOO_MANY_THRESHOLDS", "FAILED_PRECONDITION") as refusal:
        create(server, draft())
    assert refusal.metadata == {"limit": "100"}


def test_a_repeated_request_id_gets_the_first_answer_again(server: Served) -> None:
    server.make_organization(projects=["web"])
    request_id = str(uuid.uuid4())
    first = create(server, draft(), request_id=request_id)
    assert create(server, draft(), request_id=request_id) == first
    with raises_reason("REQUEST_ID_REUSED", "FAILED_PRECONDITION"):
        create(server, draft(value=6.0), request_id=request_id)
    assert list(listed(server).thresholds) == [first]
    change = pb.UpdateThresholdRequest(threshold=pb.Threshold(name=first.name, value=7.0), request_id=request_id)
    changed = server.health.UpdateThreshold(change, metadata=server.operator)
    server.clock.advance(seconds=1)
    assert server.health.UpdateThreshold(change, metadata=server.operator) == changed
    delete(server, first.name, request_id=request_id)
    delete(server, first.name, request_id=request_id)
    with raises_reason("THRESHOLD_NOT_FOUND", "NOT_FOUND"):
        delete(server, first.name)


def test_a_rehearsal_changes_nothing(server: Served) -> None:
    server.make_organization(projects=["web"])
    create(server, draft(), validate_only=True)
    assert list(listed(server).thresholds) == []
    made = create(server, draft())
    change = pb.UpdateThresholdRequest(threshold=pb.Threshold(name=made.name, value=7.0), validate_only=True)
    assert server.health.UpdateThreshold(change, metadata=server.operator).threshold.value == 7.0
    delete(server, made.name, validate_only=True)
    assert list(listed(server).thresholds) == [made]


def test_masks_say_what_changes(server: Served) -> None:
    server.make_organization(projects=["web"])
    made = create(server, draft(environment="qa"))
    server.clock.advance(seconds=1)
    changed = update(server, pb.Threshold(name=made.name, value=7.0))
    assert (changed.environment, changed.value, changed.window) == ("qa", 7.0, HOUR)
    assert changed.update_time.ToMicroseconds() == server.clock.now_us()
    assert update(server, pb.Threshold(name=made.name), "value").value == 0
    assert update(server, pb.Threshold(name=made.name, environment="")).environment == ""
    assert update(server, pb.Threshold(name=made.name, environment="")).HasField("environment")
    assert not update(server, pb.Threshold(name=made.name), "environment").HasField("environment")
    whole = update(server, draft(name=made.name, metric=CRASH_FREE, trigger=UNDER, value=50.0), "*")
    assert (whole.metric, whole.trigger, whole.value) == (CRASH_FREE, UNDER, 50.0)
    assert list(listed(server).thresholds) == [whole]


@pytest.mark.parametrize(
    ("changes", "paths", "field"),
    [
        ({}, ("metric",), "metric"),
        ({}, ("trigger",), "trigger"),
        ({}, ("window",), "window"),
        ({"metric": ERRORS, "trigger": OVER}, ("*",), "window"),
        ({"value": 101.0}, (), "value"),
        ({"value": 0.00001}, (), "value"),
        ({"window": Duration(seconds=1)}, (), "window"),
    ],
)
def test_what_cannot_be_changed_so_is_refused(
    edge: Served, changes: dict[str, object], paths: tuple[str, ...], field: str
) -> None:
    edge.make_organization(projects=["web"])
    made = create(edge, draft(metric=CRASH_FREE))
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        update(edge, pb.Threshold(name=made.name, **changes), *paths)  # type: ignore[arg-type]
    assert list(refusal.violations) == [f"threshold.{field}"]
    assert list(listed(edge).thresholds) == [made]


def test_an_unknown_path_is_refused_and_one_of_the_servers_is_passed_over(edge: Served) -> None:
    edge.make_organization(projects=["web"])
    made = create(edge, draft())
    with raises_reason("INVALID_MASK", "INVALID_ARGUMENT") as refusal:
        update(edge, made, "unit")
    assert refusal.metadata["allowed"] == "environment, metric, trigger, value, window"
    assert update(edge, pb.Threshold(name=made.name, value=9.0), "uid", "create_time") == made


def test_a_threshold_that_is_not_there_is_not_found(server: Served) -> None:
    server.make_organization(projects=["web", "api"])
    made = create(server, draft())
    for name in (f"{WEB}/thresholds/{uuid.uuid4()}", made.name.replace("web", "api")):
        with raises_reason("THRESHOLD_NOT_FOUND", "NOT_FOUND") as refusal:
            delete(server, name)
        assert refusal.metadata == {"name": name}
        with raises_reason("THRESHOLD_NOT_FOUND", "NOT_FOUND"):
            update(server, pb.Threshold(name=name, value=1.0))
    for bad in (f"{WEB}/thresholds/7", WEB, f"{WEB}/thresholds/-"):
        with raises_reason("INVALID_NAME", "INVALID_ARGUMENT") as refusal:
            delete(server, bad)
        assert refusal.metadata["field"] == "name"
        with raises_reason("INVALID_NAME", "INVALID_ARGUMENT") as refusal:
            update(server, pb.Threshold(name=bad))
        assert refusal.metadata["field"] == "threshold.name"
    delete(server, made.name)
    assert list(listed(server).thresholds) == []


def test_thresholds_are_listed_oldest_first_in_pages_both_ways(server: Served) -> None:
    server.make_organization(projects=["web", "api"])
    made = [create(server, draft(), parent=(WEB, API)[index % 2]) for index in range(5)]
    everywhere = f"{ACME}/projects/-"
    first = listed(server, everywhere, page_size=3)
    second = listed(server, everywhere, page_size=3, page_token=first.next_page_token)
    assert [*first.thresholds, *second.thresholds] == made
    assert (first.previous_page_token, second.next_page_token) == ("", "")
    assert listed(server, everywhere, page_size=3, page_token=second.previous_page_token).thresholds == first.thresholds
    assert list(listed(server, API).thresholds) == made[1::2]
    with raises_reason("PAGE_TOKEN_INVALID", "INVALID_ARGUMENT"):
        listed(server, WEB, page_token=first.next_page_token)


def test_who_may_do_what(server: Served) -> None:
    organization = server.make_organization(projects=["web", "api"])
    made = create(server, draft())
    reader = bearer(server.make_token(organization, "health:read", projects=["web"]))
    writer = bearer(server.make_token(organization, "project:write", projects=["api"]))
    assert list(listed(server, f"{ACME}/projects/-", metadata=reader).thresholds) == [made]
    with raises_reason("PROJECT_NOT_FOUND", "NOT_FOUND"):
        listed(server, API, metadata=reader)
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED") as refusal:
        create(server, draft(), metadata=reader)
    assert refusal.metadata == {"scope": "project:write"}
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED") as refusal:
        listed(server, metadata=writer)
    assert refusal.metadata == {"scope": "health:read"}
    assert create(server, draft(), parent=API, metadata=writer).name.startswith(API)
    with raises_reason("PROJECT_NOT_FOUND", "NOT_FOUND"):
        create(server, draft(), metadata=writer)
