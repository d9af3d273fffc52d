"""Errors of releases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from store.errors.kinds import Aborted, FailedPrecondition, FieldViolation, NotFound


class ReleaseNotFound(NotFound):
    """No such release, or too few of its projects are yours."""

    def __init__(self, organization: str, version: str) -> None:
        name = f"organizations/{organization}/releases/{version}"
        super().__init__(f"{name} does not exist, or you may not see it.", metadata={"name": name})


class ReleasesNotFound(NotFound):
    """Some of many releases are not there, or too few of their projects are yours: `missing` are their places among the
    names that were asked for, and their versions.

    The violations name their fields, the first 20 of them.
    """

    reason: ClassVar[str] = ReleaseNotFound.reason

    def __init__(self, organization: str, missing: Sequence[tuple[int, str]]) -> None:
        first = f"organizations/{organization}/releases/{missing[0][1]}"
        others = len({version for _, version in missing}) - 1
        more = f"; the same is true of {others:,} more that {'was' if others == 1 else 'were'} named" if others else ""
        super().__init__(
            f"{first} does not exist, or you may not see it{more}.",
            metadata={"name": first, "missing_count": str(len(missing))},
            violations=[
                FieldViolation(f"names[{index}]", f"{version} does not exist, or you may not see it")
                for index, version in missing
            ],
        )


class EtagMismatch(Aborted):
    """The release changed since its etag was read; the metadata holds the etag that it has now."""

    def __init__(self, etag: str) -> None:
        super().__init__(
            "The release changed since its etag was read. Read it again and repeat.", metadata={"etag": etag}
        )


class ReleaseHasHealth(FailedPrecondition):
    """The release had sessions of late, and is not deleted by the way."""

    def __init__(self, organization: str, version: str) -> None:
        name = f"organizations/{organization}/releases/{version}"
        super().__init__(
            f"{name} had sessions in the last 90 days. To delete it all the same, with what they say of it, set force.",
            metadata={"name": name},
        )
