"""Holds what a release has against what git tells, commit by commit: ids, order, authors, dates, messages, files.

    relctl commits app@1.0.0 --files --json | python -m tests.relctl.compare_commits path/to/clone [v1.0.0..HEAD]

Exits with 1 when anything differs, and shows the first differences. git is asked in another way than relctl asks it.
E-mails are compared in lower case, as a release keeps them; everything else as it stands.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

CHANGES = {"A": "CHANGE_TYPE_ADDED", "D": "CHANGE_TYPE_DELETED"}
MOST_SHOWN = 10


@dataclass(frozen=True)
class Told:
    author_name: str
    author_email: str
    seconds: int
    message: str
    files: tuple[tuple[str, str], ...]


def told_by_git(folder: Path, revisions: str) -> dict[str, Told]:
    """Every commit by its id, in the order of `git log`."""
    files: dict[str, list[tuple[str, str]]] = {}
    pieces = git(folder, "log", "-z", "--raw", "--no-renames", "--no-abbrev", "--format=tformat:commit %H", revisions)
    waiting = iter(pieces.split("\0"))
    current = ""
    for piece in waiting:
        entry = piece.strip("\n")
        if entry.startswith("commit "):
            current = entry.removeprefix("commit ")
            files[current] = []
        elif entry.startswith(":"):
            files[current].append((CHANGES.get(entry.split(" ")[4], "CHANGE_TYPE_MODIFIED"), next(waiting)))
    told = {}
    for record in git(folder, "log", "-z", "--format=tformat:%H%n%an%n%ae%n%ct%n%B", revisions).split("\0"):
        if record:
            commit_id, name, email, seconds, message = record.split("\n", 4)
            told[commit_id] = Told(name, email.lower(), int(seconds), message, tuple(sorted(files.pop(commit_id))))
    assert not files, "git log told of other commits the second time"
    return told


def told_by_release(lines: Iterable[str]) -> dict[str, Told]:
    """Every commit by its id, in the order of the release."""
    told = {}
    for line in lines:
        commit = json.loads(line)
        files = [(file["change_type"], file["path"]) for file in commit["changed_files"]]
        assert len(files) == int(commit["changed_file_count"]), f"{commit['id']} came with a part of its files"
        assert commit["id"] not in told, f"{commit['id']} came twice"
        seconds = int(datetime.fromisoformat(commit["commit_time"]).timestamp())
        told[commit["id"]] = Told(
            commit["author_name"], commit["author_email"], seconds, commit["message"], tuple(sorted(files))
        )
    return told


def differences(release: dict[str, Told], log: dict[str, Told]) -> list[str]:
    """What is not the same, in words; empty when all is."""
    found = [f"missing: {commit_id}" for commit_id in log.keys() - release.keys()]
    found += [f"not in git: {commit_id}" for commit_id in release.keys() - log.keys()]
    for commit_id in log.keys() & release.keys():
        for field in fields(Told):
            told, wanted = getattr(release[commit_id], field.name), getattr(log[commit_id], field.name)
            if told != wanted:
                found.append(f"{commit_id} {field.name}: {told!r} instead of {wanted!r}")
    # Newest first; commits of one second in the order of git log.
    if not found and list(release) != sorted(log, key=lambda commit_id: -log[commit_id].seconds):
        found.append("the order differs")
    return found


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True).stdout.decode(
        "utf-8", "replace"
    )


def main() -> None:
    folder = Path(sys.argv[1])
    log = told_by_git(folder, sys.argv[2] if len(sys.argv) > 2 else "HEAD")
    found = differences(told_by_release(sys.stdin), log)
    for text in found[:MOST_SHOWN]:
        print(text)
    files = sum(len(told.files) for told in log.values())
    names = len({(told.author_name, told.author_email) for told in log.values()})
    authors = len({told.author_email for told in log.values()})
    print(f"{authors} authors, {names - authors} names more than authors")
    print(f"{len(log)} commits with {files} changed files: {len(found) or 'no'} differences")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
