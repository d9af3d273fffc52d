"""The flags that say which releases a command is about, and what its help says of the search language."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import wraps
from typing import Any, Final, TypeVar

import click

from relctl.cli.application import Application
from relctl.cli.release_columns import STATUSES
from relctl.release_filters import EVERY_PROJECT, ReleaseFilter, TimeSpan

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

LANGUAGE: Final = """\b
A query is terms with spaces between them, all of which must hold:
  key:value  key:[a, b]  key:"with spaces"  key:>=2  has:key  !term
  beta       the version contains it
  a OR b     either; (a OR b) c groups; * in a value stands for any text
  keys       release release.version release.package release.build
             release.created release.released finalized status project
             environment ref owner label.NAME author commit repository
             reference deployed deployed.ENVIRONMENT file commits deploys
             release.stage
  versions   1.2.3, >=1.2, app@1.2, 1.2.*      release:latest: each project's
  times      2026-11-20, >=2026-11-20T10:00, -7d (the last), +4w (longer ago)
docs/search.md tells all of it.
"""

PERIOD: Final = re.compile(r"[0-9]{1,11}[mhdw]")


class Span(click.ParamType[TimeSpan]):
    """A span of time: `14d`, a day, or `START..END`, either of which may be left out."""

    name = "span"

    def convert(self, value: str | TimeSpan, param: click.Parameter | None, ctx: click.Context | None) -> TimeSpan:
        """Read the text of a flag. Days are of UTC, and one that ends a span is part of it."""
        if isinstance(value, TimeSpan):
            return value
        if PERIOD.fullmatch(value):
            return TimeSpan(period=value)
        start, dots, end = value.partition("..")
        try:
            if dots and (start or end):
                return TimeSpan(since=_time(start) if start else None, until=_time(end, last=True) if end else None)
            return TimeSpan(since=_day(value), until=_day(value) + timedelta(days=1))
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is no span of time; write 14d, 2026-01-31, 2026-01-01..2026-01-31 or"
                " 2026-01-31T12:00:00Z..",
                param,
                ctx,
            )


def _day(text: str) -> datetime:
    return datetime.combine(date.fromisoformat(text), time(), UTC)


def _time(text: str, *, last: bool = False) -> datetime:
    """A time with its zone, or the beginning of a day; of the `last` day of a span, its end."""
    try:
        return _day(text) + timedelta(days=1 if last else 0)
    except ValueError:
        moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.astimezone(UTC)


SPAN: Final = Span()

OPEN_ONES: Final = "open, unless the query says which"


def status_option(default: str = OPEN_ONES) -> Callable[[CommandT], CommandT]:
    """Add `--status`; the default is told as it is."""
    return click.option(
        "--status", type=click.Choice([*STATUSES, "all"]), help=f"Only with this status. [default: {default}]"
    )


environment_option = click.option(
    "--environment",
    "--env",
    "environments",
    multiple=True,
    metavar="NAME",
    help='Only what was deployed there, or had sessions there; "" for sessions of none; repeat for more.',
)
project_option = click.option(
    "--project", "projects", multiple=True, metavar="SLUG", help="Only of this project; repeat for more."
)
all_projects_option = click.option(
    "--all-projects", is_flag=True, help="Of every project that may be accessed, not only of the token's."
)


def query_option(text: str, *, required: bool = False) -> Callable[[CommandT], CommandT]:
    """Add `--query`; empty when it is not said and need not be."""
    # A default, be it None, would make up for what is required.
    more: dict[str, Any] = {"required": True} if required else {"default": ""}
    return click.option("--query", "-q", metavar="QUERY", help=text, **more)


def statuses_of(status: str | None) -> list[Any]:
    """What a filter holds for the word of the flag."""
    if status is None:
        return []
    return list(STATUSES.values()) if status == "all" else [STATUSES[status]]


def projects_of(projects: tuple[str, ...], *, all_projects: bool) -> tuple[str, ...]:
    """What a filter holds for both flags about projects."""
    if projects and all_projects:
        raise click.UsageError("--project and --all-projects exclude each other")
    return (EVERY_PROJECT,) if all_projects else projects


def remember_query(query: str) -> str:
    """The query; should the server refuse it, it is shown with the place."""
    click.get_current_context().ensure_object(Application).query = query
    return query


def filter_options(*, query_required: bool = False, status_default: str = OPEN_ONES) -> Callable[[CommandT], Any]:
    """Add the flags of a filter; the command gets them as one, `only`."""
    options = (
        query_option("Only what this finds: see below.", required=query_required),
        project_option,
        all_projects_option,
        environment_option,
        status_option(status_default),
        click.option("--created", type=SPAN, help="Only created then: 14d, 2026-01-31, 2026-01-01..2026-01-31."),
        click.option("--released", type=SPAN, help="Only released then."),
    )

    def add(command: CommandT) -> Any:
        @wraps(command)
        def gathered(
            *arguments: Any,
            query: str,
            projects: tuple[str, ...],
            all_projects: bool,
            environments: tuple[str, ...],
            status: str | None,
            created: TimeSpan | None,
            released: TimeSpan | None,
            **rest: Any,
        ) -> Any:
            only = ReleaseFilter(
                query=remember_query(query),
                projects=projects_of(projects, all_projects=all_projects),
                environments=environments,
                statuses=statuses_of(status),
                created=created or TimeSpan(),
                released=released or TimeSpan(),
            )
            return command(*arguments, only=only, **rest)

        changed: Any = gathered
        for option in reversed(options):
            changed = option(changed)
        return changed

    return add
