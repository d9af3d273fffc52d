"""Errors of setting and finding the commits of a release."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from store.errors.kinds import Aborted, FailedPrecondition, FieldViolation, InvalidArgument, NotFound


class CommitsBusy(Aborted):
    """Other calls were setting commits of this release, or of its repositories, for as long as this one could wait."""

    def __init__(self, organization: str, version: str) -> None:
        name = f"organizations/{organization}/releases/{version}"
        super().__init__(
            f"Another call is setting the commits of {name}; nothing was changed. Try again.",
            metadata={"name": name},
            retry_after_seconds=1.0,
        )


class RepositoryUnknown(FailedPrecondition):
    """Refs name repositories that the organization does not have, or that are disabled.

    The metadata holds how many, and their display names; of very many the first, then how many more.
    """

    max_value_chars: ClassVar[int] = 3000
    _room: ClassVar[int] = 2900

    def __init__(self, repositories: Sequence[str]) -> None:
        listed: list[str] = []
        room = self._room
        for name in repositories:
            room -= len(name.encode()) + len(", ")
            if room < 0:
                break
            listed.append(name)
        more = len(repositories) - len(listed)
        names = ", ".join(listed) + (f" and {more} more" if more else "")
        super().__init__(
            f"These repositories are not there, or disabled: {names}. Create them, or set commits of them first.",
            metadata={"repositories": names, "unknown_count": str(len(repositories))},
        )


class CommitNotFound(NotFound):
    """No release that the caller may read holds a commit whose id begins so."""

    def __init__(self, commit_id: str) -> None:
        super().__init__(
            f"No release that you may read holds a commit whose id is or begins with {commit_id}.",
            metadata={"commit_id": commit_id},
        )


class CommitAmbiguous(InvalidArgument):
    """The ids of several commits begin so; the metadata names the first of them."""

    _told: ClassVar[int] = 10

    def __init__(self, commit_id: str, commit_ids: Sequence[str]) -> None:
        told = ", ".join(commit_ids[: self._told]) + (", …" if len(commit_ids) > self._told else "")
        super().__init__(
            f"The ids of several commits begin with {commit_id}: {told}. Say more of it.",
            metadata={"commit_id": commit_id, "commit_ids": told},
            violations=[FieldViolation("commit_id", "is the beginning of several commits' ids")],
        )
