"""RPCs that tell how healthy releases are."""

from __future__ import annotations

from releaseregistry.v1 import health_pb2 as pb

from server.edge.calls import Call
from server.mapping.health import health_message, health_question
from server.names import parse_release
from store import Store
from store.health.items import SessionLimits
from store.health.read import get_release_health


class HealthRpcs:
    """The RPCs of the release health service on figures."""

    def __init__(self, store: Store, *, limits: SessionLimits | None = None) -> None:
        self._store = store
        self._limits = limits or SessionLimits()

    def GetReleaseHealth(self, request: pb.GetReleaseHealthRequest, call: Call) -> pb.GetReleaseHealthResponse:
        name = parse_release(request.name, field="name")
        health = get_release_health(
            self._store.db,
            call.access,
            name.organization,
            name.version,
            health_question(request, name.organization),
            hour_days=self._limits.hour_days,
        )
        self._store.sought.in_projects(project.project.id for project in health.projects)
        return health_message(health)
