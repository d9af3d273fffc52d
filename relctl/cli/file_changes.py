"""`relctl files get`, `rename` and `delete`."""

from __future__ import annotations

import click

from relctl.cli.application import Application
from relctl.cli.found_files import DETAILED_COLUMNS, find_file, which_options
from relctl.cli.options import Leaf, ask, pass_application, yes_option


@click.command(cls=Leaf)
@click.argument("version")
@click.argument("name", metavar="NAME|UID")
@which_options
@pass_application
def get(application: Application, version: str, name: str, project: str | None, dist: str | None) -> None:
    """Show all that is kept of a file but its content."""
    file = find_file(application, version, name, project=project, dist=dist)
    application.show(file, DETAILED_COLUMNS)


@click.command(cls=Leaf)
@click.argument("version")
@click.argument("name", metavar="NAME|UID")
@click.argument("new_name")
@which_options
@pass_application
def rename(
    application: Application, version: str, name: str, new_name: str, project: str | None, dist: str | None
) -> None:
    r"""Call a file otherwise. Its content and uid stay.

    \b
    Example:
      relctl files rename app@1.0.0 app.js static/app.js
    """
    if not new_name:
        raise click.UsageError("the new name is empty")
    file = find_file(application, version, name, project=project, dist=dist)
    renamed = application.client.files.update(application.organization, version, file.uid, file_name=new_name)
    application.say(f"{file.file_name} is called {renamed.file_name} from now on")
    application.show(renamed, DETAILED_COLUMNS)


@click.command(cls=Leaf)
@click.argument("version")
@click.argument("name", metavar="NAME|UID")
@which_options
@yes_option
@pass_application
def delete(application: Application, version: str, name: str, project: str | None, dist: str | None, yes: bool) -> None:
    """Delete a file of a release."""
    file = find_file(application, version, name, project=project, dist=dist)
    ask(f"Delete {file.file_name} of {version}?", yes=yes, declined=f"{file.file_name} was not deleted")
    application.client.files.delete(application.organization, version, file.uid)
    application.say(f"{file.file_name} deleted")
