"""Deploys: which release was brought where, and what runs where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final

from releaseregistry.v1 import deploy_service_pb2, deploys_pb2
from releaseregistry.v1.deploy_service_pb2_grpc import DeployServiceStub
from releaseregistry.v1.deploys_pb2 import Deploy
from releaseregistry.v1.releases_pb2 import Release

from relctl.connection import Connection, new_request_id
from relctl.names import organization_name, project_name, release_name

EVERY_RELEASE: Final = "-"
"""The version that stands for all releases in a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployDraft:
    """What a deploy is told with. Projects are slugs, none means all of the release's; without finish_time it is done
    now."""

    environments: Sequence[str]
    projects: Sequence[str] = ()
    display_name: str = ""
    url: str = ""
    start_time: datetime | None = None
    finish_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Current:
    """The release that runs somewhere, and the deploy that brought it."""

    release: Release
    deploy: Deploy


class Deploys:
    """DeployService. Every method raises RegistryError. Lists are fetched page by page while they are walked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = DeployServiceStub(connection.channel)

    def create(
        self, organization: str, version: str, draft: DeployDraft, *, validate_only: bool = False
    ) -> list[Deploy]:
        """Tell that the release was deployed: a deploy for each environment, all or none."""
        request = deploy_service_pb2.CreateDeployRequest(
            parent=release_name(organization, version),
            environments=draft.environments,
            deploy=deploys_pb2.Deploy(
                projects=[project_name(organization, project) for project in draft.projects],
                display_name=draft.display_name,
                url=draft.url,
            ),
            request_id=new_request_id(),
            validate_only=validate_only,
        )
        if draft.start_time is not None:
            request.deploy.start_time.FromDatetime(draft.start_time)
        if draft.finish_time is not None:
            request.deploy.finish_time.FromDatetime(draft.finish_time)
        return list(self._connection.call(self._stub.CreateDeploy, request).deploys)

    def list(
        self,
        organization: str,
        version: str = EVERY_RELEASE,
        *,
        environments: Sequence[str] = (),
        projects: Sequence[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        latest_only: bool = False,
        limit: int | None = None,
    ) -> Iterator[Deploy]:
        """Walk the deploys of a release, or of all, newest finish_time first; done at `since` or later and before
        `until`. `latest_only`: those that are the newest of a project in its environment."""
        request = deploy_service_pb2.ListDeploysRequest(
            parent=release_name(organization, version),
            environments=environments,
            projects=[project_name(organization, project) for project in projects],
            latest_only=latest_only,
        )
        if since is not None:
            request.start_time.FromDatetime(since)
        if until is not None:
            request.end_time.FromDatetime(until)
        pages = self._connection.pages(self._stub.ListDeploys, request, limit=limit)
        return islice((item for page in pages for item in page.deploys), limit)

    def current(self, organization: str, project: str, environment: str) -> Current | None:
        """Answer which release of the project runs in the environment; None when it was never deployed there."""
        request = self._current_request(organization, project, environment)
        request.page_size = 1
        answer = self._connection.call(self._stub.GetCurrentRelease, request)
        return Current(answer.release, answer.deploy) if answer.HasField("release") else None

    def history(
        self, organization: str, project: str, environment: str, *, limit: int | None = None
    ) -> Iterator[Deploy]:
        """Walk the deploys of the project to the environment before the current one, newest first."""
        request = self._current_request(organization, project, environment)
        pages = self._connection.pages(self._stub.GetCurrentRelease, request, limit=limit)
        return islice((item for page in pages for item in page.history), limit)

    def _current_request(
        self, organization: str, project: str, environment: str
    ) -> deploy_service_pb2.GetCurrentReleaseRequest:
        return deploy_service_pb2.GetCurrentReleaseRequest(
            parent=organization_name(organization),
            project=project_name(organization, project),
            environment=environment,
        )
