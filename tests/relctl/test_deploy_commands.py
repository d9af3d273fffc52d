"""Commands about what is in releases and where they run, against a running server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.relctl.command_line import Relctl
from tests.relctl.repositories import Repository
from tests.rpc.wire import Served


@pytest.fixture
def two(acme: Served, ctl: Relctl, repository: Repository, tmp_path: Path) -> list[str]:
    """Releases app@1.0.0 with the first of three commits and, later, app@1.1.0 with the others; the commits' ids."""
    repository.write("a.txt")
    ids = [repository.commit("first")]
    repository.git("tag", "v1")
    repository.write("src/b.py")
    ids.append(repository.commit("Fixes web-12: second", "--author=Bob <bob@example.com>"))
    repository.write("a.txt", "other")
    ids.append(repository.commit("third\n\nwith a body"))
    repository.git("tag", "v2")
    where = ("--git", repository.folder, "--repository", "acme/web")
    ctl.ok("release", "set-commits", "app@1.0.0", "--range", "v1", *where)
    acme.clock.advance(seconds=60)
    ctl.ok("release", "create", "app@1.1.0", "--project", "web")
    ctl.ok("release", "set-commits", "app@1.1.0", "--range", "v1..v2", *where)
    return ids


@pytest.fixture
def deployed(acme: Served, ctl: Relctl, two: list[str]) -> list[str]:
    """The same, deployed: both to production, one after the other, and the first to staging."""
    ctl.ok("deploys", "create", "app@1.0.0", "--env", "production", "--env", "staging", "--name", "job 7")
    acme.clock.advance(seconds=60)
    ctl.ok("deploys", "create", "app@1.1.0", "--env", "production", "--url", "https://ci.example.com/8")
    return two


def places(ran: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(deploy["name"].split("/")[3], deploy["environment"]) for deploy in ran]


# --- Deploys ---


def test_a_deploy_is_told_for_people_and_for_programs(ctl: Relctl) -> None:
    said = ctl.ok("deploys", "create", "app@1.0.0", "--env", "staging", "--env", "production").out
    assert said == "app@1.0.0 is deployed to staging, production\n"
    times = ("--started", "2026-01-01T00:00:00Z", "--finished", "2026-01-01T01:00:00+01:00")
    (told,) = ctl.json("deploys", "create", "app@1.0.0", "--env", "qa", "--project", "web", "--name", "7", *times)
    assert (told["environment"], told["projects"]) == ("qa", ["organizations/acme/projects/web"])
    assert (told["display_name"], told["start_time"], told["finish_time"]) == (
        "7",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z",
    )


def test_a_deploy_that_is_only_checked_is_not_kept(ctl: Relctl) -> None:
    said = ctl.ok("deploys", "create", "app@1.0.0", "--env", "qa", "--validate-only").out
    assert said == "app@1.0.0 would be deployed to qa (only checked, nothing was changed)\n"
    ran = ctl.ok("deploys", "list")
    assert (ran.out, ran.err) == ("", "nothing was deployed\n")


@pytest.mark.parametrize(
    ("code", "reason", "arguments"),
    [
        (2, "USAGE", ("app@1.0.0",)),
        (2, "USAGE", ("app@1.0.0", "--env", "qa", "--finished", "yesterday")),
        (3, "RELEASE_NOT_FOUND", ("app@9", "--env", "qa")),
        (1, "INVALID_FIELD", ("app@1.0.0", "--env", "a/b")),
        (1, "INVALID_FIELD", ("app@1.0.0", "--env", "")),
        (1, "INVALID_FIELD", ("app@1.0.0", "--env", "qa", "--url", "no url")),
        (1, "INVALID_FIELD", ("app@1.0.0", "--env", "qa", "--started", "now", "--finished", "2020-01-01T00:00:00Z")),
        (1, "PROJECT_NOT_IN_RELEASE", ("app@1.0.0", "--env", "qa", "--project", "other")),
    ],
)
def test_a_deploy_that_cannot_be_is_refused(ctl: Relctl, code: int, reason: str, arguments: tuple[str, ...]) -> None:
    ctl.fails(code, reason, "deploys", "create", *arguments)
    assert ctl.json("deploys", "list") == []


