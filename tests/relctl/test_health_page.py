"""What docs/health.md shows is what the command line does, and what it says of limits is what the server keeps."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relctl.cli.health_options import PERIODS
from relctl.cli.session_lines import STATUSES
from relctl.cli.thresholds import METRICS
from relctl.sessions import MAX_BATCH_SIZE
from server.mapping.sessions import MAX_REFUSED
from server.settings import read_settings
from store.health.items import MAX_DURATION_US, MAX_ERRORS
from store.health.read import MOST_BUCKETS, MOST_PROJECTS
from store.health.spans import MAX_BUCKETS
from store.health.thresholds import MOST_THRESHOLDS
from store.health.windows import DAY_US
from store.search.session_ranks import MOST_SERIES, MOST_SERIES_OF_USERS
from tests.relctl.command_line import Relctl
from tests.relctl.telling import run_adoption
from tests.rpc.wire import Served

PAGE = (Path(__file__).parents[2] / "docs" / "health.md").read_text(encoding="utf-8")
NOW = datetime(2026, 11, 23, 13, tzinfo=UTC)
"""An hour after the sessions of the page began."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}$\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def table(heading: str) -> dict[str, str]:
    """The rows of the first table below a heading: the first cell, and the second one."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \|", section, re.MULTILINE)
    return dict(rows[2:])


@pytest.fixture
def page(edge: Served, relctl: Relctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Relctl:
    """The command line beside a server that has the page's projects and sessions, in a folder with its file."""
    edge.clock.advance(seconds=NOW.timestamp() - edge.clock.now_us() / 1_000_000)
    edge.make_organization("acme", projects=["web", "api"])
    edge.make_release("organizations/acme", "app@1.0.0", "web")
    monkeypatch.chdir(tmp_path)
    Path("sessions.jsonl").write_text("".join(blocks("json")))
    ctl = relctl.at(edge)
    assert ctl.ok("sessions", "send", "sessions.jsonl").out == "3 items recorded\n"
    run_adoption(edge)
    return ctl


def test_every_command_of_the_page_does_what_it_says(page: Relctl) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [shlex.split(line.partition("| ")[2] if "|" in line else line, comments=True) for line in lines]
    assert len(commands) >= 10
    for name, *words in commands:
        assert name == "relctl"
        printed = page.ok(*(word if word != "-" else "sessions.jsonl" for word in words))
        assert printed.out, words
    assert "app@1.0.0" in page.ok("release", "list", "--environment", "production", "--sort", "adoption").out


def test_the_sessions_of_the_page_come_to_what_it_says_of_figures(page: Relctl) -> None:
    (answer,) = page.json("health", "app@1.0.0")
    figures = answer["projects"][0]["figures"]
    assert (figures["session_count"], figures["user_count"], figures["errored_session_count"]) == ("1", "1", "1")
    assert (figures["error_count"], figures["duration_p50"]) == ("1", "184.500s")
    (answer,) = page.json("health", "api@7")
    figures = answer["projects"][0]["figures"]
    assert (figures["session_count"], figures["errored_session_count"], figures["error_count"]) == ("9153", "31", "33")


def test_the_page_tells_every_status_period_and_metric() -> None:
    assert set(table("Telling of sessions")) == {f"`{word}`" for word in STATUSES}
    periods = PAGE.split("| `--period` |")[1].split("\n\n")[0]
    assert re.findall("`([0-9]+[hd])`", periods) == list(PERIODS)
    metrics = {word for cell in table("Thresholds") for word in re.findall("`(.+?)`", cell)}
    assert metrics == set(METRICS)


def test_the_page_tells_settings_and_limits_as_they_are() -> None:
    settings = read_settings((), {})
    assert {name.strip("`"): int(days) for name, days in table("For operators").items()} == {
        "RELEASES_SESSION_DAYS": settings.session_days,
        "RELEASES_HEALTH_HOUR_DAYS": settings.health_hour_days,
        "RELEASES_HEALTH_DAYS": settings.health_days,
    }
    limits = {
        what: [int(n.replace(",", "")) for n in re.findall("[0-9,]*[0-9]", n)] for what, n in table("Limits").items()
    }
    assert limits == {
        "updates, counts in a message": [MAX_BATCH_SIZE],
        "a distinct user id, a version": [200],
        "an environment": [64],
        "errors of a session, each count": [MAX_ERRORS],
        "a duration": [MAX_DURATION_US // DAY_US],
        "buckets of an answer": [MAX_BUCKETS, MOST_BUCKETS],
        "projects of an answer in which none is named": [MOST_PROJECTS],
        "versions in environments that a list is sorted by": [MOST_SERIES, MOST_SERIES_OF_USERS],
        "thresholds of a project": [MOST_THRESHOLDS],
        "refused items that are told of": [MAX_REFUSED],
    }


def test_the_lines_of_the_page_are_json() -> None:
    for block in blocks("json"):
        for line in block.splitlines():
            assert isinstance(json.loads(line), dict)
