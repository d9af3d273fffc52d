"""A list of commits of any size becomes messages that the server takes, and loses nothing on the way."""

from __future__ import annotations

from collections.abc import Sequence

from releaseregistry.v1.commits_pb2 import ChangedFile, ChangeType, Commit, CommitMode, SetCommitsRequest

from relctl.commits import COMMIT_FILES, MESSAGE_BYTES, MESSAGE_COMMITS, request_messages

NAME = "organizations/acme/releases/app@1.0.0"


def messages_of(commits: Sequence[Commit]) -> list[SetCommitsRequest]:
    """The messages, checked for what holds of every list."""
    messages = list(request_messages(NAME, commits, CommitMode.COMMIT_MODE_REPLACE))
    assert [message.name for message in messages] == [NAME] + [""] * (len(messages) - 1)
    assert messages[0].mode == CommitMode.COMMIT_MODE_REPLACE
    assert [message.finish for message in messages] == [False] * (len(messages) - 1) + [True]
    assert messages[-1].commit_count == sum(len(message.commits) for message in messages)
    for message in messages:
        assert message.ByteSize() <= MESSAGE_BYTES + 100
        assert len(message.commits) <= MESSAGE_COMMITS
        assert all(len(commit.changed_files) <= COMMIT_FILES for commit in message.commits)
    return messages


def files(count: int, length: int = 10) -> list[ChangedFile]:
    modified = ChangeType.CHANGE_TYPE_MODIFIED
    return [ChangedFile(path=f"{number:0{length}}", change_type=modified) for number in range(count)]


def test_no_commits_are_one_message_that_finishes() -> None:
    (message,) = messages_of([])
    assert message.commit_count == 0


def test_a_short_list_is_one_message() -> None:
    commits = [Commit(id="a"), Commit(id="b")]
    (message,) = messages_of(commits)
    assert list(message.commits) == commits


def test_many_commits_are_split_by_number() -> None:
    commits = [Commit(id=str(number)) for number in range(MESSAGE_COMMITS * 2 + 1)]
    messages = messages_of(commits)
    assert len(messages) == 3
    assert [commit for message in messages for commit in message.commits] == commits


def test_large_commits_are_split_by_size() -> None:
    commits = [Commit(id=str(number), message="m" * 60_000) for number in range(50)]
    messages = messages_of(commits)
    assert len(messages) == 4
    assert [commit for message in messages for commit in message.commits] == commits


def test_a_commit_of_very_many_files_is_sent_in_parts_that_name_it_and_tell_its_text_once() -> None:
    for count, length in ((COMMIT_FILES + 1, 1), (9_000, 500)):
        big = Commit(
            id="big", repository="acme/web", message="text", author_email="a@b", changed_files=files(count, length)
        )
        big.commit_time.FromSeconds(1_700_000_000)
        messages = messages_of([Commit(id="before"), big, Commit(id="after")])
        commits = [commit for message in messages for commit in message.commits]
        parts = [commit for commit in commits if commit.id == "big"]
        assert (commits[0].id, commits[-1].id) == ("before", "after")
        assert len(parts) > 1
        assert {(part.repository, part.commit_time.seconds) for part in parts} == {("acme/web", 1_700_000_000)}
        assert [part.message for part in parts] == ["text"] + [""] * (len(parts) - 1)
        assert [changed for part in parts for changed in part.changed_files] == list(big.changed_files)
