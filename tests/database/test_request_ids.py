"""A request with a request_id has one effect, and the first answer is given again for 24 hours."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from store.database import AnsweredRequest, Database, Once, Terms, Transaction, purge_expired
from store.errors import RequestIdReused
from tests.clocks import ManualClock
from tests.database.conftest import Crowd
from tests.database.things import add, names, put

DAY = 24 * 3600


def once(
    body: bytes = b"body", *, token: bytes = b"t" * 16, method: str = "Create", request_id: str = "r1"
) -> Terms[Any, str]:
    return Terms(
        reply=lambda result: f"made {result}",
        once=Once(
            token, method, request_id, body, encode=str.encode, decode=lambda stored: stored.decode() + " before"
        ),
    )


def make(name: str) -> Any:
    def write(tx: Transaction) -> str:
        put(tx, name)
        return name

    return write


def stored(database: Database) -> int:
    return len(database.read(lambda reader: reader.fetch(AnsweredRequest.select(AnsweredRequest.method).tuples())))


def test_the_second_call_gets_the_first_answer_and_has_no_effect(things: Database) -> None:
    assert things.write(make("a"), once()) == "made a"
    assert things.write(make("b"), once()) == "made a before"
    assert names(things) == ["a"]


def test_another_body_is_refused(things: Database) -> None:
    things.write(make("a"), once(b"one"))
    with pytest.raises(RequestIdReused) as refused:
        things.write(make("b"), once(b"two"))
    assert refused.value.metadata == {"request_id": "r1"}
    assert names(things) == ["a"]


@pytest.mark.parametrize("other", [{"token": b"u" * 16}, {"method": "Delete"}, {"request_id": "r2"}], ids=str)
def test_another_token_method_or_id_is_another_request(things: Database, other: dict[str, Any]) -> None:
    things.write(make("a"), once())
    assert things.write(make("b"), once(b"another body", **other)) == "made b"


def test_a_failed_call_leaves_its_id_free(things: Database) -> None:
    def fail(tx: Transaction) -> None:
        put(tx, "a")
        raise KeyError

    with pytest.raises(KeyError):
        things.write(fail, once())
    assert stored(things) == 0
    assert things.write(make("a"), once(b"another body")) == "made a"


def test_a_rehearsal_uses_up_no_id(things: Database) -> None:
    terms = Terms(reply=once().reply, once=once().once, validate_only=True)
    assert things.write(make("a"), terms) == "made a"
    assert stored(things) == 0
    assert things.write(make("a"), once(b"another body")) == "made a"


def test_an_answer_is_forgotten_after_a_day(things: Database, clock: ManualClock) -> None:
    things.write(make("a"), once(b"one"))
    clock.advance(seconds=DAY - 1)
    with pytest.raises(RequestIdReused):
        things.write(make("b"), once(b"two"))
    clock.advance(seconds=1)
    assert things.write(make("b"), once(b"two")) == "made b"
    assert things.write(make("c"), once(b"two")) == "made b before"


def test_expired_answers_are_purged_and_others_kept(things: Database, clock: ManualClock) -> None:
    for number in range(5):
        things.write(make(f"old {number}"), once(request_id=f"old {number}"))
    clock.advance(seconds=DAY)
    things.write(make("new"), once(request_id="new"))
    assert purge_expired(things) == 5
    assert stored(things) == 1
    assert purge_expired(things) == 0


def test_effects_happen_once(things: Database) -> None:
    seen: list[int] = []
    for _ in range(3):
        things.write(lambda tx: tx.after_commit(lambda: seen.append(1)), once())
    assert seen == [1]


def test_simultaneous_calls_have_one_effect_and_one_answer(things: Database, crowd: Crowd) -> None:
    """The others wait for the first: what it makes must not look to them like somebody else's duplicate."""

    def make_unless_there(tx: Transaction) -> str:
        from tests.database.things import FIND

        assert tx.row(FIND, name="a") is None, "ran twice"
        put(tx, "a")
        return "a"

    barrier = threading.Barrier(12)

    def call() -> str:
        barrier.wait()
        return things.write(make_unless_there, once())

    answers = sorted(call.result() for call in [crowd.start(call) for _ in range(12)])
    assert answers == ["made a"] + ["made a before"] * 11
    assert names(things) == ["a"]


def test_a_repeated_answer_needs_nothing_of_what_the_call_needed(things: Database) -> None:
    things.write(make("a"), once())
    with pytest.raises(KeyError):
        things.write(_fail, once(request_id="r2"))
    assert things.write(_fail, once()) == "made a before"
    add(things, "b")


def _fail(_: Transaction) -> str:
    raise KeyError
