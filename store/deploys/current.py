"""What runs where: the newest deploy of a project in an environment says it (behaviour.md, Deploys)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import peewee

from store.access import Access
from store.access.projects import ProjectSet, ProjectSlugText, accessible_projects
from store.database import Database, Query, Reader, hole, query_shape
from store.database.batches import batches, filled, holes
from store.deploys.environments import environment_ids
from store.deploys.models import DeployProject, Environment, ReleaseEnvironment
from store.deploys.rows import DeployRow, deploy_bytes, deploys_by_id
from store.organizations.lookup import find_named_project, find_organization
from store.organizations.models import Project
from store.paging import PAGE_BYTES, Page, PageRequest, fitting, page_of, wire_bytes
from store.releases.details import ReleaseDetails, release_details
from store.releases.lookup import release_by_id
from store.releases.models import Release

_RUNNING_BYTES: Final = 140
"""What a running deploy takes on the wire beside its texts, at most."""
_LATEST: Final = (2**63 - 1, b"\xff" * 16)


@dataclass(frozen=True, slots=True)
class RunningDeploy:
    """The newest deploy of a project in an environment: there its release runs. Time in microseconds UTC."""

    release_id: bytes
    version: str
    environment: str
    project_id: bytes
    project_slug: str
    deploy_id: bytes
    finish_time: int


@dataclass(frozen=True, slots=True)
class CurrentRelease:
    """The release that runs somewhere, the deploy that brought it, and a page of the deploys before that one; None,
    None and an empty page where nothing was ever deployed."""

    organization_slug: str
    release: ReleaseDetails | None
    deploy: DeployRow | None
    history: Page[DeployRow]


def newest_in_environment(project_id: Any, environment_id: Any) -> Any:
    """A subquery: the id of the newest deploy of the project in the environment, of a release that is not deleted."""
    return (
        DeployProject.select(DeployProject.deploy_id)
        .join(Release, on=(Release.id == DeployProject.release_id))
        .where(
            DeployProject.project_id == project_id,
            DeployProject.environment_id == environment_id,
            Release.delete_time.is_null(),
        )
        .order_by(DeployProject.finish_time.desc(), DeployProject.deploy_id.desc())
        .limit(1)
    )


@query_shape
def _deploys_there(*, backward: bool) -> Query[tuple[Any, ...]]:
    """The deploys of a project in an environment from a place on: release, finish_time and id of each."""
    place = peewee.Tuple(DeployProject.finish_time, DeployProject.deploy_id)
    start = peewee.Tuple(hole(DeployProject.finish_time), hole(DeployProject.deploy_id))
    columns = (DeployProject.finish_time, DeployProject.deploy_id)
    return Query(
        DeployProject.select(DeployProject.release_id, *columns)
        .join(Release, on=(Release.id == DeployProject.release_id))
        .where(
            DeployProject.project_id == hole(DeployProject.project_id),
            DeployProject.environment_id == hole(DeployProject.environment_id),
            DeployProject.release_id != hole(DeployProject.release_id, "other_than"),
            Release.delete_time.is_null(),
            place > start if backward else place < start,
        )
        .order_by(*(column.asc() if backward else column.desc() for column in columns))
        .limit(hole(Release.deploy_count, "limit"))
    )


_NO_RELEASE: Final = b"\x00" * 16


_LAST_OF_RELEASE: Final = Query(
    ReleaseEnvironment.select(ReleaseEnvironment.last_finish_time, ReleaseEnvironment.last_deploy_id).where(
        ReleaseEnvironment.release_id == hole(ReleaseEnvironment.release_id),
        ReleaseEnvironment.project_id == hole(ReleaseEnvironment.project_id),
        ReleaseEnvironment.environment_id == hole(ReleaseEnvironment.environment_id),
        # Without it, it had sessions there and no deploy.
        ReleaseEnvironment.last_deploy_id.is_null(False),
    )
)


@query_shape
def _running(size: int) -> Query[RunningDeploy]:
    newer = ReleaseEnvironment.alias("newer")
    its_release = Release.alias("its_release")
    is_newer = (
        newer.select(peewee.SQL("1"))
        .join(its_release, on=(its_release.id == newer.release_id))
        .where(
            newer.project_id == ReleaseEnvironment.project_id,
            newer.environment_id == ReleaseEnvironment.environment_id,
            peewee.Tuple(newer.last_finish_time, newer.last_deploy_id)
            > peewee.Tuple(ReleaseEnvironment.last_finish_time, ReleaseEnvironment.last_deploy_id),
            its_release.delete_time.is_null(),
        )
    )
    return Query(
        ReleaseEnvironment.select(
            ReleaseEnvironment.release_id,
            Release.version,
            Environment.display_name,
            Project.id,
            Project.slug,
            ReleaseEnvironment.last_deploy_id,
            ReleaseEnvironment.last_finish_time,
        )
        .join(Release, on=(Release.id == ReleaseEnvironment.release_id))
        .join(Environment, on=(Environment.id == ReleaseEnvironment.environment_id))
        .join(Project, on=(Project.id == ReleaseEnvironment.project_id))
        .where(
            ReleaseEnvironment.release_id.in_(holes(ReleaseEnvironment.release_id, size)),
            ReleaseEnvironment.last_deploy_id.is_null(False),
            Release.delete_time.is_null(),
            ~peewee.fn.EXISTS(is_newer),
        )
        .order_by(ReleaseEnvironment.release_id, Environment.display_name, Project.slug),
        row=RunningDeploy,
    )


def running_deploys(
    reader: Reader, release_ids: Sequence[bytes], projects: ProjectSet, *, most: int
) -> dict[bytes, tuple[RunningDeploy, ...]]:
    """Where each of these releases runs: its deploys that are the newest of one of the projects in an environment, by
    environment and project, the first `most` of them. Every id is there; a release that runs nowhere has none."""
    found: dict[bytes, list[RunningDeploy]] = {release_id: [] for release_id in release_ids}
    for batch in batches(list(found)):
        for row in reader.rows(_running(len(batch)), **filled(batch)):
            if projects.allows(row.project_id) and len(found[row.release_id]) < most:
                found[row.release_id].append(row)
    return {release_id: tuple(rows) for release_id, rows in found.items()}


def running_bytes(deploy: RunningDeploy, organization_slug: str) -> int:
    """What it takes in a message, at most."""
    texts = wire_bytes(deploy.version, deploy.environment, deploy.project_slug)
    return _RUNNING_BYTES + 2 * len(organization_slug) + texts


def get_current_release(
    db: Database, access: Access, organization_slug: str, name: ProjectSlugText, environment: str, page: PageRequest
) -> CurrentRelease:
    """The release of the project that runs in the environment, by the newest deploy there, and a page of the deploys
    before that one, newest first.

    A page ends before it passes 1 MiB.

    Raises `OrganizationNotFound`, `ProjectNotFound` (also when the project is not the caller's).
    """

    def read(reader: Reader) -> CurrentRelease:
        organization = find_organization(reader, access, organization_slug)
        project = find_named_project(reader, access, organization, name)
        allowed = accessible_projects(access, organization)
        environment_id = environment_ids(reader, organization.id, [environment]).get(environment)
        newest = None if environment_id is None else _newest(reader, project.id, environment_id)
        if environment_id is None or newest is None:
            return CurrentRelease(organization.slug, None, None, Page((), None, None))
        release_id, *place = newest
        # The current deploy is no part of its history, wherever a page of that begins.
        start = page.position.key if page.position is not None else place
        older = reader.rows(
            _deploys_there(backward=page.backward),
            project_id=project.id,
            environment_id=environment_id,
            other_than=_NO_RELEASE,
            finish_time=start[0],
            deploy_id=start[1],
            limit=page.limit,
        )
        deploys = deploys_by_id(reader, [place[1], *(deploy_id for *_, deploy_id in older)])
        rows = [deploys[deploy_id] for *_, deploy_id in older if deploy_id != place[1]]
        fits = fitting(page, (deploy_bytes(row, organization.slug) for row in rows), most=PAGE_BYTES)
        history = page_of(rows[: fits.limit], fits, lambda row: (row.finish_time, row.id), descending=True)
        release = release_details(reader, release_by_id(reader, organization, release_id), allowed)
        return CurrentRelease(organization.slug, release, deploys[place[1]], history)

    return db.read(read)


def _newest(reader: Reader, project_id: bytes, environment_id: bytes) -> tuple[Any, ...] | None:
    return deploy_before(reader, project_id, environment_id, place=_LATEST, other_than=_NO_RELEASE)


def deploy_before(
    reader: Reader, project_id: bytes, environment_id: bytes, *, place: tuple[int, bytes], other_than: bytes
) -> tuple[bytes, int, bytes] | None:
    """The newest deploy of the project to the environment before a place, of another release: (release id, finish_time,
    deploy id)."""
    found: list[tuple[bytes, int, bytes]] = reader.rows(
        _deploys_there(backward=False),
        project_id=project_id,
        environment_id=environment_id,
        other_than=other_than,
        finish_time=place[0],
        deploy_id=place[1],
        limit=1,
    )
    return found[0] if found else None


def ran_before(reader: Reader, release_id: bytes, project_ids: Sequence[bytes], environment_id: bytes) -> bytes | None:
    """The other release that was deployed last to the environment, of one of these projects, before this release's
    newest deploy there; when this one was never deployed there, the one that runs there now."""
    lasts = {
        project_id: reader.row(
            _LAST_OF_RELEASE, release_id=release_id, project_id=project_id, environment_id=environment_id
        )
        for project_id in project_ids
    }
    starts = {project_id: last for project_id, last in lasts.items() if last is not None}
    found: list[tuple[int, bytes, bytes]] = []
    for project_id, place in (starts or dict.fromkeys(project_ids, _LATEST)).items():
        before = deploy_before(reader, project_id, environment_id, place=place, other_than=release_id)
        if before is not None:
            found.append((before[1], before[2], before[0]))
    return max(found)[2] if found else None
