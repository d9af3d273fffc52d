"""`relctl threshold`, against a running server."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from releaseregistry.v1 import sessions_pb2
from releaseregistry.v1.thresholds_pb2 import ThresholdMetric, ThresholdTrigger

from relctl import ThresholdDraft
from relctl.client import Client
from tests.relctl.command_line import Relctl
from tests.rpc.wire import Served

WEB = "organizations/acme/projects/web"


def made(ctl: Relctl, *arguments: object) -> dict[str, Any]:
    """A threshold of web: of the errors, 5 at most, unless something else is said."""
    (told,) = ctl.json("threshold", "create", "web", *(arguments or ("errors", "--over", 5)))
    return told


def session(server: Served, version: str, *, errors: int = 0, crashed: bool = False, environment: str = "") -> None:
    update = sessions_pb2.SessionUpdate(
        session_id=str(uuid.uuid4()),
        status=sessions_pb2.SESSION_STATUS_CRASHED if crashed else sessions_pb2.SESSION_STATUS_EXITED,
        error_count=errors,
        version=version,
        environment=environment,
        project=WEB,
    )
    update.start_time.FromMicroseconds(server.clock.now_us())
    request = sessions_pb2.RecordSessionsRequest(parent="organizations/acme", updates=[update])
    assert server.health.RecordSessions(request, metadata=server.operator).recorded.recorded_count == 1


def test_a_threshold_is_created_for_people_and_for_programs(ctl: Relctl) -> None:
    said = ctl.ok("threshold", "create", "web", "crash-free-sessions", "--under", "99.5", "--for", "7d", "--env", "qa")
    head, *lines = said.out.splitlines()
    words = head.split()
    assert (words[0], words[2:]) == ("threshold", ["of", "web", "created"])
    assert {tuple(line.split(maxsplit=1)) for line in lines[:-1]} == {
        ("project", "web"),
        ("uid", words[1]),
        ("environment", "qa"),
        ("metric", "crash-free-sessions"),
        ("healthy", "at least 99.5 %"),
        ("for", "1w"),
    }
    told = made(ctl, "errors", "--over", "1000")
    assert (told["metric"], told["trigger"]) == ("THRESHOLD_METRIC_TOTAL_ERROR_COUNT", "THRESHOLD_TRIGGER_OVER")
    assert (told["value"], told["window"]) == (1000.0, "86400s")
    assert "environment" not in told


def test_a_threshold_that_is_only_checked_is_not_kept(ctl: Relctl) -> None:
    said = ctl.ok("threshold", "create", "web", "errors", "--over", "1", "--validate-only").out
    assert said.startswith("a threshold of web would be created (only checked, nothing was changed)\n")
    ran = ctl.ok("threshold", "list")
    assert (ran.out, ran.err) == ("", "no thresholds\n")


@pytest.mark.parametrize(
    ("code", "reason", "arguments"),
    [
        (2, "USAGE", ("web", "errors")),
        (2, "USAGE", ("web", "errors", "--over", "1", "--under", "2")),
        (2, "USAGE", ("web", "errors", "--over", "many")),
        (2, "USAGE", ("web", "crashes", "--over", "1")),
        (2, "USAGE", ("web", "errors", "--over", "1", "--for", "7")),
        (2, "USAGE", ("web", "errors", "--over", "1", "--for", "99999999d")),
        (1, "INVALID_FIELD", ("web", "errors", "--over", "1", "--for", "91d")),
        (1, "INVALID_FIELD", ("web", "errors", "--over", "1", "--for", "9999999w")),
        (1, "INVALID_FIELD", ("web", "errors", "--over", "nan")),
        (1, "INVALID_FIELD", ("web", "failures", "--over", "101")),
        (1, "INVALID_FIELD", ("web", "errors", "--over", "1", "--env", "a/b")),
        (3, "PROJECT_NOT_FOUND", ("other", "errors", "--over", "1")),
    ],
)
def test_a_threshold_that_cannot_be_is_refused(ctl: Relctl, code: int, reason: str, arguments: tuple[str, ...]) -> None:
    ctl.fails(code, reason, "threshold", "create", *arguments)
    assert ctl.json("threshold", "list") == []


def test_thresholds_are_listed_of_a_project_or_of_all(acme: Served, ctl: Relctl) -> None:
    acme.make_project("organizations/acme", "api")
    uids = [made(ctl)["uid"], ctl.json("threshold", "create", "api", "failures", "--over", 2.5, "--env", "")[0]["uid"]]
    assert [each["uid"] for each in ctl.json("threshold", "list")] == uids
    assert [each["uid"] for each in ctl.json("threshold", "list", "api")] == uids[1:]
    assert [each["uid"] for each in ctl.json("threshold", "list", "--limit", 1)] == uids[:1]
    head, *lines = ctl.ok("threshold", "list").out.splitlines()
    assert head.split() == ["project", "uid", "environment", "metric", "healthy", "for", "created"]
    assert lines[0].split()[:7] == ["web", uids[0], "all", "errors", "at", "most", "5"]
    assert lines[1].split()[:8] == ["api", uids[1], "none", "failures", "at", "most", "2.5", "%"]
    ctl.fails(3, "PROJECT_NOT_FOUND", "threshold", "list", "other")


def test_only_what_is_said_of_a_threshold_changes(ctl: Relctl) -> None:
    uid = made(ctl)["uid"]

    def changed(*flags: object) -> dict[str, Any]:
        (told,) = ctl.json("threshold", "update", "web", uid, *flags)
        assert ctl.json("threshold", "list") == [told]
        return told

    assert changed("--under", 7)["trigger"] == "THRESHOLD_TRIGGER_UNDER"
    assert changed("--for", "90m")["window"] == "5400s"
    assert changed("--for", "30d")["window"] == "2592000s"
    assert changed("--env", "")["environment"] == ""
    assert changed("--env", "qa")["environment"] == "qa"
    assert changed("--metric", "failures")["environment"] == "qa"
    told = changed("--all-environments")
    assert "environment" not in told
    assert (told["metric"], told["value"], told["window"]) == ("THRESHOLD_METRIC_FAILURE_RATE", 7.0, "2592000s")
    assert "at least 8 %" in ctl.ok("threshold", "update", "web", uid, "--under", 8).out


def test_a_change_that_cannot_be_is_refused(ctl: Relctl) -> None:
    uid = made(ctl)["uid"]
    ctl.fails(2, "USAGE", "threshold", "update", "web", uid)
    ctl.fails(2, "USAGE", "threshold", "update", "web", uid, "--over", 1, "--under", 1)
    ctl.fails(2, "USAGE", "threshold", "update", "web", uid, "--env", "qa", "--all-environments")
    ctl.fails(1, "INVALID_FIELD", "threshold", "update", "web", uid, "--over", -1)
    ctl.fails(1, "INVALID_NAME", "threshold", "update", "web", "7", "--over", 1)
    ctl.fails(3, "THRESHOLD_NOT_FOUND", "threshold", "update", "web", uuid.uuid4(), "--over", 1)


def test_a_threshold_is_deleted_when_somebody_agrees(ctl: Relctl) -> None:
    uid = made(ctl)["uid"]
    ctl.fails(2, "USAGE", "threshold", "delete", "web", uid)
    assert len(ctl.json("threshold", "list")) == 1
    assert ctl.ok("threshold", "delete", "web", uid, "--yes").out == f"threshold {uid} of web deleted\n"
    ctl.fails(3, "THRESHOLD_NOT_FOUND", "threshold", "delete", "web", uid, "--yes")
    assert ctl.json("threshold", "list") == []


def test_which_releases_keep_their_thresholds_is_shown(acme: Served, ctl: Relctl) -> None:
    made(ctl, "errors", "--over", 1)
    made(ctl, "failures", "--over", "33.333")
    made(ctl, "crash-free-sessions", "--under", "66.667")
    made(ctl, "crash-free-users", "--under", 50, "--env", "qa")
    session(acme, "app@1.0.0", errors=2)
    session(acme, "app@1.0.0", environment="qa")
    session(acme, "app@1.0.0")
    head, *lines = ctl.ok("threshold", "status").out.splitlines()
    assert head.split() == ["version", "project", "environment", "metric", "healthy", "measured", "state", "from", "to"]
    # What misses a value by less than its decimals tell does not look as if it reached it.
    assert [" ".join(line.split()[2:-4]) for line in lines] == [
        "all errors at most 1 2 unhealthy",
        "all failures at most 33.333 % 33.334 % unhealthy",
        "all crash-free-sessions at least 66.667 % 100 % healthy",
        "qa crash-free-users at least 50 % - no data",
    ]
    session(acme, "app@1.0.0", crashed=True)
    session(acme, "app@1.0.0", crashed=True)
    assert "at least 66.667 %  60 %      unhealthy" in ctl.ok("threshold", "status").out
    (told,) = ctl.json("threshold", "status")
    assert (told["release"], told["project"]) == ("organizations/acme/releases/app@1.0.0", WEB)
    assert [each["state"].removeprefix("THRESHOLD_STATE_") for each in told["statuses"]] == [
        "UNHEALTHY",
        "UNHEALTHY",
        "UNHEALTHY",
        "NO_DATA",
    ]
    assert "measured" not in told["statuses"][3]


def test_what_is_asked_for_leaves_the_rest_out(three: Relctl) -> None:
    def shown(*arguments: object) -> list[str]:
        return [each["release"].rpartition("/")[2] for each in three.json("threshold", "status", *arguments)]

    ran = three.ok("threshold", "status")
    assert (ran.out, ran.err) == ("", "no release of that time is held to a threshold\n")
    made(three)
    made(three, "errors", "--over", 7, "--env", "qa")
    three.ok("threshold", "create", "api", "errors", "--over", 7, "--env", "")
    assert shown() == ["lib@2.0.0", "app@1.1.0", "app@1.1.0", "app@1.0.0"]
    assert shown("--limit", 1) == ["lib@2.0.0"]
    assert shown("--project", "web") == ["app@1.1.0", "app@1.0.0"]
    assert shown("--all-projects", "lib@2.0.0", "app@1.0.0") == ["lib@2.0.0", "app@1.0.0"]
    assert shown("--env", "") == ["lib@2.0.0", "app@1.1.0"]
    assert shown("--env", "qa", "app@1.1.0") == ["app@1.1.0"]
    assert shown("--created", "1m") == ["lib@2.0.0", "app@1.1.0", "app@1.1.0"]
    assert shown("--created", "2000-01-01..2000-01-02") == []
    assert three.ok("threshold", "status", "lib@9").err == "no such release is held to a threshold\n"
    three.fails(2, "USAGE", "threshold", "status", "--project", "web", "--all-projects")
    three.fails(1, "INVALID_FIELD", "threshold", "status", "--created", "..2000-01-02")
    three.fails(4, "PROJECT_FORBIDDEN", "threshold", "status", "--project", "other")


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_check_fails_where_a_threshold_is_not_kept(acme: Served, ctl: Relctl, flags: tuple[str, ...]) -> None:
    made(ctl, "errors", "--over", 1)
    made(ctl, "failures", "--over", 50)
    ctl.ok("threshold", "status", "--check", *flags)
    session(acme, "app@1.0.0", errors=2)
    ctl.ok("threshold", "status", *flags)
    ran = ctl("threshold", "status", "--check", *flags)
    assert (ran.code, ran.err) == (1, "relctl: UNHEALTHY: 2 thresholds not kept\n")
    assert ran.out == ctl.ok("threshold", "status", *flags).out


def test_a_check_finds_a_version_however_old_and_fails_of_one_that_there_is_not(acme: Served, ctl: Relctl) -> None:
    made(ctl, "errors", "--over", 1)
    session(acme, "app@1.0.0", errors=2)
    acme.clock.advance(seconds=60 * 86_400)
    assert ctl("threshold", "status", "app@1.0.0", "--check").err == "relctl: UNHEALTHY: 1 threshold not kept\n"
    ctl.ok("threshold", "status", "app@1.0.0", "--created", "14d", "--check")
    ran = ctl("threshold", "status", "app@9", "--check")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.splitlines()[-1].startswith("relctl: RELEASE_NOT_FOUND: organizations/acme/releases/app@9 ")
    ctl.ok("threshold", "status", "app@9")


def test_a_program_sets_a_threshold_and_asks_for_the_status(client: Client) -> None:
    draft = ThresholdDraft(
        metric=ThresholdMetric.THRESHOLD_METRIC_FAILURE_RATE,
        trigger=ThresholdTrigger.THRESHOLD_TRIGGER_OVER,
        value=1,
        window=timedelta(hours=1),
    )
    threshold = client.thresholds.create("acme", "web", draft)
    assert list(client.thresholds.list("acme")) == [threshold]
    (told,) = client.thresholds.status("acme")
    assert [each.threshold for each in told.statuses] == [threshold]
