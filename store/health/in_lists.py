"""How healthy the releases of a page are in their projects: read for all of them together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from store.access import Access
from store.access.projects import ProjectSet
from store.database import Reader
from store.errors import ScopeMissing
from store.health.figures import NO_FIGURES, Figures, figures_of, series_of
from store.health.rollups import read_counts_by_series
from store.health.series import ALL_VERSIONS, Pair, SeriesRow, find_series
from store.health.shares import NO_SHARES, Shares, projects_of, shares_of
from store.health.stages import StageRow, read_stages, stages_bytes
from store.health.windows import KNOWN_US, Period, Window, window_of
from store.releases.rows import ReleaseRow

READING_SCOPE: Final = "health:read"
"""What a caller needs to be told, or to sort by, what sessions say."""

# What stands on the wire, at most: figures and shares with all that is set, and a number of a series.
_HEALTH_BYTES: Final = 240
_COUNT_BYTES: Final = 28


class HealthStat(IntEnum):
    """What a series counts; the numbers are those of the contract."""

    SESSIONS = 1
    USERS = 2


@dataclass(frozen=True, slots=True)
class HealthWanted:
    """What to tell of release health: with `health` the figures of the summary period, and the series of another where
    one is given; with `stages` how far releases have come in their environments."""

    health: bool = False
    stages: bool = False
    summary_period: Period = Period.LAST_14D
    series_period: Period | None = None
    series_stat: HealthStat = HealthStat.SESSIONS

    @property
    def nothing(self) -> bool:
        """Whether nothing is to be told."""
        return not self.health and not self.stages


NO_HEALTH: Final = HealthWanted()


def check_scope(access: Access, wanted: HealthWanted) -> None:
    """Raises `ScopeMissing` where the caller may not be told what is wanted."""
    if wanted.health and not access.may(READING_SCOPE):
        raise ScopeMissing(READING_SCOPE)


class HealthInProject(NamedTuple):
    """How healthy a release is in a project. `series`: when each bucket begins, and what is counted in it."""

    has_data: bool
    figures: Figures
    shares: Shares
    series: tuple[tuple[int, int], ...] = ()


class ToldInProject(NamedTuple):
    """What is told of a release in a project; health is None where it was not asked for."""

    health: HealthInProject | None
    stages: tuple[StageRow, ...] = ()


def told_in_projects(
    reader: Reader,
    releases: Sequence[ReleaseRow],
    projects: ProjectSet,
    wanted: HealthWanted,
    *,
    environments: Sequence[str],
    environment_ids: Collection[bytes] | None,
    now_us: int,
) -> dict[tuple[bytes, bytes], ToldInProject]:
    """What is told of each of the releases in those of its projects that are among these, by release and project.

    Of the environments that are named, of all where none is; their ids are those of the ones that there are. Periods
    end at `now_us`.
    """
    pairs = {
        (release.id, project.id): (project.id, release.version)
        for release in releases
        for project in release.projects
        if projects.allows(project.id)
    }
    health = _health(reader, set(pairs.values()), wanted, environments, now_us) if wanted.health else {}
    ids = [release.id for release in releases]
    stages = read_stages(reader, ids, projects, environment_ids) if wanted.stages else {}
    return {place: ToldInProject(health.get(pair), stages.get(place, ())) for place, pair in pairs.items()}


def told_bytes(told: ToldInProject, organization_slug: str, project_slug: str) -> int:
    """What it takes in a message, at most."""
    stages = stages_bytes(told.stages, organization_slug, project_slug)
    return stages if told.health is None else stages + _HEALTH_BYTES + _COUNT_BYTES * len(told.health.series)


def _health(
    reader: Reader, pairs: set[Pair], wanted: HealthWanted, environments: Sequence[str], now_us: int
) -> dict[Pair, HealthInProject]:
    found = find_series(reader, pairs | projects_of(pairs), environments)
    of_releases = [row for row in found if row.version != ALL_VERSIONS]
    known = {row.pair for row in of_releases if row.last_time >= now_us - KNOWN_US}
    figures = figures_of(reader, of_releases, window_of(wanted.summary_period, now_us))
    shares = shares_of(reader, pairs, found, now_us)
    series = {}
    empty: tuple[tuple[int, int], ...] = ()
    if wanted.series_period is not None:
        window = window_of(wanted.series_period, now_us)
        series = _series(reader, of_releases, window, wanted.series_stat)
        empty = tuple((start, 0) for start in window.buckets)
    return {
        pair: HealthInProject(
            pair in known or pair in figures,
            figures.get(pair, NO_FIGURES),
            shares.get(pair, NO_SHARES),
            series.get(pair, empty),
        )
        for pair in pairs
    }


def _series(
    reader: Reader, series: Sequence[SeriesRow], window: Window, stat: HealthStat
) -> dict[Pair, tuple[tuple[int, int], ...]]:
    if stat is HealthStat.USERS:
        told = series_of(reader, series, window)
        counts = {pair: [each.user_count for each in buckets] for pair, (_, buckets) in told.items()}
    else:
        counts = {}
        pairs = {row.id: row.pair for row in series}
        for series_id, start_time, count in read_counts_by_series(reader, list(pairs), window):
            buckets = counts.setdefault(pairs[series_id], [0] * len(window.buckets))
            buckets[window.bucket_of(start_time)] += count
    return {pair: tuple(zip(window.buckets, buckets, strict=True)) for pair, buckets in counts.items()}
