"""RPCs on the commits of releases."""

from __future__ import annotations

from collections.abc import Iterator

from releaseregistry.v1 import commits_pb2, releases_pb2

from server.edge.calls import Call
from server.mapping.commits import (
    change_filter,
    change_message,
    commit_message,
    count_messages,
    received_commits,
    ref_draft,
)
from server.mapping.releases import release_message
from server.names import parse_release
from store import Store
from store.commits.changes import list_changed_files
from store.commits.read import list_commits
from store.commits.refs import set_refs
from store.commits.set import set_commits
from store.database import Terms
from store.releases.details import ReleaseDetails


class CommitRpcs:
    """The RPCs of the release service that are about commits."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def SetCommits(
        self, requests: Iterator[commits_pb2.SetCommitsRequest], call: Call
    ) -> releases_pb2.SetCommitsResponse:
        sent = received_commits(requests)
        terms: Terms[ReleaseDetails, releases_pb2.SetCommitsResponse] = Terms(reply=_set_message)
        return set_commits(
            self._store.db,
            call.access,
            sent.release.organization,
            sent.release.version,
            sent.commits,
            append=sent.append,
            wait_seconds=call.wait_seconds(),
            terms=terms,
        )

    def SetRefs(self, request: releases_pb2.SetRefsRequest, call: Call) -> releases_pb2.SetRefsResponse:
        name = parse_release(request.name, field="name")
        return set_refs(
            self._store.db,
            call.access,
            name.organization,
            name.version,
            [ref_draft(ref) for ref in request.refs],
            call.terms(request, _refs_message, releases_pb2.SetRefsResponse),
            wait_seconds=call.wait_seconds(),
        )

    def ListChangedFiles(
        self, request: commits_pb2.ListChangedFilesRequest, call: Call
    ) -> commits_pb2.ListChangedFilesResponse:
        name = parse_release(request.parent, field="parent")
        listed = list_changed_files(
            self._store.db,
            call.access,
            name.organization,
            name.version,
            call.page(request),
            sought=change_filter(request),
            with_counts=request.with_counts,
        )
        return commits_pb2.ListChangedFilesResponse(
            changes=[change_message(change) for change in listed.page.items],
            counts=count_messages(listed.counts),
            next_page_token=call.page_token(request, listed.page.next),
            previous_page_token=call.page_token(request, listed.page.previous),
        )

    def ListCommits(self, request: commits_pb2.ListCommitsRequest, call: Call) -> commits_pb2.ListCommitsResponse:
        name = parse_release(request.parent, field="parent")
        page = list_commits(
            self._store.db,
            call.access,
            name.organization,
            name.version,
            call.page(request),
            changed_files=request.view == commits_pb2.COMMIT_VIEW_FULL,
        )
        return commits_pb2.ListCommitsResponse(
            commits=[commit_message(listed.commit) for listed in page.items],
            next_page_token=call.page_token(request, page.next),
            previous_page_token=call.page_token(request, page.previous),
        )


def _refs_message(details: ReleaseDetails) -> releases_pb2.SetRefsResponse:
    return releases_pb2.SetRefsResponse(release=release_message(details))


def _set_message(details: ReleaseDetails) -> releases_pb2.SetCommitsResponse:
    return releases_pb2.SetCommitsResponse(release=release_message(details))
