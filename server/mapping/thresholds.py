"""Thresholds: messages of the contract to drafts of the store, and what the store answers to messages."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from releaseregistry.v1 import thresholds_pb2 as pb

from server.edge.errors import InvalidFields
from server.mapping.filters import span_of, takes_every_project
from server.mapping.masks import changed_paths
from server.mapping.projects import named_projects
from server.mapping.times import to_timestamp
from server.names import project_name, release_name, threshold_name, uid
from store.errors import FieldViolation, InvalidField
from store.health.threshold_status import ReleaseThresholds, StatusFilter, ThresholdStatus
from store.health.thresholds import (
    MOST_VALUE_THOUSANDTHS,
    VALUE_PROBLEM,
    WINDOW_PROBLEM,
    ThresholdChanges,
    ThresholdDraft,
    ThresholdInProject,
    ThresholdMetric,
    ThresholdRow,
    ThresholdTrigger,
)

CHANGEABLE: Final = ("environment", "metric", "trigger", "value", "window")


def threshold_draft(request: pb.CreateThresholdRequest) -> ThresholdDraft:
    """The threshold that a request asks for. Raises InvalidField."""
    return ThresholdDraft(**_said(request.threshold, CHANGEABLE))


def threshold_changes(request: pb.UpdateThresholdRequest) -> ThresholdChanges:
    """What an update asks to change. Raises InvalidMask, InvalidField."""
    said = _said(request.threshold, changed_paths(request.threshold, request.update_mask, allowed=CHANGEABLE))
    return ThresholdChanges(frozenset(said), **said)


def status_filter(request: pb.GetThresholdStatusRequest, organization: str) -> StatusFilter:
    """The releases and thresholds that a request asks for. Raises InvalidField, InvalidName."""
    created = span_of(request, "created")
    if created.first_us is None and created.ago_us is None:
        raise InvalidField("created", "needs a start_time or a period")
    projects = named_projects(request.projects, organization, field="projects")
    return StatusFilter(
        created=created,
        environments=tuple(dict.fromkeys(request.environments)),
        projects=projects,
        every_project=takes_every_project(projects),
        versions=tuple(dict.fromkeys(request.versions)),
    )


def threshold_message(found: ThresholdInProject) -> pb.Threshold:
    """A threshold of a project."""
    return _threshold(found.organization_slug, found.project_slug, found.threshold)


def created_threshold(made: ThresholdInProject) -> pb.CreateThresholdResponse:
    """What CreateThreshold answers."""
    return pb.CreateThresholdResponse(threshold=threshold_message(made))


def updated_threshold(changed: ThresholdInProject) -> pb.UpdateThresholdResponse:
    """What UpdateThreshold answers."""
    return pb.UpdateThresholdResponse(threshold=threshold_message(changed))


def deleted_threshold(_: None) -> pb.DeleteThresholdResponse:
    """What DeleteThreshold answers."""
    return pb.DeleteThresholdResponse()


def statuses_message(organization: str, told: ReleaseThresholds) -> pb.ReleaseThresholds:
    """How a release of the organization of this slug keeps the thresholds of a project."""
    return pb.ReleaseThresholds(
        release=release_name(organization, told.version),
        project=project_name(organization, told.project_slug),
        statuses=[_status(organization, told.project_slug, status) for status in told.statuses],
    )


def _status(organization: str, project: str, status: ThresholdStatus) -> pb.ThresholdStatus:
    return pb.ThresholdStatus(
        threshold=_threshold(organization, project, status.threshold),
        start_time=to_timestamp(status.start_time),
        end_time=to_timestamp(status.end_time),
        state=pb.ThresholdState.Name(int(status.state)),
        measured=status.measured,
    )


def _threshold(organization: str, project: str, row: ThresholdRow) -> pb.Threshold:
    message = pb.Threshold(
        name=threshold_name(organization, project, row.id),
        uid=uid(row.id),
        environment=row.environment,
        metric=pb.ThresholdMetric.Name(int(row.metric)),
        trigger=pb.ThresholdTrigger.Name(int(row.trigger)),
        value=row.value_thousandths / 1000,
        create_time=to_timestamp(row.create_time),
        update_time=to_timestamp(row.update_time),
    )
    message.window.seconds = row.window_seconds
    return message


def _said(asked: pb.Threshold, paths: Collection[str]) -> dict[str, Any]:
    """What a message says in these fields, as the store calls it. Raises InvalidFields, naming all that are bad."""
    said: dict[str, Any] = {}
    violations: list[FieldViolation] = []
    for path, (kept_as, read) in _READ.items():
        if path in paths:
            try:
                said[kept_as] = read(asked)
            except InvalidField as error:
                violations += error.violations
    if violations:
        raise InvalidFields(violations)
    return said


def _environment(asked: pb.Threshold) -> str | None:
    return asked.environment if asked.HasField("environment") else None


def _metric(asked: pb.Threshold) -> ThresholdMetric:
    if asked.metric == pb.THRESHOLD_METRIC_UNSPECIFIED:
        raise InvalidField("threshold.metric", "is required")
    return ThresholdMetric(asked.metric)


def _trigger(asked: pb.Threshold) -> ThresholdTrigger:
    if asked.trigger == pb.THRESHOLD_TRIGGER_UNSPECIFIED:
        raise InvalidField("threshold.trigger", "is required")
    return ThresholdTrigger(asked.trigger)


def _value(asked: pb.Threshold) -> int:
    """In thousandths."""
    if not 0 <= asked.value <= MOST_VALUE_THOUSANDTHS // 1000:  # what is no number does not, either
        raise InvalidField("threshold.value", VALUE_PROBLEM)
    thousandths = round(asked.value * 1000)
    if thousandths / 1000 != asked.value:
        raise InvalidField("threshold.value", "must have at most three decimals")
    return thousandths


def _window(asked: pb.Threshold) -> int:
    """In seconds."""
    if not asked.HasField("window"):
        raise InvalidField("threshold.window", "is required")
    if asked.window.nanos:
        raise InvalidField("threshold.window", WINDOW_PROBLEM)
    return asked.window.seconds


# By the field of the message: what the store calls it, and how it is read.
_READ: Final[dict[str, tuple[str, Callable[[pb.Threshold], Any]]]] = {
    "environment": ("environment", _environment),
    "metric": ("metric", _metric),
    "trigger": ("trigger", _trigger),
    "value": ("value_thousandths", _value),
    "window": ("window_seconds", _window),
}
