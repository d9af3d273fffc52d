"""What sessions say of releases: figures of spans of time and their buckets (behaviour.md, Release health)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from store.database import Database, Reader
from store.health.rollups import read_rollups, rows_within
from store.health.series import ALL_VERSIONS, Environments, Pair, SeriesRow, find_series, had_sessions, session_bounds
from store.health.sums import Sums, total
from store.health.windows import Window

__all__ = [
    "NO_FIGURES",
    "Environments",
    "Figures",
    "Pair",
    "figures_of",
    "had_sessions",
    "project_figures",
    "read_figures",
    "read_series",
    "series_of",
    "session_bounds",
]


@dataclass(frozen=True, slots=True)
class Figures:
    """What sessions say. Users are estimates, see `sketches.USER_ERROR`; durations are of sessions that exited, in
    seconds, None where none told. Errored sessions neither crashed nor ended abnormally.
    """

    session_count: int = 0
    user_count: int = 0
    crashed_count: int = 0
    abnormal_count: int = 0
    errored_count: int = 0
    error_count: int = 0
    crashed_user_count: int = 0
    duration_p50: float | None = None
    duration_p90: float | None = None

    @property
    def crash_free_sessions(self) -> float | None:
        """Which share of the sessions did not crash, in percent; None without sessions."""
        return crash_free(self.session_count, self.crashed_count)

    @property
    def crash_free_users(self) -> float | None:
        """Which share of the users saw no crash, in percent; None without users."""
        return crash_free(self.user_count, self.crashed_user_count)


NO_FIGURES: Final = Figures()

# A row is a few KiB at most, nearly all of it sketches.
_MOST_ROWS: Final = 5_000


def crash_free(count: int, crashed: int) -> float | None:
    """Which share of these did not crash, in percent; None of none at all."""
    return 100 - crashed / count * 100 if count else None


def share(part: int, whole: int) -> float | None:
    """Which share of the whole the part is, in percent; None if either is nothing."""
    return min(part / whole, 1) * 100 if part and whole else None


def read_figures(
    reader: Reader | Database, pairs: Iterable[Pair], window: Window, environments: Environments = None
) -> dict[Pair, Figures]:
    """The figures of each pair in the whole window; pairs without sessions in it are absent."""
    return figures_of(reader, find_series(reader, pairs, environments), window)


def read_series(
    reader: Reader | Database, pairs: Iterable[Pair], window: Window, environments: Environments = None
) -> dict[Pair, list[Figures]]:
    """The figures of each pair, a bucket each, the oldest first; pairs without sessions in the window are absent."""
    found = series_of(reader, find_series(reader, pairs, environments), window)
    return {pair: buckets for pair, (_, buckets) in found.items()}


def project_figures(
    reader: Reader | Database, project_ids: Iterable[bytes], window: Window, environments: Environments = None
) -> dict[bytes, Figures]:
    """The figures of all versions of each project together; projects without sessions in the window are absent."""
    pairs = [(project_id, ALL_VERSIONS) for project_id in project_ids]
    return {pair[0]: figures for pair, figures in read_figures(reader, pairs, window, environments).items()}


def figures_of(reader: Reader | Database, series: Iterable[SeriesRow], window: Window) -> dict[Pair, Figures]:
    """`read_figures` of series that were found."""
    whole = Window(window.start_us, window.end_us, window.end_us - window.start_us)
    return {pair: figures(total(sums.values())) for pair, sums in sums_of(reader, series, whole)}


def series_of(
    reader: Reader | Database, series: Iterable[SeriesRow], window: Window
) -> dict[Pair, tuple[Figures, list[Figures]]]:
    """The figures of the whole window and of each bucket, of the same rows."""
    told = {}
    for pair, sums in sums_of(reader, series, window):
        buckets = [NO_FIGURES] * len(window.buckets)
        for place, part in sums.items():
            buckets[place] = figures(part)
        told[pair] = figures(total(sums.values())), buckets
    return told


def figures(sums: Sums) -> Figures:
    """What was added up."""
    merged = sums.merged()
    users = merged.user_count
    return Figures(
        sums.sessions,
        users,
        sums.crashed,
        sums.abnormal,
        sums.errored,
        sums.errors,
        # Of two estimates the part may come out larger than the whole.
        min(merged.crashed_user_count, users),
        merged.duration_p50,
        merged.duration_p90,
    )


def sums_of(
    reader: Reader | Database, series: Iterable[SeriesRow], window: Window
) -> Iterator[tuple[Pair, dict[int, Sums]]]:
    """Each pair with what is counted in its buckets, by their places; left out is where there is nothing."""
    start, step = window.start_us, window.step_us
    for group in _groups(series, window):
        pairs = {row.id: row.pair for row in group}
        found: dict[Pair, defaultdict[int, list[tuple[Any, ...]]]] = {
            pair: defaultdict(list) for pair in pairs.values()
        }
        places = {id_: found[pair] for id_, pair in pairs.items()}
        for row in read_rollups(reader, list(pairs), window):
            places[row[0]][(row[1] - start) // step].append(row)
        for pair, buckets in found.items():
            if buckets:
                yield pair, {place: Sums(rows) for place, rows in buckets.items()}


def _groups(series: Iterable[SeriesRow], window: Window) -> Iterator[list[SeriesRow]]:
    """The series that can have rows in the window, all of a pair together, of so many pairs as can well be held."""
    rows = sorted(
        (row for row in series if row.last_time >= window.start_us and row.first_time < window.end_us),
        key=attrgetter("project_id", "version"),
    )
    most = max(1, _MOST_ROWS // rows_within(window))
    group: list[SeriesRow] = []
    for _, alike in groupby(rows, key=attrgetter("project_id", "version")):
        together = list(alike)
        if group and len(group) + len(together) > most:
            yield group
            group = []
        group += together
    if group:
        yield group
