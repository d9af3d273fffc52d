"""RPCs on deploys."""

from __future__ import annotations

from releaseregistry.v1 import deploy_service_pb2 as pb

from server.edge.calls import Call
from server.mapping.deploys import created_deploys, deploy_draft, deploy_filter, deploy_message
from server.mapping.projects import named_project
from server.mapping.releases import release_message
from server.names import parse_organization, parse_release, parse_releases
from store import Store
from store.deploys.create import create_deploy
from store.deploys.current import get_current_release
from store.deploys.list import list_deploys


class DeployServicer:
    """The deploy service."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def CreateDeploy(self, request: pb.CreateDeployRequest, call: Call) -> pb.CreateDeployResponse:
        name = parse_release(request.parent, field="parent")
        return create_deploy(
            self._store.db,
            call.access,
            name.organization,
            name.version,
            deploy_draft(request, name.organization),
            call.terms(request, created_deploys, pb.CreateDeployResponse),
        )

    def ListDeploys(self, request: pb.ListDeploysRequest, call: Call) -> pb.ListDeploysResponse:
        name = parse_releases(request.parent, field="parent")
        listed = list_deploys(
            self._store.db,
            call.access,
            name.organization,
            name.version,
            call.page(request),
            sought=deploy_filter(request, name.organization),
        )
        return pb.ListDeploysResponse(
            deploys=[deploy_message(listed.organization_slug, deploy) for deploy in listed.page.items],
            next_page_token=call.page_token(request, listed.page.next),
            previous_page_token=call.page_token(request, listed.page.previous),
        )

    def GetCurrentRelease(self, request: pb.GetCurrentReleaseRequest, call: Call) -> pb.GetCurrentReleaseResponse:
        organization = parse_organization(request.parent, field="parent")
        current = get_current_release(
            self._store.db,
            call.access,
            organization,
            named_project(request.project, organization, field="project"),
            request.environment,
            call.page(request),
        )
        slug, history = current.organization_slug, current.history
        return pb.GetCurrentReleaseResponse(
            release=None if current.release is None else release_message(current.release),
            deploy=None if current.deploy is None else deploy_message(slug, current.deploy),
            history=[deploy_message(slug, deploy) for deploy in history.items],
            next_page_token=call.page_token(request, history.next),
            previous_page_token=call.page_token(request, history.previous),
        )
