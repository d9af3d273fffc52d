"""The README's tour is true: pasted line by line into a shell in a clone, beside a server as `make serve` starts it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.readme import ADDRESS, ROOT, tour
from tests.server_process import ServerProcess

FAILS = "organizations/acme/releases/missing"  # the one line that is there to fail
SUBJECTS = [f"Change number {number}" for number in range(1, 8)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def clone(tmp_path: Path, home: Path) -> Path:
    """What the reader stands in: a git repository with a history, the protos, and the environment in .venv."""
    clone = tmp_path / "clone"
    for folder in ("protos", "examples"):
        shutil.copytree(ROOT / folder, clone / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (clone / ".venv").symlink_to(Path(sys.prefix))
    (clone / ".gitignore").write_text(".venv\n*.tar.gz\n")
    git(clone, home, "init", "--quiet")
    git(clone, home, "remote", "add", "origin", "https://example.com/acme/web.git")
    for number, subject in enumerate(SUBJECTS):
        (clone / f"file-{number % 3}.txt").write_text(f"{number}\n")
        git(clone, home, "add", "--all")
        git(clone, home, "commit", "--quiet", "--message", subject, "--date", f"2024-03-0{number + 1}T12:00:00Z")
    return clone


def git(folder: Path, home: Path, *words: str) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.com",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.com",
    }
    subprocess.run(["git", "-C", str(folder), *words], env=environment, check=True)


@pytest.fixture
def server(database_url: str, tmp_path: Path, home: Path) -> Iterator[ServerProcess]:
    """A server with nothing set but its address (and PostgreSQL): data and token lie where `make serve` puts them."""
    with ServerProcess(
        tmp_path / "server",
        database=database_url if database_url.startswith("postgresql") else None,
        environment={"HOME": str(home), "XDG_DATA_HOME": str(home / ".local/share")},
        defaults=True,
    ) as server:
        yield server


def paste(lines: list[str], *, clone: Path, home: Path, server: ServerProcess) -> list[tuple[str, int, str]]:
    """Each line with its exit code and what it printed, all run by one shell."""
    script = ""
    for number, line in enumerate(lines):
        here = line.replace(ADDRESS, server.address)
        script += f"{{ {here}\n}} >{home}/{number}.out 2>&1\necho $? >{home}/{number}.code\n"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "RELCTL_SERVER": server.address,  # the README's is the default
        "RELEASES_LISTEN": server.address,  # so is this
        **({} if server.database is None else {"RELEASES_DATABASE": server.database}),
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    subprocess.run(
        ["bash", "-c", script], cwd=clone, env=environment, stdin=subprocess.DEVNULL, check=False, timeout=500
    )
    return [
        (line, int((home / f"{number}.code").read_text()), (home / f"{number}.out").read_text())
        for number, line in enumerate(lines)
    ]


@pytest.mark.timeout(600)
def test_every_line_of_the_tour_does_what_it_says(clone: Path, home: Path, server: ServerProcess) -> None:
    pasted = paste(tour(), clone=clone, home=home, server=server)

    *told, last = pasted
    assert [(line, code, printed) for line, code, printed in told if code != 0] == []
    assert FAILS in last[0]
    assert last[1] != 0
    assert "NotFound" in last[2]
    assert "RELEASE_NOT_FOUND" in last[2]

    printed = {line: text for line, _, text in told}

    def said(words: str) -> str:
        (text,) = [text for line, text in printed.items() if words in line]
        return text

    assert [subject for subject in SUBJECTS[-5:] if subject not in said("relctl commits")] == []
    assert SUBJECTS[0] not in said("relctl commits"), "--limit 5 of seven"
    assert "app.tar.gz" in said("files list")
    assert not (clone / "copy.tar.gz").exists(), "compared and removed"
    assert "app@1.0.0" in said("release previous")
    assert [version for version in ("app@1.0.0", "app@1.1.0") if version not in printed["relctl release list"]] == []
    assert "app@1.1.0" in said("!has:deployed")
    assert "app@1.0.0" not in said("!has:deployed")
    assert said("release bulk label") == "2 releases labelled\n"
    assert "app@1.0.0" in said("label.team:web")
    assert "app@1.1.0" not in said("label.team:web"), "neither deployed nor finalized"
    assert said("release suggest") == "web\n"
    assert ["next", "app@1.1.0"] in [line.split() for line in said("release get app@1.0.0").splitlines()]
    assert said("sessions send") == "1 item recorded\n"
    assert ["sessions", "1"] in [line.split() for line in said("relctl health app@1.0.0").splitlines()]
    assert "0 refused. Now look at them:" in said("examples/month_of_sessions.py")
    plots = said("relctl health shop@2.5.0")
    assert [
        title for title in ("sessions a day", "users a day", "crash-free", "adoption") if f"shop: {title}" not in plots
    ] == []
    assert "3 adopted, 0 replaced" in said("release-server adoption")
    assert [line.split()[1:3] for line in said("relctl adoption").splitlines()[1:]] == [
        ["production", "adopted"],
        ["staging", "adopted"],
    ]
    assert said("--sort crash-free-sessions").splitlines()[1].startswith("shop@2.5.0 "), "the least stable"
    assert "threshold" in said("threshold create")
    (bad,) = [line for line in said("threshold status").splitlines() if line.startswith("shop@2.5.0 ")]
    assert "unhealthy" in bad
    assert "releaseregistry.v1.ReleaseService" in said("grpcurl -plaintext 127.0.0.1:50051 list")
    assert "CREATED" in said("ReleaseService/CreateRelease")
    assert "4f1c2d" in said("ReleaseService/ListCommits")
