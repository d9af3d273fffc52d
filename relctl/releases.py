"""Releases and their commits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final

import grpc
from releaseregistry.v1 import commits_pb2, releases_pb2
from releaseregistry.v1.commits_pb2 import ChangeType, Commit, CommitMode, CommittedChange, CommitView, Ref
from releaseregistry.v1.release_service_pb2_grpc import ReleaseServiceStub
from releaseregistry.v1.releases_pb2 import (
    BulkReleaseAction,
    BulkUpdateReleasesResponse,
    CreateReleaseResponse,
    GetReleaseResponse,
    HealthOptions,
    ListReleasesResponse,
    Release,
    ReleaseStatus,
    ReleaseView,
    SuggestValuesResponse,
)

from relctl.commits import request_messages
from relctl.connection import Connection, new_request_id, repeat_while_busy
from relctl.errors import decode_error
from relctl.names import organization_name, project_name, release_name
from relctl.release_filters import (
    EVERY_OPEN_RELEASE,
    NEWEST_FIRST,
    ReleaseFilter,
    ReleaseOrder,
    Total,
    fill_in,
)

SET_COMMITS_DEADLINE_SECONDS: Final = 600.0
MAX_BATCH: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDraft:
    """What a release is created with. Projects are slugs; an unspecified status leaves it, or is open when new."""

    version: str
    projects: Sequence[str] = ()
    status: ReleaseStatus = ReleaseStatus.RELEASE_STATUS_UNSPECIFIED
    ref: str = ""
    url: str = ""
    owner: str = ""
    release_time: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkChange:
    """What is done to many releases: archive, restore, delete, or set and remove labels. `force` deletes also those
    that had sessions in the last 90 days."""

    action: BulkReleaseAction
    set_labels: Mapping[str, str] = field(default_factory=dict)
    remove_labels: Sequence[str] = ()
    force: bool = False


class Releases:
    """The part of ReleaseService that is about releases and commits. Every method raises RegistryError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = ReleaseServiceStub(connection.channel)

    def create(
        self, organization: str, draft: ReleaseDraft, *, commits: Sequence[Commit] = (), validate_only: bool = False
    ) -> CreateReleaseResponse:
        """Create a release, or attach projects to it when it exists; the outcome tells which.

        Takes up to 1,000 commits, set in the same transaction; more go through `set_commits`.
        """
        request = releases_pb2.CreateReleaseRequest(
            parent=organization_name(organization),
            release=Release(
                version=draft.version,
                projects=[project_name(organization, project) for project in draft.projects],
                status=draft.status,
                ref=draft.ref,
                url=draft.url,
                owner=draft.owner,
                labels=draft.labels,
            ),
            commits=commits,
            request_id=new_request_id(),
            validate_only=validate_only,
        )
        if draft.release_time is not None:
            request.release.release_time.FromDatetime(draft.release_time)
        return self._connection.call(self._stub.CreateRelease, request)

    def get(
        self,
        organization: str,
        version: str,
        *,
        environments: Sequence[str] = (),
        health_options: HealthOptions | None = None,
    ) -> Release:
        """Answer one release with its last commit, heads and authors; and, with options, how healthy it is in its
        projects, in these environments or all."""
        request = releases_pb2.GetReleaseRequest(
            name=release_name(organization, version), environments=environments, health_options=health_options
        )
        return self._connection.call(self._stub.GetRelease, request).release

    def get_in_project(
        self,
        organization: str,
        version: str,
        project: str,
        *,
        query: str = "",
        environments: Sequence[str] = (),
        statuses: Sequence[ReleaseStatus] = (),
        health_options: HealthOptions | None = None,
    ) -> GetReleaseResponse:
        """Answer one release, and in `project_view` how it stands in a project: its deploys there, the releases beside
        it that query, environments and statuses let through, and the project's first and last one."""
        request = releases_pb2.GetReleaseRequest(
            name=release_name(organization, version),
            project=project_name(organization, project),
            query=query,
            environments=environments,
            statuses=statuses,
            health_options=health_options,
        )
        return self._connection.call(self._stub.GetRelease, request)

    def get_many(self, organization: str, versions: Sequence[str], *, full: bool = False) -> Iterator[Release]:
        """Answer releases in the order of the versions, fetched as they are asked for; RELEASE_NOT_FOUND when one is
        not there. `full` adds last commit, heads and authors."""
        names = [release_name(organization, version) for version in versions]
        while names:
            request = releases_pb2.BatchGetReleasesRequest(
                parent=organization_name(organization), names=names[:MAX_BATCH], view=_view(full)
            )
            answer = self._connection.call(self._stub.BatchGetReleases, request)
            yield from answer.releases
            names = [*answer.remaining_names, *names[MAX_BATCH:]]

    def list(
        self,
        organization: str,
        only: ReleaseFilter = EVERY_OPEN_RELEASE,
        *,
        order: ReleaseOrder = NEWEST_FIRST,
        flatten: bool = False,
        full: bool = False,
        health_options: HealthOptions | None = None,
        limit: int | None = None,
    ) -> Iterator[Release]:
        """Walk the releases that the filter lets through, fetched page by page, also where pages come back empty.

        With `flatten` a release is there once for each of its projects, with just this one in `projects` and
        `in_projects`. `full` adds last commit, heads and authors; options add how healthy it is to `in_projects`, and
        say what sorts by sessions and users count.
        """
        request = _list_request(
            organization, only, order=order, flatten=flatten, full=full, health_options=health_options
        )
        pages = self._connection.pages(self._stub.ListReleases, request, limit=limit)
        return islice((item for page in pages for item in page.releases), limit)

    def list_page(
        self,
        organization: str,
        only: ReleaseFilter = EVERY_OPEN_RELEASE,
        *,
        order: ReleaseOrder = NEWEST_FIRST,
        flatten: bool = False,
        full: bool = False,
        health_options: HealthOptions | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> ListReleasesResponse:
        """Answer one page of that list: the first one, or the one that a token of another page asks for.

        It has at most `page_size` items, 100 when that is 0. It may hold fewer, even none, while it has a
        `next_page_token`: then the server stopped looking, and `incomplete` says so.
        """
        request = _list_request(
            organization, only, order=order, flatten=flatten, full=full, health_options=health_options
        )
        request.page_size, request.page_token = page_size, page_token
        return self._connection.call(self._stub.ListReleases, request)

    def count(self, organization: str, only: ReleaseFilter = EVERY_OPEN_RELEASE, *, flatten: bool = False) -> Total:
        """Count the releases that the filter lets through, or the rows of the flattened list; the server counts no
        further than 10,000 releases."""
        request = _list_request(organization, only, order=NEWEST_FIRST, flatten=flatten, full=False)
        request.count_total, request.page_size = True, 1
        answer = self._connection.call(self._stub.ListReleases, request)
        return Total(answer.total_count, answer.total_count_is_least)

    def suggest(
        self, organization: str, key: str, prefix: str = "", *, projects: Sequence[str] = (), limit: int = 0
    ) -> SuggestValuesResponse:
        """Answer values for a key of the search language: those that begin so, at most `limit` (20 when 0)."""
        request = releases_pb2.SuggestValuesRequest(
            parent=organization_name(organization),
            key=key,
            prefix=prefix,
            projects=[project_name(organization, project) for project in projects],
            page_size=limit,
        )
        return self._connection.call(self._stub.SuggestValues, request)

    def update(self, organization: str, version: str, changes: Release, *, paths: Sequence[str]) -> Release:
        """Change the fields that `paths` names: `status`, `ref`, `url`, `owner`, `release_time`, `labels`.

        They become what `changes` holds; a named field that is empty there is cleared. With an etag in `changes` the
        call fails with ETAG_MISMATCH when the release has another by now.
        """
        request = releases_pb2.UpdateReleaseRequest(release=changes, request_id=new_request_id())
        request.release.name = release_name(organization, version)
        request.update_mask.paths.extend(paths)
        return self._connection.call(self._stub.UpdateRelease, request).release

    def delete(self, organization: str, version: str, *, etag: str = "", force: bool = False) -> None:
        """Delete a release with its files and all else of it; with an etag, only if it still has this one; with `force`
        also if it had sessions in the last 90 days, which else is RELEASE_HAS_HEALTH."""
        request = releases_pb2.DeleteReleaseRequest(
            name=release_name(organization, version), etag=etag, request_id=new_request_id(), force=force
        )
        self._connection.call(self._stub.DeleteRelease, request)

    def bulk_update(
        self,
        organization: str,
        change: BulkChange,
        only: ReleaseFilter,
        *,
        page_size: int = 0,
        page_token: str = "",
        validate_only: bool = False,
    ) -> Iterator[BulkUpdateReleasesResponse]:
        """Change the releases that the filter lets through: an answer for each step of at most `page_size` releases
        (100 when 0), which is done when it is answered, and the next step when the next answer is asked for.

        The query of the filter is not empty; `release:*` finds everything. A step that was cut is repeated, and does
        nothing twice. After an error the `next_page_token` of the last answer goes on behind it as `page_token`.
        """
        request = releases_pb2.BulkUpdateReleasesRequest(
            parent=organization_name(organization),
            action=change.action,
            set_labels=change.set_labels,
            remove_labels=change.remove_labels,
            page_size=page_size,
            page_token=page_token,
            validate_only=validate_only,
            force=change.force,
        )
        fill_in(request, organization, only)
        while True:
            request.request_id = new_request_id()
            answer = repeat_while_busy(lambda: self._connection.call(self._stub.BulkUpdateReleases, request))
            yield answer
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    def previous(self, organization: str, version: str, *, environment: str | None = None) -> Release | None:
        """Answer the release with commits before this one, or the one that ran before it in an environment; with its
        heads. None when there is none."""
        request = releases_pb2.GetPreviousReleaseRequest(
            name=release_name(organization, version), environment=environment
        )
        answer = self._connection.call(self._stub.GetPreviousRelease, request)
        return answer.release if answer.HasField("release") else None

    def set_commits(
        self, organization: str, version: str, commits: Sequence[Commit], *, append: bool = False
    ) -> Release:
        """Make these the commits of the release, in one transaction, however many messages they take; or, to `append`,
        add them to those it has.

        Newest first, for commits of one time; none at all detaches what is there. Takes up to 100,000 commits with
        1,000,000 changed files. Repeats itself, some times, while the server is UNAVAILABLE or others set commits of
        the release or its repositories: the result is the same. Waits up to ten minutes for the answer.
        """
        name = release_name(organization, version)
        mode = CommitMode.COMMIT_MODE_APPEND if append else CommitMode.COMMIT_MODE_REPLACE

        def send() -> Release:
            try:
                answer = self._stub.SetCommits(
                    request_messages(name, commits, mode),
                    timeout=SET_COMMITS_DEADLINE_SECONDS,
                    metadata=self._connection.metadata,
                )
            except grpc.RpcError as error:
                raise decode_error(error) from None
            return answer.release

        return repeat_while_busy(send)

    def set_refs(self, organization: str, version: str, refs: Sequence[Ref], *, validate_only: bool = False) -> Release:
        """Say up to which commit the release holds each repository, and from which on. All repositories are known, else
        the call fails with REPOSITORY_UNKNOWN, which names those that are not."""
        request = releases_pb2.SetRefsRequest(
            name=release_name(organization, version),
            refs=refs,
            request_id=new_request_id(),
            validate_only=validate_only,
        )
        return self._connection.call(self._stub.SetRefs, request).release

    def list_changed_files(
        self,
        organization: str,
        version: str,
        *,
        path_prefix: str = "",
        repository: str = "",
        change_types: Sequence[ChangeType] = (),
        limit: int | None = None,
    ) -> Iterator[CommittedChange]:
        """Walk the files that the release's commits changed: newest commit first, and of one commit by path."""
        request = self._changes_request(organization, version, path_prefix, repository, change_types)
        pages = self._connection.pages(self._stub.ListChangedFiles, request, limit=limit)
        return islice((item for page in pages for item in page.changes), limit)

    def count_changed_files(
        self,
        organization: str,
        version: str,
        *,
        path_prefix: str = "",
        repository: str = "",
        change_types: Sequence[ChangeType] = (),
    ) -> dict[ChangeType, int]:
        """Count the changes that the filters leave, by type."""
        request = self._changes_request(organization, version, path_prefix, repository, change_types)
        request.with_counts, request.page_size = True, 1
        counts = self._connection.call(self._stub.ListChangedFiles, request).counts
        return {count.change_type: count.change_count for count in counts}

    def _changes_request(
        self, organization: str, version: str, path_prefix: str, repository: str, change_types: Sequence[ChangeType]
    ) -> commits_pb2.ListChangedFilesRequest:
        return commits_pb2.ListChangedFilesRequest(
            parent=release_name(organization, version),
            path_prefix=path_prefix,
            repository=repository,
            change_types=change_types,
        )

    def list_commits(
        self, organization: str, version: str, *, files: bool = False, limit: int | None = None
    ) -> Iterator[Commit]:
        """Walk the commits of a release, newest first, fetched page by page; with `files`, their changed files too.

        A commit with very many files comes with the first of them: compare with its changed_file_count.
        """
        request = commits_pb2.ListCommitsRequest(
            parent=release_name(organization, version),
            view=CommitView.COMMIT_VIEW_FULL if files else CommitView.COMMIT_VIEW_BASIC,
        )
        pages = self._connection.pages(self._stub.ListCommits, request, limit=limit)
        return islice((item for page in pages for item in page.commits), limit)


def _list_request(
    organization: str,
    only: ReleaseFilter,
    *,
    order: ReleaseOrder,
    flatten: bool,
    full: bool,
    health_options: HealthOptions | None = None,
) -> releases_pb2.ListReleasesRequest:
    request = releases_pb2.ListReleasesRequest(
        parent=organization_name(organization),
        view=_view(full),
        sort=order.sort,
        direction=order.direction,
        flatten=flatten,
        health_options=health_options,
    )
    fill_in(request, organization, only)
    return request


def _view(full: bool) -> ReleaseView:
    return ReleaseView.RELEASE_VIEW_FULL if full else ReleaseView.RELEASE_VIEW_BASIC
