"""Setting the commits of a release."""

from __future__ import annotations

from collections.abc import Sequence

from store.access import Access
from store.commits.busy import turn_to_set
from store.commits.drafts import CommitDraft
from store.commits.placing import append_commits, replace_commits
from store.commits.prepare import PreparedCommits, fallback_repository, prepare_commits
from store.database import PLAIN, Database, Terms, Transaction
from store.database.terms import M
from store.organizations.lookup import find_organization
from store.releases.activities import record_of_release
from store.releases.details import ReleaseDetails, release_details
from store.releases.lookup import current_release, writable_release
from store.releases.rows import ReleaseRow

MAX_COMMITS = 100_000
"""The most commits of one call, counted as sent."""
MAX_FILES = 1_000_000
"""The most changed files of one call, counted as sent."""


def set_commits(
    db: Database,
    access: Access,
    organization_slug: str,
    version: str,
    commits: Sequence[CommitDraft],
    *,
    append: bool = False,
    wait_seconds: float | None = None,
    terms: Terms[ReleaseDetails, M] = PLAIN,
) -> M:
    """Give the release these commits and no other, or with `append` these in addition to those that it has; all or
    nothing. The release as it then is.

    Repositories, authors, commits and changed files are got or created; what is not said of a known commit stays.
    No commits detach the release's commits, heads and authors; appended, they change nothing. Each project of the
    release gets an activity `commits_set`, unless the release had just these commits already. Calls for one release,
    or for one repository, wait for one another, `wait_seconds` long (None: as long as allowed) and at most 10 s. At
    most 100,000 commits with 1,000,000 files. See behaviour.md, Commits.

    Raises `OrganizationNotFound`, `ReleaseNotFound` (also when one of its projects is not the caller's),
    `CommitsBusy`.
    """
    # Sorting and merging happen before the transaction: on SQLite everybody else waits for it.
    organization = db.read(lambda reader: find_organization(reader, access, organization_slug))
    prepared = prepare_commits(commits, fallback_repository=fallback_repository(organization.id))
    with turn_to_set(organization, version, prepared.repositories, wait_seconds=wait_seconds) as left_seconds:
        return db.write(
            lambda tx: _set(tx, access, organization.slug, version, prepared, append=append),
            terms,
            wait_seconds=left_seconds,
            long=True,
        )


def _set(
    tx: Transaction, access: Access, organization_slug: str, version: str, prepared: PreparedCommits, *, append: bool
) -> ReleaseDetails:
    release = writable_release(tx, access, organization_slug, version)
    put_commits(tx, access, release, prepared, append=append)
    return release_details(tx, current_release(tx, release))


def put_commits(
    tx: Transaction, access: Access, release: ReleaseRow, prepared: PreparedCommits, *, append: bool = False
) -> None:
    """Replace the commits of the release, which the caller has locked, or add to them; tell its projects of a change.

    Raises `LockTimeout` when another call holds one of the repositories for as long as this write may wait.
    """
    commit_count: int | None
    if append:
        commit_count = append_commits(tx, release.organization_id, release.id, prepared)
    else:
        changed = replace_commits(tx, release.organization_id, release.id, prepared)
        commit_count = len(prepared.commits) if changed else None
    if commit_count is None:
        return
    record_of_release(tx, access, release, "commits_set", commit_count=commit_count)
