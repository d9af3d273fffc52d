"""Organizations and projects as operations have them, and the columns that they are made of."""

from __future__ import annotations

from dataclasses import dataclass

from store.organizations.models import Organization, Project
from store.quotas.quota import Quota


@dataclass(frozen=True, slots=True)
class OrganizationRow:
    """What every operation needs of an organization; display_name is the slug when nobody gave one. Times in
    microseconds UTC. debug_files_role and attachments_role are scopes, "" when nobody chose one."""

    id: bytes
    slug: str
    display_name: str
    open_membership: bool
    create_time: int
    update_time: int
    debug_files_role: str
    attachments_role: str
    quota_stored_bytes: int | None
    quota_file_count: int | None
    quota_stream_count: int | None

    @property
    def quota(self) -> Quota:
        """What is said of how much it may have."""
        return Quota(self.quota_stored_bytes, self.quota_file_count, self.quota_stream_count)


@dataclass(frozen=True, slots=True)
class ProjectDetails:
    """A project as stored; display_name is the slug when nobody gave one. manual_releases: none is created because
    sessions name its version. Times in microseconds UTC."""

    id: bytes
    organization_id: bytes
    slug: str
    display_name: str
    platform: str
    manual_releases: bool
    create_time: int
    update_time: int


def organization_row(
    uid: bytes,
    slug: str,
    display_name: str,
    open_membership: bool,
    create_time: int,
    update_time: int,
    debug_files_role: str,
    attachments_role: str,
    quota_stored_bytes: int | None,
    quota_file_count: int | None,
    quota_stream_count: int | None,
) -> OrganizationRow:
    """The row of an organization from its columns as stored, in the order of `ORGANIZATION_COLUMNS`."""
    return OrganizationRow(
        uid,
        slug,
        display_name or slug,
        open_membership,
        create_time,
        update_time,
        debug_files_role,
        attachments_role,
        quota_stored_bytes,
        quota_file_count,
        quota_stream_count,
    )


def project_details(
    uid: bytes,
    organization_id: bytes,
    slug: str,
    display_name: str,
    platform: str,
    manual_releases: bool,
    create_time: int,
    update_time: int,
) -> ProjectDetails:
    """The details of a project from its columns as stored, in the order of `PROJECT_COLUMNS`."""
    return ProjectDetails(
        uid, organization_id, slug, display_name or slug, platform, manual_releases, create_time, update_time
    )


ORGANIZATION_COLUMNS = (
    Organization.id,
    Organization.slug,
    Organization.display_name,
    Organization.open_membership,
    Organization.create_time,
    Organization.update_time,
    Organization.debug_files_role,
    Organization.attachments_role,
    Organization.quota_stored_bytes,
    Organization.quota_file_count,
    Organization.quota_stream_count,
)
PROJECT_COLUMNS = (
    Project.id,
    Project.organization_id,
    Project.slug,
    Project.display_name,
    Project.platform,
    Project.manual_releases,
    Project.create_time,
    Project.update_time,
)
