"""Sessions told in order and out of it, twice, late, wrongly, over months, against a model that keeps every one.

The same programs run on both databases. The upkeep of rollups runs whenever, and releases are deleted and come again.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from store.database import Database
from store.health import record, upkeep
from tests.clocks import ManualClock
from tests.health.program import Program

Step = Callable[[Program, random.Random], None]

RUNS = int(os.environ.get("HEALTH_RUNS", "6"))
"""How many programs run on each database; a drill sets it to more."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of so few rows that every call and every run takes several."""
    monkeypatch.setattr(record, "PART", 37)
    monkeypatch.setattr(upkeep, "MOST_HOURS", 30)
    monkeypatch.setattr(upkeep, "MOST_ROLLUPS", 11)
    monkeypatch.setattr(upkeep, "MOST_SESSIONS", 17)


def run(database: Database, clock: ManualClock, *steps: Step) -> None:
    """Programs of these steps on the database."""

    @given(st.lists(st.integers(0, 2**32), min_size=20, max_size=40))
    @settings(
        max_examples=RUNS,
        phases=[Phase.explicit, Phase.generate],  # the seeds say nothing, and few are no better than many
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def behave(seeds: list[int]) -> None:
        program = Program(database, clock, seeds[0])
        for number, seed in enumerate(seeds):
            chance = random.Random(f"{number} {seed}")
            chance.choice(steps)(program, chance)
        program.look_at_everything()

    behave()


FIGURES: tuple[Step, ...] = (
    *[Program.tell] * 6,
    Program.tell_of_a_crowd,
    *[Program.tell_again] * 2,
    *[Program.let_time_pass] * 4,
    *[Program.keep_up] * 3,
    *[Program.discover] * 2,
    *[Program.delete] * 2,
    Program.drain,
    Program.look,
    *[Program.ask] * 2,
)
ADOPTION: tuple[Step, ...] = (
    Program.tell,
    *[Program.tell_what_is_new] * 3,
    *[Program.let_hours_pass] * 3,
    *[Program.adopt] * 3,
    *[Program.take_a_turn] * 12,
    Program.keep_up,
    Program.discover,
    Program.delete,
    Program.forbid,
)


@pytest.mark.usefixtures("small")
@pytest.mark.timeout(120 + 4 * RUNS)
def test_figures_are_what_was_told(database: Database, clock: ManualClock) -> None:
    run(database, clock, *FIGURES)


@pytest.mark.usefixtures("small")
@pytest.mark.timeout(120 + 4 * RUNS)
def test_releases_are_adopted_and_replaced_as_their_sessions_come_and_go(
    database: Database, clock: ManualClock
) -> None:
    run(database, clock, *ADOPTION)
