"""StreamSessions over the wire."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc
import pytest
from releaseregistry.v1 import sessions_pb2 as pb

from tests.rpc.sending import eventually
from tests.rpc.telling import PARENT, counts, done, record, refusals, sessions, stream, update
from tests.rpc.wire import Served, bearer, raises_reason

Message = pb.StreamSessionsRequest


@pytest.fixture
def acme(server: Served) -> Served:
    server.make_organization(projects=("web", "api"))
    return server


@pytest.fixture
def lone(edge: Served) -> Served:
    edge.make_organization(projects=("web", "api"))
    return edge


def test_the_items_of_all_messages_are_counted_once(acme: Served) -> None:
    messages = [
        Message(parent=PARENT, updates=[update(1), update(2)]),
        Message(updates=[update(2), update(3, status=pb.SESSION_STATUS_CRASHED)], counts=[counts(1, exited_count=5)]),
        Message(parent=PARENT, counts=[counts(1, exited_count=5)], finish=True),
    ]
    assert done(stream(acme, messages)) == (4, 2, 0)
    assert sessions(acme) == (8, 1)
    assert done(stream(acme, messages)) == (0, 6, 0)
    assert sessions(acme) == (8, 1)


def test_one_message_is_enough(lone: Served) -> None:
    assert done(stream(lone, [Message(parent=PARENT, updates=[update(1)], finish=True)])) == (1, 0, 0)
    assert stream(lone, [Message(parent=PARENT, finish=True)]) == pb.RecordedSessions()
    assert done(stream(lone, [Message(parent=PARENT), Message(updates=[update(2)]), Message(finish=True)])) == (1, 0, 0)


def test_places_are_counted_through_all_messages(lone: Served) -> None:
    bad, bad_counts = update(9, sequence=-1), counts(9, version="")
    foreign = update(8, project=f"{PARENT}/projects/missing")
    messages = [
        Message(parent=PARENT, updates=[update(1), bad], counts=[bad_counts]),
        Message(updates=[update(2)]),
        Message(updates=[foreign, update(3)], counts=[counts(1, exited_count=1), bad_counts]),
        Message(updates=[bad], finish=True),
    ]
    recorded = stream(lone, messages)
    assert done(recorded) == (4, 0, 5)
    assert refusals(recorded) == [
        ("updates[1].sequence", "INVALID_FIELD"),
        ("updates[3].project", "PROJECT_FORBIDDEN"),
        ("updates[5].sequence", "INVALID_FIELD"),
        ("counts[0].version", "INVALID_FIELD"),
        ("counts[2].version", "INVALID_FIELD"),
    ]


def test_of_many_refusals_the_first_hundred_are_told(lone: Served) -> None:
    bad = [update(number, sequence=-1) for number in range(30)]
    messages = [Message(parent=PARENT, updates=bad) for _ in range(5)]
    recorded = stream(lone, [*messages, Message(finish=True)])
    assert done(recorded) == (0, 0, 150)
    assert [refusal.field for refusal in recorded.refused] == [f"updates[{place}].sequence" for place in range(100)]


@pytest.mark.parametrize(
    ("messages", "expected", "found"),
    [
        ([], "a message with parent", "end"),
        ([Message(parent=PARENT, updates=[update(1)])], "sessions or finish", "end"),
        (
            [Message(parent=PARENT, updates=[update(1)], finish=True), Message(updates=[update(2)])],
            "end",
            "a message behind finish",
        ),
    ],
)
def test_messages_in_another_order_are_refused_and_what_came_before_is_kept(
    lone: Served, messages: list[Message], expected: str, found: str
) -> None:
    with raises_reason("FRAME_OUT_OF_ORDER", "INVALID_ARGUMENT") as refusal:
        stream(lone, messages)
    assert refusal.metadata == {"expected": expected, "found": found}
    assert sessions(lone)[0] == (1 if messages else 0)


def test_the_first_message_says_whose_sessions_these_are(lone: Served) -> None:
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        stream(lone, [Message(updates=[update(1)], finish=True)])
    assert list(refusal.violations) == ["parent"]
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        stream(lone, [Message(parent=PARENT), Message(parent=PARENT + "2", updates=[update(1)], finish=True)])
    assert list(refusal.violations) == ["parent"]
    with raises_reason("INVALID_NAME", "INVALID_ARGUMENT"):
        stream(lone, [Message(parent="acme", updates=[update(1)], finish=True)])
    assert sessions(lone) == (0, 0)


def test_who_may_stream(lone: Served) -> None:
    lone.make_organization("rival")
    rival = bearer(lone.make_token("organizations/rival", "health:write", all_projects=True))
    reader = bearer(lone.make_token(PARENT, "health:read", all_projects=True))
    messages = [Message(parent=PARENT, updates=[update(1)], finish=True)]
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
        stream(lone, messages, rival)
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
        stream(lone, messages, reader)


def test_an_empty_stream_still_names_an_organization(lone: Served) -> None:
    with raises_reason("ORGANIZATION_NOT_FOUND", "NOT_FOUND"):
        stream(lone, [Message(parent="organizations/missing", finish=True)])


def test_each_message_is_kept_as_it_comes_and_a_cut_stream_is_sent_again(acme: Served) -> None:
    going_on = threading.Event()
    told = [Message(parent=PARENT, updates=[update(number)]) for number in range(4)]

    def cut() -> Iterator[Message]:
        yield from told[:3]
        going_on.wait(60)

    call = acme.health.StreamSessions.future(cut(), metadata=acme.operator, timeout=60)
    assert eventually(lambda: sessions(acme) == (3, 0))
    call.cancel()
    going_on.set()
    with pytest.raises(grpc.FutureCancelledError):
        call.result()
    assert done(stream(acme, [*told, Message(finish=True)])) == (1, 3, 0)
    assert sessions(acme) == (4, 0)


def test_streams_and_calls_side_by_side_count_nothing_twice(acme: Served) -> None:
    told = [update(number) for number in range(60)]
    answers: list[tuple[int, int, int]] = []

    def tell(place: int) -> None:
        if place % 2:
            messages = [Message(parent=PARENT, updates=told[start : start + 20]) for start in range(0, 60, 20)]
            answers.append(done(stream(acme, [*messages, Message(finish=True)])))
        else:
            answers.append(done(record(acme, *reversed(told))))

    threads = [threading.Thread(target=tell, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 4
    assert sum(recorded for recorded, _, _ in answers) == 60
    assert sum(known for _, known, _ in answers) == 180
    assert sessions(acme) == (60, 0)
