"""Filters and orders of lists of releases: fields that several requests share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.message import Message
from releaseregistry.v1 import releases_pb2 as pb

from server.mapping.environments import any_environments
from server.mapping.health_options import health_wanted
from server.mapping.projects import named_projects
from server.mapping.times import optional_micros
from store.access.projects import ProjectSlugText, QualifiedSlug
from store.errors import InvalidField
from store.releases.rows import ReleaseStatus
from store.search.filters import ANY_TIME, ReleaseFilter, TimeSpan
from store.search.health_orders import SHARES, HealthOrder, HealthSort
from store.search.language.times import read_period
from store.search.language.tree import MINUTE
from store.search.orders import Order, ReleaseSort

EVERY_PROJECT: Final = "-"
"""The project in a name that stands for all that the caller may access."""

_STATUSES: Final[dict[int, ReleaseStatus]] = {
    pb.RELEASE_STATUS_OPEN: ReleaseStatus.OPEN,
    pb.RELEASE_STATUS_ARCHIVED: ReleaseStatus.ARCHIVED,
}
_SORTS: Final[dict[int, ReleaseSort | HealthSort]] = {
    pb.RELEASE_SORT_UNSPECIFIED: ReleaseSort.DATE,
    pb.RELEASE_SORT_DATE: ReleaseSort.DATE,
    pb.RELEASE_SORT_RELEASED: ReleaseSort.RELEASED,
    pb.RELEASE_SORT_VERSION: ReleaseSort.VERSION,
    pb.RELEASE_SORT_BUILD: ReleaseSort.BUILD,
    pb.RELEASE_SORT_NAME: ReleaseSort.NAME,
    pb.RELEASE_SORT_COMMITS: ReleaseSort.COMMITS,
    pb.RELEASE_SORT_DEPLOYS: ReleaseSort.DEPLOYS,
    **{int(sort): sort for sort in HealthSort},
}
_DESCENDING: Final[dict[int, bool]] = {pb.SORT_DIRECTION_ASCENDING: False, pb.SORT_DIRECTION_DESCENDING: True}


def release_filter(request: Any, organization: str) -> ReleaseFilter:
    """Which releases a request asks for, by those of the fields query, projects, environments, statuses, created and
    released that it has.

    Raises InvalidName for a project, InvalidField for the others.
    """
    fields = request.DESCRIPTOR.fields_by_name
    projects = (
        named_projects(request.projects, organization, field="projects") if "projects" in fields else ()
    )  # GetRelease has just one, which is no filter of its release
    return ReleaseFilter(
        query=request.query if "query" in fields else "",
        projects=projects,
        every_project=takes_every_project(projects),
        environments=any_environments(request.environments) if "environments" in fields else (),
        statuses=statuses_of(request.statuses) if "statuses" in fields else (),
        created=span_of(request, "created") if "created" in fields else ANY_TIME,
        released=span_of(request, "released") if "released" in fields else ANY_TIME,
    )


def order_of(request: Any) -> Order | HealthOrder:
    """What a request wants its list sorted by: its fields sort and direction, and the period of its health_options.

    Raises InvalidField.
    """
    sort = _SORTS.get(request.sort)
    if sort is None:
        raise InvalidField("sort", f"{request.sort} is nothing that releases are sorted by")
    descending = sort is not ReleaseSort.NAME and sort not in SHARES
    if request.direction != pb.SORT_DIRECTION_UNSPECIFIED:
        if request.direction not in _DESCENDING:
            raise InvalidField("direction", f"{request.direction} is no direction")
        descending = _DESCENDING[request.direction]
    if isinstance(sort, ReleaseSort):
        return Order(sort, descending=descending)
    return HealthOrder(sort, descending, health_wanted(request.health_options).summary_period)


def statuses_of(statuses: Iterable[int]) -> tuple[ReleaseStatus, ...]:
    """The statuses that a filter names; one that is not specified says nothing. Raises InvalidField."""
    found = (release_status(status, field=f"statuses[{index}]") for index, status in enumerate(statuses))
    return tuple(status for status in found if status is not None)


def release_status(status: int, *, field: str) -> ReleaseStatus | None:
    """The status that a message says; None where it says none. Raises InvalidField."""
    if status == pb.RELEASE_STATUS_UNSPECIFIED:
        return None
    known = _STATUSES.get(status)
    if known is None:
        raise InvalidField(field, f"{status} is no status of a release")
    return known


def takes_every_project(projects: Iterable[ProjectSlugText]) -> bool:
    """Whether one of these names stands for all projects that the caller may access."""
    return any((name.slug if isinstance(name, QualifiedSlug) else name) == EVERY_PROJECT for name in projects)


def span_of(request: Message, field: str) -> TimeSpan:
    """The span of time in a field; all times where it is not set. Raises InvalidField."""
    if not request.HasField(field):
        return ANY_TIME
    span: pb.TimeRange = getattr(request, field)
    if not span.period:
        return TimeSpan(optional_micros(span, "start_time"), optional_micros(span, "end_time"))
    if span.HasField("start_time") or span.HasField("end_time"):
        raise InvalidField(f"{field}.period", "comes instead of start_time and end_time, not with them")
    period = read_period(f"-{span.period}")
    if period is None:
        raise InvalidField(f"{field}.period", "is no period of at most 36,500 days, such as 30m, 24h, 14d or 2w")
    return TimeSpan(ago_us=period[1].minutes * MINUTE)
