"""Telling that a release was deployed (behaviour.md, Deploys)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import peewee

from store.access import Access
from store.access.projects import ProjectRow, ProjectSlugText, QualifiedSlug, projects_named
from store.database import PLAIN, Database, Query, Statement, Terms, Transaction, hole, holes_for, new_id
from store.database.terms import M
from store.deploys.environments import get_or_create_environments
from store.deploys.models import Deploy, DeployProject, ReleaseEnvironment
from store.deploys.rows import DeployRow
from store.errors import InvalidField, ProjectNotInRelease
from store.releases.activities import record_of_release
from store.releases.lookup import writable_release
from store.releases.models import Release, ReleaseProject
from store.releases.rows import ReleaseRow


@dataclass(frozen=True, slots=True)
class DeployDraft:
    """A deploy as a caller tells it: environments by name, projects by slug (none: all of the release's), times in
    microseconds UTC; no finish_time means now."""

    environments: tuple[str, ...]
    projects: tuple[ProjectSlugText, ...] = ()
    display_name: str = ""
    url: str = ""
    start_time: int | None = None
    finish_time: int | None = None


@dataclass(frozen=True, slots=True)
class CreatedDeploys:
    """A deploy for each environment, and the slug of their organization."""

    organization_slug: str
    deploys: tuple[DeployRow, ...]


_INSERT: Final = Statement(
    Deploy.insert(
        holes_for(
            Deploy.id,
            Deploy.organization_id,
            Deploy.release_id,
            Deploy.environment_id,
            Deploy.display_name,
            Deploy.url,
            Deploy.start_time,
            Deploy.finish_time,
            Deploy.create_time,
        )
    )
)
_INSERT_PROJECT: Final = Statement(
    DeployProject.insert(
        holes_for(
            DeployProject.project_id,
            DeployProject.environment_id,
            DeployProject.finish_time,
            DeployProject.deploy_id,
            DeployProject.release_id,
        )
    )
)
# Where it had sessions only, this is the first deploy.
_IS_NEWER: Final = ReleaseEnvironment.last_deploy_id.is_null() | (
    peewee.Tuple(peewee.EXCLUDED.last_finish_time, peewee.EXCLUDED.last_deploy_id)
    > peewee.Tuple(ReleaseEnvironment.last_finish_time, ReleaseEnvironment.last_deploy_id)
)
_COUNT_IN_ENVIRONMENT: Final = Statement(
    ReleaseEnvironment.insert(
        {
            ReleaseEnvironment.release_id: hole(ReleaseEnvironment.release_id),
            ReleaseEnvironment.project_id: hole(ReleaseEnvironment.project_id),
            ReleaseEnvironment.environment_id: hole(ReleaseEnvironment.environment_id),
            ReleaseEnvironment.last_deploy_id: hole(ReleaseEnvironment.last_deploy_id),
            ReleaseEnvironment.last_finish_time: hole(ReleaseEnvironment.last_finish_time),
            ReleaseEnvironment.deploy_count: 1,
        }
    ).on_conflict(
        action="update",
        conflict_target=[
            ReleaseEnvironment.release_id,
            ReleaseEnvironment.project_id,
            ReleaseEnvironment.environment_id,
        ],
        update={
            ReleaseEnvironment.deploy_count: ReleaseEnvironment.deploy_count + 1,
            ReleaseEnvironment.last_deploy_id: peewee.Case(
                None, [(_IS_NEWER, peewee.EXCLUDED.last_deploy_id)], ReleaseEnvironment.last_deploy_id
            ),
            ReleaseEnvironment.last_finish_time: peewee.Case(
                None, [(_IS_NEWER, peewee.EXCLUDED.last_finish_time)], ReleaseEnvironment.last_finish_time
            ),
        },
    )
)
_NEWEST: Final = Query(
    Deploy.select(Deploy.id)
    .where(Deploy.release_id == hole(Deploy.release_id))
    .order_by(Deploy.finish_time.desc(), Deploy.id.desc())
    .limit(1)
)
_COUNT: Final = Statement(
    Release.update(
        {
            Release.deploy_count: Release.deploy_count + hole(Release.deploy_count, "added"),
            Release.last_deploy_id: hole(Release.last_deploy_id),
        }
    ).where(Release.id == hole(Release.id))
)
_COUNT_IN_PROJECTS: Final = Statement(
    ReleaseProject.update(
        {ReleaseProject.deploy_count: ReleaseProject.deploy_count + hole(ReleaseProject.deploy_count, "added")}
    ).where(ReleaseProject.release_id == hole(ReleaseProject.release_id))
)


def create_deploy(
    db: Database,
    access: Access,
    organization_slug: str,
    version: str,
    draft: DeployDraft,
    terms: Terms[CreatedDeploys, M] = PLAIN,
) -> M:
    """Keep a deploy of the release for each environment, all or none; environments are created when they are new.

    Of two deploys the one with the later finish_time is the newer one, whichever was told first; at the same time the
    one told later. Each of the projects gets an activity `release_deployed`. Of an environment said twice there is one
    deploy.

    Raises `OrganizationNotFound`, `ReleaseNotFound` (also when one of its projects is not the caller's),
    `ProjectNotInRelease`, `InvalidField` for a deploy that ended before it began.
    """
    return db.write(lambda tx: _create(tx, access, organization_slug, version, draft), terms)


def _create(
    tx: Transaction, access: Access, organization_slug: str, version: str, draft: DeployDraft
) -> CreatedDeploys:
    release = writable_release(tx, access, organization_slug, version)
    projects = _chosen(tx, release, draft.projects)
    finish_time = tx.now if draft.finish_time is None else draft.finish_time
    if draft.start_time is not None and draft.start_time > finish_time:
        raise InvalidField("deploy.start_time", "is later than the deploy's finish_time")
    project_ids = sorted(project.id for project in projects)
    environments = get_or_create_environments(tx, release.organization_id, draft.environments, project_ids=project_ids)
    deploys = tuple(
        DeployRow(
            id=new_id(),
            release_id=release.id,
            version=release.version,
            environment=environment,
            display_name=draft.display_name,
            url=draft.url,
            start_time=draft.start_time,
            finish_time=finish_time,
            create_time=tx.now,
            projects=projects,
        )
        for environment in dict.fromkeys(draft.environments)
    )
    for deploy in deploys:
        _keep(tx, release, deploy, environments[deploy.environment], project_ids)
        record_of_release(
            tx,
            access,
            release,
            "release_deployed",
            project_ids=project_ids,
            happen_time=finish_time,
            environment=deploy.environment,
            deploy=str(uuid.UUID(bytes=deploy.id)),
        )
    newest = tx.row(_NEWEST, release_id=release.id)
    assert newest is not None, "one was kept just now"
    tx.run(_COUNT, id=release.id, added=len(deploys), last_deploy_id=newest[0])
    tx.run(_COUNT_IN_PROJECTS, release_id=release.id, added=len(deploys))
    return CreatedDeploys(release.organization_slug, deploys)


def _chosen(tx: Transaction, release: ReleaseRow, names: Sequence[ProjectSlugText]) -> tuple[ProjectRow, ...]:
    """The projects of these slugs, which are or were theirs, in the release's order; without names all of its own."""
    if not names:
        return release.projects
    found = projects_named(tx, release.organization_id, names)
    attached = set(release.projects)
    for name in names:
        if found.get(name) not in attached:
            asked = name if isinstance(name, QualifiedSlug) else QualifiedSlug(release.organization_slug, name)
            raise ProjectNotInRelease(asked.organization, asked.slug)
    chosen = set(found.values())
    return tuple(project for project in release.projects if project in chosen)


def _keep(
    tx: Transaction, release: ReleaseRow, deploy: DeployRow, environment_id: bytes, project_ids: Sequence[bytes]
) -> None:
    tx.run(
        _INSERT,
        id=deploy.id,
        organization_id=release.organization_id,
        release_id=release.id,
        environment_id=environment_id,
        display_name=deploy.display_name,
        url=deploy.url,
        start_time=deploy.start_time,
        finish_time=deploy.finish_time,
        create_time=deploy.create_time,
    )
    of_projects = [
        {"project_id": project_id, "environment_id": environment_id, "release_id": release.id}
        for project_id in project_ids
    ]
    place = {"finish_time": deploy.finish_time, "deploy_id": deploy.id}
    last = {"last_finish_time": deploy.finish_time, "last_deploy_id": deploy.id}
    tx.run_many(_INSERT_PROJECT, [row | place for row in of_projects])
    tx.run_many(_COUNT_IN_ENVIRONMENT, [row | last for row in of_projects])
