"""What a list of commits comes to, before any database is asked: filtered, in order, each commit once.

Rules: behaviour.md, Commits.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from store.commits.drafts import CommitDraft
from store.commits.mentions import references_in

SKIP_MARK = "#skipsentry"

BEFORE_ALL_TIMES = 2**64
"""Sorts what has no time behind all that has one, where times are negated."""


class PreparedCommit(NamedTuple):
    """One distinct commit of a call. None is "not said"; files is path to change type; references are what its
    message says that it fixes.

    A tuple, like all that comes by tens of thousands: it is made in a third of a dataclass's time.
    """

    repository: str
    key: str
    author_email: str | None
    author_name: str | None
    message: str | None
    commit_time: int | None
    files: Mapping[str, int]
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedCommits:
    """The distinct commits of a call, newest first, and the repositories and authors that they name.

    repositories is in order of name. authors is e-mail to the newest name (None: no name said), in order of e-mail.
    """

    commits: tuple[PreparedCommit, ...]
    repositories: tuple[str, ...]
    authors: Mapping[str, str | None]


def fallback_repository(organization_id: bytes) -> str:
    """The name of the repository of commits that name none."""
    return f"organization-{uuid.UUID(bytes=organization_id)}"


def prepare_commits(commits: Sequence[CommitDraft], *, fallback_repository: str) -> PreparedCommits:
    """The commits in their order: by time, newest first, one without a time last, equal ones as they were sent.

    A commit whose message contains `#skipsentry` is left out. A commit that was sent again (same repository and id)
    is one commit, at its first place in that order; what is said of it first in that order holds, its files add up.
    A blank repository is `fallback_repository`. An author without e-mail gets one made of the name.
    """
    merged: dict[tuple[str, str], PreparedCommit] = {}
    names: dict[str, str | None] = {}
    authors: dict[tuple[str | None, str | None], tuple[str | None, str | None]] = {}
    repositories: dict[str, str] = {}
    for draft in sorted(commits, key=_newest_first):
        if draft.message is not None and SKIP_MARK in draft.message:
            continue
        repository = repositories.get(draft.repository)
        if repository is None:
            repository = draft.repository if draft.repository.strip() else fallback_repository
            repositories[draft.repository] = repository
        author = (draft.author_name, draft.author_email)
        if author in authors:
            email, name = authors[author]
        else:
            email, name = authors[author] = author_email(*author), _said(draft.author_name)
            if email is not None and names.get(email) is None:
                names[email] = name
        commit = PreparedCommit(
            repository,
            draft.id,
            email,
            name,
            draft.message,
            draft.commit_time,
            draft.changed_files,
            references_in(draft.message) if draft.message else (),
        )
        key = (repository, draft.id)
        known = merged.setdefault(key, commit)
        if known is not commit:
            merged[key] = _together(known, commit)
    return PreparedCommits(
        commits=tuple(merged.values()),
        repositories=tuple(sorted({repository for repository, _ in merged})),
        authors={email: names[email] for email in sorted(names)},
    )


def author_email(name: str | None, email: str | None) -> str | None:
    """The address by which an author is known: the one given, in lower case, else one made of the name.

    Blanks around a given address do not count. An address is made of the letters, digits, `-`, `_` and `.` of the
    name. None when neither says anything; symbols alone say nothing, or all such authors would be one.
    """
    given = (email or "").strip()
    if given:
        return given.lower()
    if not any(map(str.isalnum, name or "")):
        return None
    made = (character for character in (name or "").lower() if character.isalnum() or character in "-_.")
    return "".join(made) + "@localhost"


def _newest_first(draft: CommitDraft) -> int:
    return BEFORE_ALL_TIMES if draft.commit_time is None else -draft.commit_time


def _said(text: str | None) -> str | None:
    return text if text is not None and text.strip() else None


def _together(first: PreparedCommit, again: PreparedCommit) -> PreparedCommit:
    return PreparedCommit(
        first.repository,
        first.key,
        again.author_email if first.author_email is None else first.author_email,
        again.author_name if first.author_name is None else first.author_name,
        again.message if first.message is None else first.message,
        again.commit_time if first.commit_time is None else first.commit_time,
        {**again.files, **first.files},
        again.references if first.message is None else first.references,
    )
