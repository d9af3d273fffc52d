"""Releases together with what is in them: view FULL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from store.commits.contents import ReleaseContents, release_contents
from store.database import Reader
from store.paging import wire_bytes
from store.releases.rows import ReleaseRow

NOTHING = ReleaseContents(None, (), ())
"""What is in a release without commits."""

# What stands on the wire beside texts, at most: in a release, and in a name, commit, head or author of it.
_RELEASE_BYTES: Final = 320
_NAME_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class ReleaseDetails:
    """A release and what is in it; contents is None where only the release was asked for."""

    release: ReleaseRow
    contents: ReleaseContents | None


def release_details(reader: Reader, release: ReleaseRow) -> ReleaseDetails:
    """The release with its newest commit, its head commits and its authors, the last two at most 100 each."""
    return details_of(reader, (release,))[0]


def details_of(reader: Reader, releases: Sequence[ReleaseRow]) -> list[ReleaseDetails]:
    """The same for many releases, in their order."""
    with_commits = [release.id for release in releases if release.commit_count]
    # Most releases of a busy list have no commits: they cost no query.
    contents = release_contents(reader, with_commits) if with_commits else {}
    return [ReleaseDetails(release, contents.get(release.id, NOTHING)) for release in releases]


def wire_bytes_of(details: ReleaseDetails) -> int:
    """What a release takes in a message, at most."""
    release, contents = details.release, details.contents
    # The version stands there whole, in the name, and again in the parts that are read out of it.
    size = _RELEASE_BYTES + 6 * wire_bytes(release.version)
    size += wire_bytes(release.organization_slug, release.ref, release.url, release.owner, release.user_agent)
    prefix = _NAME_BYTES + len(release.organization_slug)
    size += sum(prefix + len(project.slug) for project in release.projects)
    if contents is None:
        return size
    if contents.last_commit is not None:
        commit = contents.last_commit
        texts = (commit.key, commit.repository, commit.author_name, commit.author_email, commit.message)
        size += _NAME_BYTES + wire_bytes(*filter(None, texts))
    size += sum(_NAME_BYTES + wire_bytes(*head) for head in contents.head_commits)
    return size + sum(_NAME_BYTES + wire_bytes(*filter(None, author)) for author in contents.authors)
