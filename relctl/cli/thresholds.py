"""`relctl threshold`: when releases count as healthy, and which of them do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Final, TypeVar

import click
from releaseregistry.v1.thresholds_pb2 import (
    ReleaseThresholds,
    Threshold,
    ThresholdMetric,
    ThresholdState,
    ThresholdStatus,
    ThresholdTrigger,
)

from relctl.cli.application import Application, Columns
from relctl.cli.failures import NotDone
from relctl.cli.health_columns import NONE
from relctl.cli.options import Folder, ask, limit_option, pass_application, yes_option
from relctl.cli.release_filters import SPAN, all_projects_option, project_option, projects_of
from relctl.cli.text import counted, local_time
from relctl.names import project_of, version_of
from relctl.release_filters import EVERY_PROJECT, TimeSpan
from relctl.thresholds import LAST_TWO_WEEKS, ThresholdDraft

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

EVER: Final = TimeSpan(since=datetime(1970, 1, 1, tzinfo=UTC))
METRICS: Final = {
    "errors": ThresholdMetric.THRESHOLD_METRIC_TOTAL_ERROR_COUNT,
    "failures": ThresholdMetric.THRESHOLD_METRIC_FAILURE_RATE,
    "crash-free-sessions": ThresholdMetric.THRESHOLD_METRIC_CRASH_FREE_SESSION_RATE,
    "crash-free-users": ThresholdMetric.THRESHOLD_METRIC_CRASH_FREE_USER_RATE,
}
STATES: Final = {
    ThresholdState.THRESHOLD_STATE_HEALTHY: "healthy",
    ThresholdState.THRESHOLD_STATE_UNHEALTHY: "unhealthy",
    ThresholdState.THRESHOLD_STATE_NO_DATA: "no data",
}
EVERY_ENVIRONMENT: Final = "all"
THOUSANDTH: Final = Decimal("0.001")

LENGTH: Final = re.compile(r"([0-9]{1,7})([mhdw])")
UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


class Unhealthy(NotDone):
    """Not all releases that were looked at keep their thresholds; the text says how many do not."""

    reason = "UNHEALTHY"


class Length(click.ParamType[timedelta]):
    """How long something lasts: `90m`, `24h`, `7d`, `2w`."""

    name = "length"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read the text of a flag."""
        if isinstance(value, timedelta):
            return value
        found = LENGTH.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is no length of time; write 90m, 24h, 7d or 2w", param, ctx)
        return int(found[1]) * UNITS[found[2]]


def length_text(length: timedelta) -> str:
    """A length as it is written, in the longest unit that it is whole in."""
    unit = next(unit for unit in reversed(UNITS) if not length % UNITS[unit])
    return f"{length // UNITS[unit]}{unit}"


def value_text(metric: int, value: float | Decimal) -> str:
    """A value as the metric is told: a number of errors, or percent."""
    number = f"{value:,.3f}".rstrip("0").rstrip(".")
    return number if metric == ThresholdMetric.THRESHOLD_METRIC_TOTAL_ERROR_COUNT else f"{number} %"


def _metric(threshold: Threshold) -> str:
    return next((word for word, metric in METRICS.items() if metric == threshold.metric), "")


def _environment(threshold: Threshold) -> str:
    if not threshold.HasField("environment"):
        return EVERY_ENVIRONMENT
    return threshold.environment or "none"


def _condition(threshold: Threshold) -> str:
    over = threshold.trigger == ThresholdTrigger.THRESHOLD_TRIGGER_OVER
    return f"at {'most' if over else 'least'} {value_text(threshold.metric, threshold.value)}"


COLUMNS: Final[Columns[Threshold]] = (
    ("project", lambda it: project_of(it.name)),
    ("uid", lambda it: it.uid),
    ("environment", _environment),
    ("metric", _metric),
    ("healthy", _condition),
    ("for", lambda it: length_text(it.window.ToTimedelta())),
    ("created", lambda it: local_time(it.create_time)),
)


def _measured(status: ThresholdStatus) -> str:
    if not status.HasField("measured"):
        return NONE
    # To as many decimals as values have, and rounded so that what misses the value does not seem to reach it.
    over = status.threshold.trigger == ThresholdTrigger.THRESHOLD_TRIGGER_OVER
    cut = Decimal(str(status.measured)).quantize(THOUSANDTH, ROUND_CEILING if over else ROUND_FLOOR)
    return value_text(status.threshold.metric, cut)


