"""Commits as a caller sends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

ADDED, DELETED, MODIFIED = 1, 2, 3
"""How a commit changed a file; a renamed file is one deleted and one added."""


class ChangedFileDraft(NamedTuple):
    """A file that a commit changed: its path and one of ADDED, DELETED, MODIFIED.

    A tuple, not a dataclass: one call brings a million, and a tuple is made and compared four times as fast.
    """

    path: str
    change_type: int


@dataclass(frozen=True, slots=True)
class CommitDraft:
    """A commit as sent: the repository's id of it, and what the caller knows of it.

    None is "not said" and never erases what is stored; commit_time is in microseconds UTC. An empty repository stands
    for the organization's fallback repository. Limits are checked at the edge; nothing here is cut.
    """

    id: str
    repository: str = ""
    author_name: str | None = None
    author_email: str | None = None
    message: str | None = None
    commit_time: int | None = None
    changed_files: tuple[ChangedFileDraft, ...] = ()
