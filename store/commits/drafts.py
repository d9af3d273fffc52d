"""Commits as a caller sends them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ADDED, DELETED, MODIFIED = 1, 2, 3
"""How a commit changed a file; a renamed file is one deleted and one added."""


@dataclass(frozen=True, slots=True)
class CommitDraft:
    """A commit as sent: the repository's id of it, and what the caller knows of it.

    None is "not said" and never erases what is stored; commit_time is in microseconds UTC. An empty repository stands
    for the organization's fallback repository. changed_files is path to one of ADDED, DELETED, MODIFIED; a mapping,
    because one call brings a million files and each as an object of its own would busy the collector. Limits are
    checked at the edge; nothing here is cut.
    """

    id: str
    repository: str = ""
    author_name: str | None = None
    author_email: str | None = None
    message: str | None = None
    commit_time: int | None = None
    changed_files: Mapping[str, int] = field(default_factory=dict)
