"""Who runs a release, of all that run its project (behaviour.md, Release health)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from store.database import Database, Reader
from store.health.figures import share
from store.health.rollups import read_session_users
from store.health.series import ALL_VERSIONS, Environments, Pair, SeriesRow, find_series
from store.health.sums import Sums
from store.health.windows import last_day


@dataclass(frozen=True, slots=True)
class Shares:
    """The users and sessions of the last 24 hours, this hour and the 23 before: of a release, and of its project."""

    user_count: int = 0
    session_count: int = 0
    project_user_count: int = 0
    project_session_count: int = 0

    @property
    def user_adoption(self) -> float | None:
        """The release's share of the users, in percent; None if either has none."""
        return share(self.user_count, self.project_user_count)

    @property
    def session_adoption(self) -> float | None:
        """The release's share of the sessions, in percent; None if either has none."""
        return share(self.session_count, self.project_session_count)


NO_SHARES: Final = Shares()


def read_shares(
    reader: Reader | Database, pairs: Iterable[Pair], now_us: int, environments: Environments = None
) -> dict[Pair, Shares]:
    """The shares of each of the pairs, in these environments."""
    asked = set(pairs)
    return shares_of(reader, asked, find_series(reader, asked | projects_of(asked), environments), now_us)


def projects_of(pairs: Iterable[Pair]) -> set[Pair]:
    """All versions together of the projects of these pairs."""
    return {(project_id, ALL_VERSIONS) for project_id, _ in pairs}


def shares_of(
    reader: Reader | Database, pairs: Collection[Pair], series: Sequence[SeriesRow], now_us: int
) -> dict[Pair, Shares]:
    """`read_shares` of series that were found: of the pairs, and of their projects."""
    window = last_day(now_us)
    of = {row.id: row.pair for row in series if row.last_time >= window.start_us}
    sessions: defaultdict[Pair, int] = defaultdict(int)
    sketches: defaultdict[Pair, list[bytes]] = defaultdict(list)
    for series_id, count, users in read_session_users(reader, list(of), window):
        sessions[of[series_id]] += count
        if users is not None:
            sketches[of[series_id]].append(users)
    counted = {pair: Sums.of_users(kept).merged().user_count for pair, kept in sketches.items()}
    shares = {}
    for pair in pairs:
        project = (pair[0], ALL_VERSIONS)
        whole = counted.get(project, 0)
        # Of two estimates the part may come out larger than the whole.
        part = min(counted.get(pair, 0), whole)
        shares[pair] = Shares(part, sessions.get(pair, 0), whole, sessions.get(project, 0))
    return shares
