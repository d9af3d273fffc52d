"""`relctl project`: projects."""

from __future__ import annotations

from typing import Final

import click
from releaseregistry.v1.organizations_pb2 import Project

from relctl.cli.application import Application, Columns
from relctl.cli.options import Folder, ask, limit_option, pass_application, yes_option
from relctl.cli.text import local_time

COLUMNS: Final[Columns[Project]] = (
    ("slug", lambda it: it.slug),
    ("name", lambda it: it.display_name),
    ("platform", lambda it: it.platform),
    ("manual releases", lambda it: it.manual_releases),
    ("created", lambda it: local_time(it.create_time)),
)


@click.group(cls=Folder)
def project() -> None:
    """Projects: what releases are of, and what tokens are members of."""


@project.command()
@click.argument("slug")
@click.option("--name", default="", help="The name for people. [default: the slug]")
@click.option("--platform", default="", help="What it runs on, such as python.")
@click.option("--manual-releases", is_flag=True, help="Create no release because sessions name its version.")
@pass_application
def create(application: Application, slug: str, name: str, platform: str, manual_releases: bool) -> None:
    r"""Create a project.

    \b
    Example:
      relctl project create web --platform javascript-react
    """
    organization = application.organization
    made = application.client.organizations.create_project(
        organization, slug, display_name=name, platform=platform, manual_releases=manual_releases
    )
    application.say(f"project {made.slug} created in {organization}")
    application.show(made, COLUMNS)


@project.command()
@click.argument("slug")
@pass_application
def get(application: Application, slug: str) -> None:
    """Show a project, found by its slug or by one it had before."""
    application.show(application.client.organizations.get_project(application.organization, slug), COLUMNS)


@project.command("list")
@limit_option
@pass_application
def list_(application: Application, limit: int | None) -> None:
    """List the projects that the token may access."""
    projects = application.client.organizations.list_projects(application.organization, limit=limit)
    application.show_list(projects, COLUMNS, nothing="no projects")


@project.command()
@click.argument("slug")
@click.option("--slug", "new_slug", help="Another slug; the old one stays an alias.")
@click.option("--name", help="The name for people.")
@click.option("--platform", help='What it runs on; "" clears it.')
@click.option(
    "--manual-releases/--releases-of-sessions",
    default=None,
    help="Whether releases are created because sessions name their versions.",
)
@pass_application
def update(
    application: Application,
    slug: str,
    new_slug: str | None,
    name: str | None,
    platform: str | None,
    manual_releases: bool | None,
) -> None:
    """Change what is said; the rest stays."""
    said = {"slug": new_slug, "display_name": name, "platform": platform, "manual_releases": manual_releases}
    paths = [path for path, value in said.items() if value is not None]
    if not paths:
        raise click.UsageError("say what to change")
    changes = Project(slug=new_slug, display_name=name, platform=platform, manual_releases=manual_releases)
    organizations = application.client.organizations
    application.show(organizations.update_project(application.organization, slug, changes, paths=paths), COLUMNS)


@project.command()
@click.argument("slug")
@click.option("--force", is_flag=True, help="Even if it has releases; those that have no other project go with it.")
@yes_option
@pass_application
def delete(application: Application, slug: str, force: bool, yes: bool) -> None:
    r"""Delete a project. Its slug is never given to another.

    \b
    Example:
      relctl project delete web --force --yes
    """
    organization = application.organization
    ask(f"Delete project {slug} of {organization}?", yes=yes, declined=f"project {slug} was not deleted")
    application.client.organizations.delete_project(organization, slug, force=force)
    application.say(f"project {slug} deleted")
