"""What the drill's callers were promised: for each release and file everything that it may be by now.

A call that was answered leaves one possibility. One that was cut leaves two, what was before and what was to be, and
nothing in between; looking at the restarted server settles which.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from zlib import crc32

from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import commits_pb2

CommitIds = tuple[str, ...]
"""The commits of a release, newest first. None stands for a release that is not there."""

REPOSITORIES = ("acme/web", "acme/api")
AUTHORS = tuple(f"author-{number}@example.com" for number in range(12))


@dataclass(slots=True)
class FileEntry:
    """A file that was sent: `sizes` says which it may have, None that it may be absent."""

    upload_id: str
    name: str
    size: int
    possible: set[int | None]


@dataclass(slots=True)
class ReleaseEntry:
    """A release that was sent, with the request that created it (to be repeated under its id)."""

    version: str
    request_id: str
    created_with: CommitIds
    possible: set[CommitIds | None]
    files: dict[str, FileEntry] = field(default_factory=dict)
    touched: bool = True
    sessions: set[int] = field(default_factory=lambda: {0})
    """How many sessions of it there may be."""

    @property
    def commits(self) -> CommitIds | None:
        """What it has, where that is certain."""
        (commits,) = self.possible
        return commits

    @property
    def is_certain(self) -> bool:
        """Whether no call about it was cut since it was last looked at."""
        return len(self.possible) == len(self.sessions) == 1 and all(
            len(file.possible) == 1 for file in self.files.values()
        )


@dataclass(slots=True)
class Tally:
    """How often what happened: (kind of call, what became of it)."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, kind: str, outcome: str) -> None:
        """One more."""
        self.counts[kind, outcome] += 1

    @property
    def answered(self) -> int:
        """How many calls were acknowledged."""
        return sum(n for (_, outcome), n in list(self.counts.items()) if outcome == "answered")

    def __str__(self) -> str:
        kinds = sorted({kind for kind, _ in self.counts})
        return "; ".join(
            f"{kind}: " + ", ".join(f"{n} {outcome}" for (k, outcome), n in sorted(self.counts.items()) if k == kind)
            for kind in kinds
        )


def commit_ids(release: str, generation: int, count: int) -> CommitIds:
    """Ids of commits that no other release or generation has, newest first."""
    return tuple(f"{release}-{generation:03d}-{number:05d}" for number in range(count, 0, -1))


@lru_cache(maxsize=8192)
def commit_of(commit_id: str) -> commits_pb2.Commit:
    """The commit of an id: everything of it follows from the id, so the ledger keeps ids only."""
    mark = crc32(commit_id.encode())
    number = int(commit_id[-5:])
    generation = int(commit_id[-9:-6])
    fixes = f"WEB-{mark % 50}" if mark % 3 == 0 else ""
    return commits_pb2.Commit(
        id=commit_id,
        repository=REPOSITORIES[mark % 2],
        author_name=f"Author {mark % 12}",
        author_email=AUTHORS[mark % 12],
        message=f"Change {commit_id}\n\n" + "why " * (mark % 40) + (fixes and f"\n\nFixes {fixes}"),
        references=[fixes] if fixes else [],
        commit_time=Timestamp(seconds=1_700_000_000 + generation * 1_000_000 + number, nanos=(mark % 1_000_000) * 1000),
        changed_files=[
            commits_pb2.ChangedFile(path=f"src/{mark % 997}/{part}.py", change_type=1 + (mark + part) % 3)  # type: ignore[arg-type]
            for part in range(mark % 5)
        ],
    )


def commit_order(ids: Iterable[str]) -> CommitIds:
    """The order that the service promises: newest first."""
    return tuple(sorted(ids, key=lambda each: commit_of(each).commit_time.ToMicroseconds(), reverse=True))


@lru_cache(maxsize=16)
def content_of(name: str, size: int) -> bytes:
    """The bytes of a file: random, and the same for the same name and size."""
    return random.Random(f"{name}:{size}").randbytes(size)


@lru_cache(maxsize=4096)
def sha256_of(name: str, size: int) -> str:
    """The digest of `content_of`."""
    return hashlib.sha256(content_of(name, size)).hexdigest()
