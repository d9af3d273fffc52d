"""Releases: messages of the contract to drafts of the store, and what the store answers to messages."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from releaseregistry.v1 import releases_pb2 as pb

from server.mapping.adoption import stage_message
from server.mapping.commits import author_message, commit_draft, commit_message, head_message, ref_draft
from server.mapping.deploys import deploy_message
from server.mapping.filters import release_status
from server.mapping.health import listed_health_message
from server.mapping.masks import changed_paths
from server.mapping.projects import named_projects
from server.mapping.times import optional_micros, optional_timestamp, to_timestamp
from server.names import parse_release, project_name, release_name, uid
from store.errors import InvalidField
from store.releases.batch import NamedRelease
from store.releases.create import CreatedRelease, CreateOutcome, ReleaseDraft
from store.releases.details import ReleaseDetails
from store.releases.in_projects import InProjectRow
from store.releases.rows import ReleaseStatus
from store.releases.update import ReleaseChanges
from store.releases.version import READ_VERSIONS, Version, parse_version

CHANGEABLE: Final = ("status", "ref", "url", "owner", "release_time", "labels")

_STATUS_MESSAGES: Final[dict[int, pb.ReleaseStatus]] = {
    ReleaseStatus.OPEN: pb.RELEASE_STATUS_OPEN,
    ReleaseStatus.ARCHIVED: pb.RELEASE_STATUS_ARCHIVED,
}
_OUTCOMES: Final = {
    CreateOutcome.CREATED: pb.CREATE_RELEASE_OUTCOME_CREATED,
    CreateOutcome.EXTENDED: pb.CREATE_RELEASE_OUTCOME_EXTENDED,
    CreateOutcome.UNCHANGED: pb.CREATE_RELEASE_OUTCOME_UNCHANGED,
}


def release_draft(request: pb.CreateReleaseRequest, organization: str, *, user_agent: str) -> ReleaseDraft:
    """The release that a request asks for."""
    release = request.release
    if not release.version:
        raise InvalidField("release.version", "is required")
    return ReleaseDraft(
        version=release.version,
        projects=named_projects(release.projects, organization, field="release.projects"),
        status=release_status(release.status, field="release.status"),
        ref=release.ref,
        url=release.url,
        owner=release.owner,
        release_time=optional_micros(release, "release_time"),
        user_agent=user_agent,
        commits=tuple(commit_draft(commit) for commit in request.commits),
        refs=tuple(ref_draft(ref) for ref in request.refs),
        labels=dict(release.labels),
    )


def release_changes(request: pb.UpdateReleaseRequest) -> ReleaseChanges:
    """What an update asks to change."""
    release = request.release
    return ReleaseChanges(
        fields=changed_paths(release, request.update_mask, allowed=CHANGEABLE),
        status=release_status(release.status, field="release.status") or ReleaseStatus.OPEN,
        ref=release.ref,
        url=release.url,
        owner=release.owner,
        release_time=optional_micros(release, "release_time"),
        labels=dict(release.labels),
    )


def named_releases(names: Iterable[str], *, field: str) -> tuple[NamedRelease, ...]:
    """The releases in names, in their order. Raises InvalidName."""
    parsed = (parse_release(text, field=f"{field}[{index}]") for index, text in enumerate(names))
    return tuple(NamedRelease(name.organization, name.version) for name in parsed)


def release_message(details: ReleaseDetails) -> pb.Release:
    """A release; with its newest commit, heads and authors where the details hold them."""
    release, contents = details.release, details.contents
    organization = release.organization_slug
    message = pb.Release(
        name=release_name(organization, release.version),
        uid=uid(release.id),
        version=release.version,
        projects=[project_name(organization, project.slug) for project in release.projects],
        status=_STATUS_MESSAGES[release.status],
        ref=release.ref,
        url=release.url,
        owner=release.owner,
        release_time=optional_timestamp(release.release_time),
        create_time=to_timestamp(release.create_time),
        update_time=to_timestamp(release.update_time),
        etag=release.etag,
        version_info=_version_info(release.version),
        commit_count=release.commit_count,
        author_count=release.author_count,
        file_count=release.file_count,
        user_agent=release.user_agent,
        deploy_count=release.deploy_count,
        labels=details.labels or None,
    )
    if details.last_deploy is not None:
        message.last_deploy.CopyFrom(deploy_message(organization, details.last_deploy))
    if details.in_projects:
        message.in_projects.extend([in_project_message(organization, faring) for faring in details.in_projects])
    if contents is not None:
        if contents.last_commit is not None:
            message.last_commit.CopyFrom(commit_message(contents.last_commit))
        message.head_commits.extend(head_message(head) for head in contents.head_commits)
        message.authors.extend(author_message(author) for author in contents.authors)
        message.references.extend(contents.references)
    return message


def in_project_message(organization: str, faring: InProjectRow) -> pb.ReleaseInProject:
    """How a release fares in a project of the organization of this slug."""
    told = faring.told
    if not faring.deploy_count and told is None:
        return _never_deployed_message(organization, faring.slug)
    message = pb.ReleaseInProject(
        project=project_name(organization, faring.slug),
        deploy_count=faring.deploy_count,
        last_deploy_time=optional_timestamp(faring.last_deploy_time),
    )
    if told is not None:
        message.adoptions.extend(stage_message(organization, faring.slug, row) for row in told.stages)
        if told.health is not None:
            health = told.health
            message.health.CopyFrom(
                listed_health_message(health.figures, health.shares, health.series, has_health_data=health.has_data)
            )
    return message


@lru_cache(maxsize=READ_VERSIONS)
def _never_deployed_message(organization: str, slug: str) -> pb.ReleaseInProject:
    """One message for all who ask, who only copy it."""
    return pb.ReleaseInProject(project=project_name(organization, slug))


def version_message(version: Version) -> pb.VersionInfo:
    """What a version says."""
    message = pb.VersionInfo(
        package=version.display_package, description=version.description, build_hash=version.build_hash or ""
    )
    if version.is_semver:
        message.semantic.CopyFrom(
            pb.SemanticVersion(
                major=version.major or 0,
                minor=version.minor or 0,
                patch=version.patch or 0,
                revision=version.revision or 0,
                prerelease=version.prerelease or "",
                build_code=version.build_code or "",
                build_number=version.build_number,
                component_count=version.components,
            )
        )
    return message


@lru_cache(maxsize=READ_VERSIONS)
def _version_info(version: str) -> pb.VersionInfo:
    """One message for all who ask, who only copy it."""
    return version_message(parse_version(version))


def created_message(created: CreatedRelease) -> pb.CreateReleaseResponse:
    """What CreateRelease answers."""
    return pb.CreateReleaseResponse(release=release_message(created.details), outcome=_OUTCOMES[created.outcome])


def updated_message(details: ReleaseDetails) -> pb.UpdateReleaseResponse:
    """What UpdateRelease answers."""
    return pb.UpdateReleaseResponse(release=release_message(details))


def deleted_message(_: None) -> pb.DeleteReleaseResponse:
    """What DeleteRelease answers."""
    return pb.DeleteReleaseResponse()
