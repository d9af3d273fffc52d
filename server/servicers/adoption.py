"""RPCs on adoption."""

from __future__ import annotations

from releaseregistry.v1 import health_pb2 as pb

from server.edge.calls import Call
from server.mapping.adoption import adoptions_message
from server.mapping.environments import named_environments
from server.mapping.projects import named_projects
from server.names import parse_release
from store import Store
from store.health.get_adoption import get_adoption


class AdoptionRpcs:
    """The part of the release health service that is about adoption."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def GetAdoption(self, request: pb.GetAdoptionRequest, call: Call) -> pb.GetAdoptionResponse:
        name = parse_release(request.name, field="name")
        found = get_adoption(
            self._store.db,
            call.access,
            name.organization,
            name.version,
            projects=named_projects(request.projects, name.organization, field="projects"),
            environments=named_environments(request.environments, field="environments", what="a stage"),
        )
        return adoptions_message(found)
