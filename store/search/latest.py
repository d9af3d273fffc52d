"""The releases that `release:latest` stands for (docs/search.md, The latest release)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import peewee

from store.access.projects import ProjectSet
from store.database import Query, Reader, hole, query_shape
from store.database.batches import batches, filled, holes
from store.deploys.models import ReleaseEnvironment
from store.organizations.models import Project
from store.organizations.rows import OrganizationRow
from store.releases.models import Release, ReleaseProject
from store.releases.rows import ReleaseStatus
from store.releases.version import FIRST_SEMVER_KEY, follows_semver

_LOOKED_AT: Final = (1, 3, 10)
"""So many of the newest releases are asked whether they are semantic ones: what `follows_semver` decides by."""

FEW_DEPLOYED: Final = 2000
"""So many releases of a project in an environment are compared; of more, the project's are walked from the newest on,
for one that was there comes soon."""


class _Newest(NamedTuple):
    """Of a project: how many of its newest one, three and ten open releases are semantic, how many of ten there are,
    and the newest by version and by time."""

    project_id: bytes
    semver_of_1: int
    semver_of_3: int
    semver_of_10: int
    of_10: int
    by_version: bytes | None
    by_time: bytes | None

    @property
    def follows_semver(self) -> bool:
        first = [self.semver_of_1 > 0] if self.of_10 else []
        further = [self.semver_of_3 - self.semver_of_1 > index for index in range(min(self.of_10, 3) - 1)]
        rest = [self.semver_of_10 - self.semver_of_3 > index for index in range(self.of_10 - 3)]
        return follows_semver([*first, *further, *rest])


def _open_of(project_id: Any, *columns: Any) -> Any:
    return ReleaseProject.select(*columns).where(
        ReleaseProject.project_id == project_id, ReleaseProject.status == int(ReleaseStatus.OPEN)
    )


def _first(query: Any, column: Any) -> Any:
    return query.order_by(column.desc(), ReleaseProject.release_id.desc()).limit(1)


def _count_of_newest(project_id: Any, most: int, *, semver: bool) -> Any:
    # Ids alone, so that they are read from the index by status: a project may have a million archived ones.
    newest = (
        _open_of(project_id, ReleaseProject.release_id)
        .order_by(ReleaseProject.release_id.desc())
        .limit(most)
        .alias(f"newest_{most}")
    )
    if not semver:
        return peewee.Select([newest], [peewee.fn.COUNT(peewee.SQL("*"))])
    its_release = Release.alias(f"release_{most}")
    return (
        its_release.select(peewee.fn.COUNT(peewee.SQL("*")))
        .join(newest, on=(newest.c.release_id == its_release.id))
        .where(its_release.version_key >= FIRST_SEMVER_KEY)
    )


@query_shape
def _newest_of(count: int) -> Query[_Newest]:
    return Query(
        Project.select(
            Project.id,
            *(_count_of_newest(Project.id, most, semver=True) for most in _LOOKED_AT),
            _count_of_newest(Project.id, _LOOKED_AT[-1], semver=False),
            _first(_open_of(Project.id, ReleaseProject.release_id), ReleaseProject.version_key),
            _first(_open_of(Project.id, ReleaseProject.release_id), ReleaseProject.sort_time),
        ).where(Project.id.in_(holes(Project.id, count))),
        row=_Newest,
    )


_PROJECTS: Final = Query(Project.select(Project.id).where(Project.organization_id == hole(Project.organization_id)))


def latest_releases(
    reader: Reader, organization: OrganizationRow, projects: ProjectSet, environment_ids: frozenset[bytes] | None
) -> frozenset[bytes]:
    """The newest open release of each of the projects that has one: the highest version where the project follows
    semantic versions, else the one released, or created, last. With environments: of those that were deployed to one
    of them from that project, or had sessions of it there."""
    if environment_ids is not None and not environment_ids:
        return frozenset()
    ids = (
        [project_id for (project_id,) in reader.rows(_PROJECTS, organization_id=organization.id)]
        if projects.everything
        else projects.ids
    )
    found: set[bytes | None] = set()
    for batch in batches(sorted(ids)):
        for newest in reader.rows(_newest_of(len(batch)), **filled(batch)):
            column: Any = ReleaseProject.version_key if newest.follows_semver else ReleaseProject.sort_time
            overall = newest.by_version if newest.follows_semver else newest.by_time
            if environment_ids is None or overall is None:
                found.add(overall)
            else:
                found.add(_newest_there(reader, newest.project_id, sorted(environment_ids), column))
    return frozenset(release_id for release_id in found if release_id is not None)


def _newest_there(reader: Reader, project_id: bytes, environment_ids: list[bytes], column: Any) -> bytes | None:
    """The newest by that column of a project's open releases that were deployed from it to one of the environments, or
    had sessions there."""
    there = ReleaseEnvironment.select(ReleaseEnvironment.release_id).where(
        ReleaseEnvironment.project_id == project_id, ReleaseEnvironment.environment_id.in_(environment_ids)
    )
    deployed = sorted({row[0] for row in reader.fetch(there.limit(FEW_DEPLOYED + 1).tuples())})
    if not deployed:
        return None
    of_project = _open_of(project_id, column, ReleaseProject.release_id)
    if len(deployed) <= FEW_DEPLOYED:
        candidates: list[tuple[Any, bytes]] = []
        for batch in batches(deployed):
            query = of_project.where(ReleaseProject.release_id.in_(sorted(set(batch))))
            candidates.extend(reader.fetch(_first(query, column).tuples()))
        return max(candidates)[1] if candidates else None
    was_there = ReleaseEnvironment.select(peewee.SQL("1")).where(
        ReleaseEnvironment.release_id == ReleaseProject.release_id,
        ReleaseEnvironment.project_id == project_id,
        ReleaseEnvironment.environment_id.in_(environment_ids),
    )
    found = reader.fetch(_first(of_project.where(peewee.fn.EXISTS(was_there)), column).tuples())
    return found[0][1] if found else None
