"""Commits: messages of the contract to drafts of the store, and what the store answers to messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from releaseregistry.v1 import commits_pb2 as pb

from server.mapping.times import optional_timestamp, to_micros
from server.names import ReleaseName, parse_release
from store.commits.changes import ChangeFilter, ChangeRow
from store.commits.contents import AuthorRow, CommitRow, HeadCommitRow
from store.commits.drafts import CommitDraft
from store.commits.refs import RefDraft
from store.commits.set import MAX_COMMITS, MAX_FILES
from store.errors import FrameOutOfOrder, InvalidField, SizeMismatch

MAX_BYTES: Final = 128 * 1024 * 1024
"""The most bytes of all messages of one SetCommits: all of them are held until the last one came."""


@dataclass(frozen=True, slots=True)
class SentCommits:
    """What a whole stream of SetCommits said."""

    release: ReleaseName
    append: bool
    commits: list[CommitDraft]


def received_commits(requests: Iterator[pb.SetCommitsRequest]) -> SentCommits:
    """The commits of a stream: the first message names the release, the last one says finish, and then it ends.

    Raises FrameOutOfOrder for a stream that ends without finish or goes on behind it, SizeMismatch when not as many
    commits came as the last message says, InvalidName, and InvalidField for what stands in the wrong message and for
    more than 100,000 commits, 1,000,000 changed files or 128 MiB.
    """
    first = request = next(requests, None)
    if first is None:
        raise FrameOutOfOrder(expected="a message with the release's name", found="end")
    release = parse_release(first.name, field="name")
    name = first.name
    append = first.mode == pb.COMMIT_MODE_APPEND
    commits: list[CommitDraft] = []
    file_count = byte_count = 0
    while request is not None:
        if request is not first:
            _check_later(request, name)
        if request.commit_count and not request.finish:
            raise InvalidField("commit_count", "is only for the message that says finish")
        byte_count += request.ByteSize()
        for commit in request.commits:
            draft = commit_draft(commit)
            file_count += len(commit.changed_files)
            commits.append(draft)
        _check_totals(len(commits), file_count, byte_count)
        if request.finish:
            if request.commit_count != len(commits):
                raise SizeMismatch(
                    unit="commits",
                    expected=request.commit_count,
                    actual=len(commits),
                    hint="The message with finish says in commit_count how many commits all messages hold together.",
                )
            if next(requests, None) is not None:
                raise FrameOutOfOrder(expected="end", found="a message behind finish")
            return SentCommits(release, append, commits)
        request = next(requests, None)
    # The client is gone, or failed in the middle of sending: both look like a stream that just ends.
    raise FrameOutOfOrder(expected="commits or finish", found="end")


def commit_draft(commit: pb.Commit) -> CommitDraft:
    """A commit as the store takes it: what is empty was not said. Of a path said twice the first counts."""
    return CommitDraft(
        commit.id,
        commit.repository,
        commit.author_name or None,
        commit.author_email or None,
        commit.message or None,
        to_micros(commit.commit_time) if commit.HasField("commit_time") else None,
        {file.path: file.change_type for file in reversed(commit.changed_files)},
    )


def ref_draft(ref: pb.Ref) -> RefDraft:
    """A ref as the store takes it."""
    return RefDraft(ref.repository, ref.commit, ref.previous_commit)


def commit_message(commit: CommitRow) -> pb.Commit:
    """A commit; with its changed files where the row holds them."""
    return pb.Commit(
        id=commit.key,
        repository=commit.repository,
        author_name=commit.author_name,
        author_email=commit.author_email,
        message=commit.message,
        commit_time=optional_timestamp(commit.commit_time),
        changed_files=[
            pb.ChangedFile(path=file.path, change_type=_CHANGE_TYPES[file.change_type]) for file in commit.changed_files
        ],
        changed_file_count=commit.changed_file_count,
        references=commit.references,
    )


def change_filter(request: pb.ListChangedFilesRequest) -> ChangeFilter:
    """The changes that a request seeks. Raises InvalidField for a type that is none."""
    for index, change_type in enumerate(request.change_types):
        if change_type not in _CHANGE_TYPES:
            raise InvalidField(f"change_types[{index}]", f"{change_type} is no type of a change")
    return ChangeFilter(request.path_prefix, request.repository, frozenset(request.change_types))


def change_message(change: ChangeRow) -> pb.CommittedChange:
    """A file that a commit changed."""
    return pb.CommittedChange(
        repository=change.repository,
        commit_id=change.commit_key,
        path=change.path,
        change_type=_CHANGE_TYPES[change.change_type],
    )


def count_messages(counts: Mapping[int, int]) -> list[pb.ChangeCount]:
    """How many changes there are of each type, the types in their order."""
    return [
        pb.ChangeCount(change_type=_CHANGE_TYPES[change_type], change_count=count)
        for change_type, count in sorted(counts.items())
    ]


def author_message(author: AuthorRow) -> pb.CommitAuthor:
    """An author of commits."""
    return pb.CommitAuthor(display_name=author.display_name, email=author.email)


def head_message(head: HeadCommitRow) -> pb.HeadCommit:
    """Up to which commit a release holds a repository, and from which on."""
    return pb.HeadCommit(repository=head.repository, commit_id=head.commit_key, previous_commit_id=head.previous_key)


_CHANGE_TYPES: Final[dict[int, pb.ChangeType]] = {
    pb.CHANGE_TYPE_ADDED: pb.CHANGE_TYPE_ADDED,
    pb.CHANGE_TYPE_DELETED: pb.CHANGE_TYPE_DELETED,
    pb.CHANGE_TYPE_MODIFIED: pb.CHANGE_TYPE_MODIFIED,
}


def _check_later(request: pb.SetCommitsRequest, name: str) -> None:
    if request.name and request.name != name:
        raise InvalidField("name", "differs from that of the stream's first message; leave it empty")
    if request.mode:
        raise InvalidField("mode", "is only for the stream's first message")


def _check_totals(commit_count: int, file_count: int, byte_count: int) -> None:
    if commit_count > MAX_COMMITS:
        raise InvalidField("commits", f"are more than {MAX_COMMITS:,} in all messages together")
    if file_count > MAX_FILES:
        raise InvalidField("commits", f"have more than {MAX_FILES:,} changed files in all messages together")
    if byte_count > MAX_BYTES:
        raise InvalidField("commits", f"take more than {MAX_BYTES >> 20} MiB in all messages together")
