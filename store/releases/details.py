"""Releases together with what is in them: view FULL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from store.commits.contents import ReleaseContents, release_contents
from store.database import Reader
from store.releases.rows import ReleaseRow

NOTHING = ReleaseContents(None, (), ())
"""What is in a release without commits."""


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
