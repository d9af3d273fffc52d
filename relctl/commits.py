"""How a list of commits becomes the messages of one SetCommits call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from releaseregistry.v1.commits_pb2 import ChangedFile, Commit, CommitMode, SetCommitsRequest

# Well below the 4 MiB that any message may have.
MESSAGE_BYTES: Final = 1_000_000
MESSAGE_COMMITS: Final = 10_000
COMMIT_FILES: Final = 10_000

# Tag and length of an item of a repeated field: one byte and at most four for these sizes.
ITEM_OVERHEAD_BYTES: Final = 5


def request_messages(name: str, commits: Sequence[Commit], mode: CommitMode) -> Iterator[SetCommitsRequest]:
    """The messages that set or append commits of a release, each at most some 1 MB, the last one saying finish.

    A commit with too many changed files for one message is sent again with the rest of them: the server adds them up.
    """
    message = SetCommitsRequest(name=name, mode=mode)
    size = message.ByteSize()
    count = 0
    for commit in commits:
        for part in commit_parts(commit):
            part_bytes = part.ByteSize() + ITEM_OVERHEAD_BYTES
            if message.commits and (size + part_bytes > MESSAGE_BYTES or len(message.commits) >= MESSAGE_COMMITS):
                yield message
                message = SetCommitsRequest()
                size = 0
            message.commits.append(part)
            size += part_bytes
            count += 1
    message.finish = True
    message.commit_count = count
    yield message


def commit_parts(commit: Commit) -> Iterator[Commit]:
    """The commit, in one part, or in as many as its changed files need; each names it and carries some of the files."""
    whole = commit.ByteSize()
    if whole <= MESSAGE_BYTES and len(commit.changed_files) <= COMMIT_FILES:
        yield commit
        return
    part = Commit()
    part.CopyFrom(commit)
    del part.changed_files[:]
    size = part.ByteSize()
    for changed in commit.changed_files:
        changed_bytes = changed.ByteSize() + ITEM_OVERHEAD_BYTES
        if part.changed_files and (size + changed_bytes > MESSAGE_BYTES or len(part.changed_files) >= COMMIT_FILES):
            yield part
            part = Commit(id=commit.id, repository=commit.repository)
            if commit.HasField("commit_time"):
                part.commit_time.CopyFrom(commit.commit_time)
            size = part.ByteSize()
        part.changed_files.append(ChangedFile(path=changed.path, change_type=changed.change_type))
        size += changed_bytes
    yield part
