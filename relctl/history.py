"""Which commits of a git repository belong to a release: those since the one before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from releaseregistry.v1.releases_pb2 import Release

from relctl.errors import LocalError
from relctl.git import MAX_COMMITS, GitCommits, GitRepository
from relctl.releases import Releases

# How many releases back a commit of the repository is looked for, where releases hold several repositories in turn.
MAX_RELEASES_BACK: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedCommit:
    """The newest commit of a repository in an earlier release."""

    version: str
    commit_id: str


def last_released(releases: Releases, organization: str, version: str, *, repository: str) -> ReleasedCommit | None:
    """The newest commit of the repository in the nearest release before this one; None when none of 20 has any.

    Raises RegistryError, RELEASE_NOT_FOUND among others.
    """
    for _ in range(MAX_RELEASES_BACK):
        previous: Release | None = releases.previous(organization, version)
        if previous is None:
            return None
        for head in previous.head_commits:
            if head.repository == repository:
                return ReleasedCommit(version=previous.version, commit_id=head.commit_id)
        version = previous.version
    return None


def commits_since(
    git: GitRepository, released: ReleasedCommit | None, *, repository: str, max_count: int = MAX_COMMITS
) -> GitCommits:
    """The commits of HEAD that an earlier release does not have; without one all that HEAD reaches.

    Raises LocalError when the earlier release's commit is not in this clone, or has nothing in common with HEAD.
    """
    head = git.head()
    if released is None:
        return git.commits(None, head, repository=repository, max_count=max_count)
    there = f"{released.commit_id[:12]}, the last commit of {released.version}"
    start = git.resolve(released.commit_id)
    if start is None:
        fetch = "`git fetch --unshallow`" if git.is_shallow() else "`git fetch --all`"
        raise LocalError(f"{there}, is not in this clone; run {fetch}, or name the commits with --range")
    if not git.has_common_history(start, head):
        raise LocalError(f"{there}, has no history in common with HEAD; name the commits with --range")
    return git.commits(start, head, repository=repository, max_count=max_count)


def commits_of_range(
    git: GitRepository, start: str | None, end: str, *, repository: str, max_count: int = MAX_COMMITS
) -> GitCommits:
    """The commits reachable from `end` and not from `start` (None: all), each any revision that git knows.

    Raises LocalError when git knows no such commit.
    """
    first = None if start is None else _known(git, start)
    return git.commits(first, _known(git, end), repository=repository, max_count=max_count)


def _known(git: GitRepository, revision: str) -> str:
    found = git.resolve(revision)
    if found is None:
        hint = "; this is a shallow clone, `git fetch --unshallow` gets the rest" if git.is_shallow() else ""
        raise LocalError(f"git knows no commit {revision!r}{hint}")
    return found
