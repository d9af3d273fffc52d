"""BulkUpdateReleases over the wire."""

from __future__ import annotations

import uuid
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import releases_pb2 as pb

from tests.rpc.wire import Metadata, Served, bearer, raises_reason

PARENT = "organizations/acme"
ARCHIVE = pb.BULK_RELEASE_ACTION_ARCHIVE
RESTORE = pb.BULK_RELEASE_ACTION_RESTORE
LABEL = pb.BULK_RELEASE_ACTION_LABEL
DELETE = pb.BULK_RELEASE_ACTION_DELETE


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization("acme", projects=("api", "web"))
    return server


def make(acme: Served, *versions: str, projects: tuple[str, ...] = ("web",)) -> None:
    """The releases, each a second younger than the one before."""
    for version in versions:
        acme.clock.advance(seconds=1)
        acme.make_release(PARENT, version, *projects)


def bulk(
    acme: Served, action: Any, query: str = "release:*", *, metadata: Metadata | None = None, **fields: Any
) -> pb.BulkUpdateReleasesResponse:
    request = pb.BulkUpdateReleasesRequest(parent=PARENT, action=action, query=query, **fields)
    return acme.releases.BulkUpdateReleases(request, metadata=metadata or acme.operator)


def told(answer: pb.BulkUpdateReleasesResponse) -> dict[str, str]:
    """Version to outcome, in the order of the answer."""
    return {
        result.name.removeprefix(f"{PARENT}/releases/"): pb.BulkReleaseOutcome.Name(result.outcome).removeprefix(
            "BULK_RELEASE_OUTCOME_"
        )
        for result in answer.results
    }


def read(acme: Served, version: str) -> pb.Release:
    request = pb.GetReleaseRequest(name=f"{PARENT}/releases/{version}")
    return acme.releases.GetRelease(request, metadata=acme.operator).release


def listed(acme: Served, **fields: Any) -> list[str]:
    request = pb.ListReleasesRequest(parent=PARENT, **fields)
    return [release.version for release in acme.releases.ListReleases(request, metadata=acme.operator).releases]


def test_what_is_found_is_archived_restored_labelled_and_deleted(acme: Served) -> None:
    make(acme, "a@1.0", "a@2.0", "b@1.0")
    answer = bulk(acme, ARCHIVE, "release.package:a")
    assert list(told(answer).items()) == [("a@2.0", "CHANGED"), ("a@1.0", "CHANGED")]
    assert (answer.changed_count, answer.next_page_token) == (2, "")
    assert read(acme, "a@1.0").status == pb.RELEASE_STATUS_ARCHIVED
    assert listed(acme) == ["b@1.0"]

    assert told(bulk(acme, RESTORE, "release.version:<2")) == {"a@1.0": "CHANGED"}
    answer = bulk(acme, LABEL, set_labels={"team": "search"}, projects=[f"{PARENT}/projects/web"])
    assert told(answer) == {"b@1.0": "CHANGED", "a@1.0": "CHANGED"}
    assert dict(read(acme, "b@1.0").labels) == {"team": "search"}
    answer = bulk(acme, LABEL, set_labels={"risk": "low"}, remove_labels=["team"], statuses=[pb.RELEASE_STATUS_OPEN])
    assert answer.changed_count == 2
    assert dict(read(acme, "b@1.0").labels) == {"risk": "low"}
    assert told(bulk(acme, DELETE, "label.risk:low release:a@1.0")) == {"a@1.0": "CHANGED"}
    assert listed(acme) == ["b@1.0"]


def test_filters_are_those_of_lists(acme: Served) -> None:
    make(acme, "1.0", "2.0", "3.0")
    middle = read(acme, "2.0").create_time
    assert told(bulk(acme, ARCHIVE, environments=["production"])) == {}
    assert told(bulk(acme, ARCHIVE, released=pb.TimeRange(period="1d"))) == {}
    assert told(bulk(acme, ARCHIVE, created=pb.TimeRange(start_time=middle), projects=[f"{PARENT}/projects/-"])) == {
        "3.0": "CHANGED",
        "2.0": "CHANGED",
    }
    with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        bulk(acme, ARCHIVE, created=pb.TimeRange(start_time=middle, end_time=Timestamp(seconds=1)))
    assert list(refusal.violations) == ["created.end_time"]


def test_calls_go_on_by_page_token_each_with_a_request_id_of_its_own(acme: Served) -> None:
    make(acme, "1.0", "2.0", "3.0")
    first = bulk(acme, DELETE, page_size=2, request_id=str(uuid.uuid4()))
    assert list(told(first)) == ["3.0", "2.0"]
    second = bulk(acme, DELETE, page_size=1, page_token=first.next_page_token, request_id=str(uuid.uuid4()))
    assert (list(told(second)), second.next_page_token) == (["1.0"], "")
    assert listed(acme) == []


def test_a_page_token_is_good_for_its_own_arguments_only(acme: Served) -> None:
    make(acme, "1.0", "2.0")
    token = bulk(acme, ARCHIVE, page_size=1, validate_only=True).next_page_token
    for other in (
        {"action": DELETE, "validate_only": True},
        {"action": ARCHIVE},
        {"action": ARCHIVE, "query": "release:1.*", "validate_only": True},
    ):
        with raises_reason("PAGE_TOKEN_INVALID", grpc.StatusCode.INVALID_ARGUMENT):
            bulk(acme, page_token=token, **other)
    assert listed(acme) == ["2.0", "1.0"]


