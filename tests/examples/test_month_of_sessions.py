"""The month of sessions, sent to a real server as its reader sends it, and looked at with relctl."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from examples.month_of_sessions import DAYS, STORIES, Month
from tests.server_process import ServerProcess

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SESSIONS_A_DAY = 120
FIRST, BAD, HOTFIX = (story.version for story in STORIES)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("month")) as server:
        yield server


def run(server: ServerProcess, *words: str) -> str:
    """What a program prints that a reader starts; it must succeed and have nothing to complain of."""
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "COLUMNS": "80",
        "RELCTL_SERVER": server.address,
        "RELCTL_TOKEN": server.token,
        "RELCTL_ORG": "acme",
    }
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def relctl(server: ServerProcess, *words: str) -> str:
    return run(server, str(BIN / "relctl"), *words)


def send(server: ServerProcess, *flags: str) -> str:
    return run(server, sys.executable, "examples/month_of_sessions.py", *flags)


@pytest.fixture(scope="module")
def sent(server: ServerProcess) -> str:
    """What the program says when it has sent the month."""
    return send(server, "--sessions-a-day", str(SESSIONS_A_DAY))


@pytest.fixture(scope="module")
def sessions(sent: str) -> Sequence[Any]:
    """The sessions that it sent and that had begun some minutes ago: the last update of each."""
    month = Month(organization="acme", project="shop", seed=1, sessions_a_day=SESSIONS_A_DAY, end=datetime.now(UTC))
    return list({update.session_id: update for update in month}.values())


def health(server: ServerProcess, *words: str) -> Any:
    (line,) = relctl(server, "health", *words, "--json").splitlines()
    (project,) = json.loads(line)["projects"]
    return project


def test_everything_is_recorded_and_what_to_look_at_is_told(server: ServerProcess, sent: str) -> None:
    first, *commands = sent.splitlines()
    counted = re.match(r"([0-9,]+) updates of sessions recorded, 0 known before, 0 refused", first)
    assert counted
    assert int(counted[1].replace(",", "")) > SESSIONS_A_DAY * DAYS * 1.5, "two a session, fewer at weekends"
    assert len(commands) >= 5
    for command in commands:
        assert command.startswith("  relctl ")
        printed = relctl(server, *command.split()[1:])
        assert "shop" in printed, command


def test_the_same_month_again_counts_nothing_twice(server: ServerProcess, sent: str) -> None:
    before = health(server, FIRST, "--period", "30d")["figures"]
    again = send(server, "--sessions-a-day", str(SESSIONS_A_DAY))
    recorded = int(again.split()[0].replace(",", ""))
    assert recorded < 100, "only what began, or ended, since"
    after = health(server, FIRST, "--period", "30d")["figures"]
    assert abs(int(after["session_count"]) - int(before["session_count"])) < 20
    assert after["crash_free_sessions"] == pytest.approx(before["crash_free_sessions"], abs=0.1)


@pytest.mark.parametrize("version", [FIRST, BAD, HOTFIX])
@pytest.mark.parametrize("environment", ["production", "staging"])
def test_the_figures_are_those_of_the_sessions(
    server: ServerProcess, sessions: Sequence[Any], version: str, environment: str
) -> None:
    """All but the last hours are the same whenever they are counted."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since, until = today - timedelta(days=DAYS - 1), today - timedelta(days=1)
    mine = [
        it
        for it in sessions
        if (it.version, it.environment) == (version, environment)
        and since <= it.start_time.ToDatetime(tzinfo=UTC) < until
    ]
    span = ("--since", f"{since:%Y-%m-%dT%H:%M:%SZ}", "--until", f"{until:%Y-%m-%dT%H:%M:%SZ}", "--interval", "1d")
    project = health(server, version, *span, "--environment", environment)
    figures = project["figures"]
    statuses = Counter(it.status for it in mine)
    assert int(figures["session_count"]) == len(mine) > 0
    assert (int(figures["crashed_session_count"]), int(figures["abnormal_session_count"])) == (statuses[4], statuses[3])
    assert int(figures["error_count"]) == sum(it.error_count for it in mine)
    users = {it.distinct_user_id for it in mine}
    assert int(figures["user_count"]) == pytest.approx(len(users), rel=0.05)
    by_day = Counter(it.start_time.ToDatetime(tzinfo=UTC).date() for it in mine)
    told = {bucket["start_time"][:10]: int(bucket["figures"]["session_count"]) for bucket in project["buckets"]}
    assert len(told) == DAYS - 2
    assert {day: count for day, count in told.items() if count} == {str(day): n for day, n in by_day.items()}


def test_the_table_and_the_plots_show_the_story(server: ServerProcess, sent: str) -> None:
    printed = relctl(server, "health", BAD, "--period", "30d")
    share = re.search(r"^crash-free sessions +([0-9.]+) %$", printed, re.MULTILINE)
    assert share
    assert 85 < float(share[1]) < 96
    titles = ("sessions a day", "users a day", "crash-free: * sessions, o users", "adoption, of all sessions")
    plots = [printed[printed.index(f"shop: {title}") :].split("\n\n")[0].splitlines() for title in titles]
    assert max(len(line) for plot in plots for line in plot) <= 80
    sessions, _, _, adoption = plots
    # It came after a third of the month, and was gone when two thirds were over.
    bars = {place for line in sessions[2:-2] for place, letter in enumerate(line) if letter == "█"}
    left, right = sessions[1].index("┌"), sessions[1].index("┐")
    assert 0.2 < (min(bars) - left) / (right - left) < 0.5
    assert 0.5 < (max(bars) - left) / (right - left) < 0.85
    peak = next(line for line in adoption if "*" in line)
    assert adoption.index(peak) <= 4, "most ran it for some days"


def test_the_hotfix_is_what_everybody_runs_now(server: ServerProcess, sent: str) -> None:
    printed = relctl(server, "health", HOTFIX, "--period", "48h", "--no-plot")
    share = re.search(r"^adoption by sessions, 24 h +([0-9.]+) %", printed, re.MULTILINE)
    assert share
    assert float(share[1]) > 75
    share = re.search(r"^crash-free sessions +([0-9.]+) %$", printed, re.MULTILINE)
    assert share
    assert float(share[1]) > 97


def test_the_least_stable_release_is_the_first_of_its_list(server: ServerProcess, sent: str) -> None:
    order = ("--flatten", "--sort", "crash-free-sessions", "--summary-period", "30d", "--versions")
    first, *others = relctl(server, "release", "list", "--project", "shop", *order).splitlines()
    assert (first, sorted(others)) == (BAD, [FIRST, HOTFIX])


def test_it_says_what_is_wrong_with_what_it_is_told(server: ServerProcess) -> None:
    for flags, words in (
        (("--sessions-a-day", "0"), "must be a whole number above 0"),
        (("--token", "wrong"), "CREDENTIALS_INVALID"),
        (("--project", "X"), "month_of_sessions: INVALID"),
    ):
        done = subprocess.run(
            [sys.executable, "examples/month_of_sessions.py", "--server", server.address, *flags],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "RELCTL_TOKEN": server.token},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode != 0
        assert done.stdout == ""
        assert words in done.stderr
        assert "Traceback" not in done.stderr
