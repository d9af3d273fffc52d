"""Reading how healthy a release is in its projects (behaviour.md, Release health)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import Final

from store.access import Access
from store.access.projects import (
    ProjectRow,
    ProjectSlugText,
    accessible_projects,
    project_slugs,
    projects_to_list,
)
from store.database import Database, Query, Reader, hole
from store.errors import InvalidField, ReleaseNotFound
from store.health.figures import NO_FIGURES, Figures, figures, series_of, share, sums_of
from store.health.models import HealthSeries
from store.health.rollups import read_counts_by_series
from store.health.series import Pair, SeriesRow, bounds_of, find_series
from store.health.shares import Shares, projects_of, shares_of
from store.health.spans import LAST_14D, Span, hours_since, window_asked
from store.health.sums import Sums, total
from store.health.windows import DAY_US, HOUR_US, KNOWN_US, Window, ceil_to, floor_to
from store.organizations.lookup import find_organization
from store.organizations.rows import OrganizationRow
from store.releases.lookup import release_within
from store.releases.rows import ReleaseRow

MOST_BUCKETS: Final = 20_000
"""Of all projects of an answer together: more would not fit into a message."""
MOST_PROJECTS: Final = 2_000
"""With so many, each with its figures and milestones, and with so many buckets, a message is nearly full."""
MILESTONES: Final = (1, 2, 7, 14, 30)
"""So many days after a release was created its breakdown tells how healthy it was so far."""

_SERIES_OF_VERSION: Final = Query(
    HealthSeries.select(
        HealthSeries.id,
        HealthSeries.project_id,
        HealthSeries.version,
        HealthSeries.environment,
        HealthSeries.first_time,
        HealthSeries.last_time,
    ).where(
        HealthSeries.organization_id == hole(HealthSeries.organization_id),
        HealthSeries.version == hole(HealthSeries.version),
    ),
    row=SeriesRow,
)


@dataclass(frozen=True, slots=True)
class HealthQuestion:
    """What is asked of a release's health: in which of its projects (none named: all that the caller may access), of
    sessions in which environments (none: all; the empty text: without one), when, and whether milestones, too.
    """

    projects: Sequence[ProjectSlugText] = ()
    environments: Sequence[str] = ()
    span: Span = LAST_14D
    milestones: bool = False


@dataclass(frozen=True, slots=True)
class BucketRow:
    """A bucket: its beginning, the release's figures, and its share of the project's sessions in percent; None where
    it had none."""

    start_us: int
    figures: Figures
    session_adoption: float | None


@dataclass(frozen=True, slots=True)
class MilestoneRow:
    """The figures from when a release was created up to a time."""

    end_us: int
    figures: Figures


@dataclass(frozen=True, slots=True)
class ProjectHealth:
    """How healthy a release is in a project. first_us and last_us tell when its first and last session began, None
    without any."""

    project: ProjectRow
    has_health_data: bool
    figures: Figures
    shares: Shares
    buckets: tuple[BucketRow, ...]
    milestones: tuple[MilestoneRow, ...]
    first_us: int | None
    last_us: int | None


@dataclass(frozen=True, slots=True)
class ReleaseHealth:
    """How healthy a release is, in its projects by slug."""

    organization_slug: str
    window: Window
    projects: tuple[ProjectHealth, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """A release in those of its projects that are asked for, by slug. create_us is when its life began."""

    organization: OrganizationRow
    projects: tuple[ProjectRow, ...]
    series: Sequence[SeriesRow]
    create_us: int


def get_release_health(
    db: Database, access: Access, organization_slug: str, version: str, question: HealthQuestion, *, hour_days: int
) -> ReleaseHealth:
    """How healthy the release is; also one that only sessions know. Hours are kept for `hour_days` days.

    Its projects are those that it is attached to, and those with sessions that name it. Raises `InvalidField`,
    `OrganizationNotFound`, `ProjectForbidden` (for a project that is named, as lists do), `ReleaseNotFound` (also when
    none of its projects is the caller's).
    """
    now = db.now_us()
    window = window_asked(question.span, now_us=now, hour_days=hour_days)

    def read(reader: Reader) -> ReleaseHealth:
        found = _find(reader, access, organization_slug, version, question.projects)
        if len(found.projects) > MOST_PROJECTS:
            raise InvalidField(
                "projects",
                f"is required: the release is in {len(found.projects):,} projects, and without their names at most "
                f"{MOST_PROJECTS:,} are answered",
            )
        if len(found.projects) * len(window.buckets) > MOST_BUCKETS:
            raise InvalidField(
                "projects",
                f"makes {len(window.buckets):,} buckets in each of {len(found.projects)} projects, and at most "
                f"{MOST_BUCKETS:,} are answered: name fewer projects, or ask for a longer interval",
            )
        return _health(reader, found, version, question, window, now, hour_days)

    return db.read(read)


def _find(
    reader: Reader, access: Access, organization_slug: str, version: str, named: Sequence[ProjectSlugText]
) -> _Found:
    release: ReleaseRow | None
    try:
        organization, release = release_within(reader, access, organization_slug, version)
    except ReleaseNotFound:
        organization, release = find_organization(reader, access, organization_slug), None
    allowed = accessible_projects(access, organization)
    series = [
        row
        for row in reader.rows(_SERIES_OF_VERSION, organization_id=organization.id, version=version)
        if allowed.allows(row.project_id)
    ]
    slugs = {project.id: project.slug for project in release.projects} if release else {}
    slugs |= project_slugs(reader, {row.project_id for row in series} - slugs.keys())
    if not slugs:
        raise ReleaseNotFound(organization.slug, version)
    chosen = projects_to_list(reader, access, organization, named) if named else allowed
    shown = [ProjectRow(id_, slug) for id_, slug in slugs.items() if chosen.allows(id_)]
    create_us = release.create_time if release else min(row.first_time for row in series)
    return _Found(organization, tuple(sorted(shown, key=attrgetter("slug"))), series, create_us)


def _health(
    reader: Reader,
    found: _Found,
    version: str,
    question: HealthQuestion,
    window: Window,
    now: int,
    hour_days: int,
) -> ReleaseHealth:
    pairs = [(project.id, version) for project in found.projects]
    places = frozenset(question.environments)
    series = [row for row in found.series if row.pair in pairs and (not places or row.environment in places)]
    of_projects = find_series(reader, projects_of(pairs), question.environments)
    told = series_of(reader, series, window)
    shares = shares_of(reader, pairs, [*series, *of_projects], now)
    counts = _counts(reader, [row for row in of_projects if (row.project_id, version) in told], window)
    bounds = bounds_of(series)
    milestones = _milestones(reader, pairs, series, found.create_us, now, hour_days) if question.milestones else {}
    nothing: tuple[Figures, list[Figures]] = (NO_FIGURES, [NO_FIGURES] * len(window.buckets))
    projects = []
    for project, pair in zip(found.projects, pairs, strict=True):
        whole, buckets = told.get(pair, nothing)
        first_us, last_us = bounds.get(pair, (None, None))
        sessions = counts.get(project.id, {})
        projects.append(
            ProjectHealth(
                project=project,
                has_health_data=whole.session_count > 0 or (last_us is not None and last_us >= now - KNOWN_US),
                figures=whole,
                shares=shares[pair],
                buckets=tuple(
                    BucketRow(start, bucket, share(bucket.session_count, sessions.get(place, 0)))
                    for place, (start, bucket) in enumerate(zip(window.buckets, buckets, strict=True))
                ),
                milestones=milestones.get(pair, ()),
                first_us=first_us,
                last_us=last_us,
            )
        )
    return ReleaseHealth(found.organization.slug, window, tuple(projects))


def _counts(reader: Reader, series: Sequence[SeriesRow], window: Window) -> Mapping[bytes, Mapping[int, int]]:
    """How many sessions there were, by project and place of the bucket."""
    start, step = window.start_us, window.step_us
    counts: dict[bytes, defaultdict[int, int]] = {row.project_id: defaultdict(int) for row in series}
    places = {row.id: counts[row.project_id] for row in series}
    for series_id, time, count in read_counts_by_series(reader, list(places), window):
        places[series_id][(time - start) // step] += count
    return counts


def milestone_ends(create_us: int, now_us: int) -> list[int]:
    """When each milestone of a release ends that was created then. The first that is not reached yet is told as of now,
    unless another was reached within the last day; behind it there is none."""
    ends: list[int] = []
    for days in MILESTONES:
        end = create_us + days * DAY_US
        if end > now_us:
            if not ends or now_us - ends[-1] > DAY_US:
                ends.append(now_us)
            break
        ends.append(end)
    return ends


def _milestones(
    reader: Reader, pairs: Iterable[Pair], series: Sequence[SeriesRow], create_us: int, now_us: int, hour_days: int
) -> dict[Pair, tuple[MilestoneRow, ...]]:
    ends = milestone_ends(create_us, now_us)
    # Rounded outward to what is kept of the time: hours, or days where hours are gone.
    since = hours_since(now_us, hour_days)
    edges = [floor_to(create_us, DAY_US if create_us < since else HOUR_US)]
    edges += [ceil_to(end, DAY_US if end < since else HOUR_US) for end in ends]
    so_far: dict[Pair, list[Sums]] = {pair: [] for pair in pairs}
    milestones: dict[Pair, list[MilestoneRow]] = {pair: [] for pair in so_far}
    for end, (first, last) in zip(ends, pairwise(edges), strict=True):
        if first < last:
            for pair, sums in sums_of(reader, series, Window(first, last, last - first)):
                so_far[pair] += sums.values()
        for pair, parts in so_far.items():
            milestones[pair].append(MilestoneRow(end, figures(total(parts))))
    return {pair: tuple(rows) for pair, rows in milestones.items()}
