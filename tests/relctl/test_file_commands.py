from __future__ import annotations

import hashlib
import random
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from relctl import hash_cache
from relctl.cli import bars
from relctl.uploads import Standing
from tests.relctl.command_line import Relctl

MIB = 2**20
RELEASE = "app@1.0.0"


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A folder as a build leaves it."""
    folder = tmp_path / "dist"
    for name, content in {
        "index.html": b"<html>",
        "static/app.js": b"run()",
        "static/deep/er/app.css": b"b {}",
        "static/big.bin": noise(2 * MIB),
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def names(ctl: Relctl, *filters: str) -> list[str]:
    return [file["file_name"] for file in ctl.json("files", "list", RELEASE, *filters)]


def test_a_folder_is_uploaded_with_paths_from_it_on_as_names(ctl: Relctl, dist: Path, tmp_path: Path) -> None:
    ran = ctl.ok("files", "upload", RELEASE, dist, "--dist", "42", "--jobs", 2, "--streams", 2)
    assert "static/deep/er/app.css: 4 B" in ran.out
    assert hashlib.sha256(b"run()").hexdigest() in ran.out
    assert "4 files, 2.1 MB, of which 2.1 MB travelled" in ran.out
    assert ran.err == ""
    assert names(ctl) == ["index.html", "static/app.js", "static/big.bin", "static/deep/er/app.css"]
    copy = tmp_path / "copy"
    ctl.ok("files", "download", RELEASE, "static/big.bin", "-o", copy)
    assert copy.read_bytes() == noise(2 * MIB)
    again = ctl.ok("files", "upload", RELEASE, dist, "--dist", "42").out
    assert again.count("was there before") == 4
    assert "static/big.bin: 2.1 MB, 0 B travelled, was there before" in again


def test_each_file_is_an_object_of_json_and_nothing_else_is_printed(ctl: Relctl, dist: Path) -> None:
    objects = ctl.json("files", "upload", RELEASE, dist)
    assert sorted(each["file"]["file_name"] for each in objects) == names(ctl)
    assert all(each["created"] for each in objects)


def test_several_files_and_folders_go_together(ctl: Relctl, dist: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("x")
    ctl.ok("files", "upload", RELEASE, tmp_path / "notes", dist / "static")
    assert names(ctl) == ["app.js", "big.bin", "deep/er/app.css", "notes"]


def test_two_files_that_would_be_called_alike_are_refused_before_anything_is_sent(ctl: Relctl, dist: Path) -> None:
    (dist / "app.js").write_text("another")
    line = ctl.fails(6, "LOCAL", "files", "upload", RELEASE, dist, dist / "static")
    assert "would both be called 'app.js'" in line
    assert names(ctl) == []


def test_the_same_path_twice_is_one_file(ctl: Relctl, dist: Path) -> None:
    assert len(ctl.json("files", "upload", RELEASE, dist / "index.html", dist / "index.html")) == 1


def test_links_to_folders_are_not_followed_and_what_is_no_file_is_told(ctl: Relctl, dist: Path, tmp_path: Path) -> None:
    (dist / "again").symlink_to(dist)
    (dist / "linked.js").symlink_to(dist / "static" / "app.js")
    (dist / "broken").symlink_to(tmp_path / "gone")
    ran = ctl.ok("files", "upload", RELEASE, dist)
    assert "broken is left out" in ran.err
    assert names(ctl) == ["index.html", "linked.js", "static/app.js", "static/big.bin", "static/deep/er/app.css"]


def test_an_empty_folder_and_a_name_for_many_are_refused(ctl: Relctl, dist: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no file below" in ctl.fails(6, "LOCAL", "files", "upload", RELEASE, tmp_path / "empty")
    assert "for one file" in ctl.fails(2, "USAGE", "files", "upload", RELEASE, dist, "--file-name", "x")
    assert "is empty" in ctl.fails(2, "USAGE", "files", "upload", RELEASE, dist / "index.html", "--file-name", "")


def test_what_was_sent_before_is_remembered_in_the_cache_of_the_user(
    ctl: Relctl, dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_cache, "SETTLED_NS", 0)
    ctl.ok("files", "upload", RELEASE, dist)
    (line,) = (tmp_path / "cache" / "relctl" / "sha256").read_text().splitlines()
    assert line.startswith(hashlib.sha256(noise(2 * MIB)).hexdigest())
    assert str(dist / "static" / "big.bin") in line


def test_other_content_takes_the_place_of_a_file_only_when_told_to(ctl: Relctl, dist: Path) -> None:
    ctl.ok("files", "upload", RELEASE, dist)
    (dist / "static" / "big.bin").write_bytes(noise(2 * MIB, seed=2))
    ctl.fails(1, "FILE_EXISTS", "files", "upload", RELEASE, dist / "static" / "big.bin", "--name", "static/big.bin")
    ctl.ok("files", "upload", RELEASE, dist, "--replace")
    (file,) = ctl.json("files", "list", RELEASE, "--name-contains", "BIG")
    assert file["sha256"] == hashlib.sha256(noise(2 * MIB, seed=2)).hexdigest()


def test_a_list_can_be_narrowed_by_name_project_dist_and_content(ctl: Relctl, dist: Path) -> None:
    ctl.ok("files", "upload", RELEASE, dist)
    ctl.ok("files", "upload", RELEASE, dist / "index.html", "--file-name", "of-web", "--project", "web")
    ctl.ok("files", "upload", RELEASE, dist / "index.html", "--file-name", "of-42", "--dist", "42")
    assert names(ctl, "--name-contains", ".CSS", "--name-contains", "app.j") == [
        "static/app.js",
        "static/deep/er/app.css",
    ]
    assert names(ctl, "--project", "web") == ["of-web"]
    assert names(ctl, "--dist", "42") == ["of-42"]
    html = hashlib.sha256(b"<html>").hexdigest().upper()
    assert names(ctl, "--sha256", html) == ["index.html", "of-42", "of-web"]
    assert names(ctl, "--sha256", html, "--project", "", "--dist", "") == ["index.html"]
    assert "has no such files" in ctl.ok("files", "list", RELEASE, "--dist", "43").err


def test_a_file_is_shown_renamed_and_deleted(ctl: Relctl, dist: Path) -> None:
    options = ("--kind", "attachment", "--header", "Content-Type: text/html")
    (sent,) = ctl.json("files", "upload", RELEASE, dist / "index.html", "--file-name", "con.txt", *options)
    uid = sent["file"]["uid"]
    shown = ctl.ok("files", "get", RELEASE, "con.txt").out
    for part in (uid, "attachment", "Content-Type: text/html", "reserved"):
        assert part in shown
    (file,) = ctl.json("files", "get", RELEASE, uid)
    assert file["kind"] == "FILE_KIND_ATTACHMENT"
    (renamed,) = ctl.json("files", "rename", RELEASE, "con.txt", "static/index.html")
    assert (renamed["uid"], renamed["file_name"]) == (uid, "static/index.html")
    assert renamed["headers"] == {"Content-Type": "text/html"}
    ctl.fails(3, "NOT_FOUND", "files", "get", RELEASE, "con.txt")
    assert "--yes" in ctl.fails(2, "USAGE", "files", "delete", RELEASE, uid)
    ctl.ok("files", "delete", RELEASE, "static/index.html", "--yes")
    assert names(ctl) == []
    ctl.fails(3, "NOT_FOUND", "files", "delete", RELEASE, uid, "--yes")


def test_which_of_several_files_is_meant_has_to_be_said(ctl: Relctl, dist: Path) -> None:
    ctl.ok("files", "upload", RELEASE, dist / "index.html")
    ctl.ok("files", "upload", RELEASE, dist / "index.html", "--dist", "42")
    assert "--dist" in ctl.fails(6, "LOCAL", "files", "delete", RELEASE, "index.html", "--yes")
    ctl.ok("files", "delete", RELEASE, "index.html", "--dist", "", "--yes")
    assert [file["dist"] for file in ctl.json("files", "list", RELEASE)] == ["42"]


def test_a_file_that_is_called_like_a_uid_is_found_by_its_name(ctl: Relctl, dist: Path) -> None:
    name = "0192f3a4-0000-7000-8000-000000000000"
    ctl.ok("files", "upload", RELEASE, dist / "index.html", "--file-name", name)
    assert [file["file_name"] for file in ctl.json("files", "get", RELEASE, name)] == [name]


def test_a_terminal_shows_rate_time_left_and_what_was_saved(
    ctl: Relctl, dist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars, "is_terminal", lambda: True)
    monkeypatch.setattr(bars, "Console", partial(Console, force_terminal=True, width=160))
    ctl.ok("files", "upload", RELEASE, dist / "static" / "big.bin")
    shown = ctl.ok("files", "upload", RELEASE, dist / "static" / "big.bin", "--file-name", "again").err
    assert "big.bin" in shown
    assert "2.1/2.1 MB" in shown
    assert "saved 2.1 MB" in shown


def test_a_terminal_shows_that_a_file_is_compared_and_how_far(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars, "is_terminal", lambda: True)
    monkeypatch.setattr(bars, "Console", partial(Console, force_terminal=True, width=160))
    with bars.upload_bar("big.bin") as progress:
        progress(Standing(total_bytes=12_000_000, done_bytes=7_000_000, sent_bytes=0, compared_bytes=9_000_000))
    assert "comparing, 9.0 MB read" in capfd.readouterr().err
