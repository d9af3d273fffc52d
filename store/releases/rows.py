"""What the operations on releases hand to one another and to the server."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from store.access.projects import ProjectRow
from store.releases.models import Release

MAX_PROJECTS: Final = 100
"""The most projects that one release may be attached to."""


class ReleaseStatus(IntEnum):
    """Whether a release is in use. The numbers are kept in the database."""

    OPEN = 1
    ARCHIVED = 2
    DELETED = 3
    """Marked and waiting for the drain; nobody is ever told of such a release."""


RELEASE_COLUMNS: Final = (
    Release.id,
    Release.organization_id,
    Release.version,
    Release.status,
    Release.ref,
    Release.url,
    Release.owner,
    Release.user_agent,
    Release.release_time,
    Release.create_time,
    Release.update_time,
    Release.revision,
    Release.commit_count,
    Release.author_count,
    Release.head_count,
    Release.file_count,
    Release.label_count,
    Release.last_commit_id,
    Release.deploy_count,
    Release.last_deploy_id,
)
"""The columns of a `ReleaseRow` behind its first two, in its order."""


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """A release as it is kept, behind its organization's slug and its projects by slug. Times are microseconds."""

    organization_slug: str
    projects: tuple[ProjectRow, ...]
    id: bytes
    organization_id: bytes
    version: str
    status: int
    ref: str
    url: str
    owner: str
    user_agent: str
    release_time: int | None
    create_time: int
    update_time: int
    revision: int
    commit_count: int
    author_count: int
    head_count: int
    file_count: int
    label_count: int
    last_commit_id: bytes | None
    deploy_count: int
    last_deploy_id: bytes | None

    @property
    def etag(self) -> str:
        """Opaque text that changes with everything that callers write: a revision, and whose it is.

        Part of the id stands in it so that the etag of a deleted release never fits one of the same version that was
        created later.
        """
        return f'"r{self.revision}-{self.id[-4:].hex()}"'

    @property
    def project_ids(self) -> tuple[bytes, ...]:
        """The ids of its projects."""
        return tuple(project.id for project in self.projects)


def sort_time_of(release: ReleaseRow) -> int:
    """When the release came: when it was released or, if it never was, when it was created."""
    return release.create_time if release.release_time is None else release.release_time
