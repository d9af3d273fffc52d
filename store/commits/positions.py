"""Places in the list of a release's commits: the newest has the lowest position, each next one the next higher.

Where the list begins depends on how it came about: commits that are added get the positions before those of the newest
commit, so that all others keep theirs.
"""

from __future__ import annotations

from typing import Final

import peewee

from store.commits.models import ReleaseCommit
from store.database import Query, Reader, hole

BEFORE_ALL: Final = -(2**62)
"""Lower than every position."""
BEHIND_ALL: Final = 2**62
"""Higher than every position."""

_FIRST: Final = Query(
    ReleaseCommit.select(peewee.fn.MIN(ReleaseCommit.position)).where(
        ReleaseCommit.release_id == hole(ReleaseCommit.release_id)
    )
)


def first_position(reader: Reader, release_id: bytes) -> int:
    """The position of the release's newest commit; 0 when it has none."""
    found = reader.row(_FIRST, release_id=release_id)
    return 0 if found is None or found[0] is None else int(found[0])
