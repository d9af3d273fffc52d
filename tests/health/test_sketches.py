"""Sketches of users and durations: what they say of small and large sets, merged and kept."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from store.health.sketches import RANK_ERROR, USER_ERROR, Durations, Users


def users(*numbers: int) -> Users:
    sketch = Users.of(None)
    sketch.add(numbers)
    return sketch


def test_nothing_is_in_an_empty_sketch() -> None:
    for sketch in (Users.of(None), users()):
        assert (sketch.estimate(), sketch.data()) == (0, None)
    durations = Durations.of(None)
    durations.merge(None)
    assert (durations.quantile(0.5), durations.data()) == (None, None)


def test_few_users_are_counted_exactly_however_often_they_come() -> None:
    sketch = users(*range(-100, 100), *range(100))
    assert sketch.estimate() == 200
    assert Users.of(sketch.data()).estimate() == 200
    sketch.add([2**63 - 1, -(2**63), 5])
    assert sketch.estimate() == 202


def test_adding_what_is_in_it_changes_nothing_however_often_it_was_kept() -> None:
    for count in (3, 300, 3_000):
        sketch = users(*range(count))
        estimate = sketch.estimate()
        for _ in range(20):
            sketch = Users.of(sketch.data())
            sketch.add(range(count))
            assert sketch.estimate() == estimate


def test_a_sketch_that_is_filled_bit_by_bit_is_as_good_as_one_that_is_filled_at_once() -> None:
    at_once, bit_by_bit = users(*range(20_000)), Users.of(None)
    for start in range(0, 20_000, 100):
        bit_by_bit = Users.of(bit_by_bit.data())
        bit_by_bit.add(range(start, start + 100))
    assert bit_by_bit.estimate() == at_once.estimate() == pytest.approx(20_000, rel=3 * USER_ERROR)


@pytest.mark.parametrize(("sketches", "each"), [(10, 100), (30, 40), (30, 300), (3, 380), (1, 5_000)])
def test_the_same_users_are_as_many_in_whatever_order_and_by_whatever_steps_they_were_merged(
    sketches: int, each: int
) -> None:
    chance = random.Random(sketches)
    everybody = [chance.getrandbits(62) for _ in range(max(each, sketches * each // 2))]
    kept = [data for _ in range(sketches) if (data := users(*chance.sample(everybody, each)).data())]
    estimates = set()
    for _ in range(4):
        chance.shuffle(kept)
        estimates.add(Users.union(kept).estimate())
        one_by_one, by_threes = Users.of(None), Users.of(None)
        for data in kept:
            one_by_one.merge(data)
        for start in range(0, sketches, 3):
            by_threes.include(Users.union(kept[start : start + 3]))
        estimates |= {one_by_one.estimate(), by_threes.estimate(), Users.of(one_by_one.data()).estimate()}
    assert len(estimates) == 1


def test_merged_sketches_count_a_user_of_both_once() -> None:
    for count in (40, 4_000):
        one, two = users(*range(count)), users(*range(count // 2, 2 * count))
        one.merge(two.data())
        one.merge(None)
        assert one.estimate() == pytest.approx(2 * count, rel=3 * USER_ERROR)
        assert Users.of(one.data()).estimate() == pytest.approx(2 * count, rel=3 * USER_ERROR)
        one.add([-1])
        assert one.data() is not None


def test_users_that_were_merged_can_be_added_to() -> None:
    sketch = users(1, 2)
    sketch.merge(users(2, 3).data())
    sketch.add([3, 4])
    assert sketch.estimate() == 4


def test_quantiles_of_few_durations_are_exact() -> None:
    durations = Durations.of(None)
    durations.add([4.0, 1.0, 3.0])
    other = Durations.of(None)
    other.add([2.0])
    durations.merge(other.data())
    kept = Durations.of(durations.data())
    assert [kept.quantile(share) for share in (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)] == [1.0, 1.0, 2.0, 3.0, 4.0, 4.0]


def test_quantiles_of_many_durations_are_within_the_stated_error_of_rank() -> None:
    source = random.Random(9)
    all_of_them = Durations.of(None)
    values: list[float] = []
    for _ in range(50):
        some = [source.expovariate(0.01) for _ in range(2_000)]
        part = Durations.of(None)
        part.add(some)
        all_of_them.merge(part.data())
        values += some
    values.sort()
    for share in (0.5, 0.9):
        found = all_of_them.quantile(share)
        assert found is not None
        # One of a hundred may be farther off: thrice as far is no accident.
        low, high = (values[round((share + sign * 3 * RANK_ERROR) * len(values))] for sign in (-1, 1))
        assert low <= found <= high


def test_a_server_starts_without_the_library() -> None:
    told = "import sys, server.app; print(sorted({'datasketches', 'numpy'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
