"""RPCs that take in sessions."""

from __future__ import annotations

from collections.abc import Iterator

from releaseregistry.v1 import sessions_pb2 as pb

from server.edge.calls import Call
from server.mapping.sessions import Receipt, Sent, sent_items, session_messages
from server.names import parse_organization
from store import Store
from store.health.items import SessionLimits
from store.health.record import record_sessions


class SessionRpcs:
    """The RPCs of the release health service that take in sessions."""

    def __init__(self, store: Store, *, limits: SessionLimits | None = None) -> None:
        self._store = store
        self._limits = limits or SessionLimits()

    def RecordSessions(self, request: pb.RecordSessionsRequest, call: Call) -> pb.RecordSessionsResponse:
        organization = parse_organization(request.parent, field="parent")
        receipt = Receipt()
        self._record(call, organization, sent_items(request, organization), receipt)
        return pb.RecordSessionsResponse(recorded=receipt.message())

    def StreamSessions(self, requests: Iterator[pb.StreamSessionsRequest], call: Call) -> pb.StreamSessionsResponse:
        receipt = Receipt()
        organization = ""
        updates = counts = 0
        for request in session_messages(requests):
            organization = organization or parse_organization(request.parent, field="parent")
            sent = sent_items(request, organization, updates_before=updates, counts_before=counts)
            self._record(call, organization, sent, receipt)
            updates += len(request.updates)
            counts += len(request.counts)
        return pb.StreamSessionsResponse(recorded=receipt.message())

    def _record(self, call: Call, organization: str, sent: Sent, receipt: Receipt) -> None:
        recorded = record_sessions(
            self._store.db,
            call.access,
            organization,
            sent.updates,
            sent.counts,
            limits=self._limits,
            update_places=sent.update_places,
            counts_places=sent.counts_places,
            wait_seconds=call.wait_seconds(),
        )
        receipt.add(recorded, sent.refused)
        if recorded.unlinked_projects:
            self._store.sought.in_projects(recorded.unlinked_projects)
