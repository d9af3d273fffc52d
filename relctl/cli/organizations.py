"""`relctl org`: organizations."""

from __future__ import annotations

from typing import Final

import click
from releaseregistry.v1.organizations_pb2 import Organization

from relctl.cli.application import Application, Columns
from relctl.cli.options import Folder, limit_option, pass_application
from relctl.cli.text import local_time

COLUMNS: Final[Columns[Organization]] = (
    ("slug", lambda it: it.slug),
    ("name", lambda it: it.display_name),
    ("open membership", lambda it: it.open_membership),
    ("created", lambda it: local_time(it.create_time)),
)


@click.group(cls=Folder)
def org() -> None:
    """Organizations: who owns projects, releases and tokens."""


@org.command()
@click.argument("slug")
@click.option("--name", default="", help="The name for people. [default: the slug]")
@click.option("--open-membership", is_flag=True, help="Let every token of it reach all of its projects.")
@pass_application
def create(application: Application, slug: str, name: str, open_membership: bool) -> None:
    r"""Create an organization; needs an operator's token.

    \b
    Example:
      relctl org create acme --name "Acme Inc."
    """
    made = application.client.organizations.create(slug, display_name=name, open_membership=open_membership)
    application.say(f"organization {made.slug} created")
    application.show(made, COLUMNS)


@org.command()
@click.argument("slug", required=False)
@pass_application
def get(application: Application, slug: str | None) -> None:
    """Show an organization, without SLUG the one in use."""
    application.show(application.client.organizations.get(slug or application.organization), COLUMNS)


@org.command("list")
@limit_option
@pass_application
def list_(application: Application, limit: int | None) -> None:
    """List the organizations that the token reaches."""
    application.show_list(application.client.organizations.list(limit=limit), COLUMNS, nothing="no organizations")


@org.command()
@click.argument("slug")
@click.option("--slug", "new_slug", help="Another slug; the old one stays an alias.")
@click.option("--name", help="The name for people.")
@click.option("--open-membership/--no-open-membership", default=None, help="Every token reaches all projects, or not.")
@pass_application
def update(
    application: Application, slug: str, new_slug: str | None, name: str | None, open_membership: bool | None
) -> None:
    """Change what is said; the rest stays."""
    said = {"slug": new_slug, "display_name": name, "open_membership": open_membership}
    paths = [path for path, value in said.items() if value is not None]
    if not paths:
        raise click.UsageError("say what to change")
    changes = Organization(slug=new_slug, display_name=name, open_membership=open_membership)
    application.show(application.client.organizations.update(slug, changes, paths=paths), COLUMNS)
