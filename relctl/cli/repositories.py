"""`relctl repo`: repositories."""

from __future__ import annotations

import uuid
from typing import Final

import click
from releaseregistry.v1.organizations_pb2 import Repository, RepositoryState

from relctl.cli.application import Application, Columns
from relctl.cli.options import Folder, limit_option, pass_application
from relctl.cli.text import local_time
from relctl.errors import LocalError, NothingThere

STATES: Final = {
    "active": RepositoryState.REPOSITORY_STATE_ACTIVE,
    "disabled": RepositoryState.REPOSITORY_STATE_DISABLED,
}
COLUMNS: Final[Columns[Repository]] = (
    ("uid", lambda it: it.uid),
    ("name", lambda it: it.display_name),
    ("state", lambda it: next((word for word, state in STATES.items() if state == it.state), "")),
    ("provider", lambda it: it.provider),
    ("external id", lambda it: it.external_id),
    ("url", lambda it: it.url),
    ("created", lambda it: local_time(it.create_time)),
)


@click.group(cls=Folder)
def repo() -> None:
    """Repositories: where commits come from. Those that commits name are created by themselves."""


@repo.command()
@click.argument("name")
@click.option("--url", default="", help="Where it can be looked at.")
@click.option("--provider", default="", help="Who hosts it, such as github.")
@click.option("--external-id", default="", help="Its id with the provider.")
@pass_application
def create(application: Application, name: str, url: str, provider: str, external_id: str) -> None:
    r"""Create a repository, named as commits name it.

    \b
    Example:
      relctl repo create acme/web --url https://github.com/acme/web
    """
    organization = application.organization
    draft = Repository(display_name=name, url=url, provider=provider, external_id=external_id)
    made = application.client.organizations.create_repository(organization, draft)
    application.say(f"repository {made.display_name} created in {organization}")
    application.show(made, COLUMNS)


@repo.command()
@click.argument("repository", metavar="NAME|UID")
@pass_application
def get(application: Application, repository: str) -> None:
    """Show a repository."""
    application.show(_find(application, application.organization, repository), COLUMNS)


@repo.command("list")
@limit_option
@pass_application
def list_(application: Application, limit: int | None) -> None:
    """List the repositories of the organization."""
    repositories = application.client.organizations.list_repositories(application.organization, limit=limit)
    application.show_list(repositories, COLUMNS, nothing="no repositories")


@repo.command()
@click.argument("repository", metavar="NAME|UID")
@click.option("--name", help="What commits name it by.")
@click.option("--url", help='Where it can be looked at; "" clears it.')
@click.option("--provider", help='Who hosts it; "" clears it.')
@click.option("--external-id", help='Its id with the provider; "" clears it.')
@click.option("--state", type=click.Choice(list(STATES)), help="Whether it takes commits.")
@pass_application
def update(
    application: Application,
    repository: str,
    name: str | None,
    url: str | None,
    provider: str | None,
    external_id: str | None,
    state: str | None,
) -> None:
    """Change what is said; the rest stays."""
    said = {"display_name": name, "url": url, "provider": provider, "external_id": external_id, "state": state}
    paths = [path for path, value in said.items() if value is not None]
    changes = Repository(display_name=name, url=url, provider=provider, external_id=external_id)
    if state is not None:
        changes.state = STATES[state]
    if not paths:
        raise click.UsageError("say what to change")
    organization = application.organization
    found = _find(application, organization, repository)
    # Required in every request, also in one that does not change it.
    changes.display_name = found.display_name if name is None else name
    organizations = application.client.organizations
    application.show(organizations.update_repository(organization, found.uid, changes, paths=paths), COLUMNS)


def _find(application: Application, organization: str, repository: str) -> Repository:
    """The repository of that uid or display name; of several with one name the active one."""
    try:
        uid = str(uuid.UUID(repository))
    except ValueError:
        pass
    else:
        return application.client.organizations.get_repository(organization, uid)
    found = [
        item
        for item in application.client.organizations.list_repositories(organization)
        if item.display_name == repository
    ]
    found.sort(key=lambda item: item.state != RepositoryState.REPOSITORY_STATE_ACTIVE)
    if not found:
        raise NothingThere(f"{organization} has no repository {repository!r}; `relctl repo list` shows them")
    if len(found) > 1 and found[0].state != RepositoryState.REPOSITORY_STATE_ACTIVE:
        raise LocalError(f"several repositories are called {repository!r}; say the uid, `relctl repo list` shows it")
    return found[0]
