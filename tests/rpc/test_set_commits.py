"""SetCommits over the wire: the stream's order, its counts and limits, and what is answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import commits_pb2, organizations_pb2, releases_pb2

import server.edge.calls
import server.mapping.commits
import store.commits.busy
from store.database import QueryEvent
from tests.rpc.sending import eventually
from tests.rpc.wire import Served, bearer, raises_reason

NAME = "organizations/acme/releases/app@1.0.0"
WAIT = 60.0


@pytest.fixture
def acme(server: Served) -> Served:
    """A server with a release of two projects."""
    organization = server.make_organization(projects=("web", "api"))
    server.make_release(organization, "app@1.0.0", "web", "api")
    return server


def message(*ids: str, name: str = "", **fields: object) -> commits_pb2.SetCommitsRequest:
    commits = [commits_pb2.Commit(id=id_, repository="acme/web") for id_ in ids]
    return commits_pb2.SetCommitsRequest(name=name, commits=commits, **fields)  # type: ignore[arg-type]


def send(acme: Served, *messages: commits_pb2.SetCommitsRequest) -> releases_pb2.Release:
    return acme.releases.SetCommits(iter(messages), metadata=acme.operator, timeout=WAIT).release


def listed(acme: Served) -> list[str]:
    request = commits_pb2.ListCommitsRequest(parent=NAME, page_size=1000)
    return [commit.id for commit in acme.releases.ListCommits(request, metadata=acme.operator).commits]


def test_one_message_is_enough_for_a_short_list(acme: Served) -> None:
    release = send(acme, message("a", "b", name=NAME, finish=True, commit_count=2))
    assert release.name == NAME
    assert (release.commit_count, release.last_commit.id) == (2, "a")
    assert [(head.repository, head.commit_id) for head in release.head_commits] == [("acme/web", "a")]
    assert listed(acme) == ["a", "b"]


def test_many_messages_carry_one_list(acme: Served) -> None:
    messages = [message(name=NAME), message("a", "b"), message("c", name=NAME), message(finish=True, commit_count=3)]
    assert send(acme, *messages).commit_count == 3
    assert listed(acme) == ["a", "b", "c"]


def test_everything_of_a_commit_arrives(acme: Served) -> None:
    sent = commits_pb2.Commit(
        id="f00",
        repository="acme/web",
        author_name="Ann",
        author_email="Ann@Example.com",
        message="Fix\n\n\tit — 🚀",
        commit_time=Timestamp(seconds=-5, nanos=123_456_789),
        changed_files=[
            commits_pb2.ChangedFile(path="b\tc", change_type=commits_pb2.CHANGE_TYPE_DELETED),
            commits_pb2.ChangedFile(path="a", change_type=commits_pb2.CHANGE_TYPE_ADDED),
            commits_pb2.ChangedFile(path="a", change_type=commits_pb2.CHANGE_TYPE_MODIFIED),
        ],
        changed_file_count=77,
    )
    send(acme, commits_pb2.SetCommitsRequest(name=NAME, commits=[sent], finish=True, commit_count=1))
    request = commits_pb2.ListCommitsRequest(parent=NAME, view=commits_pb2.COMMIT_VIEW_FULL)
    (commit,) = acme.releases.ListCommits(request, metadata=acme.operator).commits
    assert commit == commits_pb2.Commit(
        id="f00",
        repository="acme/web",
        author_name="Ann",
        author_email="ann@example.com",
        message="Fix\n\n\tit — 🚀",
        commit_time=Timestamp(seconds=-5, nanos=123_456_000),
        changed_files=[
            commits_pb2.ChangedFile(path="a", change_type=commits_pb2.CHANGE_TYPE_ADDED),
            commits_pb2.ChangedFile(path="b\tc", change_type=commits_pb2.CHANGE_TYPE_DELETED),
        ],
        changed_file_count=2,
    )


def test_no_commits_detach_what_the_release_has(acme: Served) -> None:
    send(acme, message("a", name=NAME, finish=True, commit_count=1))
    release = send(acme, message(name=NAME, mode=commits_pb2.COMMIT_MODE_REPLACE, finish=True))
    assert release.commit_count == 0
    assert not release.HasField("last_commit")
    assert not release.head_commits
    assert listed(acme) == []


def test_a_commit_without_repository_gets_the_organizations(acme: Served) -> None:
    send(
        acme,
        commits_pb2.SetCommitsRequest(name=NAME, commits=[commits_pb2.Commit(id="a")], finish=True, commit_count=1),
    )
    organization = acme.organizations.GetOrganization(
        organizations_pb2.GetOrganizationRequest(name="organizations/acme"), metadata=acme.operator
    ).organization
    (commit,) = acme.releases.ListCommits(commits_pb2.ListCommitsRequest(parent=NAME), metadata=acme.operator).commits
    assert commit.repository == f"organization-{organization.uid}"


def test_a_stream_that_ends_without_finish_changes_nothing(acme: Served) -> None:
    send(acme, message("kept", name=NAME, finish=True, commit_count=1))
    with raises_reason("FRAME_OUT_OF_ORDER", "INVALID_ARGUMENT") as refusal:
        send(acme, message("a", name=NAME), message("b"))
    assert refusal.metadata["found"] == "end"
    with raises_reason("FRAME_OUT_OF_ORDER", "INVALID_ARGUMENT"):
        send(acme)
    assert listed(acme) == ["kept"]


def test_a_message_behind_finish_is_refused_and_nothing_changed(acme: Served) -> None:
    with raises_reason("FRAME_OUT_OF_ORDER", "INVALID_ARGUMENT") as refusal:
        send(acme, message("a", name=NAME, finish=True, commit_count=1), message("b"))
    assert refusal.metadata["expected"] == "end"
    assert listed(acme) == []


@pytest.mark.parametrize("announced", [0, 1, 3, 2**63 - 1])
def test_another_count_than_was_sent_is_refused(acme: Served, announced: int) -> None:
    with raises_reason("SIZE_MISMATCH", "INVALID_ARGUMENT") as refusal:
        send(acme, message("a", name=NAME), message("a", finish=True, commit_count=announced))
    assert refusal.metadata == {"unit": "commits", "expected": str(announced), "actual": "2"}
    assert f"{announced} commits were announced and 2 came" in refusal.message
    assert "commit_count" in refusal.message
    assert listed(acme) == []


def test_a_commit_sent_again_counts_as_sent_but_is_one_commit(acme: Served) -> None:
    assert send(acme, message("a", name=NAME), message("a", "b", finish=True, commit_count=3)).commit_count == 2


@pytest.mark.parametrize(
    "messages, field",
    [
        ([message("a", name=NAME), message("b", name=NAME + "1")], "name"),
        ([message("a", name=NAME), message("b", mode=commits_pb2.COMMIT_MODE_REPLACE)], "mode"),
        ([message("a", name=NAME, commit_count=1)], "commit_count"),
        ([message("a", name=NAME, finish=True, commit_count=-1)], "commit_count"),
        ([message("a", name=NAME), message("b", "")], "commits[1].id"),
        ([message("x" * 65, name=NAME)], "commits[0].id"),
        ([message(name=NAME, mode=17, finish=True)], "mode"),
    ],
)
def test_what_may_not_stand_in_a_message_is_named(
    acme: Served, messages: list[commits_pb2.SetCommitsRequest], field: str
) -> None:
    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        send(acme, *messages, message(finish=True, commit_count=2))
    assert list(refusal.violations) == [field]
    assert listed(acme) == []


def test_a_first_message_without_the_name_is_refused(acme: Served) -> None:
    with raises_reason("INVALID_NAME", "INVALID_ARGUMENT"):
        send(acme, message("a"), message(name=NAME, finish=True, commit_count=1))


@pytest.mark.parametrize("limit", ["MAX_COMMITS", "MAX_FILES", "MAX_BYTES"])
def test_more_than_a_call_may_bring_is_refused_before_all_of_it_came(
    acme: Served, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(server.mapping.commits, limit, 10)
    refused = threading.Event()

    def messages() -> Iterator[commits_pb2.SetCommitsRequest]:
        for number in range(20):
            one = message(f"{number}", name=NAME if number == 0 else "")
            one.commits[0].changed_files.add(path=f"p{number}", change_type=commits_pb2.CHANGE_TYPE_ADDED)
            yield one
        assert refused.wait(WAIT), "it waits for the end"

    with raises_reason("INVALID_FIELD", "INVALID_ARGUMENT") as refusal:
        acme.releases.SetCommits(messages(), metadata=acme.operator)
    refused.set()
    assert list(refusal.violations) == ["commits"]
    assert listed(acme) == []


def test_a_release_that_is_not_there_or_not_the_callers_looks_the_same(acme: Served) -> None:
    secret = acme.make_token("organizations/acme", "release:write", projects=("web",))
    missing = "organizations/acme/releases/app@9.9.9"
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND") as absent:
        send(acme, message("a", name=missing, finish=True, commit_count=1))
    with raises_reason("RELEASE_NOT_FOUND", "NOT_FOUND") as foreign:
        acme.releases.SetCommits(iter([message("a", name=NAME, finish=True, commit_count=1)]), metadata=bearer(secret))
    assert absent.message.replace(missing, NAME) == foreign.message
    assert listed(acme) == []


def test_reading_rights_do_not_set_commits(acme: Served) -> None:
    secret = acme.make_token("organizations/acme", "release:read", all_projects=True)
    with raises_reason("SCOPE_MISSING", "PERMISSION_DENIED"):
        acme.releases.SetCommits(iter([message("a", name=NAME, finish=True, commit_count=1)]), metadata=bearer(secret))


def test_a_caller_that_cannot_wait_any_longer_is_told_busy_before_its_deadline(
    acme: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A second is left to wait, and an answer may take twenty: a machine may be slow.
    monkeypatch.setattr(server.edge.calls, "TO_ANSWER_SECONDS", 20.0)
    monkeypatch.setattr(store.commits.busy, "MAX_WAIT_SECONDS", WAIT)
    held, go_on = threading.Event(), threading.Event()

    def slow(event: QueryEvent) -> None:
        if event.sql.startswith("INSERT") and "release_commit" in event.sql and not held.is_set():
            held.set()
            go_on.wait(WAIT)

    acme.database.hooks.append(slow)
    first = acme.releases.SetCommits.future(
        iter([message("a", name=NAME, finish=True, commit_count=1)]), metadata=acme.operator, timeout=WAIT
    )
    assert held.wait(WAIT)
    try:
        with raises_reason("COMMITS_BUSY", "ABORTED") as refusal:
            acme.releases.SetCommits(
                iter([message("b", name=NAME, finish=True, commit_count=1)]), metadata=acme.operator, timeout=21
            )
    finally:
        go_on.set()
    assert refusal.retry_seconds
    assert refusal.metadata == {"name": NAME}
    assert first.result(WAIT).release.commit_count == 1
    assert listed(acme) == ["a"]


def test_a_caller_that_goes_away_before_finish_changes_nothing(acme: Served) -> None:
    gone = threading.Event()

    def messages() -> Iterator[commits_pb2.SetCommitsRequest]:
        yield message("a", name=NAME)
        gone.wait(WAIT)
        yield message("b", finish=True, commit_count=2)

    call = acme.releases.SetCommits.future(messages(), metadata=acme.operator)
    assert eventually(lambda: acme.server.running_calls == 1)
    call.cancel()
    gone.set()
    with pytest.raises(grpc.FutureCancelledError):
        call.result(WAIT)
    assert eventually(lambda: acme.server.running_calls == 0)
    assert listed(acme) == []


def test_ten_thousand_commits_with_their_files_fit_in_one_call(acme: Served) -> None:
    def messages() -> Iterator[commits_pb2.SetCommitsRequest]:
        yield commits_pb2.SetCommitsRequest(name=NAME)
        for start in range(0, 10_000, 2500):
            yield commits_pb2.SetCommitsRequest(
                commits=[
                    commits_pb2.Commit(
                        id=f"{index:040}",
                        repository="acme/web",
                        author_email=f"{index % 40}@example.com",
                        message=f"Change {index}",
                        commit_time=Timestamp(seconds=index),
                        changed_files=[
                            commits_pb2.ChangedFile(
                                path=f"src/{index % 97}/{place}.py", change_type=commits_pb2.CHANGE_TYPE_MODIFIED
                            )
                            for place in range(5)
                        ],
                    )
                    for index in range(start, start + 2500)
                ]
            )
        yield commits_pb2.SetCommitsRequest(finish=True, commit_count=10_000)

    release = acme.releases.SetCommits(messages(), metadata=acme.operator, timeout=60).release
    assert (release.commit_count, release.author_count) == (10_000, 40)
    ids: list[str] = []
    request = commits_pb2.ListCommitsRequest(parent=NAME, page_size=1000, view=commits_pb2.COMMIT_VIEW_FULL)
    while True:
        page = acme.releases.ListCommits(request, metadata=acme.operator)
        assert page.ByteSize() <= 1 << 20
        assert all(len(commit.changed_files) == commit.changed_file_count == 5 for commit in page.commits)
        ids += [commit.id for commit in page.commits]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert ids == [f"{index:040}" for index in reversed(range(10_000))]