@pytest.mark.usefixtures("deployed")
def test_deploys_are_listed_of_one_release_or_all_and_by_what_is_asked_for(ctl: Relctl) -> None:
    first, second, third = ("app@1.1.0", "production"), ("app@1.0.0", "staging"), ("app@1.0.0", "production")
    assert places(ctl.json("deploys", "list")) == [first, second, third]
    assert places(ctl.json("deploys", "list", "app@1.0.0")) == [second, third]
    assert places(ctl.json("deploys", "list", "--latest")) == [first, second]
    assert places(ctl.json("deploys", "list", "--env", "staging", "--project", "web")) == [second]
    assert places(ctl.json("deploys", "list", "--limit", 1)) == [first]
    (newest,) = ctl.json("deploys", "list", "app@1.1.0")
    assert places(ctl.json("deploys", "list", "--since", newest["finish_time"])) == [first]
    assert places(ctl.json("deploys", "list", "--until", newest["finish_time"])) == [second, third]
    assert ctl.json("deploys", "list", "--env", "nowhere") == []
    ctl.fails(3, "RELEASE_NOT_FOUND", "deploys", "list", "app@9")
    ctl.fails(4, "PROJECT_FORBIDDEN", "deploys", "list", "--project", "other")
    ctl.fails(
        1, "INVALID_FIELD", "deploys", "list", "--since", "2026-01-02T00:00:00Z", "--until", "2026-01-01T00:00:00Z"
    )


@pytest.mark.usefixtures("deployed")
def test_deploys_are_shown_in_a_table(ctl: Relctl) -> None:
    head, *lines = ctl.ok("deploys", "list").out.splitlines()
    assert head.split() == ["version", "environment", "projects", "finished", "name", "url"]
    assert [line.split()[:3] for line in lines] == [
        ["app@1.1.0", "production", "web"],
        ["app@1.0.0", "staging", "web"],
        ["app@1.0.0", "production", "web"],
    ]
    assert lines[0].endswith("https://ci.example.com/8")
    assert lines[1].endswith("job 7")


@pytest.mark.usefixtures("deployed")
def test_what_runs_in_an_environment_is_shown_with_what_ran_before(ctl: Relctl) -> None:
    said = ctl.ok("current", "web", "production").out
    assert said.startswith("web in production: app@1.1.0 since ")
    assert said.endswith(", with 2 commits\n")
    assert places(ctl.json("current", "web", "production")) == [("app@1.1.0", "production")]
    both = [("app@1.1.0", "production"), ("app@1.0.0", "production")]
    assert places(ctl.json("current", "web", "production", "--history", 5)) == both
    assert len(ctl.ok("current", "web", "production", "--history", 5).out.splitlines()) == 3
    assert places(ctl.json("current", "web", "staging", "--history", 5)) == [("app@1.0.0", "staging")]


def test_an_environment_where_nothing_runs_is_not_found(ctl: Relctl) -> None:
    assert "web was never deployed to qa" in ctl.fails(3, "NOT_FOUND", "current", "web", "qa")
    ctl.fails(3, "PROJECT_NOT_FOUND", "current", "other", "qa")
    ctl.fails(2, "USAGE", "current", "web")
    ctl.fails(2, "USAGE", "current", "web", "qa", "--history", 0)


@pytest.mark.usefixtures("deployed")
def test_environments_are_listed_with_their_projects(ctl: Relctl) -> None:
    assert [each["display_name"] for each in ctl.json("environments")] == ["production", "staging"]
    assert [line.split()[:2] for line in ctl.ok("environments", "--project", "web").out.splitlines()[1:]] == [
        ["production", "web"],
        ["staging", "web"],
    ]
    assert len(ctl.json("environments", "--limit", 1)) == 1
    ctl.fails(4, "PROJECT_FORBIDDEN", "environments", "--project", "other")


def test_without_a_deploy_there_is_no_environment(ctl: Relctl) -> None:
    ran = ctl.ok("environments")
    assert (ran.out, ran.err) == ("", "nothing was deployed yet, and no session told of an environment\n")


@pytest.mark.usefixtures("deployed")
def test_the_release_that_ran_before_in_an_environment_is_shown(ctl: Relctl) -> None:
    def before(version: str, environment: str) -> list[str]:
        return [each["version"] for each in ctl.json("release", "previous", version, "--env", environment)]

    assert before("app@1.1.0", "production") == ["app@1.0.0"]
    assert before("app@1.1.0", "staging") == ["app@1.0.0"]  # it would replace what runs there
    assert before("app@1.0.0", "production") == []
    said = ctl.ok("release", "previous", "app@1.0.0", "--env", "production").out
    assert said == "no other release ran in production before app@1.0.0\n"
    assert ctl.ok("release", "previous", "app@1.1.0", "--env", "production").out.split()[:2] == ["version", "app@1.0.0"]
    ctl.fails(1, "INVALID_FIELD", "release", "previous", "app@1.0.0", "--env", "a/b")
    ctl.fails(3, "RELEASE_NOT_FOUND", "release", "previous", "app@9", "--env", "production")


