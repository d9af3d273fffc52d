"""Every command does what its help says, against a running server."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relctl import connect
from tests.relctl.command_line import Relctl
from tests.relctl.repositories import Repository
from tests.rpc.wire import OPERATOR_TOKEN, Served


def test_an_organization_is_created_shown_listed_and_changed(edge: Served, relctl: Relctl) -> None:
    ctl = relctl.at(edge)
    ctl.ok("org", "create", "acme", "--name", "Acme Inc.")
    assert ctl.json("org", "get")[0]["display_name"] == "Acme Inc."
    ctl.ok("org", "update", "acme", "--slug", "acme-two", "--open-membership")
    (listed,) = ctl.json("org", "list")
    assert (listed["slug"], listed["display_name"], listed["open_membership"]) == ("acme-two", "Acme Inc.", True)
    assert ctl.json("org", "get", "acme")[0]["slug"] == "acme-two"


def test_a_project_is_created_shown_listed_and_changed(ctl: Relctl) -> None:
    ctl.ok("project", "create", "api", "--platform", "python")
    ctl.ok("project", "update", "api", "--name", "The API", "--platform", "")
    (shown,) = ctl.json("project", "get", "api")
    assert (shown["display_name"], shown["platform"]) == ("The API", "")
    assert [project["slug"] for project in ctl.json("project", "list")] == ["api", "web"]


def test_a_project_says_whether_sessions_make_its_releases(ctl: Relctl) -> None:
    assert "manual releases  yes" in ctl.ok("project", "create", "api", "--manual-releases").out
    assert ctl.json("project", "get", "api")[0]["manual_releases"]
    assert "manual releases  no" in ctl.ok("project", "update", "api", "--releases-of-sessions").out
    ctl.ok("project", "update", "api", "--manual-releases")
    assert ctl.json("project", "get", "api")[0]["manual_releases"]


def test_a_repository_is_created_found_by_name_or_uid_and_changed(ctl: Relctl) -> None:
    (made,) = ctl.json("repo", "create", "acme/web", "--provider", "github", "--external-id", "7")
    ctl.ok("repo", "update", "acme/web", "--url", "https://example.com/acme/web", "--state", "disabled")
    (shown,) = ctl.json("repo", "get", made["uid"])
    assert (shown["url"], shown["state"]) == ("https://example.com/acme/web", "REPOSITORY_STATE_DISABLED")
    assert (shown["display_name"], shown["provider"]) == ("acme/web", "github")
    ctl.fails(3, "NOT_FOUND", "repo", "get", "acme/other")


def test_a_token_is_created_used_listed_and_revoked(acme: Served, ctl: Relctl, relctl: Relctl) -> None:
    (made,) = ctl.json("token", "create", "ci", "--scope", "release:write", "--project", "web")
    (listed,) = ctl.json("token", "list")
    assert (listed["uid"], listed["display_name"]) == (made["token"]["uid"], "ci")

    (me,) = relctl.at(acme, made["secret"]).json("whoami", "--caller", "job 7")
    assert (me["organization"], me["caller"]) == ("organizations/acme", "job 7")
    assert me["token"]["projects"] == ["organizations/acme/projects/web"]

    relctl.at(acme).ok("token", "revoke", made["token"]["uid"])
    relctl.at(acme, made["secret"]).fails(4, "CREDENTIALS_INVALID", "whoami")


def test_a_token_for_people_shows_its_secret_in_a_line_of_its_own(acme: Served, ctl: Relctl, relctl: Relctl) -> None:
    lines = ctl.ok("token", "create", "ci", "--scope", "org:read", "--all-projects").out.splitlines()
    assert relctl.at(acme, lines[1]).json("project", "list")[0]["slug"] == "web"


def test_a_token_for_releases_of_no_project_is_made_with_a_note(ctl: Relctl) -> None:
    def noted(*more: str) -> str:
        return ctl.ok("token", "create", "ci", *more, "--json").err

    assert "member of no project" in noted("--scope", "release:write")
    assert noted("--scope", "release:write", "--project", "web") == ""
    assert noted("--scope", "release:write", "--all-projects") == ""
    assert noted("--scope", "org:read") == ""
    assert noted("--scope", "release:write", "--installation") == ""


def test_an_operators_token_takes_no_project(ctl: Relctl) -> None:
    ctl.fails(2, "USAGE", "token", "create", "x", "--scope", "org:read", "--installation", "--project", "web")
    ctl.ok("token", "create", "x", "--scope", "org:read", "--installation")
    assert ctl.json("token", "list", "--installation")[0]["display_name"] == "x"


def test_creating_a_release_tells_whether_it_was_there(ctl: Relctl) -> None:
    (made,) = ctl.json("release", "create", "app@2", "--project", "web", "--ref", "v2", "--owner", "ada")
    assert made["outcome"] == "CREATE_RELEASE_OUTCOME_CREATED"
    assert (made["release"]["ref"], made["release"]["owner"]) == ("v2", "ada")
    assert "was there" in ctl.ok("release", "create", "app@2", "--project", "web").out


def test_checking_a_release_creates_none(ctl: Relctl) -> None:
    said = ctl.ok("release", "create", "app@2", "--project", "web", "--validate-only").out
    assert "release app@2 would be created (only checked, nothing was changed)" in said
    ctl.fails(3, "RELEASE_NOT_FOUND", "release", "get", "app@2")


def test_a_release_is_finalized_now_or_when_said(ctl: Relctl) -> None:
    before = datetime.now(UTC)
    (now,) = ctl.json("release", "finalize", "app@1.0.0")
    assert before <= datetime.fromisoformat(now["release_time"]) <= datetime.now(UTC)
    (then,) = ctl.json("release", "finalize", "app@1.0.0", "--release-time", "2026-01-31T13:00:00+01:00")
    assert then["release_time"] == "2026-01-31T12:00:00Z"
    (taken_back,) = ctl.json("release", "update", "app@1.0.0", "--not-released")
    assert "release_time" not in taken_back


@pytest.mark.parametrize("time", ["yesterday", "2026-01-31", "2026-01-31T12:00:00"])
def test_a_time_without_zone_is_refused(ctl: Relctl, time: str) -> None:
    ctl.fails(2, "USAGE", "release", "finalize", "app@1.0.0", "--release-time", time)


def test_an_archived_release_is_listed_only_when_asked_for_until_it_is_restored(ctl: Relctl) -> None:
    ctl.ok("release", "archive", "app@1.0.0")
    assert ctl.json("release", "list") == []
    assert [release["version"] for release in ctl.json("release", "list", "--status", "archived")] == ["app@1.0.0"]
    assert [release["version"] for release in ctl.json("release", "list", "--status", "all")] == ["app@1.0.0"]
    ctl.ok("release", "restore", "app@1.0.0")
    assert [release["version"] for release in ctl.json("release", "list")] == ["app@1.0.0"]


def test_an_update_changes_what_is_said_clears_what_is_empty_and_minds_the_etag(ctl: Relctl) -> None:
    (first,) = ctl.json("release", "update", "app@1.0.0", "--ref", "main", "--owner", "ada")
    (second,) = ctl.json("release", "update", "app@1.0.0", "--ref", "", "--etag", first["etag"])
    assert (second["ref"], second["owner"]) == ("", "ada")
    ctl.fails(1, "ETAG_MISMATCH", "release", "update", "app@1.0.0", "--ref", "x", "--etag", first["etag"])


def test_an_update_of_nothing_is_wrong_usage(ctl: Relctl) -> None:
    for command in (("release", "update", "app@1.0.0"), ("org", "update", "acme"), ("project", "update", "web")):
        assert "say what to change" in ctl.fails(2, "USAGE", *command)


def test_a_release_is_deleted_when_nobody_can_be_asked_only_with_yes(ctl: Relctl) -> None:
    assert "--yes" in ctl.fails(2, "USAGE", "release", "delete", "app@1.0.0")
    ctl.ok("release", "get", "app@1.0.0")
    ctl.ok("release", "delete", "app@1.0.0", "--yes")
    ctl.fails(3, "RELEASE_NOT_FOUND", "release", "get", "app@1.0.0")


def test_lists_walk_every_page_and_stop_at_the_limit(
    acme: Served, ctl: Relctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        acme.make_release("organizations/acme", f"many@{number}", "web")
    monkeypatch.setattr("relctl.connection.PAGE_SIZE", 3)
    everything = [release["version"] for release in ctl.json("release", "list", "--all")]
    assert sorted(everything) == ["app@1.0.0", *(f"many@{number}" for number in range(7))]
    assert [release["version"] for release in ctl.json("release", "list", "--limit", 5)] == everything[:5]


def test_an_empty_table_says_so_beside_the_output_and_json_says_nothing(ctl: Relctl) -> None:
    ran = ctl.ok("commits", "app@1.0.0")
    assert (ran.out, ran.err) == ("", "app@1.0.0 has no commits\n")
    ran = ctl.ok("commits", "app@1.0.0", "--json")
    assert (ran.out, ran.err) == ("", "")


def test_tables_do_not_wrap_or_cut_where_there_is_no_terminal(ctl: Relctl) -> None:
    version = "app@" + "v" * 190
    ctl.ok("release", "create", version, "--project", "web")
    assert version in ctl.ok("release", "list").out
    assert all(line == line.rstrip() for line in ctl.ok("release", "list").out.splitlines())


def test_what_others_wrote_cannot_steer_the_terminal(ctl: Relctl, tmp_path: Path) -> None:
    source = tmp_path / "commits.json"
    source.write_text(json.dumps({"id": "c1", "message": "\x1b]0;title\x07\x1b[2J[bold]red", "author_email": "a@b"}))
    ctl.ok("release", "set-commits", "app@1.0.0", "--file", source)
    for command in (("commits", "app@1.0.0"), ("commits", "app@1.0.0", "--files"), ("release", "get", "app@1.0.0")):
        out = ctl.ok(*command).out
        assert "[bold]red" in out
        assert "\x1b" not in out


def test_commits_as_json_can_be_set_again(ctl: Relctl, tmp_path: Path) -> None:
    commits = [
        {
            "id": "c1",
            "repository": "acme/web",
            "message": "one\n",
            "author_name": "Ada",
            "author_email": "ada@example.com",
            "commit_time": "2026-01-01T00:00:00Z",
            "changed_files": [{"path": "a", "change_type": "CHANGE_TYPE_ADDED"}],
        },
        {"id": "c0", "repository": "acme/web"},
    ]
    source = tmp_path / "commits.json"
    source.write_text(json.dumps(commits))
    ctl.ok("release", "set-commits", "app@1.0.0", "--file", source)
    lines = ctl.ok("commits", "app@1.0.0", "--files", "--json").out
    ctl.ok("release", "create", "app@2", "--project", "web")
    source.write_text(lines)
    ctl.ok("release", "set-commits", "app@2", "--file", source)
    assert ctl.ok("commits", "app@2", "--files", "--json").out == lines
    ctl.ok("release", "set-commits", "app@2", "--clear")
    assert ctl.json("commits", "app@2") == []


@pytest.mark.parametrize("text", ["[1]", "{", '{"id": 1}', '{"nothing": "x"}', "no json", '[{"id": "\\ud800"}]'])
def test_a_file_that_holds_no_commits_is_a_problem_on_this_side(ctl: Relctl, tmp_path: Path, text: str) -> None:
    source = tmp_path / "commits.json"
    source.write_text(text)
    assert "does not hold commits" in ctl.fails(6, "LOCAL", "release", "set-commits", "app@1.0.0", "--file", source)


@pytest.mark.parametrize("text", ["", "\n", "[]"])
def test_an_empty_file_detaches_no_commits(ctl: Relctl, tmp_path: Path, text: str) -> None:
    source = tmp_path / "commits.json"
    source.write_text('{"id": "c0"}')
    said = ctl.ok("release", "set-commits", "app@1.0.0", "--file", source).out
    assert said == "release app@1.0.0 has 1 commit by 0 authors\n"
    source.write_text(text)
    assert "--clear" in ctl.fails(6, "LOCAL", "release", "set-commits", "app@1.0.0", "--file", source)
    assert len(ctl.json("commits", "app@1.0.0")) == 1


def test_commits_of_a_range_are_set(ctl: Relctl, repository: Repository) -> None:
    ids = [repository.commit(str(number)) for number in range(4)]
    where = ("--git", repository.folder, "--repository", "acme/web")
    ctl.ok("release", "set-commits", "app@1.0.0", "--range", f"{ids[0]}..{ids[2]}", *where)
    assert [commit["id"] for commit in ctl.json("commits", "app@1.0.0")] == [ids[2], ids[1]]


@pytest.mark.parametrize("text", ["", "..", "..HEAD", "HEAD..", "a..b..c", "a...b"])
def test_a_range_of_another_form_is_wrong_usage(ctl: Relctl, text: str) -> None:
    ctl.fails(2, "USAGE", "release", "set-commits", "app@1.0.0", "--range", text)


def test_one_source_of_commits_must_be_said(ctl: Relctl) -> None:
    ctl.fails(2, "USAGE", "release", "set-commits", "app@1.0.0")
    ctl.fails(2, "USAGE", "release", "set-commits", "app@1.0.0", "--auto", "--clear")


def test_without_new_commits_a_release_keeps_those_it_has(
    acme: Served, ctl: Relctl, repository: Repository, tmp_path: Path
) -> None:
    repository.commit()
    where = ("--git", repository.folder, "--repository", "acme/web")
    ctl.ok("release", "set-commits", "app@1.0.0", "--auto", *where)
    acme.clock.advance(seconds=1)
    ctl.ok("release", "create", "app@2", "--project", "web")
    (tmp_path / "commits.json").write_text('{"id": "kept"}')
    ctl.ok("release", "set-commits", "app@2", "--file", tmp_path / "commits.json")
    ran = ctl.ok("release", "set-commits", "app@2", "--auto", *where)
    assert "app@2 is left as it is" in ran.err
    assert [commit["id"] for commit in ctl.json("commits", "app@2")] == ["kept"]


def test_a_repository_is_looked_for_in_more_than_the_last_release(
    acme: Served, ctl: Relctl, repository: Repository, tmp_path: Path
) -> None:
    released = repository.commit("released")
    where = ("--git", repository.folder, "--repository", "acme/web")
    ctl.ok("release", "set-commits", "app@1.0.0", "--auto", *where)
    (tmp_path / "commits.json").write_text('{"id": "c1", "repository": "acme/other"}')
    for version in ("app@2", "app@3"):
        acme.clock.advance(seconds=1)
        ctl.ok("release", "create", version, "--project", "web")
        ctl.ok("release", "set-commits", version, "--file", tmp_path / "commits.json")
    new = repository.commit("new")
    ran = ctl.ok("release", "set-commits", "app@3", "--auto", *where)
    assert f"since {released[:12]}, the last of app@1.0.0" in ran.err
    assert [commit["id"] for commit in ctl.json("commits", "app@3")] == [new]


def test_a_commit_with_more_files_than_a_message_may_have_arrives_whole(acme: Served) -> None:
    from releaseregistry.v1.commits_pb2 import ChangedFile, ChangeType, Commit

    added = ChangeType.CHANGE_TYPE_ADDED
    big = Commit(
        id="big",
        repository="acme/web",
        message="m" * 60_000,
        author_email="a@b",
        changed_files=[ChangedFile(path=f"{'p' * 200}/{number}", change_type=added) for number in range(10_500)],
    )
    big.commit_time.FromSeconds(1_700_000_000)
    with connect(acme.address, token=OPERATOR_TOKEN) as client:
        release = client.releases.set_commits("acme", "app@1.0.0", [Commit(id="newer", repository="acme/web"), big])
        assert release.commit_count == 2
        commits = {commit.id: commit for commit in client.releases.list_commits("acme", "app@1.0.0")}
    assert commits["big"].changed_file_count == 10_500
    assert commits["big"].message == big.message


def test_files_are_told_apart_by_project_and_dist(ctl: Relctl, tmp_path: Path) -> None:
    source = tmp_path / "app.js"
    source.write_text("one")
    ctl.ok("files", "upload", "app@1.0.0", source, "--name", "~/static/app.js", "--header", "Content-Type: text/plain")
    source.write_text("two")
    (sent,) = ctl.json("files", "upload", "app@1.0.0", source, "--name", "~/static/app.js", "--dist", "d1")
    line = ctl.fails(6, "LOCAL", "files", "download", "app@1.0.0", "~/static/app.js")
    assert "--dist" in line
    assert sent["file"]["uid"] in line
    copy = tmp_path / "copy"
    ctl.ok("files", "download", "app@1.0.0", "~/static/app.js", "--dist", "d1", "-o", copy)
    assert copy.read_text() == "two"
    ctl.ok("files", "download", "app@1.0.0", sent["file"]["uid"], "-o", copy)
    headers = [file["headers"] for file in ctl.json("files", "list", "app@1.0.0")]
    assert {"Content-Type": "text/plain"} in headers


def test_the_same_file_again_is_no_error_and_another_under_its_name_is(ctl: Relctl, tmp_path: Path) -> None:
    source = tmp_path / "app.js"
    source.write_text("one")
    ctl.ok("files", "upload", "app@1.0.0", source)
    assert "was there before" in ctl.ok("files", "upload", "app@1.0.0", source).out
    source.write_text("two")
    ctl.fails(1, "FILE_EXISTS", "files", "upload", "app@1.0.0", source)


def test_an_empty_name_of_a_file_is_wrong_usage(ctl: Relctl, tmp_path: Path) -> None:
    source = tmp_path / "app.js"
    source.touch()
    ctl.fails(2, "USAGE", "files", "upload", "app@1.0.0", source, "--name", "")


def test_examples_in_a_help_stand_as_they_were_written(relctl: Relctl) -> None:
    told = relctl.ok("token", "create", "--help").out
    assert "\n  Examples:\n    relctl token create ci" in told
    assert "\\b" not in told


def test_a_download_replaces_only_what_it_is_told_to(
    ctl: Relctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "app.js"
    source.write_text("right")
    ctl.ok("files", "upload", "app@1.0.0", source, "--name", "static/app.js")
    source.write_text("mine")
    monkeypatch.chdir(tmp_path)
    assert "exists" in ctl.fails(6, "LOCAL", "files", "download", "app@1.0.0", "static/app.js")
    assert "exists" in ctl.fails(6, "LOCAL", "files", "download", "app@1.0.0", "static/app.js", "-o", tmp_path)
    assert source.read_text() == "mine"
    ctl.ok("files", "download", "app@1.0.0", "static/app.js", "-o", source)
    assert source.read_text() == "right"
    assert ctl.ok("files", "download", "app@1.0.0", "static/app.js", "-o", "-").out == "right"


@pytest.mark.parametrize("name", ["..", "a/..", "a/."])
def test_a_files_name_never_decides_about_a_place(ctl: Relctl, tmp_path: Path, name: str) -> None:
    source = tmp_path / "source"
    source.write_text("x")
    ctl.ok("files", "upload", "app@1.0.0", source, "--name", name)
    assert "say --output" in ctl.fails(6, "LOCAL", "files", "download", "app@1.0.0", name, "-o", tmp_path)


def test_what_is_no_file_is_refused_before_anything_is_sent(ctl: Relctl, tmp_path: Path) -> None:
    source = tmp_path / "good"
    source.write_text("x")
    os.mkfifo(tmp_path / "pipe")
    for bad in (tmp_path / "missing", tmp_path / "pipe"):
        ctl.fails(6, "LOCAL", "files", "upload", "app@1.0.0", source, bad)
    assert ctl.json("files", "list", "app@1.0.0") == []
    ctl.fails(3, "NOT_FOUND", "files", "download", "app@1.0.0", "good")
    ctl.fails(6, "LOCAL", "files", "upload", "app@1.0.0", tmp_path / "missing")
    ctl.ok("files", "upload", "app@1.0.0", source)
    assert "cannot write" in ctl.fails(
        6, "LOCAL", "files", "download", "app@1.0.0", "good", "-o", tmp_path / "no" / "x"
    )


def test_a_download_writes_into_a_device_or_through_a_link_and_never_replaces_those(
    ctl: Relctl, tmp_path: Path
) -> None:
    source, link, pipe = tmp_path / "app.js", tmp_path / "link", tmp_path / "pipe"
    source.write_text("right")
    ctl.ok("files", "upload", "app@1.0.0", source)
    (tmp_path / "real").write_text("before")
    link.symlink_to(tmp_path / "real")
    ctl.ok("files", "download", "app@1.0.0", "app.js", "-o", link)
    assert link.is_symlink()
    assert (tmp_path / "real").read_text() == "right"
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    ctl.ok("files", "download", "app@1.0.0", "app.js", "-o", pipe)
    assert os.read(descriptor, 100) == b"right"
    os.close(descriptor)
    assert pipe.is_fifo()


def test_arguments_that_are_no_utf8_are_wrong_usage_and_a_file_may_be_called_otherwise(
    ctl: Relctl, tmp_path: Path
) -> None:
    source = tmp_path / os.fsdecode(b"caf\xe9")
    source.write_text("x")
    ctl.fails(2, "USAGE", "release", "get", os.fsdecode(b"caf\xe9"))
    assert "--name" in ctl.fails(2, "USAGE", "files", "upload", "app@1.0.0", source)
    ctl.ok("files", "upload", "app@1.0.0", source, "--name", "café")
