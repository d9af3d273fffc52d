"""RecordSessions over the wire."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import sessions_pb2 as pb

from store.health.windows import DAY_US, HOUR_US
from tests.clocks import START_US
from tests.rpc.telling import PARENT, WEB, counts, done, moment, record, refusals, sessions, uid, update
from tests.rpc.wire import Served, bearer, raises_reason

Item = pb.SessionUpdate | pb.SessionCounts

FIELDS_OF_BAD_UPDATES: dict[str, list[Any]] = {
    "session_id": ["", "no uuid", uid(1)[:-1], uid(1) + "0", uid(1).replace("-", "0")],
    "distinct_user_id": ["x" * 201, "a\nb"],
    "sequence": [-1],
    "status": [5],
    "error_count": [-1, 1_000_000_001],
    "start_time": [
        None,
        moment(START_US - 31 * DAY_US - 1),
        moment(START_US + HOUR_US + 1),
        Timestamp(seconds=1_767_225_600, nanos=1_000_000_000),
        Timestamp(seconds=253_402_300_800),
    ],
    "duration": [Duration(seconds=-1), Duration(nanos=-1), Duration(seconds=365 * 86_400, nanos=1000)],
    "version": ["", "x" * 201, "a\nb"],
    "environment": ["x" * 65, "a/b", " a", "a\nb"],
    "project": ["", "web", PARENT, f"{WEB}/more"],
}
FIELDS_OF_BAD_COUNTS: dict[str, list[Any]] = {
    "counts_id": ["", "no uuid"],
    "start_time": [None, moment(START_US - 31 * DAY_US - 1), moment(START_US + HOUR_US + 1)],
    "exited_count": [-1, 1_000_000_001],
    "errored_count": [-1, 1_000_000_001],
    "abnormal_count": [-1, 1_000_000_001],
    "crashed_count": [-1, 1_000_000_001],
    "distinct_user_id": ["x" * 201, "a\nb"],
    "version": ["", "x" * 201],
    "environment": ["x" * 65, "a/b"],
    "project": ["", "web"],
}


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization(projects=("web", "api"))
    return server


@pytest.fixture
def lone(edge: Served) -> Served:
    edge.make_organization(projects=("web", "api"))
    return edge


def test_sessions_are_counted_once(acme: Served) -> None:
    told: list[Item] = [
        update(1, sequence=2, status=pb.SESSION_STATUS_CRASHED, error_count=1),
        update(1, sequence=1, status=pb.SESSION_STATUS_OK),
        update(2, status=pb.SESSION_STATUS_UNSPECIFIED),
        counts(3, exited_count=4, crashed_count=1, distinct_user_id="one"),
    ]
    assert done(record(acme, *told)) == (3, 1, 0)
    assert sessions(acme) == sessions(acme, "") == (7, 2)
    assert done(record(acme, *told)) == (0, 4, 0)
    assert sessions(acme) == (7, 2)


def test_an_update_without_a_status_is_one_of_a_session_under_way(acme: Served) -> None:
    record(acme, update(1, status=pb.SESSION_STATUS_UNSPECIFIED))
    assert done(record(acme, update(1, status=pb.SESSION_STATUS_OK))) == (0, 1, 0)
    assert done(record(acme, update(1, status=pb.SESSION_STATUS_EXITED))) == (1, 0, 0)


def test_what_is_said_reaches_the_right_place(acme: Served) -> None:
    record(acme, update(1, version="anything at all", environment=""), update(2, version="web@2", environment="prod"))
    assert sessions(acme, "anything at all", "") == sessions(acme, "web@2", "prod") == (1, 0)
    assert sessions(acme, "web@1.0.0") == (0, 0)


def test_uuids_are_compared_whatever_their_case(acme: Served) -> None:
    assert done(record(acme, update(0xABCDEF), update(0xABCDEF, session_id=uid(0xABCDEF).upper()))) == (1, 1, 0)


def test_each_bad_update_is_refused_and_the_good_ones_are_kept(lone: Served) -> None:
    told = [update(0)]
    fields = []
    for field, values in FIELDS_OF_BAD_UPDATES.items():
        for value in values:
            fields.append((f"updates[{len(told)}].{field}", "INVALID_FIELD"))
            told += [update(len(told), **{field: value}), update(len(told) + 1)]
    recorded = record(lone, *told)
    assert refusals(recorded) == fields
    assert all(refusal.description for refusal in recorded.refused)
    assert sessions(lone) == (len(fields) + 1, 0)
    assert done(recorded) == (len(fields) + 1, 0, len(fields))


def test_each_bad_item_of_counts_is_refused_and_the_good_ones_are_kept(lone: Served) -> None:
    told = [counts(0, exited_count=1)]
    fields = []
    for field, values in FIELDS_OF_BAD_COUNTS.items():
        for value in values:
            fields.append((f"counts[{len(told)}].{field}", "INVALID_FIELD"))
            told += [counts(len(told), **{field: value}), counts(len(told) + 1, crashed_count=1)]
    recorded = record(lone, *told)
    assert refusals(recorded) == fields
    assert sessions(lone) == (len(fields) + 1, len(fields))


def test_the_widest_values_are_good(lone: Served) -> None:
    told: list[Item] = [
        update(
            1,
            session_id=uid(2**128 - 1),
            distinct_user_id="ü" * 200,
            sequence=2**63 - 1,
            error_count=1_000_000_000,
            start_time=moment(START_US - 31 * DAY_US),
            duration=Duration(seconds=365 * 86_400),
            version="ü" * 200,
            environment="ü" * 64,
        ),
        update(2, start_time=moment(START_US + HOUR_US), duration=Duration(), distinct_user_id=""),
        counts(3, **dict.fromkeys(("exited_count", "errored_count", "abnormal_count", "crashed_count"), 1_000_000_000)),
    ]
    assert done(record(lone, *told)) == (3, 0, 0)
    assert sessions(lone) == (4_000_000_001, 1_000_000_000)


def test_projects_that_are_not_the_callers_are_refused_all_alike(acme: Served) -> None:
    acme.make_organization("rival", projects=("theirs",))
    member = bearer(acme.make_token(PARENT, "health:write", projects=("web",)))
    others = [f"{PARENT}/projects/api", f"{PARENT}/projects/missing", "organizations/rival/projects/theirs"]
    told = [update(number, project=project) for number, project in enumerate([WEB, *others])]
    recorded = record(acme, *told, counts(1, project=others[0], exited_count=1), metadata=member)
    assert refusals(recorded) == [
        *((f"updates[{place}].project", "PROJECT_FORBIDDEN") for place in (1, 2, 3)),
        ("counts[0].project", "PROJECT_FORBIDDEN"),
    ]
    assert len({refusal.description for refusal in recorded.refused}) == 1
    assert sessions(acme) == (1, 0)


def test_the_operator_tells_of_projects_of_the_named_organization_alone(acme: Served) -> None:
    acme.make_organization("rival", projects=("theirs",))
    theirs = update(1, project="organizations/rival/projects/theirs")
    assert refusals(record(acme, theirs)) == [("updates[0].project", "PROJECT_FORBIDDEN")]
    assert done(record(acme, theirs, parent="organizations/rival")) == (1, 0, 0)


def test_the_first_hundred_refusals_are_told_updates_first(lone: Served) -> None:
    bad = [update(number, sequence=-1) for number in range(90)]
    bad_counts = [counts(number, version="") for number in range(30)]
    recorded = record(lone, *bad_counts, *bad, update(1))
    assert done(recorded) == (1, 0, 120)
    assert [refusal.field for refusal in recorded.refused] == [
        *(f"updates[{number}].sequence" for number in range(90)),
        *(f"counts[{number}].version" for number in range(10)),
    ]


def test_refusals_of_rules_and_of_times_come_in_the_order_of_places(lone: Served) -> None:
    early = moment(START_US - 40 * DAY_US)
    told = [update(0, start_time=early), update(1, sequence=-1), update(2, start_time=early), update(3)]
    recorded = record(lone, *told)
    assert [field for field, _ in refusals(recorded)] == [
        "updates[0].start_time",
        "updates[1].sequence",
        "updates[2].start_time",
    ]


def test_a_batch_of_nothing_is_answered(lone: Served) -> None:
    assert record(lone) == pb.RecordedSessions()


def test_more_items_than_fit_a_call_are_refused_together(lone: Served) -> None:
    small = pb.SessionUpdate(session_id=uid(1))
    request = pb.RecordSessionsRequest(parent=PARENT, updates=[small] * 10_001)
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        lone.health.RecordSessions(request, metadata=lone.operator)
    assert list(refusal.violations) == ["updates"]
    request = pb.RecordSessionsRequest(parent=PARENT, counts=[pb.SessionCounts(counts_id=uid(1))] * 10_001)
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        lone.health.RecordSessions(request, metadata=lone.operator)
    assert list(refusal.violations) == ["counts"]


def test_ten_thousand_of_each_fit_a_call(acme: Served) -> None:
    told = [update(number, distinct_user_id="", environment="", duration=None) for number in range(10_000)]
    assert done(record(acme, *told)) == (10_000, 0, 0)
    assert sessions(acme, environment="") == (10_000, 0)


def test_who_may_tell(lone: Served) -> None:
    lone.make_organization("rival")
    reader = bearer(lone.make_token(PARENT, "health:read", "release:admin", all_projects=True))
    rival = bearer(lone.make_token("organizations/rival", "health:write", all_projects=True))
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED") as refusal:
        record(lone, update(1), metadata=reader)
    assert refusal.metadata["scope"] == "health:write"
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
        record(lone, update(1), metadata=rival)
    with raises_reason("INVALID_NAME", "INVALID_ARGUMENT"):
        record(lone, update(1), parent="acme")
    writer = bearer(lone.make_token(PARENT, "health:write", all_projects=True))
    assert done(record(lone, update(1), metadata=writer)) == (1, 0, 0)