# --- Where a commit is ---


def test_a_commit_is_found_with_the_releases_that_hold_it_and_where_they_run(ctl: Relctl, deployed: list[str]) -> None:
    ran = ctl.ok("where", deployed[1][:9])
    assert ran.err == f"{deployed[1][:12]}  acme/web  Bob  Fixes web-12: second\n"
    (line,) = ran.out.splitlines()[1:]
    assert line.split()[:2] == ["app@1.1.0", "web"]
    assert line.endswith("production (web)")
    (first,) = ctl.json("where", deployed[0], "--first", "--repository", "acme/web")
    assert first["release"]["version"] == "app@1.0.0"
    assert [place["environment"] for place in first["running"]] == ["staging"]


def test_only_as_many_releases_of_a_commit_are_shown_as_are_asked_for(
    ctl: Relctl, two: list[str], repository: Repository
) -> None:
    where = ("--git", repository.folder, "--repository", "acme/web")
    ctl.ok("release", "set-commits", "app@1.1.0", "--range", "v1", *where, "--append")
    assert [each["release"]["version"] for each in ctl.json("where", two[0])] == ["app@1.0.0", "app@1.1.0"]
    assert [each["release"]["version"] for each in ctl.json("where", two[0], "--first")] == ["app@1.0.0"]
    assert len(ctl.json("where", two[0], "--limit", 1)) == 1


def test_a_commit_that_is_none_or_several_is_told(ctl: Relctl, tmp_path: Path) -> None:
    source = tmp_path / "commits.json"
    source.write_text(json.dumps([{"id": "abcdef01"}, {"id": "abcdef02"}]))
    ctl.ok("release", "set-commits", "app@1.0.0", "--file", source)
    line = ctl.fails(1, "COMMIT_AMBIGUOUS", "where", "abcdef")
    assert "abcdef01" in line
    assert "abcdef02" in line
    ctl.fails(3, "COMMIT_NOT_FOUND", "where", "ffffff")
    ctl.fails(3, "COMMIT_NOT_FOUND", "where", "abcdef01", "--repository", "acme/other")
    ctl.fails(1, "INVALID_FIELD", "where", "abc")
    ctl.fails(2, "USAGE", "where")


# --- What releases have ---


def test_releases_are_compared_section_by_section(ctl: Relctl, two: list[str], tmp_path: Path) -> None:
    for version, content in (("app@1.0.0", "one"), ("app@1.1.0", "two")):
        source = tmp_path / "app.js"
        source.write_text(content)
        ctl.ok("files", "upload", version, source)
    ran = ctl.ok("compare", "app@1.0.0", "app@1.1.0")
    assert ran.out.splitlines() == [
        "commits:",
        f"+ {two[2][:12]}  acme/web  Ada Lovelace  third",
        f"+ {two[1][:12]}  acme/web  Bob  Fixes web-12: second",
        f"- {two[0][:12]}  acme/web  Ada Lovelace  first",
        "changed-files:",
        f"+ {two[2][:12]}  M a.txt",
        f"+ {two[1][:12]}  A src/b.py",
        f"- {two[0][:12]}  A a.txt",
        "authors:",
        "+ Bob <bob@example.com>",
        "references:",
        "+ WEB-12",
        "files:",
        "~ app.js",
    ]
    ran = ctl.ok("compare", "app@1.0.0", "app@1.0.0", "--section", "commits", "--section", "files")
    assert (ran.out, ran.err) == ("", "commits: alike\nfiles: alike\n")


@pytest.mark.usefixtures("two")
def test_a_comparison_is_printed_for_programs_and_cut_where_it_is_asked_to(ctl: Relctl) -> None:
    told = ctl.json("compare", "app@1.1.0", "app@1.0.0", "--section", "references", "--section", "authors")
    assert [each["side"] for each in told] == ["COMPARISON_SIDE_REMOVED"] * 2
    assert told[0]["reference"] == "WEB-12"
    assert told[1]["author"] == {"display_name": "Bob", "email": "bob@example.com"}
    assert len(ctl.json("compare", "app@1.0.0", "app@1.1.0", "--section", "commits", "--limit", 1)) == 1
    ctl.fails(3, "RELEASE_NOT_FOUND", "compare", "app@1.0.0", "app@9")
    ctl.fails(2, "USAGE", "compare", "app@1.0.0")
    ctl.fails(2, "USAGE", "compare", "app@1.0.0", "app@1.1.0", "--section", "colours")


