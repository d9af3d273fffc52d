"""`relctl deploys` and `relctl current`: where releases run."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import click
from releaseregistry.v1.deploys_pb2 import Deploy

from relctl.cli.application import Application, Columns, print_json
from relctl.cli.options import Folder, Leaf, limit_option, pass_application
from relctl.cli.text import MOMENT, counted, local_time
from relctl.deploys import EVERY_RELEASE, DeployDraft
from relctl.errors import NothingThere
from relctl.names import last_part, version_of

COLUMNS: Final[Columns[Deploy]] = (
    ("version", lambda it: version_of(it.name)),
    ("environment", lambda it: it.environment),
    ("projects", lambda it: ", ".join(last_part(name) for name in it.projects)),
    ("finished", lambda it: local_time(it.finish_time)),
    ("name", lambda it: it.display_name),
    ("url", lambda it: it.url),
)


@click.group(cls=Folder)
def deploys() -> None:
    """Deploys: which release was brought to which environment."""


@deploys.command()
@click.argument("version")
@click.option(
    "--env", "environments", multiple=True, required=True, metavar="NAME", help="Where to; repeat for more, up to 20."
)
@click.option("--project", "projects", multiple=True, metavar="SLUG", help="Only of this project; repeat for more.")
@click.option("--name", default="", help="What it is called, such as the number of a job.")
@click.option("--url", default="", help="Where to read about it.")
@click.option("--started", type=MOMENT, help="When it began: RFC 3339, or now.")
@click.option("--finished", type=MOMENT, help="When it was done. [default: now]")
@click.option("--validate-only", is_flag=True, help="Check everything, change nothing.")
@pass_application
def create(
    application: Application,
    version: str,
    environments: tuple[str, ...],
    projects: tuple[str, ...],
    name: str,
    url: str,
    started: datetime | None,
    finished: datetime | None,
    validate_only: bool,
) -> None:
    r"""Tell that a release was deployed.

    Environments are created when they are new. Without --project it was deployed for all projects of the release.

    \b
    Examples:
      relctl deploys create app@1.0.0 --env production
      relctl deploys create app@1.0.0 --env staging --env production --project web --url https://ci.example.com/7
    """
    draft = DeployDraft(
        environments=environments,
        projects=projects,
        display_name=name,
        url=url,
        start_time=started,
        finish_time=finished,
    )
    made = application.client.deploys.create(application.organization, version, draft, validate_only=validate_only)
    if application.json:
        for deploy in made:
            print_json(deploy)
        return
    places = ", ".join(deploy.environment for deploy in made)
    application.say(
        f"{version} would be deployed to {places} (only checked, nothing was changed)"
        if validate_only
        else f"{version} is deployed to {places}"
    )


@deploys.command("list")
@click.argument("version", default=EVERY_RELEASE)
@click.option("--env", "environments", multiple=True, metavar="NAME", help="Only to this one; repeat for more.")
@click.option("--project", "projects", multiple=True, metavar="SLUG", help="Only of this project; repeat for more.")
@click.option("--since", type=MOMENT, help="Only what was done at this time or later: RFC 3339.")
@click.option("--until", type=MOMENT, help="Only what was done before this time.")
@click.option("--latest", is_flag=True, help="Only the newest of each project in each environment.")
@limit_option
@pass_application
def list_(
    application: Application,
    version: str,
    environments: tuple[str, ...],
    projects: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    latest: bool,
    limit: int | None,
) -> None:
    r"""List the deploys of a release, or of all releases, newest first.

    \b
    Examples:
      relctl deploys list app@1.0.0
      relctl deploys list --env production --latest
    """
    found = application.client.deploys.list(
        application.organization,
        version,
        environments=environments,
        projects=projects,
        since=since,
        until=until,
        latest_only=latest,
        limit=limit,
    )
    application.show_list(found, COLUMNS, nothing="nothing was deployed")


@click.command(cls=Leaf)
@click.argument("project")
@click.argument("environment")
@click.option("--history", type=click.IntRange(min=1), metavar="N", help="Show the N deploys before it, too.")
@pass_application
def current(application: Application, project: str, environment: str, history: int | None) -> None:
    r"""Show which release of a project runs in an environment: that of the newest deploy there.

    With --json it is the deploy that is printed, and behind it those before it.

    \b
    Examples:
      relctl current web production
      relctl current web production --history 10
    """
    service = application.client.deploys
    found = service.current(application.organization, project, environment)
    if found is None:
        raise NothingThere(f"{project} was never deployed to {environment}")
    shown = [found.deploy]
    if history is not None:
        shown += service.history(application.organization, project, environment, limit=history)
    if application.json or history is not None:
        application.show_list(shown, COLUMNS, nothing="")
        return
    commits = counted(found.release.commit_count, "commit")
    done = local_time(found.deploy.finish_time)
    application.say(f"{project} in {environment}: {found.release.version} since {done}, with {commits}")