def _one(status: Callable[[ThresholdStatus], str]) -> Callable[[ReleaseThresholds], str]:
    """What is told of the only status that a row of the table has."""
    return lambda it: status(it.statuses[0])


STATUS_COLUMNS: Final[Columns[ReleaseThresholds]] = (
    ("version", lambda it: version_of(it.release)),
    ("project", lambda it: project_of(it.project)),
    ("environment", _one(lambda status: _environment(status.threshold))),
    ("metric", _one(lambda status: _metric(status.threshold))),
    ("healthy", _one(lambda status: _condition(status.threshold))),
    ("measured", _one(_measured)),
    ("state", _one(lambda status: STATES.get(status.state, "?"))),
    ("from", _one(lambda status: local_time(status.start_time))),
    ("to", _one(lambda status: local_time(status.end_time))),
)


def _condition_options(command: CommandT) -> CommandT:
    for option in (
        click.option("--under", type=float, metavar="VALUE", help="Unhealthy under this value, healthy from it on."),
        click.option("--over", type=float, metavar="VALUE", help="Unhealthy over this value, healthy up to it."),
    ):
        command = option(command)
    return command


def _said(over: float | None, under: float | None) -> tuple[ThresholdTrigger, float] | None:
    """The trigger and the value that two flags say; None where neither does."""
    if over is not None and under is not None:
        raise click.UsageError("--over and --under exclude each other")
    if over is not None:
        return ThresholdTrigger.THRESHOLD_TRIGGER_OVER, over
    return None if under is None else (ThresholdTrigger.THRESHOLD_TRIGGER_UNDER, under)


@click.group(cls=Folder)
def threshold() -> None:
    """Thresholds: when the releases of a project count as healthy."""


@threshold.command()
@click.argument("project")
@click.argument("metric", type=click.Choice(list(METRICS)), metavar="METRIC")
@_condition_options
@click.option(
    "--for",
    "window",
    type=Length(),
    default="24h",
    show_default=True,
    help="How long a release is watched: at most 90d.",
)
@click.option("--environment", "--env", metavar="NAME", help='Only sessions of this one; "" for those of none.')
@click.option("--validate-only", is_flag=True, help="Check everything, change nothing.")
@pass_application
def create(
    application: Application,
    project: str,
    metric: str,
    over: float | None,
    under: float | None,
    window: timedelta,
    environment: str | None,
    validate_only: bool,
) -> None:
    r"""Hold the releases of a project to a threshold; a project may have 100.

    A release is watched from its creation on, or, with an environment, from its newest deploy there. METRIC is what is
    measured of its sessions in that time:

    \b
      errors               how many errors they had
      failures             which share had errors, crashed or ended abnormally, in percent
      crash-free-sessions  which share did not crash, in percent
      crash-free-users     which share of their users saw no crash, in percent

    \b
    Examples:
      relctl threshold create web crash-free-sessions --under 99.5 --for 7d --environment production
      relctl threshold create web errors --over 100
    """
    said = _said(over, under)
    if said is None:
        raise click.UsageError("say --over or --under which value a release is unhealthy")
    draft = ThresholdDraft(
        metric=METRICS[metric], trigger=said[0], value=said[1], window=window, environment=environment
    )
    thresholds = application.client.thresholds
    made = thresholds.create(application.organization, project, draft, validate_only=validate_only)
    application.say(
        f"a threshold of {project} would be created (only checked, nothing was changed)"
        if validate_only
        else f"threshold {made.uid} of {project} created"
    )
    application.show(made, COLUMNS)


@threshold.command("list")
@click.argument("project", default=EVERY_PROJECT)
@limit_option
@pass_application
def list_(application: Application, project: str, limit: int | None) -> None:
    """List the thresholds of a project, or of all that the token may access, oldest first."""
    found = application.client.thresholds.list(application.organization, project, limit=limit)
    application.show_list(found, COLUMNS, nothing="no thresholds")