def test_changed_files_are_listed_filtered_and_counted(ctl: Relctl, two: list[str]) -> None:
    head, *lines = ctl.ok("changed-files", "app@1.1.0").out.splitlines()
    assert head.split() == ["path", "commit", "repository"]
    assert [line.split() for line in lines] == [
        ["M", "a.txt", two[2][:12], "acme/web"],
        ["A", "src/b.py", two[1][:12], "acme/web"],
    ]
    assert [each["path"] for each in ctl.json("changed-files", "app@1.1.0", "--path", "src/")] == ["src/b.py"]
    assert [each["path"] for each in ctl.json("changed-files", "app@1.1.0", "--type", "M", "--type", "d")] == ["a.txt"]
    assert len(ctl.json("changed-files", "app@1.1.0", "--repository", "acme/web", "--limit", 1)) == 1
    assert ctl.json("changed-files", "app@1.1.0", "--repository", "acme/api") == []
    ran = ctl.ok("changed-files", "app@1.1.0", "--path", "docs/")
    assert (ran.out, ran.err) == ("", "the commits of app@1.1.0 changed no such file\n")
    said = ctl.ok("changed-files", "app@1.1.0", "--count").out
    assert said == "2 changes: 1 added, 1 modified, 0 deleted\n"
    assert ctl.json("changed-files", "app@1.1.0", "--count", "--path", "src") == [
        {"added": 1, "modified": 0, "deleted": 0}
    ]
    ctl.fails(2, "USAGE", "changed-files", "app@1.1.0", "--type", "renamed")
    assert "leave out --limit" in ctl.fails(2, "USAGE", "changed-files", "app@1.1.0", "--count", "--limit", 1)
    ctl.fails(3, "RELEASE_NOT_FOUND", "changed-files", "app@9")


# --- Commits and refs ---


def test_commits_join_those_that_a_release_has(ctl: Relctl, two: list[str], repository: Repository) -> None:
    where = ("--git", repository.folder, "--repository", "acme/web")
    said = ctl.ok("release", "set-commits", "app@1.1.0", "--range", "v1", *where, "--append").out
    assert said == "release app@1.1.0 has 3 commits by 2 authors; 1 were sent\n"
    assert [commit["id"] for commit in ctl.json("commits", "app@1.1.0")] == [two[2], two[1], two[0]]
    ctl.ok("release", "set-commits", "app@1.1.0", "--range", "v1", *where)
    assert [commit["id"] for commit in ctl.json("commits", "app@1.1.0")] == [two[0]]
    assert "contradict" in ctl.fails(2, "USAGE", "release", "set-commits", "app@1.1.0", "--clear", "--append")
    ctl.fails(6, "LOCAL", "release", "set-commits", "app@1.1.0", "--range", "nothing", *where)


def test_the_end_of_a_range_alone_means_all_that_it_reaches(
    ctl: Relctl, two: list[str], repository: Repository
) -> None:
    where = ("--git", repository.folder, "--repository", "acme/web")
    ctl.ok("release", "set-commits", "app@1.0.0", "--range", "v2", *where)
    assert [commit["id"] for commit in ctl.json("commits", "app@1.0.0")] == [two[2], two[1], two[0]]


@pytest.mark.usefixtures("two")
def test_refs_say_up_to_where_a_release_holds_repositories(ctl: Relctl) -> None:
    said = ctl.ok("release", "set-refs", "app@1.0.0", "acme/web@c1..c2", "--validate-only").out
    assert said == "release app@1.0.0 would hold acme/web@c1..c2 (only checked, nothing was changed)\n"
    ctl.ok("repo", "create", "acme/api")
    said = ctl.ok("release", "set-refs", "app@1.0.0", "acme/web@c0", "acme/api@a1", "acme/web@c1..c2").out
    assert said == "release app@1.0.0 holds acme/api@a1, acme/web@c1..c2\n"
    (shown,) = ctl.json("release", "get", "app@1.0.0")
    assert [(head["repository"], head["commit_id"]) for head in shown["head_commits"]] == [
        ("acme/api", "a1"),
        ("acme/web", "c2"),
    ]
    assert "heads        acme/api@a1, acme/web@c1..c2" in ctl.ok("release", "get", "app@1.0.0").out
    line = ctl.fails(1, "REPOSITORY_UNKNOWN", "release", "set-refs", "app@1.0.0", "acme/x@1", "acme/web@2", "acme/y@3")
    assert "acme/x, acme/y" in line
    ctl.fails(1, "INVALID_FIELD", "release", "set-refs", "app@1.0.0", "acme/web@a..b..c")


