"""RPCs on organizations, projects and repositories."""

from __future__ import annotations

from collections.abc import Iterator

from releaseregistry.v1 import activities_pb2
from releaseregistry.v1 import organizations_pb2 as pb

from server.edge.calls import Call
from server.mapping.activities import activity_filter, activity_message
from server.mapping.avatars import avatar_message
from server.mapping.environments import environment_message
from server.mapping.frames import Frames
from server.mapping.organizations import (
    created_organization,
    created_project,
    created_repository,
    deleted_organization,
    deleted_project,
    organization_changes,
    organization_draft,
    organization_message,
    project_changes,
    project_draft,
    project_message,
    repository_changes,
    repository_draft,
    repository_message,
    updated_organization,
    updated_project,
    updated_repository,
    usage_message,
)
from server.mapping.projects import named_projects
from server.names import parse_organization, parse_project, parse_repository
from store import Store
from store.activity.list import list_activity
from store.deploys.environments import list_environments
from store.organizations.avatars import get_avatar, start_avatar
from store.organizations.delete import delete_organization, delete_project
from store.organizations.organizations import (
    create_organization,
    get_usage,
    list_organizations,
    update_organization,
)
from store.organizations.projects import create_project, get_project, list_projects, update_project
from store.organizations.repositories import (
    create_repository,
    get_repository,
    list_repositories,
    update_repository,
)


