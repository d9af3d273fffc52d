"""Waiting for others that set commits of the same release or of its repositories."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from store.commits.turns import TurnNotGot, Turns
from store.errors import CommitsBusy, LockTimeout
from store.organizations.rows import OrganizationRow

MAX_WAIT_SECONDS = 10.0
"""How long a call waits at most."""

_TURNS = Turns()


@contextmanager
def turn_to_set(
    organization: OrganizationRow, version: str, repositories: Sequence[str], *, wait_seconds: float | None
) -> Iterator[float]:
    """Be the one in this process who sets commits of the release and of the repositories (distinct, sorted by name).

    Gives how many seconds are left to wait, of `wait_seconds` (None: as long as allowed) and 10 s at most, for a write
    in the turn. Raises `CommitsBusy` when others have the turn for so long, or hold one of the rows in that write.
    """
    allowed = MAX_WAIT_SECONDS if wait_seconds is None else max(0.0, min(wait_seconds, MAX_WAIT_SECONDS))
    deadline = time.monotonic() + allowed
    keys = [(organization.id, "release", version)]
    keys += [(organization.id, "repository", name) for name in repositories]
    try:
        # The rows are locked, too, for the sake of other processes. But each who waits for a row holds a connection,
        # and a release that many set at once would leave none to anybody else.
        with _TURNS.hold(keys, deadline=deadline):
            yield max(0.0, deadline - time.monotonic())
    except (TurnNotGot, LockTimeout):
        raise CommitsBusy(organization.slug, version) from None
