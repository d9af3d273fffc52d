"""What several releases say together: which hold a commit, and what two of them do not have alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from releaseregistry.v1 import comparisons_pb2, releases_pb2
from releaseregistry.v1.commits_pb2 import Commit
from releaseregistry.v1.comparisons_pb2 import ComparisonSection, Difference
from releaseregistry.v1.release_service_pb2_grpc import ReleaseServiceStub
from releaseregistry.v1.releases_pb2 import ReleaseWithCommit

from relctl.connection import Connection
from relctl.names import organization_name, release_name


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """A commit, as each repository has it, and the releases that hold it, lowest version first."""

    commits: Sequence[Commit]
    releases: Iterator[ReleaseWithCommit]


class Comparisons:
    """The part of ReleaseService that looks at several releases. Every method raises RegistryError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = ReleaseServiceStub(connection.channel)

    def where(
        self, organization: str, commit_id: str, *, repository: str = "", limit: int | None = None
    ) -> Whereabouts:
        """Find the releases that hold the commit of this id, or whose id begins so and no other's does; the first of
        them is the first by version. Fails with COMMIT_NOT_FOUND or COMMIT_AMBIGUOUS."""
        request = releases_pb2.FindReleasesByCommitRequest(
            parent=organization_name(organization), commit_id=commit_id, repository=repository
        )
        pages = self._connection.pages(self._stub.FindReleasesByCommit, request, limit=limit)
        first = next(pages)
        rest = (item for page in pages for item in page.releases)
        return Whereabouts(first.commits, islice((item for part in (first.releases, rest) for item in part), limit))

    def compare(
        self, organization: str, base: str, version: str, section: ComparisonSection, *, limit: int | None = None
    ) -> Iterator[Difference]:
        """Walk what the release `version` and `base` do not have alike, in one section: first what only the release
        has, then what only the base has; files by name."""
        request = comparisons_pb2.CompareReleasesRequest(
            name=release_name(organization, version), base=release_name(organization, base), section=section
        )
        pages = self._connection.pages(self._stub.CompareReleases, request, limit=limit)
        return islice((item for page in pages for item in page.differences), limit)
