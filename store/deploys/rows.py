"""What the operations on deploys hand to one another and to the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from store.access.projects import ProjectRow
from store.database import Query, Reader, query_shape
from store.database.batches import batches, filled, holes
from store.deploys.models import Deploy, DeployProject, Environment
from store.organizations.models import Project
from store.paging import wire_bytes
from store.releases.models import Release

_DEPLOY_BYTES: Final = 240
"""What a deploy takes on the wire beside its texts, at most."""
_NAME_BYTES: Final = 40


@dataclass(frozen=True, slots=True)
class DeployRow:
    """A deploy as it is kept, behind its projects by slug; version is its release's. Times in microseconds UTC."""

    projects: tuple[ProjectRow, ...]
    id: bytes
    release_id: bytes
    version: str
    environment: str
    display_name: str
    url: str
    start_time: int | None
    finish_time: int
    create_time: int

    @property
    def project_ids(self) -> tuple[bytes, ...]:
        """The ids of the projects, in their order."""
        return tuple(project.id for project in self.projects)


DEPLOY_COLUMNS: Final = (
    Deploy.id,
    Deploy.release_id,
    Release.version,
    Environment.display_name,
    Deploy.display_name,
    Deploy.url,
    Deploy.start_time,
    Deploy.finish_time,
    Deploy.create_time,
)
"""The columns of a `DeployRow` behind its projects, from deploys joined by `with_release`."""


def with_release(query: Any) -> Any:
    """The query, its deploys joined to their environments and to their releases, as far as those are not deleted."""
    return query.join(Environment, on=(Environment.id == Deploy.environment_id)).join(
        Release, on=((Release.id == Deploy.release_id) & Release.delete_time.is_null())
    )


@query_shape
def _by_ids(size: int) -> Query[tuple[Any, ...]]:
    return Query(with_release(Deploy.select(*DEPLOY_COLUMNS)).where(Deploy.id.in_(holes(Deploy.id, size))))


@query_shape
def _projects_of(size: int) -> Query[tuple[Any, ...]]:
    return Query(
        DeployProject.select(DeployProject.deploy_id, Project.id, Project.slug)
        .join(Project, on=(Project.id == DeployProject.project_id))
        .where(DeployProject.deploy_id.in_(holes(DeployProject.deploy_id, size)))
        .order_by(DeployProject.deploy_id, Project.slug)
    )


def deploys_by_id(reader: Reader, ids: Sequence[bytes]) -> dict[bytes, DeployRow]:
    """These deploys with their projects, by id; what is gone, or of a deleted release, is left out."""
    projects: dict[bytes, list[ProjectRow]] = {deploy_id: [] for deploy_id in ids}
    columns: list[tuple[Any, ...]] = []
    for batch in batches(list(projects)):
        columns += reader.rows(_by_ids(len(batch)), **filled(batch))
        for deploy_id, project_id, slug in reader.rows(_projects_of(len(batch)), **filled(batch)):
            projects[deploy_id].append(ProjectRow(project_id, slug))
    # Of the same row twice, as a batch that was filled up asks for it, the database answers one.
    return {row[0]: DeployRow(tuple(projects[row[0]]), *row) for row in columns}


def deploy_bytes(deploy: DeployRow, organization_slug: str) -> int:
    """What a deploy takes in a message, at most."""
    prefix = _NAME_BYTES + len(organization_slug)
    texts = wire_bytes(deploy.version, deploy.environment, deploy.display_name, deploy.url)
    return _DEPLOY_BYTES + prefix + texts + sum(prefix + len(project.slug) for project in deploy.projects)
