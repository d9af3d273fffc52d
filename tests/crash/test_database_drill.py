"""CI's share of the database drill; `make drill-database` runs the full count."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def drilled(*arguments: str) -> subprocess.CompletedProcess[str]:
    # In a process of its own: grpc's handlers of fork(), which starting PostgreSQL as another user needs, crash beside
    # running channels, and only before it is imported can they be turned off.
    return subprocess.run(
        [sys.executable, "-m", "tests.crash.database_drill", *arguments],
        env={**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_over_fifteen_restarts_of_postgresql() -> None:
    drill = drilled("--restarts=15", "--silences=1", "--long-silences=0", "--no-controls")
    goals = [line.split() for line in drill.stdout.splitlines() if line.startswith("GOAL ")]
    found = {name: float(value) for _, name, value, *_ in goals}
    # How fast it is back is a figure of the drill: here others may use the machine.
    assert {name: value for name, value in found.items() if "back" not in name} == {
        "F20.lost": 0,
        "F20.doubled": 0,
        "F20.failures_told_wrongly": 0,
    }, drill.stdout + drill.stderr
    assert {name for name in found if "back" in name} == {
        f"F20.back_seconds_after_{kind}"
        for kind in ("restart", "termination", "silence", "cut_before_commit", "cut_after_commit")
    }
    for kind in ("deploy", "commit", "sessions"):
        for moment in ("before", "after"):
            assert f"'{kind} {moment}': " in drill.stdout, "a COMMIT of this kind was never cut"
    assert "DATABASE_DOWN" in drill.stdout, "no call met any of it"


@pytest.mark.timeout(300)
def test_the_drill_notices_a_server_that_loses_writes_and_one_that_doubles_them() -> None:
    drill = drilled("--only-controls")
    assert drill.returncode == 0, drill.stdout + drill.stderr
    caught = [line.split()[1:3] for line in drill.stdout.splitlines() if line.startswith("CONTROL ")]
    assert caught == [["lost-write", "F20.lost"], ["doubled-write", "F20.doubled"]]
