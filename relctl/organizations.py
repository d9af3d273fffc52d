"""Organizations, projects and repositories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice

from releaseregistry.v1 import activities_pb2
from releaseregistry.v1 import organizations_pb2 as messages
from releaseregistry.v1.activities_pb2 import Activity, ActivityKind
from releaseregistry.v1.organizations_pb2 import Environment, Organization, OrganizationQuota, Project, Repository
from releaseregistry.v1.organizations_pb2_grpc import OrganizationServiceStub

from relctl.connection import Connection, new_request_id
from relctl.names import organization_name, project_name, release_name, repository_name


class Organizations:
    """OrganizationService. Slugs name organizations and projects, also former ones; uids name repositories.

    Every method raises RegistryError. Lists are fetched page by page while they are walked; `limit` ends them early.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = OrganizationServiceStub(connection.channel)

    def create(
        self,
        slug: str,
        *,
        display_name: str = "",
        open_membership: bool = False,
        quota: OrganizationQuota | None = None,
    ) -> Organization:
        """Create an organization; the display name is its slug when none is given. Of a `quota` what is not set is as
        the server's settings say."""
        request = messages.CreateOrganizationRequest(
            organization=Organization(
                slug=slug, display_name=display_name, open_membership=open_membership, quota=quota
            ),
            request_id=new_request_id(),
        )
        return self._connection.call(self._stub.CreateOrganization, request).organization

    def get(self, organization: str) -> Organization:
        """Answer one organization, with its usage: how much it has, and the quota that holds for it."""
        request = messages.GetOrganizationRequest(name=organization_name(organization))
        return self._connection.call(self._stub.GetOrganization, request).organization

    def list(self, *, limit: int | None = None) -> Iterator[Organization]:
        """Walk the organizations that the token reaches, by slug."""
        request = messages.ListOrganizationsRequest()
        pages = self._connection.pages(self._stub.ListOrganizations, request, limit=limit)
        return islice((item for page in pages for item in page.organizations), limit)

    def update(self, organization: str, changes: Organization, *, paths: Sequence[str]) -> Organization:
        """Change the fields that `paths` names to what `changes` holds: all but name, uid, avatar_uid, usage and times.

        Quotas, `quota.stored_bytes` and the like, are for tokens of the installation; one that `changes` does not set
        is cleared.
        """
        request = messages.UpdateOrganizationRequest(organization=changes, request_id=new_request_id())
        request.organization.name = organization_name(organization)
        request.update_mask.paths.extend(paths)
        return self._connection.call(self._stub.UpdateOrganization, request).organization

    def delete(self, organization: str, *, force: bool = False) -> None:
        """Delete an organization; with `force` also one that has projects or releases, with all of them.

        Its tokens end with it, and its slug is never given to another.
        """
        request = messages.DeleteOrganizationRequest(
            name=organization_name(organization), force=force, request_id=new_request_id()
        )
        self._connection.call(self._stub.DeleteOrganization, request)

    def create_project(
        self,
        organization: str,
        slug: str,
        *,
        display_name: str = "",
        platform: str = "",
        manual_releases: bool = False,
    ) -> Project:
        """Create a project; the display name is its slug when none is given. With `manual_releases` sessions that name
        a version create no release."""
        request = messages.CreateProjectRequest(
            parent=organization_name(organization),
            project=Project(slug=slug, display_name=display_name, platform=platform, manual_releases=manual_releases),
            request_id=new_request_id(),
        )
        return self._connection.call(self._stub.CreateProject, request).project

    def get_project(self, organization: str, project: str) -> Project:
        """Answer one project."""
        request = messages.GetProjectRequest(name=project_name(organization, project))
        return self._connection.call(self._stub.GetProject, request).project

    def list_projects(self, organization: str, *, limit: int | None = None) -> Iterator[Project]:
        """Walk the projects that the token may access, by slug."""
        request = messages.ListProjectsRequest(parent=organization_name(organization))
        pages = self._connection.pages(self._stub.ListProjects, request, limit=limit)
        return islice((item for page in pages for item in page.projects), limit)

    def update_project(self, organization: str, project: str, changes: Project, *, paths: Sequence[str]) -> Project:
        """Change the fields that `paths` names (`slug`, `display_name`, `platform`, `manual_releases`) to what
        `changes` holds."""
        request = messages.UpdateProjectRequest(project=changes, request_id=new_request_id())
        request.project.name = project_name(organization, project)
        request.update_mask.paths.extend(paths)
        return self._connection.call(self._stub.UpdateProject, request).project

    def delete_project(self, organization: str, project: str, *, force: bool = False) -> None:
        """Delete a project; with `force` also one that has releases, and those of them that have no other project."""
        request = messages.DeleteProjectRequest(
            name=project_name(organization, project), force=force, request_id=new_request_id()
        )
        self._connection.call(self._stub.DeleteProject, request)

    def create_repository(self, organization: str, repository: Repository) -> Repository:
        """Create a repository with what is set in `repository`; its display_name is required."""
        request = messages.CreateRepositoryRequest(
            parent=organization_name(organization), repository=repository, request_id=new_request_id()
        )
        return self._connection.call(self._stub.CreateRepository, request).repository

    def get_repository(self, organization: str, uid: str) -> Repository:
        """Answer one repository."""
        request = messages.GetRepositoryRequest(name=repository_name(organization, uid))
        return self._connection.call(self._stub.GetRepository, request).repository

    def list_repositories(self, organization: str, *, limit: int | None = None) -> Iterator[Repository]:
        """Walk the repositories of an organization, by display name."""
        request = messages.ListRepositoriesRequest(parent=organization_name(organization))
        pages = self._connection.pages(self._stub.ListRepositories, request, limit=limit)
        return islice((item for page in pages for item in page.repositories), limit)

    def update_repository(
        self, organization: str, uid: str, changes: Repository, *, paths: Sequence[str]
    ) -> Repository:
        """Change the fields that `paths` names to what `changes` holds: all but name, uid and times.

        `changes` needs a display_name also where it is not to change.
        """
        request = messages.UpdateRepositoryRequest(repository=changes, request_id=new_request_id())
        request.repository.name = repository_name(organization, uid)
        request.update_mask.paths.extend(paths)
        return self._connection.call(self._stub.UpdateRepository, request).repository

    def list_environments(
        self, organization: str, *, projects: Sequence[str] = (), limit: int | None = None
    ) -> Iterator[Environment]:
        """Walk the environments to which projects were deployed, or where they had sessions, by name; without projects,
        those of all."""
        request = messages.ListEnvironmentsRequest(
            parent=organization_name(organization),
            projects=[project_name(organization, project) for project in projects],
        )
        pages = self._connection.pages(self._stub.ListEnvironments, request, limit=limit)
        return islice((item for page in pages for item in page.environments), limit)

    def list_activity(
        self,
        organization: str,
        *,
        projects: Sequence[str] = (),
        kinds: Sequence[ActivityKind] = (),
        version: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[Activity]:
        """Walk what was done in the organization, newest first: at `since` or later, before `until`; of a release, when
        its version is said."""
        request = activities_pb2.ListActivityRequest(
            parent=organization_name(organization),
            projects=[project_name(organization, project) for project in projects],
            kinds=kinds,
            release=release_name(organization, version) if version else "",
        )
        if since is not None:
            request.start_time.FromDatetime(since)
        if until is not None:
            request.end_time.FromDatetime(until)
        pages = self._connection.pages(self._stub.ListActivity, request, limit=limit)
        return islice((item for page in pages for item in page.activities), limit)
