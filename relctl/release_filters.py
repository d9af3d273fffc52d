"""Which releases a call is about, and in which order: as a program says it, and as it travels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from releaseregistry.v1.releases_pb2 import (
    BulkUpdateReleasesRequest,
    ListReleasesRequest,
    ReleaseSort,
    ReleaseStatus,
    SortDirection,
    TimeRange,
)

from relctl.names import project_name

EVERY_PROJECT: Final = "-"
"""As the only project of a filter: all that the token may access."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSpan:
    """Times from `since` to before `until`; or the last `period`, such as `14d` (`m`, `h`, `d`, `w`). None is open."""

    since: datetime | None = None
    until: datetime | None = None
    period: str = ""


ANY_TIME: Final = TimeSpan()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFilter:
    """Which releases: those that every filter lets through; an empty one lets all.

    `query` is of the search language (docs/search.md). Projects are slugs: none for those that the token is a member
    of, `-` for all that it may access. Environments: one of the projects was deployed to one of them, or had sessions
    there; "" is for sessions without one. Statuses: none for open ones, unless the query says which.
    """

    query: str = ""
    projects: Sequence[str] = ()
    environments: Sequence[str] = ()
    statuses: Sequence[ReleaseStatus] = ()
    created: TimeSpan = ANY_TIME
    released: TimeSpan = ANY_TIME


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseOrder:
    """What a list is sorted by, and which way: unless said otherwise by date, and the newest, highest, most first."""

    sort: ReleaseSort = ReleaseSort.RELEASE_SORT_UNSPECIFIED
    direction: SortDirection = SortDirection.SORT_DIRECTION_UNSPECIFIED


@dataclass(frozen=True, slots=True)
class Total:
    """How many there are, or, with `is_least`, how many at least."""

    count: int
    is_least: bool


EVERY_OPEN_RELEASE: Final = ReleaseFilter()
NEWEST_FIRST: Final = ReleaseOrder()


def fill_in(request: ListReleasesRequest | BulkUpdateReleasesRequest, organization: str, only: ReleaseFilter) -> None:
    """Put a filter into a request: both kinds have the fields for it alike."""
    request.query = only.query
    request.projects.extend(project_name(organization, project) for project in only.projects)
    request.environments.extend(only.environments)
    request.statuses.extend(only.statuses)
    fill_in_span(request.created, only.created)
    fill_in_span(request.released, only.released)


def fill_in_span(held: TimeRange, said: TimeSpan) -> None:
    """Put a span of time into the field of a request that holds it."""
    if said.since is not None:
        held.start_time.FromDatetime(said.since)
    if said.until is not None:
        held.end_time.FromDatetime(said.until)
    if said.period:  # naming a field of the message is what sets it
        held.period = said.period