def test_a_call_deals_with_500_releases_at_most_and_100_when_nothing_is_said(acme: Served) -> None:
    make(acme, *(f"1.{number}" for number in range(102)))
    assert len(bulk(acme, LABEL, set_labels={"a": "b"}).results) == 100
    answer = bulk(acme, LABEL, set_labels={"a": "b"}, page_size=100_000)
    assert (len(answer.results), answer.changed_count, answer.next_page_token) == (102, 2, "")
    with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT):
        bulk(acme, LABEL, set_labels={"a": "b"}, page_size=-1)


def test_a_repeated_request_id_gets_the_first_answer_and_has_one_effect(acme: Served) -> None:
    make(acme, "1.0", "2.0")
    request_id = str(uuid.uuid4())
    first = bulk(acme, ARCHIVE, page_size=1, request_id=request_id)
    assert bulk(acme, ARCHIVE, page_size=1, request_id=request_id) == first
    assert listed(acme) == ["1.0"]
    with raises_reason("REQUEST_ID_REUSED", grpc.StatusCode.FAILED_PRECONDITION):
        bulk(acme, DELETE, page_size=1, request_id=request_id)


def test_a_rehearsal_changes_nothing(acme: Served) -> None:
    make(acme, "1.0", "2.0")
    assert told(bulk(acme, DELETE, validate_only=True)) == {"2.0": "CHANGED", "1.0": "CHANGED"}
    assert listed(acme) == ["2.0", "1.0"]


def test_releases_of_others_stay_and_are_told(acme: Served) -> None:
    make(acme, "1.0")
    make(acme, "2.0", projects=("web", "api"))
    make(acme, "3.0", projects=("api",))
    caller = bearer(acme.make_token(PARENT, "release:admin", projects=("web",)))
    assert told(bulk(acme, DELETE, metadata=caller)) == {"2.0": "FORBIDDEN", "1.0": "CHANGED"}
    assert listed(acme) == ["3.0", "2.0"]
    with raises_reason("PROJECT_FORBIDDEN", grpc.StatusCode.PERMISSION_DENIED):
        bulk(acme, DELETE, projects=[f"{PARENT}/projects/api"], metadata=caller)


def test_deleting_needs_release_admin(acme: Served) -> None:
    make(acme, "1.0")
    writer = bearer(acme.make_token(PARENT, "release:write", projects=("web",)))
    with raises_reason("SCOPE_MISSING", grpc.StatusCode.PERMISSION_DENIED) as refusal:
        bulk(acme, DELETE, metadata=writer)
    assert refusal.metadata == {"scope": "release:admin"}
    assert told(bulk(acme, LABEL, set_labels={"a": "b"}, metadata=writer)) == {"1.0": "CHANGED"}
    reader = bearer(acme.make_token(PARENT, "release:read", projects=("web",)))
    with raises_reason("SCOPE_MISSING", grpc.StatusCode.PERMISSION_DENIED) as refusal:
        bulk(acme, ARCHIVE, metadata=reader)
    assert refusal.metadata == {"scope": "release:write"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"action": pb.BULK_RELEASE_ACTION_UNSPECIFIED}, "action"),
        ({"action": 9}, "action"),
        ({"action": ARCHIVE, "query": ""}, "query"),
        ({"action": ARCHIVE, "query": "  "}, "query"),
        ({"action": DELETE, "query": "release:latest"}, "query"),
        ({"action": ARCHIVE, "set_labels": {"a": "b"}}, "set_labels"),
        ({"action": DELETE, "remove_labels": ["a"]}, "remove_labels"),
        ({"action": LABEL}, "set_labels"),
        ({"action": LABEL, "set_labels": {"a": "b"}, "remove_labels": ["a"]}, "remove_labels[0]"),
        ({"action": LABEL, "set_labels": {"a": "b" * 201}}, 'set_labels["a"]'),
        ({"action": LABEL, "set_labels": {"a" * 65: "b"}}, f'set_labels["{"a" * 40}"]'),
        ({"action": LABEL, "set_labels": {"a\n": "b"}}, 'set_labels["a\\n"]'),
        ({"action": LABEL, "remove_labels": ["a" * 65]}, "remove_labels[0]"),
        ({"action": LABEL, "remove_labels": [" "]}, "remove_labels[0]"),
        ({"action": LABEL, "set_labels": {f"k{number}": "v" for number in range(65)}}, "set_labels"),
    ],
)
def test_what_cannot_be_done_is_refused(acme: Served, fields: dict[str, Any], field: str) -> None:
    make(acme, "1.0")
    with raises_reason("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        bulk(acme, **fields)
    assert list(refusal.violations) == [field]
    assert listed(acme) == ["1.0"]


def test_a_query_that_cannot_be_read_is_refused_with_its_place(acme: Served) -> None:
    with raises_reason("QUERY_INVALID", grpc.StatusCode.INVALID_ARGUMENT) as refusal:
        bulk(acme, DELETE, "release:(")
    assert refusal.metadata["position"] == "9"
