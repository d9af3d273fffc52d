"""Activities: what a request seeks, and what the store answers to messages."""

from __future__ import annotations

from typing import Final

from google.protobuf.struct_pb2 import Struct
from releaseregistry.v1 import activities_pb2 as pb

from server.mapping.projects import named_projects
from server.mapping.times import optional_micros, to_timestamp
from server.names import parse_release, project_name, token_name, uid
from store.access.access import SERVER
from store.activity.list import ActivityFilter, ActivityRow
from store.errors import InvalidField

_PREFIX: Final = "ACTIVITY_KIND_"
_KINDS: Final = {value.number: value.name.removeprefix(_PREFIX).lower() for value in pb.ActivityKind.DESCRIPTOR.values}


def activity_filter(request: pb.ListActivityRequest, organization: str) -> ActivityFilter:
    """The activities that a request asks for. Raises InvalidField, and InvalidName for the release."""
    start_time, end_time = optional_micros(request, "start_time"), optional_micros(request, "end_time")
    if start_time is not None and end_time is not None and end_time < start_time:
        raise InvalidField("end_time", "is before start_time")
    release = parse_release(request.release, field="release") if request.release else None
    return ActivityFilter(
        projects=frozenset(named_projects(request.projects, organization, field="projects")),
        kinds=frozenset(_KINDS[kind] for kind in request.kinds),
        version=None if release is None else release.version,
        start_time=start_time,
        end_time=end_time,
    )


def activity_message(organization: str, activity: ActivityRow) -> pb.Activity:
    """An activity of the organization of this slug."""
    data = Struct()
    data.update(activity.data)
    return pb.Activity(
        uid=uid(activity.id),
        kind=_PREFIX + activity.kind.upper(),
        project="" if activity.project_slug is None else project_name(organization, activity.project_slug),
        subject=activity.subject,
        data=data,
        token="" if _has_no_token(activity) else token_name(organization, activity.token_id),
        certificate=activity.certificate,
        caller=activity.caller,
        happen_time=to_timestamp(activity.happen_time),
    )


def _has_no_token(activity: ActivityRow) -> bool:
    return bool(activity.certificate) or activity.token_id == SERVER.token_id
