"""Sketches that are taken together, and remembered by their bytes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from store.health import sums
from store.health.rollups import RollupRow
from store.health.sketches import Durations, Users
from store.health.sums import Merged, Sums, total


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    sums.forget()


def row(users: Sequence[int] = (), crashed: Sequence[int] = (), seconds: Sequence[float] = ()) -> RollupRow:
    sketches = Users.of(None), Users.of(None), Durations.of(None)
    sketches[0].add(users)
    sketches[1].add(crashed)
    sketches[2].add(seconds)
    return RollupRow(b"", 0, 1, 0, 0, 0, 0, *(sketch.data() for sketch in sketches))


def of(*rows: RollupRow) -> Sums:
    return Sums(rows)


def told(merged: Merged) -> tuple[object, ...]:
    return merged.user_count, merged.crashed_user_count, merged.duration_p50, merged.duration_p90


def test_what_is_remembered_is_what_the_same_bytes_came_to() -> None:
    rows = [row([1, 2], [2], [1.0, 2.0]), row([2, 3], [], [9.0])]
    first = of(*rows).merged()
    assert told(first) == (3, 1, 2.0, 9.0)
    assert of(*rows).merged() is first
    sums.forget()
    again = of(*rows).merged()
    assert again is not first
    assert told(again) == told(first)


def test_other_bytes_are_never_taken_for_these() -> None:
    plain, crashed = row([1, 2]), row([], [1, 2])
    assert told(of(plain).merged()) == (2, 0, None, None)
    assert told(of(crashed).merged()) == (0, 2, None, None)
    assert told(of(plain, plain).merged()) == (2, 0, None, None)
    assert told(of(plain, row([3])).merged()) == (3, 0, None, None)
    assert told(of().merged()) == (0, 0, None, None)


def test_parts_are_put_together_as_their_rows_would_be() -> None:
    parts = [of(row([1, 2], [1], [1.0])), of(row([2, 3], [], [2.0]), row([4], [4])), of()]
    together = total(parts)
    assert told(together.merged()) == (4, 2, 1.0, 2.0)
    assert together.sessions == 3
    # The parts stay what they were, and may be put together with others.
    assert told(parts[0].merged()) == (2, 1, 1.0, 1.0)
    assert told(total([*parts, of(row([9], [9], [3.0]))]).merged()) == (5, 3, 2.0, 3.0)
    assert told(together.merged()) == (4, 2, 1.0, 2.0)
    assert total(parts[:1]) is parts[0]
    assert total([]).sessions == 0


def test_unions_of_large_sketches_come_out_the_same_in_whatever_parts() -> None:
    chance = Random(2)
    rows = [row([chance.getrandbits(60) for _ in range(3_000)]) for _ in range(6)]
    at_once = of(*rows).merged().user_count
    in_parts = total([of(*rows[:2]), of(*rows[2:5]), of(rows[5])]).merged().user_count
    assert at_once == in_parts == pytest.approx(18_000, rel=0.05)


def test_no_more_is_remembered_than_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = sums._Remembered(most=2)
    monkeypatch.setattr(sums, "_REMEMBERED", kept)
    rows = [row([number]) for number in range(3)]
    first, second, _ = [of(each).merged() for each in rows]
    assert of(rows[1]).merged() is second
    assert of(rows[0]).merged() is not first


def test_many_threads_may_put_the_same_together() -> None:
    rows = [row(range(number, number + 600), range(number), [1.0 * number]) for number in range(1, 9)]

    def work(_: int) -> tuple[object, ...]:
        return told(total([of(*rows[:4]), of(*rows[4:])]).merged())

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(200))) == {work(0)}
