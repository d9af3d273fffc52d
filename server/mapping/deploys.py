"""Deploys: messages of the contract to drafts of the store, and what the store answers to messages."""

from __future__ import annotations

from collections.abc import Sequence

from releaseregistry.v1 import deploy_service_pb2, deploys_pb2

from server.mapping.environments import named_environments
from server.mapping.projects import named_projects
from server.mapping.times import optional_micros, optional_timestamp, to_timestamp
from server.names import deploy_name, project_name, uid
from store.deploys.create import CreatedDeploys, DeployDraft
from store.deploys.current import RunningDeploy
from store.deploys.list import DeployFilter
from store.deploys.rows import DeployRow
from store.errors import InvalidField


def deploy_draft(request: deploy_service_pb2.CreateDeployRequest, organization: str) -> DeployDraft:
    """The deploy that a request tells of."""
    deploy = request.deploy
    return DeployDraft(
        environments=named_environments(request.environments, field="environments"),
        projects=named_projects(deploy.projects, organization, field="deploy.projects"),
        display_name=deploy.display_name,
        url=deploy.url,
        start_time=optional_micros(deploy, "start_time"),
        finish_time=optional_micros(deploy, "finish_time"),
    )


def deploy_filter(request: deploy_service_pb2.ListDeploysRequest, organization: str) -> DeployFilter:
    """The deploys that a list asks for. Raises InvalidField for a time that ends before it begins."""
    start_time, end_time = optional_micros(request, "start_time"), optional_micros(request, "end_time")
    if start_time is not None and end_time is not None and end_time < start_time:
        raise InvalidField("end_time", "is before start_time")
    return DeployFilter(
        environments=frozenset(named_environments(request.environments, field="environments")),
        projects=frozenset(named_projects(request.projects, organization, field="projects")),
        start_time=start_time,
        end_time=end_time,
        latest_only=request.latest_only,
    )


def deploy_message(organization: str, deploy: DeployRow) -> deploys_pb2.Deploy:
    """A deploy of a release of the organization of this slug."""
    return deploys_pb2.Deploy(
        name=deploy_name(organization, deploy.version, deploy.id),
        uid=uid(deploy.id),
        environment=deploy.environment,
        projects=[project_name(organization, project.slug) for project in deploy.projects],
        display_name=deploy.display_name,
        url=deploy.url,
        start_time=optional_timestamp(deploy.start_time),
        finish_time=to_timestamp(deploy.finish_time),
        create_time=to_timestamp(deploy.create_time),
    )


def running_messages(organization: str, running: Sequence[RunningDeploy]) -> list[deploys_pb2.RunningDeploy]:
    """Where a release of the organization of this slug runs."""
    return [
        deploys_pb2.RunningDeploy(
            environment=deploy.environment,
            project=project_name(organization, deploy.project_slug),
            deploy=deploy_name(organization, deploy.version, deploy.deploy_id),
            finish_time=to_timestamp(deploy.finish_time),
        )
        for deploy in running
    ]


def created_deploys(created: CreatedDeploys) -> deploy_service_pb2.CreateDeployResponse:
    """What CreateDeploy answers."""
    return deploy_service_pb2.CreateDeployResponse(
        deploys=[deploy_message(created.organization_slug, deploy) for deploy in created.deploys]
    )
