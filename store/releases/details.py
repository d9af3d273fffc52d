"""Releases together with what is in them: view FULL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from store.access.projects import EVERY_PROJECT, ProjectSet
from store.commits.contents import ReleaseContents, release_contents
from store.database import Reader
from store.deploys.rows import DeployRow, deploy_bytes, deploys_by_id
from store.paging import wire_bytes
from store.releases.in_projects import InProjectRow, in_projects, in_projects_bytes
from store.releases.labels import labels_of_releases
from store.releases.rows import ReleaseRow

NOTHING = ReleaseContents(None, (), ())
"""What is in a release without commits."""

# What stands on the wire beside texts, at most: in a release, and in a name, commit, head or author of it.
_RELEASE_BYTES: Final = 320
_NAME_BYTES: Final = 64
_REFERENCE_BYTES: Final = 4
_LABEL_BYTES: Final = 9


@dataclass(frozen=True, slots=True)
class ReleaseDetails:
    """A release with its labels, what is in it, its newest deploy and how it fares in its projects; contents is None
    where only the release was asked for."""

    release: ReleaseRow
    contents: ReleaseContents | None
    last_deploy: DeployRow | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    in_projects: tuple[InProjectRow, ...] = ()


def has_contents(release: ReleaseRow) -> bool:
    """Whether there is more to it than its row: commits, heads, labels or deploys."""
    counts = (release.commit_count, release.head_count, release.label_count)
    return any(counts) or release.last_deploy_id is not None


def basic_details_of(reader: Reader, releases: Sequence[ReleaseRow]) -> list[ReleaseDetails]:
    """The releases without what is in them, in their order."""
    labels = labels_of_releases(reader, releases)
    return [ReleaseDetails(release, None, labels=labels.get(release.id, {})) for release in releases]


def release_details(
    reader: Reader, release: ReleaseRow, allowed: ProjectSet = EVERY_PROJECT, *, shown: ProjectSet | None = None
) -> ReleaseDetails:
    """The release with its newest commit, and at most 100 each of its heads, authors and references; with its newest
    deploy if that is of one of the allowed projects, and with how it fares in these, or in those of `shown`."""
    return details_of(reader, (release,), allowed, shown=shown)[0]


def details_of(
    reader: Reader,
    releases: Sequence[ReleaseRow],
    allowed: ProjectSet = EVERY_PROJECT,
    *,
    shown: ProjectSet | None = None,
) -> list[ReleaseDetails]:
    """The same for many releases, in their order."""
    # Most releases of a busy list have neither commits nor refs: they cost no query.
    filled = [release.id for release in releases if release.commit_count or release.head_count]
    contents = release_contents(reader, filled) if filled else {}
    labels = labels_of_releases(reader, releases)
    last_ids = [release.last_deploy_id for release in releases if release.last_deploy_id is not None]
    found = deploys_by_id(reader, last_ids) if last_ids else {}
    deploys = {id_: deploy for id_, deploy in found.items() if allowed.allows_any(deploy.project_ids)}
    faring = in_projects(reader, releases, allowed if shown is None else shown)
    return [
        ReleaseDetails(
            release,
            contents.get(release.id, NOTHING),
            None if release.last_deploy_id is None else deploys.get(release.last_deploy_id),
            labels.get(release.id, {}),
            faring[release.id],
        )
        for release in releases
    ]


def wire_bytes_of(details: ReleaseDetails) -> int:
    """What a release takes in a message, at most."""
    release, contents = details.release, details.contents
    # The version stands there whole, in the name, and again in the parts that are read out of it.
    size = _RELEASE_BYTES + 6 * wire_bytes(release.version)
    size += wire_bytes(release.organization_slug, release.ref, release.url, release.owner, release.user_agent)
    prefix = _NAME_BYTES + len(release.organization_slug)
    size += sum(prefix + len(project.slug) for project in release.projects)
    if details.labels:
        size += sum(_LABEL_BYTES + wire_bytes(key, value) for key, value in details.labels.items())
    if details.last_deploy is not None:
        size += deploy_bytes(details.last_deploy, release.organization_slug)
    if details.in_projects:
        size += in_projects_bytes(details.in_projects, release.organization_slug)
    if contents is None:
        return size
    if contents.last_commit is not None:
        commit = contents.last_commit
        texts = (commit.key, commit.repository, commit.author_name, commit.author_email, commit.message)
        size += _NAME_BYTES + wire_bytes(*filter(None, texts))
        size += sum(_REFERENCE_BYTES + wire_bytes(reference) for reference in commit.references)
    size += sum(_NAME_BYTES + wire_bytes(*filter(None, head)) for head in contents.head_commits)
    size += sum(_REFERENCE_BYTES + wire_bytes(reference) for reference in contents.references)
    return size + sum(_NAME_BYTES + wire_bytes(*filter(None, author)) for author in contents.authors)
