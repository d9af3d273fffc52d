"""Adding to the sums of hours and days. Whoever calls holds the lock of the project."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from operator import add
from typing import Any, Final, TypeAlias, TypeVar

from store.database import Query, Statement, Transaction, hole, holes_for, query_shape
from store.database.batches import batches, filled, holes
from store.health.models import HealthDay, HealthHour
from store.health.rollups import RollupRow
from store.health.settling import Change
from store.health.sketches import Durations, Users

A = TypeVar("A")
B = TypeVar("B")

Span: TypeAlias = tuple[bytes, int]
"""A series by its id, and the beginning of an hour or a day."""

_KEY: Final = ("series_id", "start_time")
_NAMES: Final = RollupRow._fields


def add_to_hours(tx: Transaction, changes: Mapping[Span, Change]) -> None:
    """Add to the rows of hours, which are made where there are none."""
    _add(tx, HealthHour, _ADD_HOURS, changes)


def add_to_days(tx: Transaction, changes: Mapping[Span, Change]) -> None:
    """The same of the rows of days."""
    _add(tx, HealthDay, _ADD_DAYS, changes)


def by_fewer(pairs: Collection[tuple[A, B]]) -> tuple[dict[A, list[B]], dict[B, list[A]]]:
    """How to look pairs up with few queries, each for one value of a side and many of the other: the first result by
    the first values, or the second by the second; one of the two is empty."""
    by_first: dict[A, list[B]] = {}
    by_second: dict[B, list[A]] = {}
    for first, second in pairs:
        by_first.setdefault(first, []).append(second)
        by_second.setdefault(second, []).append(first)
    return (by_first, {}) if len(by_first) < len(by_second) else ({}, by_second)


def _upsert(model: Any) -> Statement:
    return Statement(
        model.insert(holes_for(*(getattr(model, name) for name in _NAMES))).on_conflict(
            conflict_target=[getattr(model, name) for name in _KEY],
            preserve=[getattr(model, name) for name in _NAMES[len(_KEY) :]],
        )
    )


_ADD_HOURS: Final = _upsert(HealthHour)
_ADD_DAYS: Final = _upsert(HealthDay)


@query_shape
def _rows_at(model: Any, series: int) -> Query[RollupRow]:
    there = (model.start_time == hole(model.start_time)) & model.series_id.in_(holes(model.series_id, series))
    return Query(model.select(*(getattr(model, name) for name in _NAMES)).where(there), row=RollupRow)


@query_shape
def _rows_of(model: Any, times: int) -> Query[RollupRow]:
    there = (model.series_id == hole(model.series_id)) & model.start_time.in_(holes(model.start_time, times))
    return Query(model.select(*(getattr(model, name) for name in _NAMES)).where(there), row=RollupRow)


def _read(tx: Transaction, model: Any, spans: Collection[Span]) -> Iterable[RollupRow]:
    by_series, by_time = by_fewer(spans)
    for start_time, ids in by_time.items():
        for batch in batches(ids):
            yield from tx.rows(_rows_at(model, len(batch)), start_time=start_time, **filled(batch))
    for series_id, times in by_series.items():
        for some in batches(times):
            yield from tx.rows(_rows_of(model, len(some)), series_id=series_id, **filled(some))


def _add(tx: Transaction, model: Any, upsert: Statement, changes: Mapping[Span, Change]) -> None:
    before = {(row.series_id, row.start_time): row for row in _read(tx, model, changes)}
    after: list[tuple[Any, ...]] = []
    for span, change in sorted(changes.items()):
        row = before.get(span)
        if row is None:
            sums, kept = change.counts, (None, None, None)
        else:
            sums, kept = tuple(map(add, row[2:7], change.counts)), row[7:]  # type: ignore[assignment]
        together = (*span, *sums, *_sketched(change, *kept))
        if together != row:
            after.append(together)
    if after:
        tx.run_columns(upsert, dict(zip(_NAMES, map(list, zip(*after, strict=True)), strict=True)))


def _sketched(
    change: Change, users: bytes | None, crashed: bytes | None, durations: bytes | None
) -> tuple[bytes | None, bytes | None, bytes | None]:
    if change.durations:
        spread = Durations.of(durations)
        spread.add(change.durations)
        durations = spread.data()
    return _with_users(users, change.users), _with_users(crashed, change.crashed_users), durations


def _with_users(data: bytes | None, users: Collection[int]) -> bytes | None:
    if not users:
        return data
    sketch = Users.of(data)
    sketch.add(users)
    return sketch.data()
