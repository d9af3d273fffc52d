"""What is shown of release health: figures, shares, stages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from google.protobuf.duration_pb2 import Duration
from releaseregistry.v1.health_pb2 import (
    AdoptionStage,
    EnvironmentAdoption,
    HealthAdoption,
    HealthFigures,
    HealthMilestone,
    ProjectHealth,
    ReleaseAdoption,
    ReleaseHealth,
)
from releaseregistry.v1.releases_pb2 import HealthOptions, Release, ReleaseInProject

from relctl.cli.application import Columns
from relctl.cli.plots import sparkline
from relctl.cli.text import local_time
from relctl.names import last_part

NONE: Final = "-"
"""Where there is nothing to have a share or a duration of."""

STAGES: Final = {
    AdoptionStage.ADOPTION_STAGE_LOW_ADOPTION: "low adoption",
    AdoptionStage.ADOPTION_STAGE_ADOPTED: "adopted",
    AdoptionStage.ADOPTION_STAGE_REPLACED: "replaced",
}

T = TypeVar("T")
Rows = tuple[tuple[str, Callable[[T], str]], ...]


def percent(value: float) -> str:
    """A share, cut to two decimals: only all is 100 %, and only nothing is 0 %."""
    if 0 < value < 0.01:
        return "< 0.01 %"
    # What was divided and multiplied by 100 may lie a hair below the decimals that it is.
    return f"{math.floor(value * 100 + 1e-6) / 100:g} %" if value < 100 else "100 %"


def length(duration: Duration) -> str:
    """How long something took: `350 ms`, `1.2 s`, `3 min 20 s`, `2 h 5 min`, `1 d 3 h`."""
    seconds = duration.ToTimedelta().total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{math.floor(seconds * 10) / 10:g} s"
    whole = int(seconds)
    for size, name, smaller, smaller_name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // smaller} {smaller_name}"
    raise AssertionError(whole)


def crash_free_sessions(figures: HealthFigures) -> str:
    """Which share of the sessions did not crash."""
    return percent(figures.crash_free_sessions) if figures.HasField("crash_free_sessions") else NONE


def crash_free_users(figures: HealthFigures) -> str:
    """Which share of the users saw no crash."""
    return percent(figures.crash_free_users) if figures.HasField("crash_free_users") else NONE


def session_share(adoption: HealthAdoption) -> str:
    """The release's share of the project's sessions of the last 24 hours."""
    return percent(adoption.session_adoption) if adoption.HasField("session_adoption") else NONE


def user_share(adoption: HealthAdoption) -> str:
    """The release's share of the project's users of the last 24 hours."""
    return percent(adoption.user_adoption) if adoption.HasField("user_adoption") else NONE


def _session_share_of(adoption: HealthAdoption) -> str:
    return f"{session_share(adoption)}, {adoption.session_count:,} of {adoption.project_session_count:,}"


def _user_share_of(adoption: HealthAdoption) -> str:
    return f"{user_share(adoption)}, {adoption.user_count:,} of {adoption.project_user_count:,}"


def _durations(figures: HealthFigures) -> str:
    if not figures.HasField("duration_p50"):
        return NONE
    return f"{length(figures.duration_p50)}, {length(figures.duration_p90)}"


PROJECT_ROWS: Final[Rows[ProjectHealth]] = (
    ("sessions", lambda it: f"{it.figures.session_count:,}"),
    ("crash-free sessions", lambda it: crash_free_sessions(it.figures)),
    ("crashed", lambda it: f"{it.figures.crashed_session_count:,}"),
    ("ended abnormally", lambda it: f"{it.figures.abnormal_session_count:,}"),
    ("with errors", lambda it: f"{it.figures.errored_session_count:,}"),
    ("errors", lambda it: f"{it.figures.error_count:,}"),
    ("users", lambda it: f"{it.figures.user_count:,}"),
    ("crash-free users", lambda it: crash_free_users(it.figures)),
    ("users with a crash", lambda it: f"{it.figures.crashed_user_count:,}"),
    ("duration p50, p90", lambda it: _durations(it.figures)),
    ("adoption by sessions, 24 h", lambda it: _session_share_of(it.adoption)),
    ("adoption by users, 24 h", lambda it: _user_share_of(it.adoption)),
    ("first session", lambda it: local_time(it.first_session_time, is_set=it.HasField("first_session_time"))),
    ("last session", lambda it: local_time(it.last_session_time, is_set=it.HasField("last_session_time"))),
)
"""The figures of a release in a project, one below the other."""

MILESTONE_COLUMNS: Final[Columns[HealthMilestone]] = (
    ("up to", lambda it: local_time(it.end_time)),
    ("sessions", lambda it: it.figures.session_count),
    ("crash-free", lambda it: crash_free_sessions(it.figures)),
    ("crashed", lambda it: it.figures.crashed_session_count),
    ("users", lambda it: it.figures.user_count),
    ("crash-free users", lambda it: crash_free_users(it.figures)),
)
ADOPTION_COLUMNS: Final[Columns[EnvironmentAdoption]] = (
    ("project", lambda it: last_part(it.adoption.project)),
    ("environment", lambda it: it.adoption.environment),
    ("stage", lambda it: STAGES.get(it.adoption.stage, "?")),
    ("adopted", lambda it: local_time(it.adoption.adopt_time, is_set=it.adoption.HasField("adopt_time"))),
    ("replaced", lambda it: local_time(it.adoption.unadopt_time, is_set=it.adoption.HasField("unadopt_time"))),
    ("sessions 24 h", lambda it: it.shares.session_count),
    ("of all", lambda it: session_share(it.shares)),
    ("users 24 h", lambda it: it.shares.user_count),
    ("of all users", lambda it: user_share(it.shares)),
)


def _by_project(value: Callable[[ReleaseInProject], str]) -> Callable[[Release], str]:
    """What a list says of a release's projects: the value of the one that there is, or the values of all, named."""

    def told(release: Release) -> str:
        values = [(last_part(it.project), value(it)) for it in release.in_projects]
        if len(values) == 1:
            return values[0][1]
        return ", ".join(f"{project}: {text}" for project, text in values if text)

    return told


def _of_health(value: Callable[[ReleaseHealth], str]) -> Callable[[Release], str]:
    # A release without health data has no figures worth a look.
    return _by_project(lambda it: value(it.health) if it.health.has_health_data else "")


def _stages(adoptions: Sequence[ReleaseAdoption]) -> str:
    return ", ".join(f"{it.environment} {STAGES.get(it.stage, '?')}" for it in adoptions)


HEALTH_COLUMNS: Final[Columns[Release]] = (
    ("sessions", _of_health(lambda it: f"{it.figures.session_count:,}")),
    ("crash-free", _of_health(lambda it: crash_free_sessions(it.figures))),
    ("users", _of_health(lambda it: f"{it.figures.user_count:,}")),
    ("crash-free users", _of_health(lambda it: crash_free_users(it.figures))),
    ("adoption", _of_health(lambda it: session_share(it.adoption))),
    ("series", _of_health(lambda it: sparkline([count.count for count in it.series]))),
)
"""What `--health` adds to a list."""
STAGE_COLUMNS: Final[Columns[Release]] = (("stages", _by_project(lambda it: _stages(it.adoptions))),)
"""What `--stages` adds to a list."""


def health_columns(options: HealthOptions | None) -> Columns[Release]:
    """What these options add to what is shown of releases."""
    if options is None:
        return ()
    return (*(HEALTH_COLUMNS if options.health else ()), *(STAGE_COLUMNS if options.adoption_stages else ()))
