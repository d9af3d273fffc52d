"""How a release stands in a project: what GetRelease asks and answers."""

from __future__ import annotations

from releaseregistry.v1 import releases_pb2 as pb

from server.mapping.releases import in_project_message
from server.mapping.times import optional_timestamp, to_timestamp
from server.names import release_name
from store.errors import InvalidField
from store.search.project_view import ReleaseSeenFromProject


def refuse_filters(request: pb.GetReleaseRequest) -> None:
    """A request without a project has no filters: there is no list whose neighbours they could choose. What it asks of
    release health may be of some environments.

    Raises InvalidField.
    """
    asks_health = request.health_options.health or request.health_options.adoption_stages
    for field in ("statuses", "query") if asks_health else ("environments", "statuses", "query"):
        if getattr(request, field):
            raise InvalidField(field, "says which releases of a project count: it needs project, too")


def project_view_message(seen: ReleaseSeenFromProject) -> pb.ReleaseProjectView:
    """How a release stands in the project that was asked for."""
    organization, view = seen.details.release.organization_slug, seen.view

    def named(version: str | None) -> str:
        return "" if version is None else release_name(organization, version)

    first, last = view.sessions or (None, None)
    return pb.ReleaseProjectView(
        in_project=in_project_message(organization, view.in_project),
        next_release=named(view.beside.next),
        previous_release=named(view.beside.previous),
        first_release=named(view.beside.first),
        last_release=named(view.beside.last),
        come_time=to_timestamp(view.come_time),
        changed_file_count=view.changed_files.count,
        changed_file_count_is_least=view.changed_files.is_least,
        incomplete=view.beside.incomplete,
        first_session_time=optional_timestamp(first),
        last_session_time=optional_timestamp(last),
    )
