"""`relctl commits`: what is in a release."""

from __future__ import annotations

from typing import Final

import click
from releaseregistry.v1.commits_pb2 import ChangeType, Commit

from relctl.cli.application import Application, Columns, note, print_json
from relctl.cli.options import Leaf, limit_option, pass_application
from relctl.cli.text import local_time, one_line, subject

LETTERS: Final = {
    ChangeType.CHANGE_TYPE_ADDED: "A",
    ChangeType.CHANGE_TYPE_DELETED: "D",
    ChangeType.CHANGE_TYPE_MODIFIED: "M",
}
COLUMNS: Final[Columns[Commit]] = (
    ("commit", lambda it: it.id[:12]),
    ("time", lambda it: local_time(it.commit_time, is_set=it.HasField("commit_time"))),
    ("author", lambda it: it.author_name or it.author_email),
    ("files", lambda it: it.changed_file_count),
    ("message", lambda it: subject(it.message)),
)


@click.command(cls=Leaf)
@click.argument("version")
@click.option("--files", is_flag=True, help="Show the changed files of each, too.")
@limit_option
@pass_application
def commits(application: Application, version: str, files: bool, limit: int | None) -> None:
    r"""List the commits of a release, newest first.

    \b
    Examples:
      relctl commits app@1.0.0 --limit 20
      relctl commits app@1.0.0 --files --json
    """
    found = application.client.releases.list_commits(application.organization, version, files=files, limit=limit)
    if not files:
        application.show_list(found, COLUMNS, nothing=f"{version} has no commits")
        return
    shown = False
    for commit in found:
        if application.json:
            print_json(commit)
        else:
            _show_with_files(commit)
        shown = True
    if not shown and not application.json:
        note(f"{version} has no commits")


def _show_with_files(commit: Commit) -> None:
    time = local_time(commit.commit_time, is_set=commit.HasField("commit_time"))
    author = commit.author_name or commit.author_email
    click.echo(one_line("  ".join(part for part in (commit.id[:12], time, author, subject(commit.message)) if part)))
    for changed in commit.changed_files:
        click.echo(f"    {LETTERS.get(changed.change_type, '?')} {one_line(changed.path)}")
    missing = commit.changed_file_count - len(commit.changed_files)
    if missing > 0:
        click.echo(f"    and {missing:,} more")
