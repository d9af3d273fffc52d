"""What lists of releases, and a release itself, tell of release health, against a running server."""

from __future__ import annotations

import pytest
from releaseregistry.v1.sessions_pb2 import SessionStatus

from relctl.client import Client
from tests.relctl.command_line import Relctl, listed, rows
from tests.relctl.telling import run_adoption, update
from tests.rpc.wire import Served


@pytest.fixture(autouse=True)
def _eighty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def table(text: str) -> list[list[str]]:
    """The rows of a table, apart at two spaces and more."""
    return [[part.strip() for part in line.split("  ") if part.strip()] for line in text.splitlines()]


def test_a_list_tells_health_and_stages_where_it_is_asked(told: Relctl) -> None:
    plain = told.ok("release", "list").out
    assert "crash-free" not in plain
    header, *lines = table(told.ok("release", "list", "--health", "--stages").out)
    shown = ["sessions", "crash-free", "users", "crash-free users", "adoption", "series", "stages"]
    assert header == ["version", "projects", *shown], "and nothing else, for which there is no room"
    of = {line[0]: line for line in lines}
    assert of["app@1.0.0"][-7:-2] == ["10", "90 %", "10", "90 %", "50 %"]
    assert of["app@1.0.0"][-1] == "production adopted, staging adopted"
    assert len(of["app@1.0.0"][-2]) == 24, "a bar for each hour"
    assert of["app@1.1.0"][-7:-2] == ["10", "50 %", "1", "0 %", "50 %"]
    assert of["app@1.2.0"] == ["app@1.2.0", "web"], "neither health nor stages"


def test_a_release_of_several_projects_tells_of_each(told: Relctl, acme: Served, client: Client) -> None:
    acme.make_project("organizations/acme", "api")
    told.ok("release", "create", "app@1.0.0", "--project", "api")
    client.health.stream_sessions("acme", [update(acme, 30, project="organizations/acme/projects/api")])
    (line,) = table(told.ok("release", "list", "--query", "release:app@1.0.0", "--health").out)[1:]
    assert "api: 1, web: 10" in line
    rows = table(told.ok("release", "list", "--query", "release:app@1.0.0", "--health", "--flatten").out)[1:]
    assert sorted((row[1], row[-6]) for row in rows) == [("api", "1"), ("web", "10")]


def test_the_series_is_of_the_period_and_of_users_where_it_is_said(told: Relctl) -> None:
    flags = ("--health", "--series-period", "7d", "--series", "users", "--query", "release:app@1.1.0")
    (release,) = told.json("release", "list", *flags)
    (project,) = release["in_projects"]
    assert [int(it["count"]) for it in project["health"]["series"]][-2:] in ([0, 1], [1, 0])
    assert len(project["health"]["series"]) == 7


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("sessions", ["app@1.1.0", "app@1.0.0", "app@1.2.0"]),
        ("users", ["app@1.0.0", "app@1.1.0", "app@1.2.0"]),
        ("sessions-24h", ["app@1.1.0", "app@1.0.0", "app@1.2.0"]),
        ("users-24h", ["app@1.0.0", "app@1.1.0", "app@1.2.0"]),
        ("crash-free-sessions", ["app@1.1.0", "app@1.0.0", "app@1.2.0"]),
        ("crash-free-users", ["app@1.1.0", "app@1.0.0", "app@1.2.0"]),
    ],
)
def test_a_flattened_list_is_sorted_by_what_sessions_say(
    told: Relctl, acme: Served, client: Client, sort: str, expected: list[str]
) -> None:
    one_more = update(
        acme, 60, version="app@1.1.0", distinct_user_id="bob", status=SessionStatus.SESSION_STATUS_CRASHED
    )
    client.health.stream_sessions("acme", [one_more])
    assert listed(told, "--flatten", "--sort", sort, "--summary-period", "24h") == expected


def test_a_crash_free_sort_turns_round(told: Relctl) -> None:
    down = listed(told, "--flatten", "--sort", "crash-free-sessions", "--descending")
    assert down == ["app@1.0.0", "app@1.1.0", "app@1.2.0"], "without sessions last either way"


def test_a_list_of_an_environment_is_sorted_by_adoption_and_sought_by_stage(
    told: Relctl, acme: Served, client: Client
) -> None:
    acme.clock.advance(seconds=3600)
    later = [update(acme, number, version="app@1.2.0", environment="staging") for number in range(70, 74)]
    client.health.stream_sessions("acme", later)
    run_adoption(acme)
    assert listed(told, "--env", "staging", "--sort", "adoption") == ["app@1.2.0", "app@1.0.0"]
    assert listed(told, "--env", "staging", "--query", "release.stage:adopted") == ["app@1.2.0", "app@1.0.0"]
    assert listed(told, "--env", "staging", "--query", "release.stage:replaced") == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--sort", "users"), "--flatten"),
        (("--sort", "crash-free-users"), "--flatten"),
        (("--sort", "adoption"), "--environment"),
        (("--sort", "adoption", "--env", "qa", "--env", "staging"), "--environment"),
        (("--series-period", "7d"), "--health"),
        (("--series", "users", "--stages"), "--health"),
        (("--health", "--summary-period", "3d"), "14d"),
        (("--stages", "--summary-period", "7d"), "--health"),
        (("--sort", "date", "--summary-period", "7d"), "--health"),
    ],
)
def test_flags_that_need_others_say_which(relctl: Relctl, flags: tuple[str, ...], words: str) -> None:
    said = relctl.fails(2, "USAGE", "release", "list", "--org", "acme", *flags)
    assert words in said


def test_of_one_release_no_period_is_taken_for_nothing(relctl: Relctl) -> None:
    said = relctl.fails(2, "USAGE", "release", "get", "app@1.0.0", "--org", "acme", "--summary-period", "7d")
    assert "--health" in said


def test_one_release_tells_its_health_with_and_without_a_project(told: Relctl) -> None:
    shown = rows(told.ok("release", "get", "app@1.0.0", "--health", "--stages", "--env", "production").out)
    assert (shown["sessions"], shown["stages"]) == ("6", "production adopted")
    assert shown["crash-free"] == "83.33 %"
    shown = rows(told.ok("release", "get", "app@1.0.0", "--health", "--project", "web").out)
    assert (shown["sessions"], shown["next"]) == ("10", "app@1.1.0")
    assert shown["first session there"]
    assert shown["first session there"] == shown["last session there"]
