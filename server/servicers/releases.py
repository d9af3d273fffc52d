"""RPCs on releases; the streams of their commits and files are in modules of their own."""

from __future__ import annotations

from releaseregistry.v1 import releases_pb2 as pb

from server.edge.calls import Call
from server.mapping.environments import any_environments, optional_environment
from server.mapping.filters import order_of, release_filter
from server.mapping.health_options import health_wanted
from server.mapping.project_views import project_view_message, refuse_filters
from server.mapping.projects import named_project
from server.mapping.releases import (
    created_message,
    deleted_message,
    release_changes,
    release_draft,
    release_message,
    updated_message,
)
from server.names import parse_organization, parse_release
from store import Store
from store.releases.create import create_release
from store.releases.delete import delete_release
from store.releases.details import ReleaseDetails
from store.releases.read import get_previous_release, get_release
from store.releases.update import update_release
from store.search.list import list_releases
from store.search.project_view import get_release_in_project


class ReleaseRpcs:
    """The unary RPCs of the release service that are about releases themselves."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def CreateRelease(self, request: pb.CreateReleaseRequest, call: Call) -> pb.CreateReleaseResponse:
        organization = parse_organization(request.parent, field="parent")
        return create_release(
            self._store.db,
            call.access,
            organization,
            release_draft(request, organization, user_agent=call.user_agent),
            call.terms(request, created_message, pb.CreateReleaseResponse),
            wait_seconds=call.wait_seconds(),
        )

    def GetRelease(self, request: pb.GetReleaseRequest, call: Call) -> pb.GetReleaseResponse:
        name = parse_release(request.name, field="name")
        full = request.view != pb.RELEASE_VIEW_BASIC
        if not request.project:
            refuse_filters(request)
            details = get_release(
                self._store.db,
                call.access,
                name.organization,
                name.version,
                contents=full,
                health=health_wanted(request.health_options),
                environments=any_environments(request.environments),
            )
            self._seek(request, details)
            return pb.GetReleaseResponse(release=release_message(details))
        seen = get_release_in_project(
            self._store.db,
            call.access,
            name.organization,
            name.version,
            named_project(request.project, name.organization, field="project"),
            release_filter(request, name.organization),
            contents=full,
            health=health_wanted(request.health_options),
        )
        self._seek(request, seen.details)
        return pb.GetReleaseResponse(release=release_message(seen.details), project_view=project_view_message(seen))

    def ListReleases(self, request: pb.ListReleasesRequest, call: Call) -> pb.ListReleasesResponse:
        organization = parse_organization(request.parent, field="parent")
        wanted = release_filter(request, organization)
        listed = list_releases(
            self._store.db,
            call.access,
            organization,
            wanted,
            order=order_of(request),
            page=call.page(request),
            contents=request.view == pb.RELEASE_VIEW_FULL,
            flatten=request.flatten,
            count_total=request.count_total,
            health=health_wanted(request.health_options),
        )
        self._store.sought.in_organization(organization, wanted.projects)
        total = listed.total
        return pb.ListReleasesResponse(
            releases=[release_message(details) for details in listed.page.items],
            next_page_token=call.page_token(request, listed.page.next),
            previous_page_token=call.page_token(request, listed.page.previous),
            incomplete=listed.incomplete,
            total_count=None if total is None else total.count,
            total_count_is_least=total is not None and total.is_least,
        )

    def UpdateRelease(self, request: pb.UpdateReleaseRequest, call: Call) -> pb.UpdateReleaseResponse:
        name = parse_release(request.release.name, field="release.name")
        return update_release(
            self._store.db,
            call.access,
            name.organization,
            name.version,
            changes=release_changes(request),
            etag=request.release.etag,
            terms=call.terms(request, updated_message, pb.UpdateReleaseResponse),
        )

    def DeleteRelease(self, request: pb.DeleteReleaseRequest, call: Call) -> pb.DeleteReleaseResponse:
        name = parse_release(request.name, field="name")
        return delete_release(
            self._store.db,
            call.access,
            name.organization,
            name.version,
            etag=request.etag,
            force=request.force,
            terms=call.terms(request, deleted_message, pb.DeleteReleaseResponse),
        )

    def GetPreviousRelease(self, request: pb.GetPreviousReleaseRequest, call: Call) -> pb.GetPreviousReleaseResponse:
        name = parse_release(request.name, field="name")
        previous = get_previous_release(
            self._store.db, call.access, name.organization, name.version, environment=optional_environment(request)
        )
        return pb.GetPreviousReleaseResponse(release=None if previous is None else release_message(previous))

    def _seek(self, request: pb.GetReleaseRequest, details: ReleaseDetails) -> None:
        """Whoever asks how healthy a release is will ask for those that only sessions know, too."""
        if request.HasField("health_options"):
            self._store.sought.in_projects(details.release.project_ids)
