"""`relctl where`: which releases hold a commit."""

from __future__ import annotations

from typing import Final

import click
from releaseregistry.v1.commits_pb2 import Commit
from releaseregistry.v1.releases_pb2 import ReleaseWithCommit

from relctl.cli.application import Application, Columns, note
from relctl.cli.options import Leaf, limit_option, pass_application
from relctl.cli.text import local_time, subject
from relctl.names import last_part

COLUMNS: Final[Columns[ReleaseWithCommit]] = (
    ("version", lambda it: it.release.version),
    ("projects", lambda it: ", ".join(last_part(name) for name in it.release.projects)),
    ("created", lambda it: local_time(it.release.create_time)),
    ("runs in", lambda it: ", ".join(f"{each.environment} ({last_part(each.project)})" for each in it.running)),
)


@click.command(cls=Leaf)
@click.argument("commit")
@click.option("--repository", default="", metavar="OWNER/NAME", help="Only in this one.")
@click.option("--first", is_flag=True, help="Show only the first release, by version.")
@limit_option
@pass_application
def where(application: Application, commit: str, repository: str, first: bool, limit: int | None) -> None:
    r"""Show the releases that hold a commit, lowest version first, and where each of them runs.

    COMMIT is an id, or the beginning of one, at least 4 characters.

    \b
    Examples:
      relctl where 4f1c2d9
      relctl where 4f1c2d9 --first --json
    """
    found = application.client.comparisons.where(
        application.organization, commit, repository=repository, limit=1 if first else limit
    )
    if not application.json:
        for each in found.commits:
            note(_told(each))
    application.show_list(found.releases, COLUMNS, nothing="no release holds it any more")


def _told(commit: Commit) -> str:
    author = commit.author_name or commit.author_email
    return "  ".join(part for part in (commit.id[:12], commit.repository, author, subject(commit.message)) if part)
