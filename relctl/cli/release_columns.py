"""What is shown of releases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from releaseregistry.v1.releases_pb2 import (
    GetReleaseResponse,
    Release,
    ReleaseInProject,
    ReleaseProjectView,
    ReleaseStatus,
)

from relctl.cli.application import Columns
from relctl.cli.text import head_text, local_time, subject
from relctl.names import last_part, version_of

STATUSES: Final = {
    "open": ReleaseStatus.RELEASE_STATUS_OPEN,
    "archived": ReleaseStatus.RELEASE_STATUS_ARCHIVED,
}


def _status(release: Release) -> str:
    return next((word for word, status in STATUSES.items() if status == release.status), "")


def _projects(release: Release) -> str:
    return ", ".join(last_part(name) for name in release.projects)


def _labels(release: Release) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(release.labels.items()))


def _last_deploy(release: Release) -> str:
    if not release.HasField("last_deploy"):
        return ""
    return f"{release.last_deploy.environment}, {local_time(release.last_deploy.finish_time)}"


def _in_project(release: Release) -> ReleaseInProject:
    """The one project of a row of a flattened list."""
    return release.in_projects[0] if release.in_projects else ReleaseInProject()


def _last_deploy_in(project: ReleaseInProject) -> str:
    return local_time(project.last_deploy_time, is_set=project.HasField("last_deploy_time"))


_FIRST_COLUMNS: Final[Columns[Release]] = (
    ("version", lambda it: it.version),
    ("projects", _projects),
    ("status", _status),
)
_TIMES_AND_COUNTS: Final[Columns[Release]] = (
    ("released", lambda it: local_time(it.release_time, is_set=it.HasField("release_time"))),
    ("created", lambda it: local_time(it.create_time)),
    ("commits", lambda it: it.commit_count),
    ("files", lambda it: it.file_count),
)
LIST_COLUMNS: Final[Columns[Release]] = (
    *_FIRST_COLUMNS,
    *_TIMES_AND_COUNTS,
    ("deploys", lambda it: it.deploy_count),
    ("labels", _labels),
)
FLAT_COLUMNS: Final[Columns[Release]] = (
    ("version", lambda it: it.version),
    ("project", _projects),
    ("status", _status),
    *_TIMES_AND_COUNTS,
    ("deploys", lambda it: _in_project(it).deploy_count),
    ("last deploy", lambda it: _last_deploy_in(_in_project(it))),
    ("labels", _labels),
)
BRIEF_COLUMNS: Final[Columns[Release]] = (("version", lambda it: it.version), ("projects", _projects))
"""Beside what else is told, which would find no room in a terminal."""
BRIEF_FLAT_COLUMNS: Final[Columns[Release]] = (("version", lambda it: it.version), ("project", _projects))
COLUMNS: Final[Columns[Release]] = (
    *_FIRST_COLUMNS,
    ("ref", lambda it: it.ref),
    ("url", lambda it: it.url),
    ("owner", lambda it: it.owner),
    ("labels", _labels),
    *_TIMES_AND_COUNTS,
    ("authors", lambda it: it.author_count),
    ("last commit", lambda it: f"{it.last_commit.id[:12]} {subject(it.last_commit.message)}"),
    ("heads", lambda it: ", ".join(map(head_text, it.head_commits))),
    ("references", lambda it: ", ".join(it.references)),
    ("deploys", lambda it: it.deploy_count),
    ("last deploy", _last_deploy),
    ("etag", lambda it: it.etag),
)


def of_release(value: Callable[[Release], object]) -> Callable[[GetReleaseResponse], object]:
    """The same of an answer that tells more than the release."""
    return lambda it: value(it.release)


def _changed_files(answer: GetReleaseResponse) -> str:
    view = answer.project_view
    return f"{view.changed_file_count:,}{' or more' if view.changed_file_count_is_least else ''}"


def _moment_of(view: ReleaseProjectView, field: Literal["first_session_time", "last_session_time"]) -> str:
    return local_time(getattr(view, field), is_set=view.HasField(field))


PROJECT_COLUMNS: Final[Columns[GetReleaseResponse]] = (
    *((title, of_release(value)) for title, value in COLUMNS),
    ("changed files", _changed_files),
    ("in project", lambda it: last_part(it.project_view.in_project.project)),
    ("deploys there", lambda it: it.project_view.in_project.deploy_count),
    ("last one there", lambda it: _last_deploy_in(it.project_view.in_project)),
    ("first session there", lambda it: _moment_of(it.project_view, "first_session_time")),
    ("last session there", lambda it: _moment_of(it.project_view, "last_session_time")),
    ("next", lambda it: version_of(it.project_view.next_release)),
    ("previous", lambda it: version_of(it.project_view.previous_release)),
    ("first", lambda it: version_of(it.project_view.first_release)),
    ("last", lambda it: version_of(it.project_view.last_release)),
)
