"""Release health: requests to questions of the store, and what it answers to messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from releaseregistry.v1 import health_pb2 as pb

from server.mapping.projects import named_projects
from server.mapping.times import optional_micros, optional_timestamp, to_timestamp
from server.names import project_name
from store.errors import InvalidField
from store.health.figures import NO_FIGURES, Figures
from store.health.read import BucketRow, HealthQuestion, ProjectHealth, ReleaseHealth
from store.health.shares import Shares
from store.health.spans import Span
from store.health.windows import Period

_NOTHING: Final = pb.HealthFigures()


def health_question(request: pb.GetReleaseHealthRequest, organization: str) -> HealthQuestion:
    """What a request asks. Raises InvalidField, InvalidName."""
    return HealthQuestion(
        projects=named_projects(request.projects, organization, field="projects"),
        environments=tuple(dict.fromkeys(request.environments)),
        span=Span(
            period=named_period(request.period, field="period"),
            start_us=optional_micros(request, "start_time"),
            end_us=optional_micros(request, "end_time"),
            interval_us=_interval(request),
        ),
        milestones=request.breakdown,
    )


def named_period(period: int, *, field: str) -> Period | None:
    """The period of a request; None where none is named. Raises InvalidField for one that this server does not know."""
    if not period:
        return None
    try:
        return Period(period)
    except ValueError:
        raise InvalidField(field, f"is {period}, which is no period") from None


def health_message(health: ReleaseHealth) -> pb.GetReleaseHealthResponse:
    """What GetReleaseHealth answers."""
    window = health.window
    starts = [to_timestamp(start) for start in window.buckets]
    return pb.GetReleaseHealthResponse(
        start_time=to_timestamp(window.start_us),
        end_time=to_timestamp(window.end_us),
        interval=Duration(seconds=window.step_us // 1_000_000),
        projects=[_project(health.organization_slug, project, starts) for project in health.projects],
    )


def figures_message(figures: Figures) -> pb.HealthFigures:
    """What sessions say."""
    if figures is NO_FIGURES:
        return _NOTHING
    return pb.HealthFigures(
        session_count=figures.session_count,
        user_count=figures.user_count,
        crashed_session_count=figures.crashed_count,
        abnormal_session_count=figures.abnormal_count,
        errored_session_count=figures.errored_count,
        crashed_user_count=figures.crashed_user_count,
        error_count=figures.error_count,
        crash_free_sessions=figures.crash_free_sessions,
        crash_free_users=figures.crash_free_users,
        duration_p50=_duration(figures.duration_p50),
        duration_p90=_duration(figures.duration_p90),
    )


def shares_message(shares: Shares) -> pb.HealthAdoption:
    """Who runs a release, of all that run its project."""
    return pb.HealthAdoption(
        user_adoption=shares.user_adoption,
        session_adoption=shares.session_adoption,
        user_count=shares.user_count,
        session_count=shares.session_count,
        project_user_count=shares.project_user_count,
        project_session_count=shares.project_session_count,
    )


def listed_health_message(
    figures: Figures, shares: Shares, series: Iterable[tuple[int, int]] = (), *, has_health_data: bool
) -> pb.ReleaseHealth:
    """How healthy a release is in a project, as lists tell it; the series as times in microseconds, and counts."""
    return pb.ReleaseHealth(
        has_health_data=has_health_data,
        figures=figures_message(figures),
        adoption=shares_message(shares),
        series=[pb.HealthCount(start_time=to_timestamp(start), count=count) for start, count in series],
    )


def _project(organization: str, health: ProjectHealth, starts: Iterable[Timestamp]) -> pb.ProjectHealth:
    return pb.ProjectHealth(
        project=project_name(organization, health.project.slug),
        has_health_data=health.has_health_data,
        figures=figures_message(health.figures),
        adoption=shares_message(health.shares),
        buckets=[_bucket(start, row) for start, row in zip(starts, health.buckets, strict=True)],
        breakdown=[
            pb.HealthMilestone(end_time=to_timestamp(row.end_us), figures=figures_message(row.figures))
            for row in health.milestones
        ],
        first_session_time=optional_timestamp(health.first_us),
        last_session_time=optional_timestamp(health.last_us),
    )


def _bucket(start: Timestamp, row: BucketRow) -> pb.HealthBucket:
    return pb.HealthBucket(
        start_time=start, figures=figures_message(row.figures), session_adoption=row.session_adoption
    )


def _interval(request: Message) -> int | None:
    if not request.HasField("interval"):
        return None
    interval: Duration = request.interval  # type: ignore[attr-defined]
    if interval.nanos:
        raise InvalidField("interval", "is no whole number of hours, one at least, or of days")
    return interval.seconds * 1_000_000


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    # To the microsecond: what is kept has 24 bits.
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    return Duration(seconds=whole, nanos=micros * 1000)
