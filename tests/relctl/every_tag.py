"""Makes a release of every tag of a git repository, through relctl, and holds what the registry says against git.

    make drill-tags ARGS="path/to/clone"

A server of its own runs on a fresh SQLite, then on a fresh PostgreSQL. Tags are taken in the order of versions; each
becomes a release with the commits that the tag before it does not reach. Then, of each release, commits and changed
files must be those of `git log a..b --no-renames`, to the letter, and `relctl where` must find of 100 random commits
the first tag that `git tag --contains` names. Exits with 1 when anything differs.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import BytesIO, StringIO, TextIOWrapper
from itertools import pairwise
from pathlib import Path
from time import monotonic

from relctl.cli import run
from store.releases.version import parse_version
from tests.postgres_server import PostgresServer
from tests.relctl.compare_commits import differences, git, told_by_git, told_by_release
from tests.server_process import ServerProcess

LETTERS = {"CHANGE_TYPE_ADDED": "A", "CHANGE_TYPE_DELETED": "D", "CHANGE_TYPE_MODIFIED": "M"}
REPOSITORY = "drill/tags"


class Relctl:
    """The command line, on one server, for one organization; in this process: a thousand starts would take the time."""

    def __init__(self, address: str, token: str) -> None:
        self._shared = ("--server", address, "--token", token, "--org", "drill")

    def __call__(self, *arguments: str) -> str:
        output, errors = TextIOWrapper(BytesIO(), "utf-8"), StringIO()
        with redirect_stdout(output), redirect_stderr(errors):
            code = run([*self._shared, *arguments])
        if code:
            raise SystemExit(f"relctl {' '.join(arguments)}: {errors.getvalue().strip()}")
        output.seek(0)
        return output.read()


def in_version_order(tags: Sequence[str]) -> list[str]:
    """The tags as the service orders versions: semantic ones by precedence, others last; ties as they are made."""

    def key(tag: str) -> tuple[bool, bytes, str]:
        version = parse_version(tag)
        return not version.is_semver, version.sort_key, tag

    return sorted(tags, key=key)


def put(relctl: Relctl, clone: Path, tags: Sequence[str]) -> None:
    """A release of each tag, with the commits that the tag before it does not reach."""
    relctl("org", "create", "drill")
    relctl("project", "create", "web")
    for before, tag in zip(("", *tags), tags, strict=False):
        relctl("release", "create", tag, "--project", "web")
        revisions = f"{before}..{tag}" if before else tag
        relctl("release", "set-commits", tag, "--range", revisions, "--git", str(clone), "--repository", REPOSITORY)


def checked_commits(relctl: Relctl, clone: Path, tags: Sequence[str]) -> tuple[int, int, list[str]]:
    """How many commits and changed files all releases have, and where they differ from what git tells."""
    commits = changes = 0
    found: list[str] = []
    for before, tag in zip(("", *tags), tags, strict=False):
        log = told_by_git(clone, f"{before}..{tag}" if before else tag)
        told = told_by_release(relctl("commits", tag, "--files", "--json").splitlines())
        found += [f"{tag}: {text}" for text in differences(told, log)]
        lines = (json.loads(line) for line in relctl("changed-files", tag, "--json").splitlines())
        listed = [(it["commit_id"], LETTERS[it["change_type"]], it["path"]) for it in lines]
        wanted = [(id_, LETTERS[kind], path) for id_, its in log.items() for kind, path in its.files]
        if sorted(listed) != sorted(wanted):
            found.append(f"{tag}: {len(listed)} changed files are listed, and git tells of {len(wanted)}")
        commits, changes = commits + len(log), changes + len(wanted)
    return commits, changes, found


def checked_whereabouts(relctl: Relctl, clone: Path, tags: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """Of which commits `relctl where` finds another first release than the first tag that git says holds them."""
    order = {tag: place for place, tag in enumerate(tags)}
    found: list[str] = []
    for commit_id in chosen:
        first = min(git(clone, "tag", "--contains", commit_id).split(), key=order.__getitem__)
        (line,) = relctl("where", commit_id, "--first", "--json").splitlines()
        told = json.loads(line)["release"]["version"]
        if told != first:
            found.append(f"{commit_id}: {told} instead of {first}")
    return found


@contextmanager
def servers(folder: Path) -> Iterator[Iterator[tuple[str, ServerProcess]]]:
    """A server on a fresh SQLite, then one on a fresh PostgreSQL."""
    postgres = PostgresServer(folder / "postgres")
    try:
        with postgres.fresh_database() as url:
            yield iter(
                (
                    ("sqlite", ServerProcess(folder / "sqlite")),
                    ("postgresql", ServerProcess(folder / "server", database=url)),
                )
            )
    finally:
        postgres.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clone", type=Path, help="a git repository with tags")
    parser.add_argument("--where", type=int, default=100, metavar="N", help="how many random commits to look for")
    parser.add_argument("--seed", type=int, default=1)
    said = parser.parse_args()
    tags = in_version_order(git(said.clone, "tag").split())
    every = git(said.clone, "rev-list", "--tags").split()
    chosen = random.Random(said.seed).sample(every, min(said.where, len(every)))
    print(f"{len(tags)} tags, which reach {len(every)} commits; seed {said.seed}")
    failed = False
    with tempfile.TemporaryDirectory(prefix="every-tag-") as folder, servers(Path(folder)) as engines:
        for engine, server in engines:
            with server:
                relctl = Relctl(server.address, server.token)
                times = [monotonic()]
                put(relctl, said.clone, tags)
                times.append(monotonic())
                commits, changes, found = checked_commits(relctl, said.clone, tags)
                times.append(monotonic())
                found += checked_whereabouts(relctl, said.clone, tags, chosen)
                times.append(monotonic())
            for text in found[:10]:
                print(text)
            putting, checking, looking = (end - start for start, end in pairwise(times))
            print(
                f"{engine}: {len(tags)} releases, {commits} commits and {changes} changed files in {putting:.1f} s, "
                f"read and compared in {checking:.1f} s, {len(chosen)} commits found in {looking:.1f} s: "
                f"{len(found) or 'no'} differences"
            )
            failed = failed or bool(found)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
