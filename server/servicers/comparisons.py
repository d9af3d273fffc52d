"""RPCs that look at several releases: which hold a commit, and what two of them do not have alike."""

from __future__ import annotations

from releaseregistry.v1 import comparisons_pb2, releases_pb2

from server.edge.calls import Call
from server.mapping.commits import commit_message
from server.mapping.comparisons import SECTIONS, difference_message, file_difference_message
from server.mapping.deploys import running_messages
from server.mapping.releases import release_message
from server.names import parse_organization, parse_release
from store import Store
from store.releases.compare import ComparedReleases, compare_releases
from store.releases.compare_files import compare_files
from store.releases.holding import ReleaseWithCommit, find_releases_by_commit


class ComparisonRpcs:
    """The RPCs of the release service that look at several releases."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def FindReleasesByCommit(
        self, request: releases_pb2.FindReleasesByCommitRequest, call: Call
    ) -> releases_pb2.FindReleasesByCommitResponse:
        found = find_releases_by_commit(
            self._store.db,
            call.access,
            parse_organization(request.parent, field="parent"),
            request.commit_id,
            call.page(request),
            repository=request.repository,
        )
        slug = found.organization_slug
        return releases_pb2.FindReleasesByCommitResponse(
            commits=[commit_message(commit) for commit in found.commits],
            first=None if found.first is None else _holding_message(slug, found.first),
            releases=[_holding_message(slug, holding) for holding in found.page.items],
            next_page_token=call.page_token(request, found.page.next),
            previous_page_token=call.page_token(request, found.page.previous),
        )

    def CompareReleases(
        self, request: comparisons_pb2.CompareReleasesRequest, call: Call
    ) -> comparisons_pb2.CompareReleasesResponse:
        name, base = parse_release(request.name, field="name"), parse_release(request.base, field="base")
        compared = ComparedReleases(name.organization, name.version, base.organization, base.version)
        page_request = call.page(request)
        if request.section == comparisons_pb2.COMPARISON_SECTION_FILES:
            files = compare_files(self._store.db, call.access, compared, page_request)
            differences = [file_difference_message(difference) for difference in files.items]
            following, preceding = files.next, files.previous
        else:
            page = compare_releases(self._store.db, call.access, compared, SECTIONS[request.section], page_request)
            differences = [difference_message(difference) for difference in page.items]
            following, preceding = page.next, page.previous
        return comparisons_pb2.CompareReleasesResponse(
            differences=differences,
            next_page_token=call.page_token(request, following),
            previous_page_token=call.page_token(request, preceding),
        )


def _holding_message(organization: str, holding: ReleaseWithCommit) -> releases_pb2.ReleaseWithCommit:
    return releases_pb2.ReleaseWithCommit(
        release=release_message(holding.details), running=running_messages(organization, holding.running)
    )
