"""`relctl activity` and `relctl environments`: what was done in an organization, and where it runs things."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, cast

import click
from google.protobuf.json_format import MessageToDict
from releaseregistry.v1.activities_pb2 import Activity, ActivityKind
from releaseregistry.v1.organizations_pb2 import Environment

from relctl.cli.application import Application, Columns
from relctl.cli.options import Leaf, limit_option, pass_application
from relctl.cli.text import MOMENT, local_time
from relctl.names import last_part

_PREFIX: Final = "ACTIVITY_KIND_"
KINDS: Final[dict[str, ActivityKind]] = {
    name.removeprefix(_PREFIX).lower().replace("_", "-"): cast(ActivityKind, number)
    for name, number in ActivityKind.items()
    if number
}
WORDS: Final = {number: word.replace("-", " ") for word, number in KINDS.items()}

DIGEST: Final = re.compile("[0-9a-f]{64}")


def _told(activity: Activity) -> str:
    values = MessageToDict(activity.data)
    values.pop("version", None)
    parts = (f"{key.replace('_', ' ')}: {_value(value)}" for key, value in sorted(values.items()) if value != "")
    return ", ".join(parts)


def _value(value: object) -> str:
    match value:
        case {"repository": repository, "commit": commit, **more}:
            start = str(more.get("previous_commit") or "")[:12]
            return f"{repository}@{start}{'..' if start else ''}{str(commit)[:12]}"
        case [{}, *_]:
            return " ".join(map(_value, value))
        case [_, _]:  # what it was, and what it is
            return " → ".join(map(_value, value))
        case "":
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.0f}"
        case str() if DIGEST.fullmatch(value):
            return value[:12]
        case _:
            return str(value)


COLUMNS: Final[Columns[Activity]] = (
    ("time", lambda it: local_time(it.happen_time)),
    ("what", lambda it: WORDS.get(it.kind, "?")),
    ("of", lambda it: it.subject),
    ("project", lambda it: last_part(it.project)),
    ("by", lambda it: it.caller or last_part(it.token)),
    ("more", _told),
)
ENVIRONMENT_COLUMNS: Final[Columns[Environment]] = (
    ("environment", lambda it: it.display_name),
    ("projects", lambda it: ", ".join(last_part(name) for name in it.projects)),
    ("since", lambda it: local_time(it.create_time)),
)


@click.command(cls=Leaf)
@click.option("--project", "projects", multiple=True, metavar="SLUG", help="Only of this project; repeat for more.")
@click.option("--kind", "kinds", type=click.Choice(list(KINDS)), multiple=True, help="Only this; repeat for more.")
@click.option("--release", "version", default="", metavar="VERSION", help="Only of this release.")
@click.option("--since", type=MOMENT, help="Only what happened at this time or later: RFC 3339.")
@click.option("--until", type=MOMENT, help="Only what happened before this time.")
@limit_option
@pass_application
def activity(
    application: Application,
    projects: tuple[str, ...],
    kinds: tuple[str, ...],
    version: str,
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
) -> None:
    r"""List what was done in the organization and its projects, newest first.

    \b
    Examples:
      relctl activity --limit 20
      relctl activity --release app@1.0.0 --kind release-deployed
    """
    found = application.client.organizations.list_activity(
        application.organization,
        projects=projects,
        kinds=[KINDS[kind] for kind in kinds],
        version=version,
        since=since,
        until=until,
        limit=limit,
    )
    application.show_list(found, COLUMNS, nothing="nothing was done")


@click.command(cls=Leaf)
@click.option("--project", "projects", multiple=True, metavar="SLUG", help="Only of this project; repeat for more.")
@limit_option
@pass_application
def environments(application: Application, projects: tuple[str, ...], limit: int | None) -> None:
    """List the environments to which projects were deployed, or where they had sessions, by name."""
    found = application.client.organizations.list_environments(application.organization, projects=projects, limit=limit)
    application.show_list(
        found, ENVIRONMENT_COLUMNS, nothing="nothing was deployed yet, and no session told of an environment"
    )
