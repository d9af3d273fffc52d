"""Messages about sessions, turned into what the store takes: what is refused, and what comes out of the rest."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import sessions_pb2 as pb

from server.mapping.sessions import MAX_REFUSED, Receipt, sent_items
from store.access.projects import QualifiedSlug
from store.health.items import Recorded, Refusal, SessionCounts, SessionStatus, SessionUpdate
from tests.rpc.telling import WEB, counts, uid, update
from tests.rpc.test_record_sessions import FIELDS_OF_BAD_COUNTS, FIELDS_OF_BAD_UPDATES


def bad(fields: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    """Each bad value by itself; those that are bad by the clock are left to the store."""
    return [
        (field, value)
        for field, values in fields.items()
        for value in values
        if field != "start_time" or value is None or value.nanos >= 10**9 or value.seconds > 10**11
    ]


@pytest.mark.parametrize(("field", "value"), bad(FIELDS_OF_BAD_UPDATES))
def test_a_bad_update_alone_among_good_ones_is_found(field: str, value: Any) -> None:
    request = pb.RecordSessionsRequest(updates=[update(1), update(2, **{field: value}), update(3)])
    sent = sent_items(request, "acme")
    assert [(refusal.path, refusal.reason) for refusal in sent.refused] == [(f"updates[1].{field}", "INVALID_FIELD")]
    assert [item.user for item in sent.updates] == ["user-1", "user-3"]
    assert list(sent.update_places) == [0, 2]


@pytest.mark.parametrize(("field", "value"), bad(FIELDS_OF_BAD_COUNTS))
def test_a_bad_item_of_counts_alone_among_good_ones_is_found(field: str, value: Any) -> None:
    request = pb.RecordSessionsRequest(counts=[counts(1), counts(2, **{field: value}), counts(3)])
    sent = sent_items(request, "acme", counts_before=10)
    assert [(refusal.path, refusal.reason) for refusal in sent.refused] == [(f"counts[11].{field}", "INVALID_FIELD")]
    assert list(sent.counts_places) == [10, 12]


def test_a_message_of_which_nothing_is_good() -> None:
    request = pb.RecordSessionsRequest(updates=[update(1, sequence=-1)] * 3, counts=[counts(1, version="")])
    sent = sent_items(request, "acme", updates_before=5)
    assert [refusal.path for refusal in sent.refused] == [
        *(f"updates[{place}].sequence" for place in (5, 6, 7)),
        "counts[0].version",
    ]
    assert (list(sent.updates), list(sent.counts)) == ([], [])


def test_of_an_item_the_first_bad_field_is_told() -> None:
    request = pb.RecordSessionsRequest(updates=[update(1, version="", sequence=-1, project="x", error_count=10**10)])
    assert [refusal.field for refusal in sent_items(request, "acme").refused] == ["sequence"]


def test_an_update_keeps_all_that_it_says() -> None:
    told = update(
        7,
        distinct_user_id="one",
        sequence=5,
        status=pb.SESSION_STATUS_ABNORMAL,
        error_count=3,
        start_time=Timestamp(seconds=-2, nanos=1_999),
        duration=Duration(seconds=4, nanos=5_999),
        version="web@1",
        environment="prod",
    )
    elsewhere = update(8, project="organizations/other/projects/api", environment="")
    elsewhere.ClearField("duration")
    sent = sent_items(pb.RecordSessionsRequest(updates=[told, elsewhere]), "acme")
    assert sent.updates[0] == SessionUpdate(
        uuid.UUID(uid(7)).bytes, "one", 5, SessionStatus.ABNORMAL, 3, -1_999_999, 4_000_005, "web@1", "prod", "web"
    )
    assert (sent.updates[1].duration, sent.updates[1].environment) == (None, "")
    assert sent.updates[1].project == QualifiedSlug("other", "api")


def test_counts_keep_all_that_they_say() -> None:
    numbers = {"exited_count": 1, "errored_count": 2, "abnormal_count": 3, "crashed_count": 4}
    told = counts(7, start_time=Timestamp(seconds=5), distinct_user_id="one", project=WEB, **numbers)
    (item,) = sent_items(pb.RecordSessionsRequest(counts=[told]), "acme").counts
    assert item == SessionCounts(
        uuid.UUID(uid(7)).bytes, 5_000_000, 1, 2, 3, 4, "one", "web@1.0.0", "production", "web"
    )


def test_a_receipt_of_several_messages_tells_updates_first_and_no_more_than_a_hundred() -> None:
    receipt = Receipt()
    for number in range(4):
        refused = [Refusal("updates", 30 * number + place, "version", "INVALID_FIELD", "is bad") for place in range(29)]
        late = Refusal("updates", 30 * number + 29, "start_time", "INVALID_FIELD", "is late")
        of_counts = Refusal("counts", number, "project", "PROJECT_FORBIDDEN", "is not there")
        receipt.add(Recorded(2, 1, (of_counts, late), frozenset()), refused)
    message = receipt.message()
    assert (message.recorded_count, message.known_count, message.refused_count) == (8, 4, 124)
    assert len(message.refused) == MAX_REFUSED
    assert [refusal.field.partition("]")[0] for refusal in message.refused] == [
        f"updates[{place}" for place in range(MAX_REFUSED)
    ]
    assert message.refused[29].description == "is late"
