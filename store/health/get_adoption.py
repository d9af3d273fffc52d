"""How far a release has come in each environment of its projects, and who runs it there (behaviour.md, Adoption)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from store.access import Access
from store.access.projects import ProjectSlugText, projects_to_list
from store.database import Database, Query, Reader, hole
from store.deploys.models import Environment, ReleaseEnvironment
from store.health.series import ALL_VERSIONS, SeriesRow, find_series
from store.health.shares import Shares, shares_of
from store.health.stages import StageRow, stage_row
from store.organizations.models import Project
from store.releases.lookup import release_within

MOST_ADOPTIONS: Final = 5_000
"""The most environments of a release that one answer tells of."""

# Of each environment up to 48 rows of hours are read, with sketches.
_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class EnvironmentAdoption:
    """How far a release has come in an environment of a project, and who runs it there."""

    project_slug: str
    stage: StageRow
    shares: Shares


@dataclass(frozen=True, slots=True)
class ReleaseAdoptions:
    """What there is to tell of a release, by slug of the project and environment, and its organization's slug."""

    organization_slug: str
    adoptions: tuple[EnvironmentAdoption, ...]


class _Place(NamedTuple):
    """A project and an environment of the release, and the times of its adoption there."""

    project_id: bytes
    project_slug: str
    environment: str
    adopted_time: int | None
    unadopted_time: int | None


_PLACES: Final = Query(
    ReleaseEnvironment.select(
        Project.id,
        Project.slug,
        Environment.display_name,
        ReleaseEnvironment.adopted_time,
        ReleaseEnvironment.unadopted_time,
    )
    .join(Project, on=(Project.id == ReleaseEnvironment.project_id))
    .join(Environment, on=(Environment.id == ReleaseEnvironment.environment_id))
    .where(ReleaseEnvironment.release_id == hole(ReleaseEnvironment.release_id), Environment.display_name != "")
    .order_by(Project.slug, Environment.display_name),
    row=_Place,
)


def get_adoption(
    db: Database,
    access: Access,
    organization_slug: str,
    version: str,
    *,
    projects: Sequence[ProjectSlugText] = (),
    environments: Sequence[str] = (),
) -> ReleaseAdoptions:
    """The stages of the release in its projects, those named or else all that the caller may access, and in these
    environments, or else in all to which it was deployed or where it had sessions; the first 5,000.

    Raises `OrganizationNotFound`, `ReleaseNotFound`, `ProjectForbidden`.
    """
    now_us = db.now_us()

    def read(reader: Reader) -> ReleaseAdoptions:
        organization, release = release_within(reader, access, organization_slug, version)
        chosen = projects_to_list(reader, access, organization, projects, everything=not projects)
        wanted = frozenset(environments)
        places = [
            place
            for place in reader.rows(_PLACES, release_id=release.id)
            if chosen.allows(place.project_id) and (not wanted or place.environment in wanted)
        ][:MOST_ADOPTIONS]
        told = []
        for start in range(0, len(places), _AT_ONCE):
            some = places[start : start + _AT_ONCE]
            shares = _shares(reader, release.version, some, now_us)
            told += [
                EnvironmentAdoption(
                    place.project_slug,
                    stage_row(place.environment, place.adopted_time, place.unadopted_time),
                    shares[_key(place.project_id, place.environment)],
                )
                for place in some
            ]
        return ReleaseAdoptions(organization.slug, tuple(told))

    return db.read(read)


def _shares(reader: Reader, version: str, places: Sequence[_Place], now_us: int) -> dict[bytes, Shares]:
    """The shares in each of the places, by key."""
    keys = {_key(place.project_id, place.environment) for place in places}
    projects = {place.project_id for place in places}
    pairs = [(project_id, which) for project_id in projects for which in (version, ALL_VERSIONS)]
    found = find_series(reader, pairs, sorted({place.environment for place in places}))
    # An environment of a project stands for a project of its own: shares are of what is in it alone.
    series = [_as_own_project(row) for row in found if _key(row.project_id, row.environment) in keys]
    shares = shares_of(reader, {(key, version) for key in keys}, series, now_us)
    return {key: of_pair for (key, _), of_pair in shares.items()}


def _as_own_project(row: SeriesRow) -> SeriesRow:
    return row._replace(project_id=_key(row.project_id, row.environment))


def _key(project_id: bytes, environment: str) -> bytes:
    return project_id + environment.encode()
