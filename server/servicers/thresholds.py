"""RPCs on thresholds."""

from __future__ import annotations

from releaseregistry.v1 import thresholds_pb2 as pb

from server.edge.calls import Call
from server.mapping.filters import EVERY_PROJECT
from server.mapping.thresholds import (
    created_threshold,
    deleted_threshold,
    status_filter,
    statuses_message,
    threshold_changes,
    threshold_draft,
    threshold_message,
    updated_threshold,
)
from server.names import parse_organization, parse_project, parse_threshold
from store import Store
from store.health.threshold_status import get_threshold_status
from store.health.thresholds import create_threshold, delete_threshold, list_thresholds, update_threshold


class ThresholdRpcs:
    """The RPCs of the release health service on thresholds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def CreateThreshold(self, request: pb.CreateThresholdRequest, call: Call) -> pb.CreateThresholdResponse:
        name = parse_project(request.parent, field="parent")
        draft = threshold_draft(request)
        terms = call.terms(request, created_threshold, pb.CreateThresholdResponse)
        return create_threshold(self._store.db, call.access, name.organization, name.project, draft, terms)

    def ListThresholds(self, request: pb.ListThresholdsRequest, call: Call) -> pb.ListThresholdsResponse:
        name = parse_project(request.parent, field="parent")
        project = None if name.project == EVERY_PROJECT else name.project
        page = list_thresholds(self._store.db, call.access, name.organization, project, call.page(request))
        return pb.ListThresholdsResponse(
            thresholds=[threshold_message(found) for found in page.items],
            next_page_token=call.page_token(request, page.next),
            previous_page_token=call.page_token(request, page.previous),
        )

    def UpdateThreshold(self, request: pb.UpdateThresholdRequest, call: Call) -> pb.UpdateThresholdResponse:
        name = parse_threshold(request.threshold.name, field="threshold.name")
        changes = threshold_changes(request)
        terms = call.terms(request, updated_threshold, pb.UpdateThresholdResponse)
        return update_threshold(self._store.db, call.access, name.organization, name.project, name.id, changes, terms)

    def DeleteThreshold(self, request: pb.DeleteThresholdRequest, call: Call) -> pb.DeleteThresholdResponse:
        name = parse_threshold(request.name, field="name")
        terms = call.terms(request, deleted_threshold, pb.DeleteThresholdResponse)
        return delete_threshold(self._store.db, call.access, name.organization, name.project, name.id, terms)

    def GetThresholdStatus(self, request: pb.GetThresholdStatusRequest, call: Call) -> pb.GetThresholdStatusResponse:
        organization = parse_organization(request.parent, field="parent")
        listed = get_threshold_status(
            self._store.db, call.access, organization, status_filter(request, organization), call.page(request)
        )
        return pb.GetThresholdStatusResponse(
            releases=[statuses_message(listed.organization_slug, told) for told in listed.page.items],
            next_page_token=call.page_token(request, listed.page.next),
            previous_page_token=call.page_token(request, listed.page.previous),
        )
