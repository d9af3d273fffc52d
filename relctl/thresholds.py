"""Thresholds: when releases count as healthy, and which of them do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Final

from releaseregistry.v1 import thresholds_pb2 as messages
from releaseregistry.v1.release_health_service_pb2_grpc import ReleaseHealthServiceStub
from releaseregistry.v1.thresholds_pb2 import ReleaseThresholds, Threshold, ThresholdMetric, ThresholdTrigger

from relctl.connection import Connection, new_request_id
from relctl.names import organization_name, project_name, threshold_name
from relctl.release_filters import EVERY_PROJECT, TimeSpan, fill_in_span

LAST_TWO_WEEKS: Final = TimeSpan(period="14d")


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdDraft:
    """A threshold: up to `value` (OVER) or from it on (UNDER) a release is healthy, as measured for so long from its
    deploy to the environment, or its creation, on. Environment: None for sessions of all, "" for those without one."""

    metric: ThresholdMetric
    trigger: ThresholdTrigger
    value: float
    window: timedelta
    environment: str | None = None


class Thresholds:
    """ReleaseHealthService, as far as thresholds go. Slugs name projects, uids thresholds.

    Every method raises RegistryError. Lists are fetched page by page while they are walked; `limit` ends them early.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = ReleaseHealthServiceStub(connection.channel)

    def create(
        self, organization: str, project: str, draft: ThresholdDraft, *, validate_only: bool = False
    ) -> Threshold:
        """Create a threshold of a project, which may have 100 of them."""
        threshold = Threshold(
            metric=draft.metric, trigger=draft.trigger, value=draft.value, environment=draft.environment
        )
        threshold.window.FromTimedelta(draft.window)
        request = messages.CreateThresholdRequest(
            parent=project_name(organization, project),
            threshold=threshold,
            request_id=new_request_id(),
            validate_only=validate_only,
        )
        return self._connection.call(self._stub.CreateThreshold, request).threshold

    def list(self, organization: str, project: str = EVERY_PROJECT, *, limit: int | None = None) -> Iterator[Threshold]:
        """Walk the thresholds of a project, or of all that the token may access, oldest first."""
        request = messages.ListThresholdsRequest(parent=project_name(organization, project))
        pages = self._connection.pages(self._stub.ListThresholds, request, limit=limit)
        return islice((item for page in pages for item in page.thresholds), limit)

    def update(
        self, organization: str, project: str, uid: str, changes: Threshold, *, paths: Sequence[str]
    ) -> Threshold:
        """Change the fields that `paths` names (`environment`, `metric`, `trigger`, `value`, `window`) to what is in
        `changes`; without an environment there, sessions of all count."""
        request = messages.UpdateThresholdRequest(threshold=changes, request_id=new_request_id())
        request.threshold.name = threshold_name(organization, project, uid)
        request.update_mask.paths.extend(paths)
        return self._connection.call(self._stub.UpdateThreshold, request).threshold

    def delete(self, organization: str, project: str, uid: str) -> None:
        """Delete a threshold."""
        request = messages.DeleteThresholdRequest(
            name=threshold_name(organization, project, uid), request_id=new_request_id()
        )
        self._connection.call(self._stub.DeleteThreshold, request)

    def status(
        self,
        organization: str,
        created: TimeSpan = LAST_TWO_WEEKS,
        *,
        environments: Sequence[str] = (),
        projects: Sequence[str] = (),
        versions: Sequence[str] = (),
        limit: int | None = None,
    ) -> Iterator[ReleaseThresholds]:
        """Walk the releases created then, newest first, in those of their projects that have thresholds, and how they
        keep these. With environments only thresholds of these count."""
        request = messages.GetThresholdStatusRequest(
            parent=organization_name(organization),
            environments=environments,
            projects=[project_name(organization, project) for project in projects],
            versions=versions,
        )
        fill_in_span(request.created, created)
        pages = self._connection.pages(self._stub.GetThresholdStatus, request, limit=limit)
        return islice((item for page in pages for item in page.releases), limit)
