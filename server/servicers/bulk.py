"""The RPC that changes many releases at once."""

from __future__ import annotations

from releaseregistry.v1 import releases_pb2 as pb

from server.edge.calls import Call
from server.mapping.bulk import bulk_change, bulk_message
from server.mapping.filters import release_filter
from server.names import parse_organization
from store import Store
from store.search.bulk import MOST_RELEASES, BulkUpdated, bulk_update_releases


class BulkRpcs:
    """What the release service does to all releases that a query finds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def BulkUpdateReleases(self, request: pb.BulkUpdateReleasesRequest, call: Call) -> pb.BulkUpdateReleasesResponse:
        organization = parse_organization(request.parent, field="parent")
        change = bulk_change(request)

        def reply(updated: BulkUpdated) -> pb.BulkUpdateReleasesResponse:
            return bulk_message(updated, lambda position: call.page_token(request, position))

        return bulk_update_releases(
            self._store.db,
            call.access,
            organization,
            release_filter(request, organization),
            change,
            page=call.page(request, most=MOST_RELEASES),
            terms=call.terms(request, reply, pb.BulkUpdateReleasesResponse),
        )