@threshold.command()
@click.argument("project")
@click.argument("uid")
@click.option("--metric", type=click.Choice(list(METRICS)), help="What is measured.")
@_condition_options
@click.option("--for", "window", type=Length(), help="How long a release is watched: at most 90d.")
@click.option("--environment", "--env", metavar="NAME", help='Only sessions of this one; "" for those of none.')
@click.option("--all-environments", is_flag=True, help="Sessions of all environments.")
@pass_application
def update(
    application: Application,
    project: str,
    uid: str,
    metric: str | None,
    over: float | None,
    under: float | None,
    window: timedelta | None,
    environment: str | None,
    all_environments: bool,
) -> None:
    r"""Change what is said of a threshold; the rest stays.

    \b
    Example:
      relctl threshold update web 0199b7de-4b1c-7d3e-8a10-2b7c5d8e9f01 --under 99.9
    """
    if environment is not None and all_environments:
        raise click.UsageError("--environment and --all-environments exclude each other")
    changes = Threshold(environment=environment)
    paths = ["environment"] if environment is not None or all_environments else []
    if metric is not None:
        changes.metric = METRICS[metric]
        paths.append("metric")
    said = _said(over, under)
    if said is not None:
        changes.trigger, changes.value = said
        paths += ["trigger", "value"]
    if window is not None:
        changes.window.FromTimedelta(window)
        paths.append("window")
    if not paths:
        raise click.UsageError("say what to change")
    thresholds = application.client.thresholds
    application.show(thresholds.update(application.organization, project, uid, changes, paths=paths), COLUMNS)


@threshold.command()
@click.argument("project")
@click.argument("uid")
@yes_option
@pass_application
def delete(application: Application, project: str, uid: str, yes: bool) -> None:
    r"""Delete a threshold.

    \b
    Example:
      relctl threshold delete web 0199b7de-4b1c-7d3e-8a10-2b7c5d8e9f01 --yes
    """
    organization = application.organization
    ask(f"Delete threshold {uid} of {project}?", yes=yes, declined=f"threshold {uid} was not deleted")
    application.client.thresholds.delete(organization, project, uid)
    application.say(f"threshold {uid} of {project} deleted")


@threshold.command()
@click.argument("versions", metavar="[VERSION]...", nargs=-1)
@click.option(
    "--created",
    type=SPAN,
    help="Releases created then: 2d, 2026-01-31, 2026-01-01.. [default: 14d, or of VERSIONs any time]",
)
@project_option
@all_projects_option
@click.option(
    "--environment",
    "--env",
    "environments",
    multiple=True,
    metavar="NAME",
    help='Only thresholds of this one; "" for sessions of none; repeat for more.',
)
@click.option("--check", is_flag=True, help="End with exit code 1 if a release does not keep a threshold.")
@limit_option
@pass_application
def status(
    application: Application,
    versions: tuple[str, ...],
    created: TimeSpan | None,
    projects: tuple[str, ...],
    all_projects: bool,
    environments: tuple[str, ...],
    check: bool,
    limit: int | None,
) -> None:
    r"""Show which releases keep the thresholds of their projects, newest release first.

    Sessions count by the hour in which they began. Without any there is no share to measure: no data. --limit counts
    releases. With --check a VERSION that there is not fails, too. With --json each line is a release in a project,
    with the status of every threshold.

    \b
    Examples:
      relctl threshold status
      relctl threshold status app@1.0.0 --created 90d --environment production --check
    """
    found = application.client.thresholds.status(
        application.organization,
        created or (EVER if versions else LAST_TWO_WEEKS),
        environments=environments,
        projects=projects_of(projects, all_projects=all_projects),
        versions=versions,
        limit=limit,
    )
    unhealthy = 0
    seen: set[str] = set()

    def looked_at() -> Iterator[ReleaseThresholds]:
        nonlocal unhealthy
        for release in found:
            seen.add(version_of(release.release))
            unhealthy += sum(each.state == ThresholdState.THRESHOLD_STATE_UNHEALTHY for each in release.statuses)
            yield release

    nothing = f"no {'such release' if versions else 'release of that time'} is held to a threshold"
    # A row of a table is one status, a line of JSON all that there is of a release in a project.
    rows = looked_at() if application.json else (row for release in looked_at() for row in _rows(release))
    application.show_list(rows, STATUS_COLUMNS, nothing=nothing)
    for version in dict.fromkeys(versions) if check else ():
        if version not in seen:  # one that is not held to any keeps them all, one that is not there keeps none
            application.client.health.get_adoption(application.organization, version)
    if check and unhealthy:
        raise Unhealthy(f"{counted(unhealthy, 'threshold')} not kept")


def _rows(release: ReleaseThresholds) -> Iterator[ReleaseThresholds]:
    for status in release.statuses:
        yield ReleaseThresholds(release=release.release, project=release.project, statuses=[status])
