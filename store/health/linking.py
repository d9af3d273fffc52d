"""Linking what sessions name to releases: a series to the release of its version, which is created where there is none
(behaviour.md, Releases of sessions).

Rows are locked in the order in which everybody locks them: the project, releases by id, environments, and the lock of
the project's health last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import peewee

from store.access.access import SERVER
from store.access.projects import ProjectRow
from store.crashpoints import crashpoint
from store.database import Query, Reader, Statement, Transaction, hole, holes_for, query_shape
from store.database.batches import batches, filled, holes
from store.deploys.environments import get_or_create_environments
from store.deploys.models import ReleaseEnvironment
from store.errors import DatabaseBusy
from store.health.locks import LOCK_HEALTH
from store.health.models import HealthSeries
from store.organizations.models import Organization, Project
from store.organizations.rows import ORGANIZATION_COLUMNS, OrganizationRow, organization_row
from store.releases.create import ReleaseDraft, attach_projects, extend_release, insert_release
from store.releases.delete import delete_leftover
from store.releases.lookup import with_projects
from store.releases.models import Release
from store.releases.rows import MAX_PROJECTS, RELEASE_COLUMNS, ReleaseRow
from store.releases.version import InvalidVersion, check_version, parse_version

MOST_VERSIONS: Final = 50
"""The most versions that one call should bring: a release that is created writes some twenty rows."""

# Each round loses against a creation and a deletion of the same version; so many in a row are no accident.
_ROUNDS: Final = 10


class UnlinkedSeries(NamedTuple):
    """A series whose release is not known, of one version."""

    id: bytes
    version: str
    environment: str


class Link(NamedTuple):
    """The release and the environment of a series."""

    release_id: bytes
    environment_id: bytes


@dataclass(frozen=True, slots=True)
class Linked:
    """What was done: how many releases were created, how many versions were passed over, and the links that were made,
    by the id of the series."""

    created: int = 0
    skipped: int = 0
    links: Mapping[bytes, Link] = field(default_factory=dict)


class _Place(NamedTuple):
    """The project that the series are of, as it stands in this transaction."""

    project: ProjectRow
    organization_id: bytes
    manual_releases: bool


_PROJECT: Final = Query(
    Project.select(Project.id, Project.slug, Project.organization_id, Project.manual_releases)
    .where(Project.id == hole(Project.id))
    .order_by(Project.id),
    row=lambda project_id, slug, organization_id, manual: _Place(ProjectRow(project_id, slug), organization_id, manual),
)
_ORGANIZATION: Final = Query(
    Organization.select(*ORGANIZATION_COLUMNS).where(
        Organization.id == hole(Organization.id), Organization.delete_time.is_null()
    ),
    row=organization_row,
)
_LINK_ENVIRONMENT: Final = Statement(
    ReleaseEnvironment.insert(
        {
            **holes_for(
                ReleaseEnvironment.release_id, ReleaseEnvironment.project_id, ReleaseEnvironment.environment_id
            ),
            ReleaseEnvironment.last_deploy_id: None,
            ReleaseEnvironment.last_finish_time: None,
            ReleaseEnvironment.deploy_count: 0,
            ReleaseEnvironment.adopted_time: None,
            ReleaseEnvironment.unadopted_time: None,
        }
    ).on_conflict(
        action="nothing",
        conflict_target=[
            ReleaseEnvironment.release_id,
            ReleaseEnvironment.project_id,
            ReleaseEnvironment.environment_id,
        ],
    )
)
# A series that was freed meanwhile, with a deleted release, goes by another version.
_LINK: Final = Statement(
    HealthSeries.update({HealthSeries.release_id: hole(HealthSeries.release_id)}).where(
        HealthSeries.id == hole(HealthSeries.id), HealthSeries.version == hole(HealthSeries.version)
    )
)


@query_shape
def _by_versions(count: int) -> Query[tuple[Any, ...]]:
    return Query(
        Release.select(*RELEASE_COLUMNS)
        .where(
            Release.organization_id == hole(Release.organization_id),
            Release.version.in_(holes(Release.version, count)),
            Release.delete_time.is_null(),
        )
        .order_by(Release.id)
    )


@query_shape
def _versions_of(count: int) -> Query[tuple[bytes, str]]:
    return Query(
        HealthSeries.select(HealthSeries.id, HealthSeries.version).where(
            HealthSeries.id.in_(holes(HealthSeries.id, count))
        )
    )


@query_shape
def _first_times(count: int) -> Query[tuple[str, int]]:
    return Query(
        HealthSeries.select(HealthSeries.version, peewee.fn.MIN(HealthSeries.first_time))
        .where(
            HealthSeries.project_id == hole(HealthSeries.project_id),
            HealthSeries.version.in_(holes(HealthSeries.version, count)),
        )
        .group_by(HealthSeries.version)
    )


def link_series(tx: Transaction, project_id: bytes, series: Sequence[UnlinkedSeries]) -> Linked:
    """Link these series of the project to the releases of their versions, in their environments, the empty one too.

    A release that is not there is created as of its oldest known session, unless the project forbids it; one that is
    not of the project is extended by it, unless it has 100 projects already. Passed over are versions that no release
    can have. Of a project or an organization that is gone nothing is linked. At most `MOST_VERSIONS` at a time; series
    of all versions together are none.

    The caller does not hold the lock of the project's health: it is taken here, last.
    """
    places = tx.share(_PROJECT, id=project_id)
    organization = tx.row(_ORGANIZATION, id=places[0].organization_id) if places else None
    if organization is None:
        return Linked()
    place = places[0]
    found = _locked(tx, organization, sorted({row.version for row in series if is_fit(row.version)}))
    # Whoever deleted one of them just now took its series along: what is not there any more makes no release.
    standing = _standing(tx, series)
    versions = sorted({row.version for row in standing})
    created, releases = _releases(tx, place, organization, found, [version for version in versions if is_fit(version)])
    links = _links(tx, place, releases, [row for row in standing if row.version in releases])
    crashpoint("linking.in_rows")
    return Linked(created=created, skipped=len(versions) - len(releases), links=links)


def is_fit(version: str) -> bool:
    """Whether a release may have the version."""
    try:
        check_version(version)
    except InvalidVersion:
        return False
    return True


def _standing(reader: Reader, series: Sequence[UnlinkedSeries]) -> list[UnlinkedSeries]:
    """Those of the series that are there, and not a deleted release's."""
    versions: dict[bytes, str] = {}
    for batch in batches(sorted({row.id for row in series})):
        versions.update(reader.rows(_versions_of(len(batch)), **filled(batch)))
    return [row for row in series if versions.get(row.id) == row.version]


