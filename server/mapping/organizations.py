"""Organizations, projects and repositories: messages of the contract to drafts of the store, and rows to messages."""

from __future__ import annotations

from typing import Final

from releaseregistry.v1 import organizations_pb2 as pb

from server.mapping.masks import changed_paths
from server.mapping.times import to_timestamp
from server.names import organization_name, project_name, repository_name, uid
from store.organizations.lookup import OrganizationRow, ProjectDetails
from store.organizations.organizations import OrganizationChanges, OrganizationDraft
from store.organizations.projects import ProjectChanges, ProjectDraft, ProjectInOrganization
from store.organizations.repositories import (
    RepositoryChanges,
    RepositoryDraft,
    RepositoryInOrganization,
    RepositoryRow,
    RepositoryState,
)

ORGANIZATION_CHANGEABLE: Final = ("slug", "display_name", "open_membership")
PROJECT_CHANGEABLE: Final = ("slug", "display_name", "platform")
REPOSITORY_CHANGEABLE: Final = ("display_name", "url", "provider", "external_id", "state")

# A state that is not said, or cleared, is active.
_STATES: Final = {
    pb.REPOSITORY_STATE_UNSPECIFIED: RepositoryState.ACTIVE,
    pb.REPOSITORY_STATE_ACTIVE: RepositoryState.ACTIVE,
    pb.REPOSITORY_STATE_DISABLED: RepositoryState.DISABLED,
}
_STATE_MESSAGES: Final = {
    RepositoryState.ACTIVE: pb.REPOSITORY_STATE_ACTIVE,
    RepositoryState.DISABLED: pb.REPOSITORY_STATE_DISABLED,
}


def organization_draft(request: pb.CreateOrganizationRequest) -> OrganizationDraft:
    """The organization that a request asks for."""
    asked = request.organization
    return OrganizationDraft(asked.slug, asked.display_name, asked.open_membership)


def organization_changes(request: pb.UpdateOrganizationRequest) -> OrganizationChanges:
    """What an update asks to change."""
    asked = request.organization
    paths = changed_paths(asked, request.update_mask, allowed=ORGANIZATION_CHANGEABLE)
    return OrganizationChanges(
        slug=asked.slug if "slug" in paths else None,
        display_name=asked.display_name if "display_name" in paths else None,
        open_membership=asked.open_membership if "open_membership" in paths else None,
    )


def organization_message(row: OrganizationRow) -> pb.Organization:
    """An organization."""
    return pb.Organization(
        name=organization_name(row.slug),
        uid=uid(row.id),
        slug=row.slug,
        display_name=row.display_name,
        open_membership=row.open_membership,
        create_time=to_timestamp(row.create_time),
        update_time=to_timestamp(row.update_time),
    )


def project_draft(request: pb.CreateProjectRequest) -> ProjectDraft:
    """The project that a request asks for."""
    asked = request.project
    return ProjectDraft(asked.slug, asked.display_name, asked.platform)


def project_changes(request: pb.UpdateProjectRequest) -> ProjectChanges:
    """What an update asks to change."""
    asked = request.project
    paths = changed_paths(asked, request.update_mask, allowed=PROJECT_CHANGEABLE)
    return ProjectChanges(
        slug=asked.slug if "slug" in paths else None,
        display_name=asked.display_name if "display_name" in paths else None,
        platform=asked.platform if "platform" in paths else None,
    )


def project_message(organization: OrganizationRow, project: ProjectDetails) -> pb.Project:
    """A project of the organization."""
    return pb.Project(
        name=project_name(organization.slug, project.slug),
        uid=uid(project.id),
        slug=project.slug,
        display_name=project.display_name,
        platform=project.platform,
        create_time=to_timestamp(project.create_time),
        update_time=to_timestamp(project.update_time),
    )


def repository_draft(request: pb.CreateRepositoryRequest) -> RepositoryDraft:
    """The repository that a request asks for."""
    asked = request.repository
    return RepositoryDraft(
        display_name=asked.display_name,
        url=asked.url,
        provider=asked.provider,
        external_id=asked.external_id,
        state=_STATES[asked.state],
    )


def repository_changes(request: pb.UpdateRepositoryRequest) -> RepositoryChanges:
    """What an update asks to change."""
    asked = request.repository
    paths = changed_paths(asked, request.update_mask, allowed=REPOSITORY_CHANGEABLE)
    return RepositoryChanges(
        display_name=asked.display_name if "display_name" in paths else None,
        url=asked.url if "url" in paths else None,
        provider=asked.provider if "provider" in paths else None,
        external_id=asked.external_id if "external_id" in paths else None,
        state=_STATES[asked.state] if "state" in paths else None,
    )


def repository_message(organization: OrganizationRow, repository: RepositoryRow) -> pb.Repository:
    """A repository of the organization."""
    return pb.Repository(
        name=repository_name(organization.slug, repository.id),
        uid=uid(repository.id),
        display_name=repository.display_name,
        url=repository.url,
        provider=repository.provider,
        external_id=repository.external_id,
        state=_STATE_MESSAGES[repository.state],
        create_time=to_timestamp(repository.create_time),
        update_time=to_timestamp(repository.update_time),
    )


def created_organization(row: OrganizationRow) -> pb.CreateOrganizationResponse:
    """What CreateOrganization answers."""
    return pb.CreateOrganizationResponse(organization=organization_message(row))


def updated_organization(row: OrganizationRow) -> pb.UpdateOrganizationResponse:
    """What UpdateOrganization answers."""
    return pb.UpdateOrganizationResponse(organization=organization_message(row))


def created_project(result: ProjectInOrganization) -> pb.CreateProjectResponse:
    """What CreateProject answers."""
    return pb.CreateProjectResponse(project=project_message(*result))


def updated_project(result: ProjectInOrganization) -> pb.UpdateProjectResponse:
    """What UpdateProject answers."""
    return pb.UpdateProjectResponse(project=project_message(*result))


def created_repository(result: RepositoryInOrganization) -> pb.CreateRepositoryResponse:
    """What CreateRepository answers."""
    return pb.CreateRepositoryResponse(repository=repository_message(*result))


def updated_repository(result: RepositoryInOrganization) -> pb.UpdateRepositoryResponse:
    """What UpdateRepository answers."""
    return pb.UpdateRepositoryResponse(repository=repository_message(*result))
