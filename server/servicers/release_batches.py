"""RPCs that answer several releases by their names."""

from __future__ import annotations

from releaseregistry.v1 import releases_pb2 as pb

from server.edge.calls import Call
from server.mapping.releases import named_releases, release_message
from server.names import parse_organization
from store import Store
from store.releases.batch import get_releases


class ReleaseBatchRpcs:
    """The RPCs of the release service that take names of releases."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def BatchGetReleases(self, request: pb.BatchGetReleasesRequest, call: Call) -> pb.BatchGetReleasesResponse:
        organization = parse_organization(request.parent, field="parent")
        releases = get_releases(
            self._store.db,
            call.access,
            organization,
            named_releases(request.names, field="names"),
            contents=request.view == pb.RELEASE_VIEW_FULL,
        )
        return pb.BatchGetReleasesResponse(
            releases=[release_message(details) for details in releases],
            remaining_names=request.names[len(releases) :],
        )
