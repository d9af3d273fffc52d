"""`relctl compare`: what two releases do not have alike."""

from __future__ import annotations

from typing import Final

import click
from releaseregistry.v1.comparisons_pb2 import ComparisonSection, ComparisonSide, Difference

from relctl.cli.application import Application, note, print_json
from relctl.cli.commits import LETTERS
from relctl.cli.options import Leaf, limit_option, pass_application
from relctl.cli.text import one_line, subject

SECTIONS: Final = {
    "commits": ComparisonSection.COMPARISON_SECTION_COMMITS,
    "changed-files": ComparisonSection.COMPARISON_SECTION_CHANGED_FILES,
    "authors": ComparisonSection.COMPARISON_SECTION_AUTHORS,
    "references": ComparisonSection.COMPARISON_SECTION_REFERENCES,
    "files": ComparisonSection.COMPARISON_SECTION_FILES,
}
MARKS: Final = {
    ComparisonSide.COMPARISON_SIDE_ADDED: "+",
    ComparisonSide.COMPARISON_SIDE_REMOVED: "-",
    ComparisonSide.COMPARISON_SIDE_CHANGED: "~",
}


@click.command(cls=Leaf)
@click.argument("base")
@click.argument("version")
@click.option(
    "--section", "sections", type=click.Choice(list(SECTIONS)), multiple=True, help="Only this; repeat for more."
)
@limit_option
@pass_application
def compare(application: Application, base: str, version: str, sections: tuple[str, ...], limit: int | None) -> None:
    r"""Show what two releases do not have alike.

    `+` stands before what only VERSION has, `-` before what only BASE has, `~` before files with other content. --limit
    counts in each section.

    \b
    Examples:
      relctl compare app@1.0.0 app@1.1.0
      relctl compare app@1.0.0 app@1.1.0 --section files --json
    """
    for word in sections or tuple(SECTIONS):
        found = application.client.comparisons.compare(
            application.organization, base, version, SECTIONS[word], limit=limit
        )
        if application.json:
            for difference in found:
                print_json(difference)
            continue
        shown = False
        for difference in found:
            if not shown:
                click.echo(f"{word}:")
                shown = True
            click.echo(one_line(f"{MARKS.get(difference.side, '?')} {_told(difference)}"))
        if not shown:
            note(f"{word}: alike")


def _told(difference: Difference) -> str:
    match difference.WhichOneof("subject"):
        case "commit":
            commit = difference.commit
            author = commit.author_name or commit.author_email
            return "  ".join(
                part for part in (commit.id[:12], commit.repository, author, subject(commit.message)) if part
            )
        case "change":
            change = difference.change
            return f"{change.commit_id[:12]}  {LETTERS.get(change.change_type, '?')} {change.path}"
        case "author":
            return f"{difference.author.display_name} <{difference.author.email}>".strip()
        case "reference":
            return difference.reference
        case _:
            either = difference.file.file if difference.file.HasField("file") else difference.file.base_file
            return f"{either.file_name}  {either.dist}".strip()
