"""Organizations, projects and repositories: messages of the contract to drafts of the store, and rows to messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from releaseregistry.v1 import organizations_pb2 as pb

from server.mapping.masks import changed_paths
from server.mapping.times import to_timestamp
from server.names import organization_name, project_name, repository_name, uid
from store.access import Access
from store.access.scopes import INSTALLATION_ADMIN
from store.organizations.details import AvatarType, OrganizationDetails
from store.organizations.organizations import CLEARED, OrganizationChanges, OrganizationDraft
from store.organizations.projects import ProjectChanges, ProjectDraft, ProjectInOrganization
from store.organizations.repositories import (
    RepositoryChanges,
    RepositoryDraft,
    RepositoryInOrganization,
    RepositoryRow,
    RepositoryState,
)
from store.organizations.rows import OrganizationRow, ProjectDetails
from store.quotas.quota import QUOTAS, Quota, Usage

# Named as the fields of `OrganizationDraft` and `OrganizationChanges` are, too.
ORGANIZATION_CHANGEABLE: Final = (
    "slug",
    "display_name",
    "open_membership",
    "avatar_type",
    "debug_files_role",
    "attachments_role",
    "join_requests",
    "early_adopter",
    "events_member_admin",
    "alerts_member_write",
)
QUOTA_PARTS: Final = {"quota": QUOTAS}
PROJECT_CHANGEABLE: Final = ("slug", "display_name", "platform", "manual_releases")
REPOSITORY_CHANGEABLE: Final = ("display_name", "url", "provider", "external_id", "state")

# A type that is not said, or cleared, is a letter.
_AVATAR_TYPES: Final = {
    pb.AVATAR_TYPE_UNSPECIFIED: AvatarType.LETTER,
    pb.AVATAR_TYPE_LETTER: AvatarType.LETTER,
    pb.AVATAR_TYPE_UPLOAD: AvatarType.UPLOAD,
}
_AVATAR_TYPE_MESSAGES: Final = {
    AvatarType.LETTER: pb.AVATAR_TYPE_LETTER,
    AvatarType.UPLOAD: pb.AVATAR_TYPE_UPLOAD,
}

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
    quota = {f"quota_{name}": getattr(asked.quota, name) for name in QUOTAS if asked.quota.HasField(name)}
    return OrganizationDraft(**_said(asked, ORGANIZATION_CHANGEABLE), **quota)


def organization_changes(request: pb.UpdateOrganizationRequest, access: Access) -> OrganizationChanges:
    """What an update asks to change. `*` of a caller who may set no quota leaves it alone."""
    asked, mask = request.organization, request.update_mask
    paths = changed_paths(asked, mask, allowed=ORGANIZATION_CHANGEABLE, parts=QUOTA_PARTS)
    quota = {name for name in QUOTAS if f"quota.{name}" in paths}
    if "*" in mask.paths and not access.may(INSTALLATION_ADMIN):
        quota.clear()
    said = _said(asked, paths.intersection(ORGANIZATION_CHANGEABLE))
    for name in quota:
        said[f"quota_{name}"] = getattr(asked.quota, name) if asked.quota.HasField(name) else CLEARED
    return OrganizationChanges(**said)


def _said(asked: pb.Organization, paths: Iterable[str]) -> dict[str, Any]:
    said = {path: getattr(asked, path) for path in paths}
    if "avatar_type" in said:
        said["avatar_type"] = _AVATAR_TYPES[said["avatar_type"]]
    return said


def organization_message(row: OrganizationDetails) -> pb.Organization:
    """An organization."""
    return pb.Organization(
        name=organization_name(row.slug),
        uid=uid(row.id),
        slug=row.slug,
        display_name=row.display_name,
        open_membership=row.open_membership,
        create_time=to_timestamp(row.create_time),
        update_time=to_timestamp(row.update_time),
        avatar_type=_AVATAR_TYPE_MESSAGES[row.avatar_type],
        avatar_uid="" if row.avatar_uid is None else uid(row.avatar_uid),
        debug_files_role=row.debug_files_role,
        attachments_role=row.attachments_role,
        join_requests=row.join_requests,
        early_adopter=row.early_adopter,
        events_member_admin=row.events_member_admin,
        alerts_member_write=row.alerts_member_write,
        quota=None if row.quota == Quota() else quota_message(row.quota),
    )


def quota_message(quota: Quota) -> pb.OrganizationQuota:
    """A quota: what nothing is said of is not set."""
    return pb.OrganizationQuota(
        stored_bytes=quota.stored_bytes, file_count=quota.file_count, stream_count=quota.stream_count
    )


def usage_message(usage: Usage, *, stream_count: int) -> pb.OrganizationUsage:
    """How much an organization has; stream_count are its streams on this process."""
    return pb.OrganizationUsage(
        stored_bytes=usage.stored_bytes,
        file_count=usage.file_count,
        stream_count=stream_count,
        quota=quota_message(usage.quota),
    )


def project_draft(request: pb.CreateProjectRequest) -> ProjectDraft:
    """The project that a request asks for."""
    asked = request.project
    return ProjectDraft(asked.slug, asked.display_name, asked.platform, asked.manual_releases)


def project_changes(request: pb.UpdateProjectRequest) -> ProjectChanges:
    """What an update asks to change."""
    asked = request.project
    paths = changed_paths(asked, request.update_mask, allowed=PROJECT_CHANGEABLE)
    return ProjectChanges(
        slug=asked.slug if "slug" in paths else None,
        display_name=asked.display_name if "display_name" in paths else None,
        platform=asked.platform if "platform" in paths else None,
        manual_releases=asked.manual_releases if "manual_releases" in paths else None,
    )


def project_message(organization: OrganizationRow, project: ProjectDetails) -> pb.Project:
    """A project of the organization."""
    return pb.Project(
        name=project_name(organization.slug, project.slug),
        uid=uid(project.id),
        slug=project.slug,
        display_name=project.display_name,
        platform=project.platform,
        manual_releases=project.manual_releases,
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


def created_organization(row: OrganizationDetails) -> pb.CreateOrganizationResponse:
    """What CreateOrganization answers."""
    return pb.CreateOrganizationResponse(organization=organization_message(row))


def updated_organization(row: OrganizationDetails) -> pb.UpdateOrganizationResponse:
    """What UpdateOrganization answers."""
    return pb.UpdateOrganizationResponse(organization=organization_message(row))


def deleted_organization(_: None) -> pb.DeleteOrganizationResponse:
    """What DeleteOrganization answers."""
    return pb.DeleteOrganizationResponse()


def created_project(result: ProjectInOrganization) -> pb.CreateProjectResponse:
    """What CreateProject answers."""
    return pb.CreateProjectResponse(project=project_message(*result))


def updated_project(result: ProjectInOrganization) -> pb.UpdateProjectResponse:
    """What UpdateProject answers."""
    return pb.UpdateProjectResponse(project=project_message(*result))


def deleted_project(_: None) -> pb.DeleteProjectResponse:
    """What DeleteProject answers."""
    return pb.DeleteProjectResponse()


def created_repository(result: RepositoryInOrganization) -> pb.CreateRepositoryResponse:
    """What CreateRepository answers."""
    return pb.CreateRepositoryResponse(repository=repository_message(*result))


def updated_repository(result: RepositoryInOrganization) -> pb.UpdateRepositoryResponse:
    """What UpdateRepository answers."""
    return pb.UpdateRepositoryResponse(repository=repository_message(*result))
