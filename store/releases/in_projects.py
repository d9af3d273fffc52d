"""How releases fare in each of their projects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import peewee

from store.access.projects import EVERY_PROJECT, ProjectRow, ProjectSet
from store.database import Query, Reader, query_shape
from store.database.batches import batches, filled, holes
from store.deploys.models import ReleaseEnvironment
from store.health.in_lists import ToldInProject, told_bytes
from store.paging import wire_bytes
from store.releases.rows import ReleaseRow


class InProjectRow(NamedTuple):
    """A release in one of its projects: how many deploys of it were of that project, and when the newest ended, in
    microseconds UTC; None without any. `told` is what was asked for of its health there."""

    project_id: bytes
    slug: str
    deploy_count: int = 0
    last_deploy_time: int | None = None
    told: ToldInProject | None = None


_NEVER: Final = (0, None)
_ROW_BYTES: Final = 64
"""What a row takes on the wire beside slugs, at most."""


def in_projects(
    reader: Reader, releases: Sequence[ReleaseRow], projects: ProjectSet = EVERY_PROJECT
) -> dict[bytes, tuple[InProjectRow, ...]]:
    """How each of these releases fares in those of its projects that are among these, by slug; by the release's id.

    One query for up to 500 releases that were ever deployed, none for the others.
    """
    deployed = [release.id for release in releases if release.deploy_count]
    deploys: dict[tuple[bytes, bytes], tuple[int, int | None]] = {}
    for batch in batches(deployed):
        for release_id, project_id, count, last in reader.rows(_deploys(len(batch)), **filled(batch)):
            deploys[release_id, project_id] = count, last
    return {
        release.id: tuple(
            InProjectRow(project.id, project.slug, *deploys.get((release.id, project.id), _NEVER))
            for project in release.projects
            if projects.allows(project.id)
        )
        for release in releases
    }


def never_deployed(projects: Sequence[ProjectRow], allowed: ProjectSet = EVERY_PROJECT) -> tuple[InProjectRow, ...]:
    """The same of a release that never was deployed, by its projects: nothing is read."""
    if allowed.everything:  # as nearly always: GetRelease is not to wait for what it mostly need not ask
        return tuple([InProjectRow(project.id, project.slug) for project in projects])
    return tuple([InProjectRow(project.id, project.slug) for project in projects if project.id in allowed.ids])


def in_projects_bytes(rows: Sequence[InProjectRow], organization_slug: str) -> int:
    """What the rows take in a message, at most."""
    return sum(
        _ROW_BYTES
        + wire_bytes(organization_slug, row.slug)
        + (0 if row.told is None else told_bytes(row.told, organization_slug, row.slug))
        for row in rows
    )


def with_health(
    rows: Sequence[InProjectRow], release_id: bytes, told: Mapping[tuple[bytes, bytes], ToldInProject]
) -> tuple[InProjectRow, ...]:
    """The rows of a release with what is told of its health, by release and project."""
    return tuple(row._replace(told=told.get((release_id, row.project_id))) for row in rows)


@query_shape
def _deploys(count: int) -> Query[tuple[Any, ...]]:
    """(release, project, deploys, end of the newest) of releases: the deploys to each environment, put together."""
    row = ReleaseEnvironment
    # PostgreSQL sums BIGINT as NUMERIC.
    total = peewee.fn.SUM(row.deploy_count).cast("BIGINT")
    return Query(
        row.select(row.release_id, row.project_id, total, peewee.fn.MAX(row.last_finish_time))
        .where(row.release_id.in_(holes(row.release_id, count)))
        .group_by(row.release_id, row.project_id)
    )
