"""The whole way of a release through the command line, on both engines, held against git and the files themselves."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from relctl.files import FRAME_BYTES
from tests.relctl.command_line import Relctl
from tests.relctl.compare_commits import differences, told_by_git, told_by_release
from tests.relctl.repositories import Repository
from tests.rpc.wire import Served


def history(repository: Repository) -> None:
    """A history with what is hard: merges, renames, odd paths, odd messages, equal times, changed names."""
    repository.git("remote", "add", "origin", "git@example.com:acme/web.git")
    for number in range(20):
        repository.write(f"file {number}", "content\n" * number)
        author = {"GIT_AUTHOR_EMAIL": f"A{number % 3}@Example.com", "GIT_AUTHOR_NAME": f"Name {number % 5}"}
        repository.commit(f"number {number}\n\nwith a body\n", **author)
    repository.git("switch", "--quiet", "--create", "side")
    repository.write("line\nbreak", "a")
    repository.write("ümläut/日本語", "b")
    repository.commit("")
    repository.git("switch", "--quiet", "main")
    repository.git("mv", "file 1", "moved")
    (repository.folder / "file 2").unlink()
    repository.commit("moved, deleted")
    repository.git("merge", "--quiet", "--no-ff", "-m", "merge", "side")
    for number in range(10):
        repository.write("same second", str(number))
        repository.commit(str(number), GIT_COMMITTER_DATE="1700000000 +0000")


def test_commits_of_a_release_equal_git_log_and_the_next_release_takes_those_since(
    server: Served, relctl: Relctl, repository: Repository
) -> None:
    history(repository)
    ctl = relctl.at(server)
    ctl.ok("org", "create", "acme")
    ctl.ok("project", "create", "web")
    ctl.ok("release", "create", "app@1.0.0", "--project", "web")

    ctl.ok("release", "set-commits", "app@1.0.0", "--auto", "--git", repository.folder)

    first = told_by_release(ctl.ok("commits", "app@1.0.0", "--files", "--json").out.splitlines())
    assert differences(first, told_by_git(repository.folder, "HEAD")) == []
    assert len(first) == 33

    released = repository.text("rev-parse", "HEAD")
    repository.write("new", "file")
    repository.commit("new", GIT_COMMITTER_DATE="1700000060 +0000")
    server.clock.advance(seconds=60)
    ctl.ok("release", "create", "app@1.1.0", "--project", "web")
    told = ctl.ok("release", "set-commits", "app@1.1.0", "--auto", "--git", repository.folder)
    assert f"since {released[:12]}, the last of app@1.0.0" in told.err
    second = told_by_release(ctl.ok("commits", "app@1.1.0", "--files", "--json").out.splitlines())
    assert differences(second, told_by_git(repository.folder, f"{released}..HEAD")) == []
    assert len(second) == 1
    (previous,) = ctl.json("release", "previous", "app@1.1.0")
    assert previous["version"] == "app@1.0.0"


def test_a_file_comes_back_as_it_was_sent(server: Served, relctl: Relctl, tmp_path: Path) -> None:
    organization = server.make_organization("acme", projects=["web"])
    server.make_release(organization, "app@1.0.0", "web")
    ctl = relctl.at(server)
    for size in (0, 1, FRAME_BYTES, 3 * FRAME_BYTES + 17):
        source, copy = tmp_path / f"{size}.bin", tmp_path / f"{size}.copy"
        source.write_bytes(os.urandom(size))

        (sent,) = ctl.json("files", "upload", "app@1.0.0", source)
        ctl.ok("files", "download", "app@1.0.0", source.name, "--output", copy)

        assert sent["created"] is True
        assert sent["file"]["size_bytes"] == str(size)
        assert sent["file"]["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
        assert copy.read_bytes() == source.read_bytes()
    assert [file["file_name"] for file in ctl.json("files", "list", "app@1.0.0")] == sorted(
        ["0.bin", "1.bin", f"{FRAME_BYTES}.bin", f"{3 * FRAME_BYTES + 17}.bin"]
    )
    assert not list(tmp_path.glob("*.part"))
