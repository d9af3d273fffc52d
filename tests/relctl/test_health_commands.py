"""`relctl health` and `relctl adoption`, and deleting releases with sessions, against a running server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from releaseregistry.v1.sessions_pb2 import SessionStatus

from relctl.cli.health_columns import length, percent
from relctl.client import Client
from tests.relctl.command_line import Relctl, rows
from tests.relctl.telling import now_of, rfc, run_adoption, update
from tests.rpc.wire import Served

CRASHED = SessionStatus.SESSION_STATUS_CRASHED

Tell = Callable[..., None]


@pytest.fixture(autouse=True)
def _eighty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


# --- Figures ---


def test_the_figures_of_a_release_are_told(told: Relctl) -> None:
    out = told.ok("health", "app@1.0.0", "--no-plot").out
    first, *_ = out.splitlines()
    assert first.startswith("app@1.0.0, 20")
    assert first.endswith(" (days of UTC)")
    figures = rows(out)
    assert {
        "sessions": "10",
        "crash-free sessions": "90 %",
        "crashed": "1",
        "ended abnormally": "0",
        "with errors": "1",
        "errors": "3",
        "users": "10",
        "crash-free users": "90 %",
        "users with a crash": "1",
        "duration p50, p90": "1 min 0 s, 1 min 0 s",
        "adoption by sessions, 24 h": "50 %, 10 of 20",
        "adoption by users, 24 h": "90.9 %, 10 of 11",
    }.items() <= figures.items()
    assert "┤" not in out


def test_environments_narrow_the_figures_and_are_named(told: Relctl) -> None:
    ran = told.ok("health", "app@1.0.0", "--no-plot", "--env", "staging")
    assert ran.out.startswith("app@1.0.0 in staging, ")
    assert rows(ran.out)["sessions"] == "4"
    assert rows(ran.out)["adoption by sessions, 24 h"] == "100 %, 4 of 4"
    ran = told.ok("health", "app@1.0.0", "--env", "", "--env", "qa", "--env", "dev")
    assert ran.out.startswith("app@1.0.0 in qa, dev and without an environment, ")
    assert rows(ran.out)["sessions"] == "0"
    assert rows(ran.out)["crash-free sessions"] == "-"
    assert ran.err == "web: no sessions in this time, nor in the last 90 days\n"
    assert "┤" not in ran.out, "nothing to plot"


def test_projects_stand_beside_one_another(told: Relctl, acme: Served, client: Client) -> None:
    acme.make_project("organizations/acme", "api")
    told.ok("release", "create", "app@1.0.0", "--project", "api")
    more = update(acme, 30, project="organizations/acme/projects/api")
    client.health.stream_sessions("acme", [more])
    out = told.ok("health", "app@1.0.0", "--no-plot").out
    assert out.splitlines()[1].split() == ["api", "web"]
    assert rows(out)["sessions"].split() == ["1", "10"]
    assert rows(told.ok("health", "app@1.0.0", "--no-plot", "--project", "web").out)["sessions"] == "10"
    assert "api: sessions a day" in told.ok("health", "app@1.0.0").out


def test_plots_tell_sessions_users_crash_free_shares_and_adoption(told: Relctl) -> None:
    out = told.ok("health", "app@1.0.0", "--period", "24h").out
    assert [line for line in out.splitlines() if line.startswith("web: ")] == [
        "web: sessions an hour",
        "web: users an hour",
        "web: crash-free: * sessions, o users",
        "web: adoption, of all sessions of the project",
    ]
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("┬") >= 4


def test_of_a_single_hour_there_is_nothing_to_plot(told: Relctl, acme: Served, client: Client) -> None:
    client.health.stream_sessions("acme", [update(acme, 40, hours_ago=0)])
    ran = told.ok("health", "app@1.0.0", "--period", "1h")
    assert rows(ran.out)["sessions"] == "1"
    assert "┤" not in ran.out
    assert ran.err == ""


@pytest.mark.parametrize(
    ("flags", "step"),
    [
        ((), "a day"),
        (("--period", "48h"), "an hour"),
        (("--period", "90d"), "in 3 days"),
        (("--period", "30d"), "a day"),
        (("--interval", "7d"), "in 7 days"),
        (("--period", "24h", "--interval", "6h"), "in 6 hours"),
    ],
)
def test_the_steps_of_the_plots_are_named(
    told: Relctl, acme: Served, client: Client, flags: tuple[str, ...], step: str
) -> None:
    client.health.stream_sessions("acme", [update(acme, 40, hours_ago=0)])
    assert f"web: sessions {step}\n" in told.ok("health", "app@1.0.0", *flags).out


def test_any_span_of_time_may_be_asked_for(told: Relctl, acme: Served) -> None:
    now = now_of(acme)
    before = ("--since", rfc(now - timedelta(days=3)), "--until", rfc(now - timedelta(days=1)))
    (answer,) = told.json("health", "app@1.0.0", *before, "--interval", "1h")
    (project,) = answer["projects"]
    assert (answer["interval"], project["figures"]["session_count"]) == ("3600s", "0")
    assert project["has_health_data"] is True
    assert told.ok("health", "app@1.0.0", *before).err == "web: no sessions in this time\n"
    (answer,) = told.json("health", "app@1.0.0", "--since", rfc(now - timedelta(days=3)))
    assert answer["projects"][0]["figures"]["session_count"] == "10"


def test_the_breakdown_is_a_table(told: Relctl, acme: Served) -> None:
    acme.clock.advance(seconds=3 * 86_400)
    out = told.ok("health", "app@1.1.0", "--breakdown", "--no-plot").out
    lines = out[out.index("web, from its creation on") :].splitlines()
    assert lines[1].split() == ["up", "to", "sessions", "crash-free", "crashed", "users", "crash-free", "users"]
    assert len(lines) >= 4, "after a day, after two, and now"


def test_the_answer_is_one_object_for_a_program(told: Relctl) -> None:
    (answer,) = told.json("health", "app@1.1.0", "--breakdown")
    (project,) = answer["projects"]
    assert project["project"] == "organizations/acme/projects/web"
    assert project["figures"]["crashed_session_count"] == "5"
    assert len(project["buckets"]) == 14
    assert project["breakdown"]


@pytest.mark.parametrize(
    ("code", "reason", "arguments"),
    [
        (2, "USAGE", ()),
        (2, "USAGE", ("app@1.0.0", "--period", "3d")),
        (2, "USAGE", ("app@1.0.0", "--interval", "90m")),
        (2, "USAGE", ("app@1.0.0", "--interval", "0h")),
        (2, "USAGE", ("app@1.0.0", "--since", "yesterday")),
        (2, "USAGE", ("app@1.0.0", "--period", "7d", "--since", "2026-01-01T00:00:00Z")),
        (2, "USAGE", ("app@1.0.0", "--until", "2026-01-01T00:00:00Z")),
        (3, "RELEASE_NOT_FOUND", ("app@9",)),
        (4, "PROJECT_FORBIDDEN", ("app@1.0.0", "--project", "other")),
        (1, "INVALID_FIELD", ("app@1.0.0", "--env", "a/b")),
        (1, "INVALID_FIELD", ("app@1.0.0", "--since", "2020-01-01T00:00:00Z", "--interval", "1d")),
        (1, "INVALID_FIELD", ("app@1.0.0", "--since", "2020-01-02T00:00:00Z", "--until", "2020-01-01T00:00:00Z")),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(
    ctl: Relctl, code: int, reason: str, arguments: tuple[str, ...]
) -> None:
    ctl.fails(code, reason, "health", *arguments)


def test_of_a_project_that_it_is_not_of_a_release_has_no_health(told: Relctl) -> None:
    told.ok("project", "create", "api")
    ran = told.ok("health", "app@1.0.0", "--project", "api")
    assert len(ran.out.splitlines()) == 1, "what was asked"
    assert ran.err == "app@1.0.0 is not of any such project, and had no sessions there\n"


# --- Adoption ---


def test_adoption_is_told_by_environment(told: Relctl, acme: Served) -> None:
    header, *told_of = [line.split() for line in told.ok("adoption", "app@1.0.0").out.splitlines()]
    assert " ".join(header) == "project environment stage adopted replaced sessions 24 h of all users 24 h of all users"
    assert [(line[0], line[1], line[2]) for line in told_of] == [
        ("web", "production", "adopted"),
        ("web", "staging", "adopted"),
    ]
    assert told_of[0][5:] == ["6", "37.5", "%", "6", "85.71", "%"]
    assert told_of[1][5:] == ["4", "100", "%", "4", "100", "%"]


def test_adoption_may_be_asked_of_one_environment_and_read_by_a_program(told: Relctl) -> None:
    (answer,) = told.json("adoption", "app@1.0.0", "--environment", "staging", "--project", "web")
    assert answer["adoption"]["stage"] == "ADOPTION_STAGE_ADOPTED"
    assert answer["adoption"]["environment"] == "staging"


def test_a_release_that_runs_nowhere_has_no_adoption(told: Relctl) -> None:
    ran = told.ok("adoption", "app@1.2.0")
    assert (ran.out, ran.err) == ("", "app@1.2.0 was not deployed, and had no sessions, in any such environment\n")


def test_a_release_that_had_its_time_is_replaced(told: Relctl, acme: Served, client: Client) -> None:
    acme.clock.advance(seconds=12 * 3600)
    client.health.stream_sessions("acme", [update(acme, 50, version="app@1.2.0")])
    run_adoption(acme)
    assert "replaced" in told.ok("adoption", "app@1.0.0", "--env", "production").out.splitlines()[1]
    telling = [it["adoption"]["stage"] for it in told.json("adoption", "app@1.2.0")]
    assert telling == ["ADOPTION_STAGE_ADOPTED"]


@pytest.mark.parametrize(
    ("code", "reason", "arguments"),
    [
        (3, "RELEASE_NOT_FOUND", ("app@9",)),
        (4, "PROJECT_FORBIDDEN", ("app@1.0.0", "--project", "other")),
        (1, "INVALID_FIELD", ("app@1.0.0", "--env", "")),
    ],
)
def test_adoption_that_cannot_be_told_says_why(ctl: Relctl, code: int, reason: str, arguments: tuple[str, ...]) -> None:
    assert "a deploy" not in ctl.fails(code, reason, "adoption", *arguments)


# --- Deleting ---


def test_a_release_with_sessions_is_deleted_only_by_force(told: Relctl) -> None:
    said = told.fails(1, "RELEASE_HAS_HEALTH", "release", "delete", "app@1.0.0", "--yes")
    assert "app@1.0.0" in said
    assert told.ok("release", "delete", "app@1.0.0", "--yes", "--force").out == "release app@1.0.0 deleted\n"
    told.fails(3, "RELEASE_NOT_FOUND", "health", "app@1.0.0")


def test_of_many_those_with_sessions_are_left_unless_forced(told: Relctl) -> None:
    delete = ("release", "bulk", "delete", "--query", "release.package:app")
    dry = told.ok(*delete, "--dry-run")
    assert "app@1.0.0  had sessions in the last 90 days" in dry.out
    assert dry.err == "1 release would be deleted\n"
    ran = told(*delete, "--yes")
    assert (ran.code, ran.out) == (1, "1 release deleted\n")
    assert "app@1.0.0 was not deleted: it is one that had sessions in the last 90 days (--force deletes it)" in ran.err
    assert ran.err.splitlines()[-1].startswith("relctl: LEFT_OVER: left as they are: 2 releases that had sessions")
    assert told.ok(*delete, "--yes", "--force").out == "2 releases deleted\n"


# --- Words ---


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 %"), (0.001, "< 0.01 %"), (99.999, "99.99 %"), (100, "100 %"), (57.0, "57 %"), (100 * 0.29, "29 %")],
)
def test_only_all_is_a_hundred_percent_and_only_nothing_none(value: float, text: str) -> None:
    assert percent(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 ms"), (0.35, "350 ms"), (1.26, "1.2 s"), (59.99, "59.9 s"), (60, "1 min 0 s"), (200, "3 min 20 s"),
     (7500, "2 h 5 min"), (97_200, "1 d 3 h")],
)  # fmt: skip
def test_lengths_of_time_are_told_as_people_do(seconds: float, text: str) -> None:
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=seconds))
    assert length(duration) == text
