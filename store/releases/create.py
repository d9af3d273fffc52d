"""Creating a release, or attaching projects to one that exists (behaviour.md, Creating a release)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from operator import attrgetter
from typing import Final

from store.access import Access
from store.access.projects import ProjectRow, ProjectSlugText, keep_projects, projects_to_create_in
from store.commits.busy import turn_to_set
from store.commits.drafts import CommitDraft
from store.commits.prepare import PreparedCommits, fallback_repository, prepare_commits
from store.commits.refs import PreparedRef, RefDraft, prepare_refs, put_refs
from store.commits.repositories import lock_known_repositories
from store.commits.set import put_commits
from store.database import PLAIN, Database, Statement, Terms, Transaction, hole, holes_for, id_at
from store.database.terms import M
from store.errors import DatabaseBusy, InvalidField, ProjectForbidden
from store.organizations.lookup import find_organization
from store.organizations.rows import OrganizationRow
from store.releases.activities import record_of_release
from store.releases.delete import delete_leftover
from store.releases.details import NOTHING, ReleaseDetails, release_details
from store.releases.in_projects import never_deployed
from store.releases.labels import check_labels, put_labels
from store.releases.lookup import FIND_RELEASE, attached_projects, by_slug, current_release, forbidden_projects
from store.releases.models import Release, ReleaseProject
from store.releases.rows import MAX_PROJECTS, ReleaseRow, ReleaseStatus, sort_time_of
from store.releases.status import record_status, set_status
from store.releases.version import Version, check_version, parse_version
from store.text import folded, folded_key

USER_AGENT_CHARACTERS: Final = 256
"""How much of a user agent is kept; the rest is dropped."""

# Each round loses against a creation and a deletion of the same version; so many in a row are no accident.
_ROUNDS: Final = 10


class CreateOutcome(IntEnum):
    """What a creation did."""

    CREATED = 1
    EXTENDED = 2
    UNCHANGED = 3


@dataclass(frozen=True, slots=True)
class ReleaseDraft:
    """A release as a caller sends it: projects by slug, times in microseconds, no status to leave it as it is."""

    version: str
    projects: tuple[ProjectSlugText, ...] = ()
    status: ReleaseStatus | None = None
    ref: str = ""
    url: str = ""
    owner: str = ""
    release_time: int | None = None
    user_agent: str = ""
    commits: tuple[CommitDraft, ...] = ()
    refs: tuple[RefDraft, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CreatedRelease:
    """The release as it is after the creation, and what that did."""

    details: ReleaseDetails
    outcome: CreateOutcome


_INSERT_RELEASE = Statement(
    Release.insert(
        {
            **holes_for(
                Release.id,
                Release.organization_id,
                Release.version,
                Release.folded_version,
                Release.status,
                Release.ref,
                Release.url,
                Release.owner,
                Release.folded_owner,
                Release.user_agent,
                Release.release_time,
                Release.create_time,
                Release.update_time,
                Release.sort_time,
                Release.version_key,
                Release.build_key,
                Release.package,
                Release.build_code,
                Release.project_count,
                Release.label_count,
            ),
            Release.delete_time: None,
            Release.revision: 1,
            Release.commit_count: 0,
            Release.author_count: 0,
            Release.head_count: 0,
            Release.file_count: 0,
            Release.last_commit_id: None,
            Release.deploy_count: 0,
            Release.last_deploy_id: None,
        }
    ).on_conflict(action="nothing", conflict_target=[Release.organization_id, Release.version])
)

_ATTACH_PROJECT = Statement(
    ReleaseProject.insert(
        holes_for(
            ReleaseProject.project_id,
            ReleaseProject.release_id,
            ReleaseProject.organization_id,
            ReleaseProject.status,
            ReleaseProject.sort_time,
            ReleaseProject.version_key,
            ReleaseProject.build_key,
            ReleaseProject.version,
            ReleaseProject.commit_count,
            ReleaseProject.deploy_count,
        )
    )
)

_EXTEND_RELEASE = Statement(
    Release.update(holes_for(Release.project_count, Release.status, Release.update_time, Release.revision)).where(
        Release.id == hole(Release.id)
    )
)


def create_release(
    db: Database,
    access: Access,
    organization_slug: str,
    draft: ReleaseDraft,
    terms: Terms[CreatedRelease, M] = PLAIN,
    *,
    wait_seconds: float | None = None,
) -> M:
    """Create the release with its projects, commits and refs, or attach projects to the one of that version; all or
    nothing.

    An existing release keeps its ref, url, owner, release_time, labels and user agent; its status changes when one is
    given, its commits are replaced when some are given, and then heads are moved as refs say. A new release needs a
    project; an existing one may be sent without. With commits or refs it waits as `set_commits` does for others that
    set some, `wait_seconds` long and at most 10 s.

    Raises `OrganizationNotFound`; `ProjectForbidden` for projects that the caller is no member of, and for an existing
    release with projects that it may not access; `InvalidVersion`; `InvalidField` for a new release without a project,
    for more than 100 projects, for a ref that is none and for labels that are none; `RepositoryUnknown` for refs of
    repositories that are not there; `CommitsBusy` when others set commits of the release, or of its repositories, for
    as long as it may wait.
    """
    check_version(draft.version)
    version = parse_version(draft.version)
    check_labels(draft.labels, field="release.labels")
    refs = prepare_refs(draft.refs)
    if not draft.commits and not refs:
        return db.write(lambda tx: _create(tx, access, organization_slug, draft, version, None, ()), terms)
    # Sorting and merging happen before the transaction: on SQLite everybody else waits for it.
    organization = db.read(lambda reader: find_organization(reader, access, organization_slug))
    prepared = None
    if draft.commits:
        prepared = prepare_commits(draft.commits, fallback_repository=fallback_repository(organization.id))
    repositories = _repositories(prepared, refs)
    with turn_to_set(organization, draft.version, repositories, wait_seconds=wait_seconds) as left_seconds:
        return db.write(
            lambda tx: _create(tx, access, organization_slug, draft, version, prepared, refs),
            terms,
            wait_seconds=left_seconds,
            long=True,
        )


def _create(
    tx: Transaction,
    access: Access,
    organization_slug: str,
    draft: ReleaseDraft,
    version: Version,
    prepared: PreparedCommits | None,
    refs: Sequence[PreparedRef],
) -> CreatedRelease:
    organization = find_organization(tx, access, organization_slug)
    wanted: Sequence[ProjectRow] = ()
    if draft.projects:
        wanted = projects_to_create_in(tx, access, organization, draft.projects)
        if len(wanted) > MAX_PROJECTS:
            raise _too_many_projects()
    release, outcome = _created_or_extended(tx, access, organization, draft, version, wanted)
    if prepared is None and not refs:
        fresh = outcome is CreateOutcome.CREATED
        if not fresh:
            return CreatedRelease(release_details(tx, release), outcome)
        faring = never_deployed(release.projects)
        return CreatedRelease(ReleaseDetails(release, NOTHING, labels=draft.labels, in_projects=faring), outcome)
    if prepared is not None:
        if refs:  # all that are there, in one order: others that lock them keep to it
            lock_known_repositories(tx, release.organization_id, _repositories(prepared, refs))
        put_commits(tx, access, release, prepared)
    if refs:
        put_refs(tx, access, release, refs)
    return CreatedRelease(release_details(tx, current_release(tx, release)), outcome)


def _repositories(prepared: PreparedCommits | None, refs: Sequence[PreparedRef]) -> list[str]:
    """The names of all repositories that are to be locked, in order."""
    named = {ref.repository for ref in refs}
    return sorted(named if prepared is None else named.union(prepared.repositories))


def _created_or_extended(
    tx: Transaction,
    access: Access,
    organization: OrganizationRow,
    draft: ReleaseDraft,
    version: Version,
    wanted: Sequence[ProjectRow],
) -> tuple[ReleaseRow, CreateOutcome]:
    for _ in range(_ROUNDS):
        # Inserting comes first: whoever comes second waits here for the first one's commit, then finds its row.
        created = insert_release(tx, organization, draft, version, wanted) if wanted else None
        if created is not None:
            put_labels(tx, organization.id, {created.id: ({}, draft.labels)})
            attach_projects(tx, access, created, version, created.projects)
            return created, CreateOutcome.CREATED
        columns = tx.lock(FIND_RELEASE, organization_id=organization.id, version=draft.version)
        if columns is not None:
            existing = ReleaseRow(organization.slug, attached_projects(tx, columns[0]), *columns)
            if not existing.projects and delete_leftover(tx, existing):
                continue
            return _extend(tx, access, organization, existing, draft, version, wanted)
        if not wanted:
            raise InvalidField("release.projects", "a new release needs at least one project")
    raise DatabaseBusy


def insert_release(
    tx: Transaction,
    organization: OrganizationRow,
    draft: ReleaseDraft,
    version: Version,
    projects: Sequence[ProjectRow],
    *,
    create_time: int | None = None,
) -> ReleaseRow | None:
    """The row of a new release, created now unless create_time says when; None when one of that version is there. Its
    labels and its projects' rows are still to be written."""
    create_time = tx.now if create_time is None else create_time
    release = ReleaseRow(
        organization_slug=organization.slug,
        projects=by_slug(projects),
        id=id_at(create_time),
        organization_id=organization.id,
        version=draft.version,
        status=draft.status or ReleaseStatus.OPEN,
        ref=draft.ref,
        url=draft.url,
        owner=draft.owner,
        user_agent=draft.user_agent[:USER_AGENT_CHARACTERS],
        release_time=draft.release_time,
        create_time=create_time,
        update_time=tx.now,
        revision=1,
        commit_count=0,
        author_count=0,
        head_count=0,
        file_count=0,
        label_count=len(draft.labels),
        last_commit_id=None,
        deploy_count=0,
        last_deploy_id=None,
    )
    inserted = tx.run(
        _INSERT_RELEASE,
        id=release.id,
        organization_id=release.organization_id,
        version=release.version,
        folded_version=folded(release.version),
        status=release.status,
        ref=release.ref,
        url=release.url,
        owner=release.owner,
        folded_owner=folded_key(release.owner),
        user_agent=release.user_agent,
        release_time=release.release_time,
        create_time=release.create_time,
        update_time=release.update_time,
        sort_time=sort_time_of(release),
        version_key=version.sort_key,
        build_key=version.build_key,
        package=version.package,
        build_code=version.build_code,
        project_count=len(projects),
        label_count=release.label_count,
    )
    return release if inserted else None


