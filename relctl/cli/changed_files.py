"""`relctl changed-files`: what the commits of a release changed."""

from __future__ import annotations

from typing import Final

import click
from releaseregistry.v1.commits_pb2 import ChangeType, CommittedChange

from relctl.cli.application import Application, Columns
from relctl.cli.commits import LETTERS
from relctl.cli.options import Leaf, limit_option, pass_application
from relctl.cli.text import counted

COLUMNS: Final[Columns[CommittedChange]] = (
    ("", lambda it: LETTERS.get(it.change_type, "?")),
    ("path", lambda it: it.path),
    ("commit", lambda it: it.commit_id[:12]),
    ("repository", lambda it: it.repository),
)
TYPES: Final = {letter: change_type for change_type, letter in LETTERS.items()}
WORDS: Final = {
    ChangeType.CHANGE_TYPE_ADDED: "added",
    ChangeType.CHANGE_TYPE_MODIFIED: "modified",
    ChangeType.CHANGE_TYPE_DELETED: "deleted",
}


@click.command("changed-files", cls=Leaf)
@click.argument("version")
@click.option("--path", "path_prefix", default="", metavar="PREFIX", help="Only paths that begin so.")
@click.option("--repository", default="", metavar="OWNER/NAME", help="Only of this one.")
@click.option(
    "--type",
    "letters",
    type=click.Choice(list(TYPES), case_sensitive=False),
    multiple=True,
    help="Only added, deleted or modified ones; repeat for more.",
)
@click.option("--count", is_flag=True, help="Only count them, by type.")
@limit_option
@pass_application
def changed_files(
    application: Application,
    version: str,
    path_prefix: str,
    repository: str,
    letters: tuple[str, ...],
    count: bool,
    limit: int | None,
) -> None:
    r"""List the files that the commits of a release changed, newest commit first.

    \b
    Examples:
      relctl changed-files app@1.1.0 --path src/ --type D
      relctl changed-files app@1.1.0 --count
    """
    releases = application.client.releases
    chosen = [TYPES[letter] for letter in letters]
    if count and limit is not None:
        raise click.UsageError("--count counts all of them: leave out --limit")
    if count:
        counts = releases.count_changed_files(
            application.organization, version, path_prefix=path_prefix, repository=repository, change_types=chosen
        )
        told = {word: counts.get(change_type, 0) for change_type, word in WORDS.items()}
        if application.json:
            application.show_values(told)
        else:
            changes = counted(sum(told.values()), "change")
            application.say(f"{changes}: " + ", ".join(f"{number:,} {word}" for word, number in told.items()))
        return
    found = releases.list_changed_files(
        application.organization,
        version,
        path_prefix=path_prefix,
        repository=repository,
        change_types=chosen,
        limit=limit,
    )
    application.show_list(found, COLUMNS, nothing=f"the commits of {version} changed no such file")
