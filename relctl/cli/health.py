"""`relctl health` and `relctl adoption`: what sessions say of a release, and who runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import click
from releaseregistry.v1.health_pb2 import GetReleaseHealthResponse, HealthBucket, HealthPeriod, ProjectHealth

from relctl.cli.application import Application, note, print_json
from relctl.cli.health_columns import ADOPTION_COLUMNS, MILESTONE_COLUMNS, PROJECT_ROWS
from relctl.cli.health_options import INTERVAL, PERIODS, session_environment_option
from relctl.cli.options import Leaf, pass_application
from relctl.cli.plots import Line, bars, lines
from relctl.cli.release_filters import project_option
from relctl.cli.text import MOMENT, one_line
from relctl.health import HealthSpan
from relctl.names import last_part

BESIDE: Final = 4
"""How many projects stand beside one another in the table."""

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)


@click.command(cls=Leaf)
@click.argument("version")
@click.option("--period", type=click.Choice(list(PERIODS)), help="The last so long. [default: 14d]")
@click.option("--since", type=MOMENT, help="From this time on, instead of a period: RFC 3339.")
@click.option("--until", type=MOMENT, help="Till before this time. [default: now]")
@click.option("--interval", type=INTERVAL, help="The steps of the plots: 1h, 1d, 7d. [default: as the period says]")
@project_option
@session_environment_option
@click.option("--breakdown", is_flag=True, help="Also the figures 1, 2, 7, 14 and 30 days after it was created.")
@click.option("--no-plot", is_flag=True, help="Only the figures.")
@pass_application
def health(
    application: Application,
    version: str,
    period: str | None,
    since: datetime | None,
    until: datetime | None,
    interval: timedelta | None,
    projects: tuple[str, ...],
    environments: tuple[str, ...],
    breakdown: bool,
    no_plot: bool,
) -> None:
    r"""Show how healthy a release is in its projects.

    First the figures, then plots over time: sessions, users, crash-free shares, and adoption. Numbers of users are
    estimates, right to some 1.6 %. Days are of UTC. With --json one object tells all of it.

    \b
    Examples:
      relctl health app@1.0.0
      relctl health app@1.0.0 --period 24h --environment production --project web
      relctl health app@1.0.0 --since 2026-01-01T00:00:00Z --interval 7d --breakdown
    """
    if period is not None and (since is not None or until is not None):
        raise click.UsageError("--period and --since, --until exclude each other")
    if until is not None and since is None:
        raise click.UsageError("--until is the end of a span: say --since, too")
    said = PERIODS[period] if period else HealthPeriod.HEALTH_PERIOD_UNSPECIFIED
    span = HealthSpan(period=said, since=since, until=until, interval=interval)
    answer = application.client.health.get_release_health(
        application.organization, version, span, projects=projects, environments=environments, breakdown=breakdown
    )
    if application.json:
        print_json(answer)
        return
    _show(application, version, answer, environments=environments, plots=not no_plot)


@click.command(cls=Leaf)
@click.argument("version")
@project_option
@click.option(
    "--environment", "--env", "environments", multiple=True, metavar="NAME", help="Only in this one; repeat for more."
)
@pass_application
def adoption(application: Application, version: str, projects: tuple[str, ...], environments: tuple[str, ...]) -> None:
    r"""Show how far a release has come in each environment of its projects.

    It is adopted where it has 10 % of the sessions, and replaced where it had and has not any more; the server looks
    every hour. Shares are of all sessions and users of the project there in the last 24 hours.

    \b
    Examples:
      relctl adoption app@1.0.0
      relctl adoption app@1.0.0 --environment production --json
    """
    found = application.client.health.get_adoption(
        application.organization, version, projects=projects, environments=environments
    )
    nothing = f"{version} was not deployed, and had no sessions, in any such environment"
    application.show_list(found, ADOPTION_COLUMNS, nothing=one_line(nothing))


def _show(
    application: Application,
    version: str,
    answer: GetReleaseHealthResponse,
    *,
    environments: Sequence[str],
    plots: bool,
) -> None:
    application.say(f"{version}{_where(environments)}, {_span(answer)}")
    if not answer.projects:
        note(f"{version} is not of any such project, and had no sessions there")
    for first in range(0, len(answer.projects), BESIDE):
        some = answer.projects[first : first + BESIDE]
        titles = ["", *(last_part(it.project) for it in some)]
        application.show_table(titles, [[title, *map(value, some)] for title, value in PROJECT_ROWS])
    interval = answer.interval.ToTimedelta()
    for project in answer.projects:
        slug = last_part(project.project)
        if project.breakdown:
            click.echo()
            application.say(f"{slug}, from its creation on")
            application.show_list(project.breakdown, MILESTONE_COLUMNS, nothing="")
        if project.figures.session_count == 0:
            note(f"{slug}: no sessions in this time{'' if project.has_health_data else ', nor in the last 90 days'}")
        elif plots and len(project.buckets) > 1:  # of one bucket the table tells everything
            for line in _plots(project, interval):
                click.echo(line)


def _where(environments: Sequence[str]) -> str:
    named = ", ".join(name for name in environments if name)
    parts = [f"in {named}"] if named else []
    if "" in environments:
        parts.append("without an environment")
    return f" {' and '.join(parts)}" if parts else ""


def _plots(project: ProjectHealth, interval: timedelta) -> list[str]:
    slug, step = last_part(project.project), _step(interval)
    labels = [_label(bucket, interval) for bucket in project.buckets]

    def values(of: Callable[[HealthBucket], int]) -> list[int]:
        return [of(bucket) for bucket in project.buckets]

    def shares(of: Callable[[HealthBucket], float | None]) -> list[float | None]:
        return [of(bucket) for bucket in project.buckets]

    sessions = Line("sessions", shares(_crash_free_sessions))
    users = Line("users", shares(_crash_free_users))
    adoption = Line("sessions", shares(lambda it: it.session_adoption if it.HasField("session_adoption") else None))
    drawn = [
        bars(f"{slug}: sessions {step}", labels, values(lambda it: it.figures.session_count)),
        bars(f"{slug}: users {step}", labels, values(lambda it: it.figures.user_count)),
        lines(f"{slug}: crash-free", labels, [sessions, users]),
        lines(f"{slug}: adoption, of all sessions of the project", labels, [adoption], floor=0),
    ]
    return [line for plot in drawn if plot for line in ("", *plot)]


def _crash_free_sessions(bucket: HealthBucket) -> float | None:
    return bucket.figures.crash_free_sessions if bucket.figures.HasField("crash_free_sessions") else None


def _crash_free_users(bucket: HealthBucket) -> float | None:
    return bucket.figures.crash_free_users if bucket.figures.HasField("crash_free_users") else None


def _step(interval: timedelta) -> str:
    count, unit = (
        (interval // DAY, "day") if interval % DAY == timedelta() else (interval // timedelta(hours=1), "hour")
    )
    return f"{'a' if unit == 'day' else 'an'} {unit}" if count == 1 else f"in {count} {unit}s"


def _label(bucket: HealthBucket, interval: timedelta) -> str:
    start = bucket.start_time.ToDatetime(tzinfo=UTC)
    return start.strftime("%m-%d" if interval >= DAY else "%m-%d %H:%M")


def _span(answer: GetReleaseHealthResponse) -> str:
    start, end = answer.start_time.ToDatetime(tzinfo=UTC), answer.end_time.ToDatetime(tzinfo=UTC)
    if answer.interval.ToTimedelta() % DAY == timedelta():
        return f"{start:%Y-%m-%d} to {end - DAY:%Y-%m-%d} (days of UTC)"
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} (UTC)"
