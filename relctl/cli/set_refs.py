"""`relctl release set-refs`: up to which commit a release holds each repository."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
from releaseregistry.v1.commits_pb2 import Ref

from relctl.cli.application import Application, print_json
from relctl.cli.options import Leaf, pass_application
from relctl.cli.text import head_text
from relctl.git import GitRepository
from relctl.history import commits_of_range

FORM: Final = "write OWNER/NAME@COMMIT or OWNER/NAME@FROM..TO"


@click.command("set-refs", cls=Leaf)
@click.argument("version")
@click.argument("refs", nargs=-1, required=True, metavar="REF...")
@click.option("--commits", is_flag=True, help="Add the commits of the ranges, too, as the git repository knows them.")
@click.option("--git", "folder", type=click.Path(path_type=Path), default=".", help="The git repository. [default: .]")
@click.option("--validate-only", is_flag=True, help="Check everything, change nothing.")
@pass_application
def set_refs(
    application: Application,
    version: str,
    refs: tuple[str, ...],
    commits: bool,
    folder: Path,
    validate_only: bool,
) -> None:
    r"""Say up to which commit a release holds each repository, and from which on.

    REF is OWNER/NAME@COMMIT, or OWNER/NAME@FROM..TO, where FROM itself is not part of it; of several of one repository
    the last one counts. The repositories are known to the registry. With --commits there is one REF, a range of any
    revisions that git knows, and its commits are added to those that the release has.

    \b
    Examples:
      relctl release set-refs app@1.1.0 acme/web@4f1c2d9 acme/api@77aa01c..9b3d2e0
      relctl release set-refs app@1.1.0 acme/web@v1.0.0..v1.1.0 --commits --git web
    """
    parsed = [_ref(text) for text in refs]
    client, organization = application.client, application.organization
    if commits:
        if validate_only:
            raise click.UsageError("--commits cannot only be checked: leave out --validate-only")
        if len(parsed) != 1 or ".." not in parsed[0].commit:
            raise click.UsageError(f"--commits takes one range: {FORM}")
        git, (ref,) = GitRepository(folder), parsed
        start, _, end = ref.commit.partition("..")
        found = commits_of_range(git, start, end, repository=ref.repository)
        parsed = [Ref(repository=ref.repository, commit=f"{git.resolve(start)}..{git.resolve(end)}")]
        # The commits first: with them comes the repository, when it is new.
        if found.commits:
            client.releases.set_commits(organization, version, found.commits, append=True)
    answer = client.releases.set_refs(organization, version, parsed, validate_only=validate_only)
    if application.json:
        print_json(answer)
        return
    checked = " (only checked, nothing was changed)" if validate_only else ""
    heads = ", ".join(map(head_text, answer.head_commits))
    application.say(f"release {version} {'would hold' if validate_only else 'holds'} {heads}{checked}")


def _ref(text: str) -> Ref:
    repository, separator, commit = text.rpartition("@")
    if not (repository and separator and commit):
        raise click.UsageError(f"{text!r} is no ref; {FORM}")
    return Ref(repository=repository, commit=commit)