@pytest.mark.parametrize("ref", ["acme/web", "@c1", "acme/web@"])
def test_a_ref_of_another_form_is_wrong_usage(ctl: Relctl, ref: str) -> None:
    assert "OWNER/NAME@COMMIT" in ctl.fails(2, "USAGE", "release", "set-refs", "app@1.0.0", ref)


def test_a_ref_with_its_commits_adds_them(ctl: Relctl, two: list[str], repository: Repository) -> None:
    where = ("--commits", "--git", repository.folder)
    said = ctl.ok("release", "set-refs", "app@1.0.0", "acme/web@v1..v2", *where).out
    assert said == f"release app@1.0.0 holds acme/web@{two[0][:12]}..{two[2][:12]}\n"
    assert [commit["id"] for commit in ctl.json("commits", "app@1.0.0")] == [two[2], two[1], two[0]]
    (head,) = ctl.json("release", "get", "app@1.0.0")[0]["head_commits"]
    assert (head["commit_id"], head["previous_commit_id"]) == (two[2], two[0])


def test_a_ref_with_its_commits_is_one_range_that_git_knows(ctl: Relctl, repository: Repository) -> None:
    repository.commit()
    where = ("--commits", "--git", repository.folder)
    for wrong in (("acme/web@HEAD",), ("acme/web@a..b", "acme/api@a..b"), ("acme/web@a..b", "--validate-only")):
        ctl.fails(2, "USAGE", "release", "set-refs", "app@1.0.0", *wrong, *where)
    assert "'nothing'" in ctl.fails(6, "LOCAL", "release", "set-refs", "app@1.0.0", "acme/web@HEAD..nothing", *where)
    assert ctl.json("release", "get", "app@1.0.0")[0]["head_commits"] == []


# --- Activity ---


@pytest.mark.usefixtures("deployed")
def test_activity_is_listed_newest_first_and_by_what_is_asked_for(ctl: Relctl) -> None:
    def kinds(*arguments: str) -> list[str]:
        return [each["kind"].removeprefix("ACTIVITY_KIND_") for each in ctl.json("activity", *arguments)]

    assert kinds("--release", "app@1.1.0") == ["RELEASE_DEPLOYED", "COMMITS_SET", "RELEASE_CREATED"]
    assert kinds("--kind", "release-deployed", "--project", "web") == ["RELEASE_DEPLOYED"] * 3
    assert kinds("--limit", "1") == ["RELEASE_DEPLOYED"]
    newest = ctl.json("activity", "--limit", "1")[0]["happen_time"]
    assert kinds("--since", newest) == ["RELEASE_DEPLOYED"]
    assert "RELEASE_CREATED" in kinds("--until", newest)
    ctl.fails(2, "USAGE", "activity", "--kind", "release-lost")
    ctl.fails(4, "PROJECT_FORBIDDEN", "activity", "--project", "other")
    ran = ctl.ok("activity", "--since", "2030-01-01T00:00:00Z")
    assert (ran.out, ran.err) == ("", "nothing was done\n")


def test_activity_tells_people_what_changed(ctl: Relctl, two: list[str], tmp_path: Path) -> None:
    ctl.ok("org", "update", "acme", "--name", "Acme Inc.", "--open-membership", "--caller", "ada")
    ctl.ok("release", "set-refs", "app@1.0.0", f"acme/web@{two[0]}..{two[2]}")
    source = tmp_path / "app.js"
    for content in ("one", "two"):
        source.write_text(content)
        ctl.ok("files", "upload", "app@1.0.0", source, "--replace")
    lines = ctl.ok("activity").out.splitlines()

    def told(kind: str) -> str:
        return next(line for line in lines if kind in line)

    assert lines[0].split() == ["time", "what", "of", "project", "by", "more"]
    assert told("organization changed").endswith("display name: none → Acme Inc., open membership: no → yes")
    assert "  ada  " in told("organization changed")
    assert told("refs set").endswith(f"refs: acme/web@{two[0][:12]}..{two[2][:12]}")
    assert "file name: app.js, sha256: 7692c3ad3540 → 3fc4ccfe7458" in told("file replaced")
    assert told("commits set").endswith("commit count: 2")
    assert "dist" not in told("file replaced")
