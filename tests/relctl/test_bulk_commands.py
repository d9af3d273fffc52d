"""Changing all releases that a query finds: commands and library, against a running server or a scripted one."""

from __future__ import annotations

import pytest
from releaseregistry.v1.releases_pb2 import (
    BulkReleaseAction,
    BulkReleaseOutcome,
    BulkUpdatedRelease,
    BulkUpdateReleasesRequest,
    BulkUpdateReleasesResponse,
)

from relctl.release_filters import ReleaseFilter, TimeSpan
from relctl.releases import BulkChange
from server.edge.errors import Draining
from store.errors import EtagMismatch
from tests.relctl.command_line import Relctl, listed
from tests.relctl.scripts import Script
from tests.rpc.wire import Served

CHANGED = BulkReleaseOutcome.BULK_RELEASE_OUTCOME_CHANGED
UNCHANGED = BulkReleaseOutcome.BULK_RELEASE_OUTCOME_UNCHANGED
FORBIDDEN = BulkReleaseOutcome.BULK_RELEASE_OUTCOME_FORBIDDEN
ACME = ("--org", "acme")


def test_what_a_query_finds_is_archived_restored_labelled_and_deleted(three: Relctl) -> None:
    def bulk(*words: str) -> str:
        return three.ok("release", "bulk", *words, "--yes").out

    assert bulk("archive", "--query", "app") == "2 releases archived\n"
    assert listed(three) == ["lib@2.0.0"]
    assert bulk("archive", "--query", "app") == "0 releases archived\n"
    assert bulk("restore", "--query", "release:*", "--created", "1d") == "2 releases restored\n"
    assert bulk("label", "--query", "lib", "--label", "tier=two", "--remove-label", "team") == "1 release labelled\n"
    assert three.json("release", "get", "lib@2.0.0")[0]["labels"] == {"tier": "two"}
    assert bulk("delete", "--query", "release.package:app", "--project", "api") == "1 release deleted\n"
    assert listed(three) == ["lib@2.0.0", "app@1.0.0"]
    assert "--label or --remove-label" in three.fails(2, "USAGE", "release", "bulk", "label", "--query", "x", "--yes")
    three.fails(2, "USAGE", "release", "bulk", "delete", "--yes")
    three.fails(1, "INVALID_FIELD", "release", "bulk", "delete", "--query", "", "--yes")


def test_a_dry_run_shows_what_would_be_done_and_does_nothing(three: Relctl) -> None:
    ran = three.ok("release", "bulk", "delete", "--query", "app", "--dry-run")
    assert [line.split(maxsplit=1) for line in ran.out.splitlines()] == [
        ["version", "outcome"],
        ["app@1.1.0", "would be deleted"],
        ["app@1.0.0", "would be deleted"],
    ]
    assert ran.err == "2 releases would be deleted\n"
    told = three.json("release", "bulk", "label", "--query", "release:lib*", "--label", "team=search", "--dry-run")
    assert told == [{"name": "organizations/acme/releases/lib@2.0.0", "outcome": "BULK_RELEASE_OUTCOME_UNCHANGED"}]
    ran = three.ok("release", "bulk", "delete", "--query", "nothing", "--dry-run")
    assert (ran.out, ran.err) == ("", "no release to delete\n")
    assert len(listed(three)) == 3


def test_releases_that_are_not_the_tokens_to_change_are_told_and_end_in_a_failure(
    three: Relctl, acme: Served, relctl: Relctl
) -> None:
    ctl = relctl.at(acme, acme.make_token("organizations/acme", "release:write", projects=["web"]))
    ran = ctl("release", "bulk", "archive", "--query", "app", "--yes")
    assert (ran.code, ran.out) == (1, "1 release archived\n")
    assert ran.err.splitlines() == [
        "app@1.1.0 was not archived: it is one of projects that you may not access",
        "relctl: LEFT_OVER: left as they are: 1 release of projects that you may not access",
    ]
    ctl.fails(4, "SCOPE_MISSING", "release", "bulk", "delete", "--query", "app", "--yes")