def _releases(
    tx: Transaction,
    place: _Place,
    organization: OrganizationRow,
    locked: Mapping[str, ReleaseRow],
    versions: Sequence[str],
) -> tuple[int, dict[str, ReleaseRow]]:
    """How many releases were created, and those of the versions, by version, locked and of the project; without those
    that cannot be. `locked` are those that there were."""
    found = {version: release for version, release in locked.items() if version in versions}
    missing = [version for version in versions if version not in found]
    created: dict[str, ReleaseRow] = {}
    if missing and not place.manual_releases:
        first_times = _first_times_of(tx, place, missing)
        for version in missing:
            release, is_new = _created_or_found(tx, place, organization, version, first_times.get(version, tx.now))
            (created if is_new else found)[version] = release
    for version, release in list(found.items()):
        if place.project in release.projects:
            continue
        if len(release.projects) >= MAX_PROJECTS:
            del found[version]
            continue
        extended = extend_release(tx, release, [place.project], release.status)
        attach_projects(tx, SERVER, extended, parse_version(version), [place.project])
        found[version] = extended
    return len(created), found | created


def _locked(tx: Transaction, organization: OrganizationRow, versions: Sequence[str]) -> dict[str, ReleaseRow]:
    """The releases of those of the versions that there are, locked; those of deleted projects alone are deleted."""
    columns: list[tuple[Any, ...]] = []
    for batch in batches(versions):
        columns += tx.lock_all(_by_versions(len(batch)), organization_id=organization.id, **filled(batch))
    found = {release.version: release for release in with_projects(tx, organization, columns)}
    return {
        version: release for version, release in found.items() if release.projects or not delete_leftover(tx, release)
    }


def _created_or_found(
    tx: Transaction, place: _Place, organization: OrganizationRow, version: str, first_time: int
) -> tuple[ReleaseRow, bool]:
    """The release, and whether it was created just now; somebody else may be doing the same."""
    parsed = parse_version(version)
    for _ in range(_ROUNDS):
        create_time = min(first_time, tx.now)
        made = insert_release(tx, organization, ReleaseDraft(version), parsed, [place.project], create_time=create_time)
        if made is not None:
            attach_projects(tx, SERVER, made, parsed, [place.project])
            return made, True
        found = _locked(tx, organization, [version])
        if found:
            return found[version], False
    raise DatabaseBusy


def _first_times_of(reader: Reader, place: _Place, versions: Sequence[str]) -> dict[str, int]:
    """When the oldest session of each version began that is known of the project."""
    found: dict[str, int] = {}
    for batch in batches(versions):
        found.update(reader.rows(_first_times(len(batch)), project_id=place.project.id, **filled(batch)))
    return found


def _links(
    tx: Transaction, place: _Place, releases: Mapping[str, ReleaseRow], series: Iterable[UnlinkedSeries]
) -> dict[bytes, Link]:
    """Write the links of the series, all of whose releases are there."""
    rows = list(series)
    if not rows:
        return {}
    project_id = place.project.id
    environments = get_or_create_environments(
        tx, place.organization_id, {row.environment for row in rows}, project_ids=[project_id]
    )
    links = {row.id: Link(releases[row.version].id, environments[row.environment]) for row in rows}
    tx.run_many(
        _LINK_ENVIRONMENT,
        [
            {"release_id": release_id, "project_id": project_id, "environment_id": environment_id}
            for release_id, environment_id in sorted(set(links.values()))
        ],
    )
    tx.lock(LOCK_HEALTH, project_id=project_id)
    tx.run_many(
        _LINK,
        [
            {"id": row.id, "version": row.version, "release_id": links[row.id].release_id}
            for row in sorted(rows, key=lambda row: row.id)
        ],
    )
    return links
