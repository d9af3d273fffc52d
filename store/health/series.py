"""Finding series: what is counted together, and when its first and last session began."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Sequence
from functools import reduce
from typing import Any, Final, NamedTuple, TypeAlias

from store.database import Database, Query, Reader, hole, query_shape
from store.database.batches import SIZES, batches
from store.health.models import HealthSeries

Pair: TypeAlias = tuple[bytes, str]
"""A project by its id, and a version; of all versions together when that is empty."""

Environments: TypeAlias = Sequence[str] | None
"""Only these environments, the empty text for sessions without one; nothing or None: all."""

ALL_VERSIONS: Final = ""

# Drivers and planners take longer lists of alternatives badly.
_MOST_PAIRS: Final = 64


class SeriesRow(NamedTuple):
    """A series as readers need it; times in microseconds UTC."""

    id: bytes
    project_id: bytes
    version: str
    environment: str
    first_time: int
    last_time: int

    @property
    def pair(self) -> Pair:
        """What it is a series of."""
        return self.project_id, self.version


def find_series(reader: Reader | Database, pairs: Iterable[Pair], environments: Environments = None) -> list[SeriesRow]:
    """The series of the pairs in these environments; the order is of no meaning."""
    asked = sorted(set(pairs))
    places = tuple(sorted(set(environments or ())))
    found: list[SeriesRow] = []
    for start in range(0, len(asked), _MOST_PAIRS):
        for batch in batches(asked[start : start + _MOST_PAIRS]):
            params: dict[str, Any] = {f"environment_{index}": name for index, name in enumerate(_filled(places))}
            for index, (project_id, version) in enumerate(batch):
                params[f"project_{index}"], params[f"version_{index}"] = project_id, version
            found += reader.rows(_series(len(batch), len(_filled(places))), **params)
    return found


def had_sessions(
    reader: Reader | Database, pairs: Iterable[Pair], since_us: int, environments: Environments = None
) -> set[Pair]:
    """Those of the pairs of which a session began at or after the time."""
    return {row.pair for row in find_series(reader, pairs, environments) if row.last_time >= since_us}


def session_bounds(
    reader: Reader | Database, pairs: Iterable[Pair], environments: Environments = None
) -> dict[Pair, tuple[int, int]]:
    """When the first and the last session of each pair began, as far as is known; pairs without sessions are absent."""
    return bounds_of(find_series(reader, pairs, environments))


def bounds_of(found: Iterable[SeriesRow]) -> dict[Pair, tuple[int, int]]:
    """The same of series that were found."""
    bounds: dict[Pair, tuple[int, int]] = {}
    for row in found:
        first, last = bounds.get(row.pair, (row.first_time, row.last_time))
        bounds[row.pair] = min(first, row.first_time), max(last, row.last_time)
    return bounds


def _filled(places: Collection[str]) -> tuple[str, ...]:
    # Up to one of the usual sizes, as batches are; of none none.
    texts = tuple(places)
    size = next((size for size in (0, *SIZES) if size >= len(texts)), len(texts))
    return texts + texts[-1:] * (size - len(texts))


@query_shape
def _series(pairs: int, environments: int) -> Query[SeriesRow]:
    columns = (
        HealthSeries.id,
        HealthSeries.project_id,
        HealthSeries.version,
        HealthSeries.environment,
        HealthSeries.first_time,
        HealthSeries.last_time,
    )
    holes = [hole(HealthSeries.environment, f"environment_{index}") for index in range(environments)]
    there = [HealthSeries.environment.in_(holes)] if environments else []
    alternatives = [
        reduce(
            operator.and_,
            [
                HealthSeries.project_id == hole(HealthSeries.project_id, f"project_{index}"),
                HealthSeries.version == hole(HealthSeries.version, f"version_{index}"),
            ],
        )
        for index in range(pairs)
    ]
    return Query(HealthSeries.select(*columns).where(reduce(operator.or_, alternatives), *there), row=SeriesRow)
