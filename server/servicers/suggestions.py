"""The RPC that suggests values for searches."""

from __future__ import annotations

from typing import Final

from releaseregistry.v1 import releases_pb2 as pb

from server.edge.calls import Call
from server.mapping.filters import takes_every_project
from server.mapping.projects import named_projects
from server.names import parse_organization
from store import Store
from store.search.suggestions.suggest import suggest_values

USUAL_SUGGESTIONS: Final = 20
MOST_SUGGESTIONS: Final = 100


class SuggestionRpcs:
    """The RPC of the release service that suggests values."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def SuggestValues(self, request: pb.SuggestValuesRequest, call: Call) -> pb.SuggestValuesResponse:
        organization = parse_organization(request.parent, field="parent")
        projects = named_projects(request.projects, organization, field="projects")
        suggested = suggest_values(
            self._store.db,
            call.access,
            organization,
            request.key,
            request.prefix,
            projects=projects,
            every_project=takes_every_project(projects),
            size=min(request.page_size or USUAL_SUGGESTIONS, MOST_SUGGESTIONS),
        )
        return pb.SuggestValuesResponse(values=suggested.values, incomplete=suggested.incomplete)
