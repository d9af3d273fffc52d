"""Lines of JSON that tell of sessions."""

from __future__ import annotations

import json

import pytest
from releaseregistry.v1.sessions_pb2 import SessionCounts, SessionStatus, SessionUpdate

from relctl.cli.session_lines import MAX_LINE_BYTES, BadLine, Usual, read_line
from relctl.sessions import Feed, batches

ID = "6f9d2c1e-0f4b-4f6e-9a44-0b3f1c2d4e5f"
WHOLE = {
    "session_id": ID,
    "distinct_user_id": "ann",
    "sequence": 3,
    "status": "crashed",
    "error_count": 2,
    "start_time": "2026-01-31T12:00:00Z",
    "duration": 61.5,
    "version": "app@1.0.0",
    "environment": "production",
    "project": "web",
}


def read(values: object, **usual: str) -> SessionUpdate | SessionCounts:
    return read_line(json.dumps(values).encode(), Usual(organization="acme", **usual))


def refused(line: bytes | object) -> str:
    with pytest.raises(BadLine) as raised:
        read_line(line if isinstance(line, bytes) else json.dumps(line).encode(), Usual(organization="acme"))
    return str(raised.value)


def test_a_line_is_an_update_as_people_write_it() -> None:
    update = read(WHOLE)
    assert isinstance(update, SessionUpdate)
    assert (update.session_id, update.distinct_user_id, update.sequence, update.error_count) == (ID, "ann", 3, 2)
    assert update.status == SessionStatus.SESSION_STATUS_CRASHED
    assert update.start_time.ToJsonString() == "2026-01-31T12:00:00Z"
    assert update.duration.ToTimedelta().total_seconds() == 61.5
    assert (update.version, update.environment) == ("app@1.0.0", "production")
    assert update.project == "organizations/acme/projects/web"


def test_a_line_may_be_proto_json() -> None:
    line = WHOLE | {
        "status": "SESSION_STATUS_EXITED",
        "duration": "61.5s",
        "sequence": "3",
        "project": "organizations/acme/projects/web",
    }
    assert read(line) == read(WHOLE | {"status": "Exited"})


def test_a_counts_id_makes_it_counts() -> None:
    counts = read(
        {"counts_id": ID, "start_time": "2026-01-31T12:00:00+01:00", "exited_count": 5, "errored_count": 4,
         "abnormal_count": 3, "crashed_count": 2, "distinct_user_id": "ann", "version": "1.0", "project": "web"}
    )  # fmt: skip
    assert isinstance(counts, SessionCounts)
    assert (counts.exited_count, counts.errored_count, counts.abnormal_count, counts.crashed_count) == (5, 4, 3, 2)
    assert counts.start_time.ToJsonString() == "2026-01-31T11:00:00Z"


def test_what_a_line_does_not_say_is_the_usual() -> None:
    usual = {"project": "api", "version": "api@1", "environment": "staging"}
    bare = read({"session_id": ID}, **usual)
    assert (bare.project, bare.version, bare.environment) == ("organizations/acme/projects/api", "api@1", "staging")
    said = read(WHOLE, **usual)
    assert (said.project, said.version, said.environment) == (
        "organizations/acme/projects/web", "app@1.0.0", "production"
    )  # fmt: skip
    assert read({"session_id": ID, "environment": ""}, **usual).environment == "", "said to be none"
    assert read({"session_id": ID, "environment": None}, **usual).environment == "staging", "null is not said"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"not json", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 40_000, "no JSON"),
        (b"[1]", "no JSON object"),
        (b'{"a": "' + b"x" * MAX_LINE_BYTES + b'"}', "longer than 65,536 bytes"),
        (WHOLE | {"release": "app@1"}, "there is no field 'release'; there are session_id, distinct_user_id"),
        (WHOLE | {"\ud800": 1}, r"there is no field '\ud800'"),
        (WHOLE | {"status": "gone"}, "status is 'gone', and none of ok, exited, abnormal, crashed"),
        (WHOLE | {"exited_count": 7}, "and of counts a counts_id"),
        (WHOLE | {"start_time": "a\nb"}, r"start_time is 'a\nb', and no time such as 2026-01-31T12:00:00Z"),
        (WHOLE | {"sequence": "many"}, "sequence is 'many', and no whole number"),
        (WHOLE | {"error_count": 1.5}, "error_count is 1.5, and no whole number"),
        ({"counts_id": ID, "exited_count": []}, "exited_count is [], and no whole number"),
        (WHOLE | {"duration": "long"}, "duration is 'long', and no number of seconds"),
        (WHOLE | {"status": [1]}, "status is [1], and no word or number of a status"),
        (WHOLE | {"project": 7}, "project is 7, and no text"),
        (WHOLE | {"version": {"a": 1}}, "version is {'a': 1}, and no text"),
        (WHOLE | {"duration": 1e300}, "duration is 1e+300, and no number of seconds"),
    ],
)
def test_a_line_that_tells_of_nothing_says_why(line: bytes | object, told: str) -> None:
    said = refused(line)
    assert told in said
    assert "\n" not in said
    assert len(said) < 400


def test_batches_end_by_count_and_by_size() -> None:
    items = [SessionUpdate(session_id=str(number)) for number in range(7)]
    assert [len(batch) for batch in batches(items, 3)] == [3, 3, 1]
    assert list(batches([], 3)) == []
    heavy = [SessionUpdate(distinct_user_id="x" * 400_000) for _ in range(5)]
    assert [len(batch) for batch in batches(heavy, 1000)] == [2, 2, 1]


def test_a_feed_ends_without_finish_when_its_items_fail() -> None:
    def failing() -> object:
        yield SessionUpdate(session_id="1")
        raise KeyError("the database of the caller's is gone")

    left: list[int] = []
    feed = Feed("acme", failing(), size=1, progress=left.append)  # type: ignore[arg-type]
    messages = list(feed)
    assert [message.finish for message in messages] == [False]
    assert isinstance(feed.error, KeyError)
    assert left == [1]


def test_a_feed_says_finish_in_the_end_and_its_organization_once() -> None:
    left: list[int] = []
    items = [SessionUpdate(session_id=str(number)) for number in range(3)]
    messages = list(Feed("acme", items, size=2, progress=left.append))
    assert [(len(it.updates), it.parent, it.finish) for it in messages] == [
        (2, "organizations/acme", False),
        (1, "", False),
        (0, "", True),
    ]
    assert left == [2, 3]
    assert [(it.parent, it.finish) for it in Feed("acme", [], size=2, progress=left.append)] == [
        ("organizations/acme", True)
    ]
