"""What a list of releases leaves out: as a caller says it, and as it is once its names are looked up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from store.access.projects import ProjectSet, ProjectSlugText
from store.organizations.rows import OrganizationRow
from store.releases.rows import ReleaseStatus
from store.search.language import Expression


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """Times from first_us to before beyond_us, or the last ago_us; None where it is open. Microseconds."""

    first_us: int | None = None
    beyond_us: int | None = None
    ago_us: int | None = None


ANY_TIME: Final = TimeSpan()


@dataclass(frozen=True, slots=True)
class ReleaseFilter:
    """Which releases are asked for.

    `query` is of the search language. `projects`: none for those that the caller is a member of; `every_project`: all
    that it may access. `environments`: deployed to one of these from one of the projects, or with sessions of it there,
    an empty text standing for sessions without an environment; none: wherever. `statuses`: none for open ones, unless
    the query says which.
    """

    query: str = ""
    projects: tuple[ProjectSlugText, ...] = ()
    every_project: bool = False
    environments: tuple[str, ...] = ()
    statuses: tuple[ReleaseStatus, ...] = ()
    created: TimeSpan = ANY_TIME
    released: TimeSpan = ANY_TIME


@dataclass(frozen=True, slots=True)
class Scope:
    """A filter for one caller, its names looked up: releases of `projects`, with one of `statuses`, of which all else
    holds, too. What is of other projects is as if it were not there.

    Times are from the first to before the second, None where open; `now_us` is what periods of the query reckon from,
    the same on all pages of a list. `environments` are the names of the filter, none for no such filter, and
    `environment_ids` the ids of those that there are: None for no such filter; empty finds nothing. `latest`: the
    releases that `release:latest` stands for, where the query says it. `rare_prefixes`: the beginnings of commit ids
    in the query that few commits of the organization have.
    """

    organization: OrganizationRow
    projects: ProjectSet
    statuses: tuple[int, ...]
    now_us: int
    expression: Expression | None = None
    environments: tuple[str, ...] = ()
    environment_ids: frozenset[bytes] | None = None
    created: tuple[int | None, int | None] = (None, None)
    released: tuple[int | None, int | None] = (None, None)
    latest: frozenset[bytes] = field(default=frozenset())
    rare_prefixes: frozenset[str] = field(default=frozenset())