class OrganizationServicer:
    """The organization service."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def CreateOrganization(self, request: pb.CreateOrganizationRequest, call: Call) -> pb.CreateOrganizationResponse:
        terms = call.terms(request, created_organization, pb.CreateOrganizationResponse)
        return create_organization(self._store.db, organization_draft(request), terms)

    def GetOrganization(self, request: pb.GetOrganizationRequest, call: Call) -> pb.GetOrganizationResponse:
        slug = parse_organization(request.name, field="name")
        row, usage = get_usage(self._store.db, call.access, slug)
        organization = organization_message(row)
        organization.usage.CopyFrom(usage_message(usage, stream_count=call.streams_of(row.id)))
        return pb.GetOrganizationResponse(organization=organization)

    def ListOrganizations(self, request: pb.ListOrganizationsRequest, call: Call) -> pb.ListOrganizationsResponse:
        page = list_organizations(self._store.db, call.access, call.page(request))
        return pb.ListOrganizationsResponse(
            organizations=[organization_message(row) for row in page.items],
            next_page_token=call.page_token(request, page.next),
            previous_page_token=call.page_token(request, page.previous),
        )

    def UpdateOrganization(self, request: pb.UpdateOrganizationRequest, call: Call) -> pb.UpdateOrganizationResponse:
        slug = parse_organization(request.organization.name, field="organization.name")
        terms = call.terms(request, updated_organization, pb.UpdateOrganizationResponse)
        return update_organization(self._store.db, call.access, slug, organization_changes(request, call.access), terms)

    def DeleteOrganization(self, request: pb.DeleteOrganizationRequest, call: Call) -> pb.DeleteOrganizationResponse:
        slug = parse_organization(request.name, field="name")
        terms = call.terms(request, deleted_organization, pb.DeleteOrganizationResponse)
        return delete_organization(self._store.db, call.access, slug, force=request.force, terms=terms)

    def UploadAvatar(self, requests: Iterator[pb.UploadAvatarRequest], call: Call) -> pb.UploadAvatarResponse:
        frames = Frames[pb.AvatarHeader, bytes, pb.AvatarFinish](requests)
        slug = parse_organization(frames.header().name, field="header.name")
        with start_avatar(self._store, call.access, slug) as upload:
            for data in frames.data():
                upload.write(data)
            finish = frames.finish()
            row = upload.finish(size_bytes=finish.size_bytes, sha256=bytes.fromhex(finish.sha256))
        return pb.UploadAvatarResponse(organization=organization_message(row))

    def DownloadAvatar(self, request: pb.DownloadAvatarRequest, call: Call) -> pb.DownloadAvatarResponse:
        slug = parse_organization(request.name, field="name")
        return avatar_message(get_avatar(self._store, call.access, slug, size_pixels=request.size_pixels))

    def CreateProject(self, request: pb.CreateProjectRequest, call: Call) -> pb.CreateProjectResponse:
        organization = parse_organization(request.parent, field="parent")
        terms = call.terms(request, created_project, pb.CreateProjectResponse)
        return create_project(self._store.db, call.access, organization, project_draft(request), terms)

    def GetProject(self, request: pb.GetProjectRequest, call: Call) -> pb.GetProjectResponse:
        name = parse_project(request.name, field="name")
        found = get_project(self._store.db, call.access, name.organization, name.project)
        return pb.GetProjectResponse(project=project_message(*found))

    def ListProjects(self, request: pb.ListProjectsRequest, call: Call) -> pb.ListProjectsResponse:
        slug = parse_organization(request.parent, field="parent")
        organization, page = list_projects(self._store.db, call.access, slug, call.page(request))
        return pb.ListProjectsResponse(
            projects=[project_message(organization, project) for project in page.items],
            next_page_token=call.page_token(request, page.next),
            previous_page_token=call.page_token(request, page.previous),
        )

    def UpdateProject(self, request: pb.UpdateProjectRequest, call: Call) -> pb.UpdateProjectResponse:
        name = parse_project(request.project.name, field="project.name")
        changes = project_changes(request)
        terms = call.terms(request, updated_project, pb.UpdateProjectResponse)
        return update_project(self._store.db, call.access, name.organization, name.project, changes, terms)

    def DeleteProject(self, request: pb.DeleteProjectRequest, call: Call) -> pb.DeleteProjectResponse:
        name = parse_project(request.name, field="name")
        terms = call.terms(request, deleted_project, pb.DeleteProjectResponse)
        return delete_project(
            self._store.db, call.access, name.organization, name.project, force=request.force, terms=terms
        )

    def CreateRepository(self, request: pb.CreateRepositoryRequest, call: Call) -> pb.CreateRepositoryResponse:
        organization = parse_organization(request.parent, field="parent")
        terms = call.terms(request, created_repository, pb.CreateRepositoryResponse)
        return create_repository(self._store.db, call.access, organization, repository_draft(request), terms)

    def GetRepository(self, request: pb.GetRepositoryRequest, call: Call) -> pb.GetRepositoryResponse:
        name = parse_repository(request.name, field="name")
        found = get_repository(self._store.db, call.access, name.organization, name.id)
        return pb.GetRepositoryResponse(repository=repository_message(*found))

    def ListRepositories(self, request: pb.ListRepositoriesRequest, call: Call) -> pb.ListRepositoriesResponse:
        slug = parse_organization(request.parent, field="parent")
        organization, page = list_repositories(self._store.db, call.access, slug, call.page(request))
        return pb.ListRepositoriesResponse(
            repositories=[repository_message(organization, repository) for repository in page.items],
            next_page_token=call.page_token(request, page.next),
            previous_page_token=call.page_token(request, page.previous),
        )

    def ListEnvironments(self, request: pb.ListEnvironmentsRequest, call: Call) -> pb.ListEnvironmentsResponse:
        slug = parse_organization(request.parent, field="parent")
        projects = named_projects(request.projects, slug, field="projects")
        organization, page = list_environments(self._store.db, call.access, slug, call.page(request), projects=projects)
        return pb.ListEnvironmentsResponse(
            environments=[environment_message(organization, environment) for environment in page.items],
            next_page_token=call.page_token(request, page.next),
            previous_page_token=call.page_token(request, page.previous),
        )

    def ListActivity(
        self, request: activities_pb2.ListActivityRequest, call: Call
    ) -> activities_pb2.ListActivityResponse:
        slug = parse_organization(request.parent, field="parent")
        organization, page = list_activity(
            self._store.db, call.access, slug, call.page(request), sought=activity_filter(request, slug)
        )
        return activities_pb2.ListActivityResponse(
            activities=[activity_message(organization, activity) for activity in page.items],
            next_page_token=call.page_token(request, page.next),
            previous_page_token=call.page_token(request, page.previous),
        )

    def UpdateRepository(self, request: pb.UpdateRepositoryRequest, call: Call) -> pb.UpdateRepositoryResponse:
        name = parse_repository(request.repository.name, field="repository.name")
        changes = repository_changes(request)
        terms = call.terms(request, updated_repository, pb.UpdateRepositoryResponse)
        return update_repository(self._store.db, call.access, name.organization, name.id, changes, terms)