def test_nobody_there_to_be_asked_is_wrong_usage_before_anything_is_done(three: Relctl) -> None:
    assert "--yes" in three.fails(2, "USAGE", "release", "bulk", "delete", "--query", "release:*")
    assert len(listed(three)) == 3


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody at a terminal who answers no until told otherwise; the questions."""
    questions: list[str] = []

    def confirm(question: str, **_: object) -> bool:
        questions.append(question)
        return "Restore" in question

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.confirm", confirm)
    return questions


def test_a_change_of_many_asks_first_and_names_some(three: Relctl, asked: list[str]) -> None:
    said = three.fails(1, "DECLINED", "release", "bulk", "delete", "--query", "release:*")
    assert said == "relctl: DECLINED: nothing was deleted"
    assert asked == ["Delete 3 releases of acme (lib@2.0.0, app@1.1.0, app@1.0.0)?"]
    assert len(listed(three)) == 3
    ran = three.ok("release", "bulk", "restore", "--query", "release:*")
    assert (ran.out, ran.err, len(asked)) == ("", "no release to restore\n", 1)
    three.ok("release", "bulk", "archive", "--query", "app", "--yes")
    assert three.ok("release", "bulk", "restore", "--query", "release:*").out == "2 releases restored\n"


def bulk_answer(*outcomes: int, token: str = "") -> BulkUpdateReleasesResponse:
    results = [
        BulkUpdatedRelease(name=f"organizations/acme/releases/v{place}", outcome=BulkReleaseOutcome.Name(outcome))
        for place, outcome in enumerate(outcomes)
    ]
    changed = sum(outcome == CHANGED for outcome in outcomes)
    return BulkUpdateReleasesResponse(results=results, changed_count=changed, next_page_token=token)


def test_a_change_of_many_goes_step_by_step_each_repeated_under_its_own_id(scripted: Script) -> None:
    seen: list[BulkUpdateReleasesRequest] = []

    def answer(request: BulkUpdateReleasesRequest, call: object) -> BulkUpdateReleasesResponse:
        seen.append(request)
        if len(seen) == 2:
            raise Draining
        return bulk_answer(CHANGED, UNCHANGED, token="" if request.page_token else "next")

    made = scripted(BulkUpdateReleases=answer)
    change = BulkChange(action=BulkReleaseAction.BULK_RELEASE_ACTION_LABEL, set_labels={"a": "b"}, remove_labels=["c"])
    only = ReleaseFilter(query="release:*", projects=["web"], environments=["qa"], created=TimeSpan(period="1d"))
    answers = list(made.client.releases.bulk_update("acme", change, only, page_size=2))
    assert [each.changed_count for each in answers] == [1, 1]
    assert [each.page_token for each in seen] == ["", "next", "next"]
    assert seen[1] == seen[2]
    assert seen[0].request_id != seen[1].request_id
    seen[0].request_id = ""
    assert seen[0] == BulkUpdateReleasesRequest(
        parent="organizations/acme",
        action=BulkReleaseAction.BULK_RELEASE_ACTION_LABEL,
        query="release:*",
        projects=["organizations/acme/projects/web"],
        environments=["qa"],
        created={"period": "1d"},
        set_labels={"a": "b"},
        remove_labels=["c"],
        page_size=2,
    )


def test_a_change_that_breaks_off_tells_how_far_it_came_and_goes_on_there(scripted: Script, relctl: Relctl) -> None:
    seen: list[str] = []

    def answer(request: BulkUpdateReleasesRequest, call: object) -> BulkUpdateReleasesResponse:
        seen.append(request.page_token)
        if len(seen) == 2:
            raise EtagMismatch("app@1")
        return bulk_answer(CHANGED, CHANGED, token="" if request.page_token else "next")

    ctl = relctl.at(scripted(BulkUpdateReleases=answer).server)
    words = ("release", "bulk", "archive", *ACME, "--query", "x", "--yes")
    ran = ctl(*words)
    assert (ran.code, ran.out) == (1, "")
    told, failed = ran.err.splitlines()
    assert told == "2 releases archived so far. The same command does the rest, sooner with --page-token next"
    assert failed.startswith("relctl: ETAG_MISMATCH: ")
    assert ctl.ok(*words, "--page-token", "next").out == "2 releases archived\n"
    assert seen == ["", "next", "next"]


@pytest.mark.usefixtures("asked")
def test_a_question_tells_when_there_are_more_than_were_looked_at(
    scripted: Script, relctl: Relctl, asked: list[str]
) -> None:
    looked: list[tuple[bool, str]] = []

    def answer(request: BulkUpdateReleasesRequest, call: object) -> BulkUpdateReleasesResponse:
        looked.append((request.validate_only, request.page_token))
        if not request.page_token:
            return bulk_answer(token="1")
        return bulk_answer(*[CHANGED] * 4, FORBIDDEN, token="2")

    ctl = relctl.at(scripted(BulkUpdateReleases=answer).server)
    ctl.fails(1, "DECLINED", "release", "bulk", "delete", *ACME, "--query", "x")
    assert asked == ["Delete 4 releases or more of acme (v0, v1, v2, …)?"]
    assert looked == [(True, ""), (True, "1")]