def _extend(
    tx: Transaction,
    access: Access,
    organization: OrganizationRow,
    release: ReleaseRow,
    draft: ReleaseDraft,
    version: Version,
    wanted: Sequence[ProjectRow],
) -> tuple[ReleaseRow, CreateOutcome]:
    if forbidden_projects(access, organization, release.projects):
        raise ProjectForbidden(project.slug for project in release.projects)
    attached = set(release.project_ids)
    added = [project for project in wanted if project.id not in attached]
    if len(attached) + len(added) > MAX_PROJECTS:
        raise _too_many_projects()
    status = draft.status or release.status
    if not added and status == release.status:
        return release, CreateOutcome.UNCHANGED
    extended = extend_release(tx, release, added, status)
    if status != release.status:
        set_status(tx, (release.id,), status)
    attach_projects(tx, access, extended, version, added)
    if status != release.status:
        record_status(tx, access, extended)
    return extended, CreateOutcome.EXTENDED if added else CreateOutcome.UNCHANGED


def extend_release(tx: Transaction, release: ReleaseRow, added: Sequence[ProjectRow], status: int) -> ReleaseRow:
    """The release, which is locked, with these projects more and of this status; their rows are still to be written."""
    extended = replace(
        release,
        status=status,
        update_time=tx.now,
        revision=release.revision + 1,
        projects=by_slug((*release.projects, *added)),
    )
    tx.run(
        _EXTEND_RELEASE,
        id=extended.id,
        project_count=len(extended.projects),
        status=extended.status,
        update_time=extended.update_time,
        revision=extended.revision,
    )
    return extended


def attach_projects(
    tx: Transaction, access: Access, release: ReleaseRow, version: Version, projects: Sequence[ProjectRow]
) -> None:
    """Write the (release, project) rows of the projects, and what their activity feeds say of it."""
    added = sorted(projects, key=attrgetter("id"))
    keep_projects(tx, added)
    ids = [project.id for project in added]
    sort_time, version_key, build_key = sort_time_of(release), version.sort_key, version.build_key
    tx.run_many(
        _ATTACH_PROJECT,
        [
            {
                "project_id": project_id,
                "release_id": release.id,
                "organization_id": release.organization_id,
                "status": release.status,
                "sort_time": sort_time,
                "version_key": version_key,
                "build_key": build_key,
                "version": release.version,
                "commit_count": release.commit_count,
                "deploy_count": release.deploy_count,
            }
            for project_id in ids
        ],
    )
    record_of_release(tx, access, release, "release_created", project_ids=ids)
    if release.release_time is not None:
        record_of_release(tx, access, release, "release_finalized", project_ids=ids, happen_time=release.release_time)


def _too_many_projects() -> InvalidField:
    return InvalidField("release.projects", f"a release has at most {MAX_PROJECTS} projects")
