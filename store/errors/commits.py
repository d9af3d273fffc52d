"""Errors of setting the commits of a release."""

from __future__ import annotations

from store.errors.kinds import Aborted


class CommitsBusy(Aborted):
    """Other calls were setting commits of this release, or of its repositories, for as long as this one could wait."""

    def __init__(self, organization: str, version: str) -> None:
        name = f"organizations/{organization}/releases/{version}"
        super().__init__(
            f"Another call is setting the commits of {name}; nothing was changed. Try again.",
            metadata={"name": name},
            retry_after_seconds=1.0,
        )
