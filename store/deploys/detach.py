"""Taking a deleted project from the deploys of a release."""

from __future__ import annotations

from typing import Final

import peewee

from store.database import Query, Statement, Transaction, hole
from store.deploys.models import Deploy, DeployProject, EnvironmentProject, ReleaseEnvironment
from store.releases.models import Release, ReleaseProject

_SOME_OF_PROJECT: Final = (
    DeployProject.select(DeployProject.deploy_id)
    .where(
        DeployProject.release_id == hole(DeployProject.release_id),
        DeployProject.project_id == hole(DeployProject.project_id),
    )
    .order_by(DeployProject.deploy_id)
    .limit(hole(Release.deploy_count, "limit"))
)
_SOME: Final = Query(_SOME_OF_PROJECT)
_DETACH: Final = Statement(
    DeployProject.delete().where(
        DeployProject.release_id == hole(DeployProject.release_id),
        DeployProject.project_id == hole(DeployProject.project_id),
        DeployProject.deploy_id <= hole(DeployProject.deploy_id, "last_id"),
    )
)
_DELETE_EMPTY: Final = Statement(
    Deploy.delete().where(
        Deploy.release_id == hole(Deploy.release_id),
        ~peewee.fn.EXISTS(DeployProject.select(peewee.SQL("1")).where(DeployProject.deploy_id == Deploy.id)),
    )
)
_LEAVE_ENVIRONMENTS: Final = Statement(
    ReleaseEnvironment.delete().where(
        ReleaseEnvironment.release_id == hole(ReleaseEnvironment.release_id),
        ReleaseEnvironment.project_id == hole(ReleaseEnvironment.project_id),
    )
)
_COUNT: Final = Query(Deploy.select(peewee.fn.COUNT(Deploy.id)).where(Deploy.release_id == hole(Deploy.release_id)))
_NEWEST: Final = Query(
    Deploy.select(Deploy.id)
    .where(Deploy.release_id == hole(Deploy.release_id))
    .order_by(Deploy.finish_time.desc(), Deploy.id.desc())
    .limit(1)
)
_SET_COUNT: Final = Statement(
    Release.update(
        {
            Release.deploy_count: hole(Release.deploy_count),
            Release.last_deploy_id: hole(Release.last_deploy_id, nullable=True),
        }
    ).where(Release.id == hole(Release.id))
)
_SET_COUNT_IN_PROJECTS: Final = Statement(
    ReleaseProject.update({ReleaseProject.deploy_count: hole(ReleaseProject.deploy_count)}).where(
        ReleaseProject.release_id == hole(ReleaseProject.release_id)
    )
)
FORGET_ENVIRONMENTS: Final = Statement(
    EnvironmentProject.delete().where(EnvironmentProject.project_id == hole(EnvironmentProject.project_id))
)
"""Takes the project from all environments."""


def detach_deploys(tx: Transaction, release_id: bytes, project_id: bytes, room: int) -> int:
    """Take the project from some deploys of the release, which is locked, and remove those that had no other; how many
    rows that was, fewer than `room`: all of them. The counters of the release follow."""
    some = tx.rows(_SOME, release_id=release_id, project_id=project_id, limit=room)
    if not some:
        return tx.run(_LEAVE_ENVIRONMENTS, release_id=release_id, project_id=project_id)
    tx.run(_DETACH, release_id=release_id, project_id=project_id, last_id=some[-1][0])
    tx.run(_DELETE_EMPTY, release_id=release_id)
    tx.run(_LEAVE_ENVIRONMENTS, release_id=release_id, project_id=project_id)
    (count,) = tx.rows(_COUNT, release_id=release_id)[0]
    newest = tx.row(_NEWEST, release_id=release_id)
    tx.run(_SET_COUNT, id=release_id, deploy_count=count, last_deploy_id=None if newest is None else newest[0])
    tx.run(_SET_COUNT_IN_PROJECTS, release_id=release_id, deploy_count=count)
    return len(some)
