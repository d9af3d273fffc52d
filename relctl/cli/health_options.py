"""The flags that say what a command tells of release health, and of which time."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, Final, TypeVar

import click
from releaseregistry.v1.health_pb2 import HealthPeriod, HealthStat
from releaseregistry.v1.releases_pb2 import HealthOptions

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

PERIODS: Final = {
    "1h": HealthPeriod.HEALTH_PERIOD_LAST_1H,
    "24h": HealthPeriod.HEALTH_PERIOD_LAST_24H,
    "48h": HealthPeriod.HEALTH_PERIOD_LAST_48H,
    "7d": HealthPeriod.HEALTH_PERIOD_LAST_7D,
    "14d": HealthPeriod.HEALTH_PERIOD_LAST_14D,
    "30d": HealthPeriod.HEALTH_PERIOD_LAST_30D,
    "90d": HealthPeriod.HEALTH_PERIOD_LAST_90D,
}
STATS: Final = {"sessions": HealthStat.HEALTH_STAT_SESSIONS, "users": HealthStat.HEALTH_STAT_USERS}
LENGTH: Final = re.compile(r"([0-9]{1,5})([hd])")


class Interval(click.ParamType[timedelta]):
    """How long a bucket is: `6h`, `1d`."""

    name = "interval"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read the text of a flag."""
        if isinstance(value, timedelta):
            return value
        found = LENGTH.fullmatch(value)
        if found is None or int(found[1]) == 0:
            self.fail(f"{value!r} is no interval; write 1h, 6h or 1d", param, ctx)
        return timedelta(hours=int(found[1])) if found[2] == "h" else timedelta(days=int(found[1]))


INTERVAL: Final = Interval()

session_environment_option = click.option(
    "--environment",
    "--env",
    "environments",
    multiple=True,
    metavar="NAME",
    help='Only sessions of this one; "" for those of none; repeat for more.',
)


def check_summary_period(options: HealthOptions | None, *, sorted_by_it: bool = False) -> None:
    """Raises click.UsageError where a summary period is said, and nothing that is shown, or sorted by, is of it."""
    if options is not None and options.summary_period and not options.health and not sorted_by_it:
        raise click.UsageError(
            "--summary-period is about what --health shows, and sorts by sessions and users: say one of them, too"
        )


def health_options(command: CommandT) -> Any:
    """Add the flags about release health; the command gets them as one, `health_options`: None when none was said."""

    @click.option("--health", is_flag=True, help="How healthy it is in each project: sessions, users, adoption.")
    @click.option("--stages", is_flag=True, help="Also how far it has come in each environment.")
    @click.option(
        "--summary-period",
        type=click.Choice(list(PERIODS)),
        help="What figures and sorts by them are of. [default: 14d]",
    )
    @click.option("--series-period", type=click.Choice(list(PERIODS)), help="What the series is of. [default: 24h]")
    @click.option("--series", type=click.Choice(list(STATS)), help="What the series counts. [default: sessions]")
    @wraps(command)
    def gathered(
        *arguments: Any,
        health: bool,
        stages: bool,
        summary_period: str | None,
        series_period: str | None,
        series: str | None,
        **rest: Any,
    ) -> Any:
        if not health and (series_period or series):
            raise click.UsageError("--series-period and --series are about what --health shows: say it, too")
        options = None
        if health or stages or summary_period:
            options = HealthOptions(
                health=health,
                adoption_stages=stages,
                summary_period=PERIODS[summary_period] if summary_period else None,
                series_period=PERIODS[series_period] if series_period else None,
                series_stat=STATS[series] if series else None,
            )
        return command(*arguments, health_options=options, **rest)

    return gathered
