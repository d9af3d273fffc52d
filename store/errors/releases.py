"""Errors of releases."""

from __future__ import annotations

from store.errors.kinds import Aborted, NotFound


class ReleaseNotFound(NotFound):
    """No such release, or too few of its projects are yours."""

    def __init__(self, organization: str, version: str) -> None:
        name = f"organizations/{organization}/releases/{version}"
        super().__init__(f"{name} does not exist, or this token may not see it.", metadata={"name": name})


class EtagMismatch(Aborted):
    """The release changed since its etag was read; the metadata holds the etag that it has now."""

    def __init__(self, etag: str) -> None:
        super().__init__(
            "The release changed since its etag was read. Read it again and repeat.", metadata={"etag": etag}
        )
