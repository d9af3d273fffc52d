"""Errors of release health."""

from __future__ import annotations

from store.errors.kinds import Aborted


class AdoptionBusy(Aborted):
    """A server finds out about adoption already, or took over from this one."""

    def __init__(self) -> None:
        super().__init__(
            "A server is finding out which releases are adopted at this moment. Try again later, if still needed.",
            retry_after_seconds=30.0,
        )
