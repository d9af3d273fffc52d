"""Finding releases, one among others, and labels: commands and library, against a running server or a scripted one."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from releaseregistry.v1.releases_pb2 import (
    BatchGetReleasesRequest,
    BatchGetReleasesResponse,
    GetReleaseRequest,
    GetReleaseResponse,
    ListReleasesRequest,
    ListReleasesResponse,
    Release,
    ReleaseProjectView,
    ReleaseStatus,
    ReleaseView,
    SuggestValuesRequest,
    SuggestValuesResponse,
    UpdateReleaseRequest,
    UpdateReleaseResponse,
)

from relctl import RegistryError
from relctl.cli.release_filters import LANGUAGE, SPAN
from relctl.client import Client
from relctl.release_filters import TimeSpan, Total
from store.errors import EtagMismatch
from store.search.language import Key
from store.search.language.keys import written
from tests.relctl.command_line import Relctl, listed
from tests.relctl.scripts import Script
from tests.rpc.wire import OPERATOR_TOKEN, Served

ACME = ("--org", "acme")


def page_of(*names: str, token: str = "", incomplete: bool = False) -> ListReleasesResponse:
    releases = [Release(name=f"organizations/acme/releases/{name}", version=name) for name in names]
    return ListReleasesResponse(releases=releases, next_page_token=token, incomplete=incomplete)


# --- Lists ---


def test_releases_are_found_by_query_and_filters(three: Relctl) -> None:
    assert listed(three, "--query", 'label.team:"pay ments" OR lib') == ["lib@2.0.0", "app@1.1.0"]
    assert listed(three, "-q", "has:label", "--project", "web") == ["app@1.1.0"]
    assert listed(three, "--sort", "version", "--ascending") == ["app@1.0.0", "app@1.1.0", "lib@2.0.0"]
    assert listed(three, "--sort", "name", "--descending") == ["lib@2.0.0", "app@1.1.0", "app@1.0.0"]
    three.ok("deploys", "create", "app@1.0.0", "--env", "production")
    three.ok("release", "archive", "lib@2.0.0")
    assert listed(three, "--environment", "production", "--env", "qa") == ["app@1.0.0"]
    assert listed(three, "--query", "status:archived") == ["lib@2.0.0"]
    assert listed(three, "--created", "1d", "--status", "all") == ["lib@2.0.0", "app@1.1.0", "app@1.0.0"]
    assert listed(three, "--released", "1d") == []


def test_a_flattened_list_has_a_row_for_each_project_with_its_deploys(three: Relctl) -> None:
    three.ok("deploys", "create", "app@1.1.0", "--env", "production", "--project", "api")
    head, *lines = three.ok("release", "list", "--flatten", "--query", "app@1.1").out.splitlines()
    assert head.split()[:3] == ["version", "project", "status"]
    told = sorted(three.json("release", "list", "--flatten", "--query", "app@1.1"), key=lambda it: it["projects"])
    assert [(it["projects"], it["in_projects"][0]["deploy_count"]) for it in told] == [
        (["organizations/acme/projects/api"], "1"),
        (["organizations/acme/projects/web"], "0"),
    ]
    assert len(lines) == 2
    assert all("team=pay ments" in line for line in lines)


def test_pages_are_walked_by_their_tokens_forward_and_back(three: Relctl) -> None:
    def page(*flags: str) -> tuple[list[str], list[str]]:
        ran = three.ok("release", "list", "--versions", "--page-size", "1", *flags)
        return ran.out.splitlines(), ran.err.splitlines()

    first, (more,) = page()
    assert more.startswith("there are more: --all shows them, and the next page --page-token ")
    second, (more, back) = page("--page-token", more.split()[-1])
    third, (back_again,) = page("--page-token", more.split()[-1])
    assert [*first, *second, *third] == ["lib@2.0.0", "app@1.1.0", "app@1.0.0"]
    assert page("--page-token", back.split()[-1])[0] == first
    assert page("--page-token", back_again.split()[-1])[0] == second
    assert listed(three, "--page-size", "1", "--all") == [*first, *second, *third]
    assert listed(three, "--page-size", "1", "--limit", "2") == [*first, *second]


def test_releases_are_counted(three: Relctl) -> None:
    assert three.ok("release", "list", "--count").out == "3 releases\n"
    assert three.ok("release", "list", "--count", "--query", "lib").out == "1 release\n"
    assert three.json("release", "list", "--count", "--flatten") == [{"total_count": 4, "total_count_is_least": False}]


@pytest.mark.parametrize(
    "flags",
    [
        ("--all", "--limit", 3),
        ("--count", "--all"),
        ("--count", "--versions"),
        ("--versions", "--json"),
        ("--project", "web", "--all-projects"),
        ("--page-size", 1001),
        ("--sort", "colour"),
        ("--created", "yesterday"),
        ("--created", ".."),
        ("--created", "2026-01-01T00:00:00..2026-01-02"),
        ("--created", "2026-01-01T00:00:00Z"),
        ("--created", "2026-02-30"),
        ("--created", "..9999-12-31"),
    ],
)
def test_flags_that_contradict_or_mean_nothing_are_wrong_usage(relctl: Relctl, flags: tuple[object, ...]) -> None:
    relctl.fails(2, "USAGE", "release", "list", *ACME, *flags)


def test_a_span_of_time_is_a_period_a_day_or_two_ends_of_which_days_are_whole() -> None:
    def span(text: str) -> TimeSpan:
        return SPAN.convert(text, None, None)

    def day(number: int, hour: int = 0) -> datetime:
        return datetime(2026, 1, number, hour, tzinfo=UTC)

    assert span("14d") == TimeSpan(period="14d")
    assert span("2026-01-05") == TimeSpan(since=day(5), until=day(6))
    assert span("2026-01-05..2026-01-07") == TimeSpan(since=day(5), until=day(8))
    assert span("2026-01-05..") == TimeSpan(since=day(5))
    assert span("..2026-01-05T12:00:00+01:00") == TimeSpan(until=day(5, hour=11))


def test_all_is_walked_through_pages_that_came_back_empty(scripted: Script, relctl: Relctl) -> None:
    pages = {
        "": page_of("a", token="1", incomplete=True),
        "1": page_of(token="2", incomplete=True),
        "2": page_of("b", token="3"),
        "3": page_of("c"),
    }
    asked: list[tuple[str, int]] = []

    def answer(request: ListReleasesRequest, call: object) -> ListReleasesResponse:
        asked.append((request.page_token, request.page_size))
        return pages[request.page_token]

    made = scripted(ListReleases=answer)
    ctl = relctl.at(made.server)
    assert listed(ctl, *ACME, "--all", "--query", "*x*") == ["a", "b", "c"]
    assert asked == [("", 1000), ("1", 1000), ("2", 1000), ("3", 1000)]
    assert listed(ctl, *ACME, "--limit", 2) == ["a", "b"]
    assert listed(ctl, *ACME, "--all", "--page-token", "2") == ["b", "c"]
    assert [each.version for each in made.client.releases.list("acme", limit=2)] == ["a", "b"]

    ran = ctl.ok("release", "list", *ACME, "--json")
    assert [it["version"] for it in ran.objects] == ["a"]
    assert ran.err == "this is what was found in 10,000 releases: --all looks on, or --page-token 1\n"
    ran = ctl.ok("release", "list", *ACME, "--page-token", "1")
    assert ran.err.splitlines()[0] == "no releases so far"


def test_a_walk_tells_its_progress_to_a_terminal_and_to_nobody_else(three: Relctl, acme: Served) -> None:
    assert three.ok("release", "list", "--all", "--page-size", 1).err == ""
    ours, its = pty.openpty()
    arguments = ("--server", acme.address, "--token", OPERATOR_TOKEN, "release", "list", "--all", "--page-size", "1")
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-m", "relctl", *arguments]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=its, check=True, env=environment)
    os.close(its)
    shown = os.read(ours, 100_000).decode(errors="replace")
    os.close(ours)
    assert "2 found" in shown
    assert b"found" not in ran.stdout
    assert len(ran.stdout.splitlines()) == 4


def test_a_filter_travels_whole(scripted: Script, relctl: Relctl) -> None:
    asked: list[ListReleasesRequest] = []

    def answer(request: ListReleasesRequest, call: object) -> ListReleasesResponse:
        asked.append(request)
        return ListReleasesResponse(total_count=10_000, total_count_is_least=True)

    made = scripted(ListReleases=answer)
    ctl = relctl.at(made.server)
    flags = ("--env", "qa", "--status", "all", "--created", "2026-01-01..", "--released", "3d", "--all-projects")
    assert ctl.ok("release", "list", *ACME, "--query", "x", *flags, "--count").out == "10,000 releases or more\n"
    (request,) = asked
    created = ListReleasesRequest().created
    created.start_time.FromJsonString("2026-01-01T00:00:00Z")
    assert request == ListReleasesRequest(
        parent="organizations/acme",
        projects=["organizations/acme/projects/-"],
        statuses=[ReleaseStatus.RELEASE_STATUS_OPEN, ReleaseStatus.RELEASE_STATUS_ARCHIVED],
        page_size=1,
        view=ReleaseView.RELEASE_VIEW_BASIC,
        query="x",
        environments=["qa"],
        created=created,
        released={"period": "3d"},
        count_total=True,
    )
    assert made.client.releases.count("acme") == Total(10_000, is_least=True)
    assert not asked[1].HasField("created")
    assert not asked[1].HasField("released")


# --- The language ---


@pytest.mark.parametrize("words", [("list",), ("get",), ("bulk", "delete")])
def test_help_outlines_the_language_and_names_its_page(relctl: Relctl, words: tuple[str, ...]) -> None:
    told = relctl.ok("release", *words, "--help").out
    assert all(line.strip() in told for line in LANGUAGE.splitlines()[1:])
    assert "docs/search.md" in told
    assert max(map(len, LANGUAGE.splitlines())) < 78  # with its indent it fits a terminal of 80 columns
    words_told = set(told.split())
    assert [written(key) for key in Key if written(key) not in words_told] == []


def test_a_query_that_cannot_be_read_is_shown_with_a_caret_at_the_place(acme: Served, ctl: Relctl) -> None:
    def shown(query: str, *command: str) -> list[str]:
        ran = ctl(*(command or ("release", "list")), "--query", query)
        assert (ran.code, ran.out) == (1, "")
        return ran.err.splitlines()

    line, query, caret = shown("app commits:many ")
    assert line.startswith("relctl: QUERY_INVALID: ")
    assert (query, caret) == ("  app commits:many ", "              ^")
    # Letters that take two columns, and none; line breaks, which are spaces.
    assert shown("日本 e\u0301 foo:x")[1:] == ["  日本 e\u0301 foo:x", "         ^"]
    assert shown('a\n\t"b')[1:] == ['  a  "b', "     ^"]
    assert shown("a OR")[1:] == ["  a OR", "      ^"]
    line, query, caret = shown("a " * 60 + "foo:x" + " b" * 30)
    assert query.index("foo:x") == caret.index("^")
    assert (query[2], query[-1]) == ("…", "…")
    assert len(query) < 110
    assert len(shown("commits:many", "release", "get", "app@1.0.0", "--project", "web")) == 3
    assert len(shown("commits:many", "release", "bulk", "archive", "--yes")) == 3


def test_other_errors_stay_one_line(ctl: Relctl) -> None:
    ctl.fails(4, "PROJECT_FORBIDDEN", "release", "list", "--query", "a", "--project", "missing")


# --- Suggestions ---


def test_values_are_suggested_one_a_line(three: Relctl) -> None:
    assert three.ok("release", "suggest", "release", "app@").out == "app@1.0.0\napp@1.1.0\n"
    assert three.ok("release", "suggest", "label").out.split() == ["team", "tier"]
    assert three.ok("release", "suggest", "label.team").out.splitlines() == ["pay ments", "search"]
    assert three.ok("release", "suggest", "label.team", "--project", "web").out == "pay ments\n"
    assert three.json("release", "suggest", "release.package", "l") == [{"values": ["lib"], "incomplete": False}]
    ran = three.ok("release", "suggest", "release", "--limit", 1)
    assert (ran.out, ran.err) == (
        "app@1.0.0\n",
        "there may be more: give more of the value, or a larger --limit\n",
    )
    ran = three.ok("release", "suggest", "environment")
    assert (ran.out, ran.err) == ("", "no such values\n")
    three.fails(1, "INVALID_FIELD", "release", "suggest", "colour")


def test_a_wish_for_suggestions_travels_whole(scripted: Script) -> None:
    asked: list[SuggestValuesRequest] = []

    def answer(request: SuggestValuesRequest, call: object) -> SuggestValuesResponse:
        asked.append(request)
        return SuggestValuesResponse(values=["web"])

    client = scripted(SuggestValues=answer).client
    assert client.releases.suggest("acme", "release.package", "w", projects=["web"], limit=7).values == ["web"]
    assert asked == [
        SuggestValuesRequest(
            parent="organizations/acme",
            key="release.package",
            prefix="w",
            projects=["organizations/acme/projects/web"],
            page_size=7,
        )
    ]


# --- One release among others ---


def test_a_release_is_shown_in_a_project_with_those_beside_it(three: Relctl) -> None:
    three.ok("deploys", "create", "app@1.1.0", "--env", "production")
    (told,) = three.json("release", "get", "app@1.1.0", "--project", "web")
    assert told["release"]["version"] == "app@1.1.0"
    view = told["project_view"]
    assert (view["next_release"], view["previous_release"]) == ("", "organizations/acme/releases/app@1.0.0")
    assert view["in_project"]["deploy_count"] == "1"
    lines = [line.split() for line in three.ok("release", "get", "app@1.1.0", "--project", "api").out.splitlines()]
    assert ["in", "project", "api"] in lines
    assert ["next", "lib@2.0.0"] in lines
    assert ["last", "lib@2.0.0"] in lines
    assert ["first", "app@1.1.0"] in lines
    assert not [line for line in lines if line[0] == "previous"]
    (told,) = three.json("release", "get", "app@1.1.0", "--project", "api", "--query", "!lib", "--env", "production")
    assert told["project_view"]["next_release"] == ""
    three.fails(3, "RELEASE_NOT_FOUND", "release", "get", "app@1.0.0", "--project", "api")
    three.fails(3, "PROJECT_NOT_FOUND", "release", "get", "app@1.0.0", "--project", "missing")
    for flags in (("--query", "x"), ("--env", "x"), ("--status", "all")):
        assert "say --project" in three.fails(2, "USAGE", "release", "get", "app@1.0.0", *flags)


def test_that_neighbours_may_be_further_away_is_noted(scripted: Script, relctl: Relctl) -> None:
    asked: list[GetReleaseRequest] = []

    def answer(request: GetReleaseRequest, call: object) -> GetReleaseResponse:
        asked.append(request)
        view = ReleaseProjectView(incomplete=True, changed_file_count=50_000, changed_file_count_is_least=True)
        return GetReleaseResponse(release=Release(version="app@1"), project_view=view)

    ctl = relctl.at(scripted(GetRelease=answer).server)
    ran = ctl.ok("release", "get", "app@1", *ACME, "--project", "web", "--status", "archived")
    assert "changed files  50,000 or more\n" in ran.out
    assert ran.err == "the next or the previous one may be further away than the 10,000 releases looked at\n"
    assert list(asked[0].statuses) == [ReleaseStatus.RELEASE_STATUS_ARCHIVED]


def test_many_releases_are_answered_in_the_order_asked_for(three: Relctl, acme: Served, client: Client) -> None:
    wanted = ["lib@2.0.0", "app@1.0.0", "app@1.1.0", "app@1.0.0"]
    assert [release.version for release in client.releases.get_many("acme", wanted)] == wanted
    with pytest.raises(RegistryError) as raised:
        list(client.releases.get_many("acme", ["app@1.0.0", "missing"]))
    assert raised.value.reason == "RELEASE_NOT_FOUND"
    assert list(client.releases.get_many("acme", [])) == []


def test_releases_that_did_not_fit_are_asked_for_again(scripted: Script) -> None:
    asked: list[list[str]] = []

    def answer(request: BatchGetReleasesRequest, call: object) -> BatchGetReleasesResponse:
        asked.append(list(request.names))
        fitting = [Release(name=name) for name in request.names[:700]]
        return BatchGetReleasesResponse(releases=fitting, remaining_names=request.names[700:])

    client = scripted(BatchGetReleases=answer).client
    wanted = [f"v{number}" for number in range(1500)]
    names = [release.name for release in client.releases.get_many("acme", wanted, full=True)]
    assert names == [f"organizations/acme/releases/{version}" for version in wanted]
    assert list(map(len, asked)) == [1000, 800, 100]


# --- Labels ---


def test_labels_are_set_and_removed_one_by_one(three: Relctl) -> None:
    (first,) = three.json("release", "get", "lib@2.0.0")
    assert first["labels"] == {"team": "search", "tier": "one"}
    flags = ("--label", "team=payments", "--label", "built=a=b", "--remove-label", "tier", "--remove-label", "none")
    (second,) = three.json("release", "update", "lib@2.0.0", *flags, "--owner", "ada")
    assert (second["labels"], second["owner"]) == ({"team": "payments", "built": "a=b"}, "ada")
    shown = [line.split(maxsplit=1) for line in three.ok("release", "get", "lib@2.0.0").out.splitlines()]
    assert ["labels", "built=a=b, team=payments"] in shown
    three.fails(1, "ETAG_MISMATCH", "release", "update", "lib@2.0.0", "--label", "x=y", "--etag", first["etag"])
    for label in ("team", "team=", "=x"):
        assert "KEY=VALUE" in three.fails(2, "USAGE", "release", "update", "lib@2.0.0", "--label", label)
    three.fails(1, "INVALID_FIELD", "release", "update", "lib@2.0.0", "--label", f"x={'y' * 201}")


def test_labels_that_others_set_meanwhile_stay(scripted: Script, relctl: Relctl) -> None:
    tries: list[UpdateReleaseRequest] = []

    def get(request: object, call: object) -> GetReleaseResponse:
        labels = {"mine": "old", **{f"theirs {number}": "x" for number in range(len(tries))}}
        return GetReleaseResponse(release=Release(version="app@1", etag=f"e{len(tries)}", labels=labels))

    def update(request: UpdateReleaseRequest, call: object) -> UpdateReleaseResponse:
        tries.append(request)
        if len(tries) < 3:
            raise EtagMismatch("app@1")
        return UpdateReleaseResponse(release=request.release)

    ctl = relctl.at(scripted(GetRelease=get, UpdateRelease=update).server)
    (told,) = ctl.json("release", "update", "app@1", *ACME, "--label", "mine=new")
    assert told["labels"] == {"mine": "new", "theirs 0": "x", "theirs 1": "x"}
    assert [each.release.etag for each in tries] == ["e0", "e1", "e2"]
    assert all(list(each.update_mask.paths) == ["labels"] for each in tries)
