"""Changing many releases at once: messages of the contract to the store's, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from releaseregistry.v1 import releases_pb2 as pb

from server.names import release_name
from store.errors import InvalidField
from store.paging import Position
from store.search.bulk import BulkAction, BulkChange, BulkOutcome, BulkUpdated

_ACTIONS: Final[dict[int, BulkAction]] = {
    pb.BULK_RELEASE_ACTION_ARCHIVE: BulkAction.ARCHIVE,
    pb.BULK_RELEASE_ACTION_RESTORE: BulkAction.RESTORE,
    pb.BULK_RELEASE_ACTION_LABEL: BulkAction.LABEL,
    pb.BULK_RELEASE_ACTION_DELETE: BulkAction.DELETE,
}
_OUTCOMES: Final = {
    BulkOutcome.CHANGED: pb.BULK_RELEASE_OUTCOME_CHANGED,
    BulkOutcome.UNCHANGED: pb.BULK_RELEASE_OUTCOME_UNCHANGED,
    BulkOutcome.FORBIDDEN: pb.BULK_RELEASE_OUTCOME_FORBIDDEN,
    BulkOutcome.TOO_MANY_LABELS: pb.BULK_RELEASE_OUTCOME_TOO_MANY_LABELS,
    BulkOutcome.HAS_HEALTH: pb.BULK_RELEASE_OUTCOME_HAS_HEALTH,
}


def bulk_change(request: pb.BulkUpdateReleasesRequest) -> BulkChange:
    """What a request wants done to each release."""
    action = _ACTIONS.get(request.action)
    if action is None:
        raise InvalidField("action", f"{request.action} is nothing that is done to releases")
    return BulkChange(action, dict(request.set_labels), tuple(request.remove_labels), force=request.force)


def bulk_message(updated: BulkUpdated, token: Callable[[Position | None], str]) -> pb.BulkUpdateReleasesResponse:
    """What a call did; `token` makes the page token of a position."""
    return pb.BulkUpdateReleasesResponse(
        results=[
            pb.BulkUpdatedRelease(
                name=release_name(updated.organization_slug, result.version), outcome=_OUTCOMES[result.outcome]
            )
            for result in updated.results
        ],
        changed_count=updated.changed_count,
        next_page_token=token(updated.next),
    )
