"""What lists are asked to tell of release health."""

from __future__ import annotations

from releaseregistry.v1 import releases_pb2 as pb

from server.mapping.health import named_period
from store.errors import InvalidField
from store.health.in_lists import HealthStat, HealthWanted
from store.health.windows import Period


def health_wanted(options: pb.HealthOptions) -> HealthWanted:
    """What is asked for. Raises InvalidField for a period or a stat that there is not."""
    series = named_period(options.series_period, field="health_options.series_period")
    if series is None and options.health:
        series = Period.LAST_24H
    return HealthWanted(
        health=options.health,
        stages=options.adoption_stages,
        summary_period=named_period(options.summary_period, field="health_options.summary_period") or Period.LAST_14D,
        series_period=series,
        series_stat=_stat(options.series_stat),
    )


def _stat(stat: int) -> HealthStat:
    try:
        return HealthStat(stat or HealthStat.SESSIONS)
    except ValueError:
        raise InvalidField("health_options.series_stat", f"{stat} is nothing that a series counts") from None
