"""Refs: up to which commit a release holds a repository, and from which on (behaviour.md, Refs)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from store.access import Access
from store.commits.busy import turn_to_set
from store.commits.heads import Head, put_ref_heads
from store.commits.prepare import PreparedCommit
from store.commits.repositories import lock_known_repositories
from store.commits.writing import write_commits
from store.database import PLAIN, Database, Terms, Transaction
from store.database.terms import M
from store.errors import InvalidField, RepositoryUnknown
from store.organizations.lookup import find_organization
from store.releases.activities import record_of_release
from store.releases.details import ReleaseDetails, release_details
from store.releases.lookup import current_release, writable_release
from store.releases.rows import ReleaseRow

ID_CHARACTERS: Final = 64
"""How long a commit's id may be."""

_RANGE: Final = ".."


@dataclass(frozen=True, slots=True)
class RefDraft:
    """A ref as sent: the display name of a repository, an id or a range `a..b`, and "" where no beginning is said."""

    repository: str
    commit: str
    previous_commit: str = ""


class PreparedRef(NamedTuple):
    """What a ref comes to: the commit up to which, and the one from which on, if it says one."""

    repository: str
    key: str
    previous_key: str | None


def prepare_refs(refs: Sequence[RefDraft]) -> tuple[PreparedRef, ...]:
    """What the refs come to, one a repository, in order of its name: of several of one repository the last counts.

    Raises `InvalidField` for a `refs[…].commit` that is blank, too long, or no range of two ids.
    """
    prepared: dict[str, PreparedRef] = {}
    for index, ref in enumerate(refs):
        prepared[ref.repository] = _prepared(ref, field=f"refs[{index}].commit")
    return tuple(prepared[repository] for repository in sorted(prepared))


def set_refs(
    db: Database,
    access: Access,
    organization_slug: str,
    version: str,
    refs: Sequence[RefDraft],
    terms: Terms[ReleaseDetails, M] = PLAIN,
    *,
    wait_seconds: float | None = None,
) -> M:
    """Make the commits that the refs name the heads of their repositories in the release; the release as it then is.

    Commits that are not known are created with nothing but their id. Each project of the release gets an activity
    `refs_set`, unless the release had just these heads already. Waits for others as `set_commits` does.

    Raises `OrganizationNotFound`, `ReleaseNotFound` (also when one of its projects is not the caller's),
    `RepositoryUnknown` with all that are missing or disabled, `InvalidField` for what is no commit, `CommitsBusy`.
    """
    prepared = prepare_refs(refs)
    organization = db.read(lambda reader: find_organization(reader, access, organization_slug))
    repositories = [ref.repository for ref in prepared]
    with turn_to_set(organization, version, repositories, wait_seconds=wait_seconds) as left_seconds:
        return db.write(
            lambda tx: _set(tx, access, organization.slug, version, prepared), terms, wait_seconds=left_seconds
        )


def _set(
    tx: Transaction, access: Access, organization_slug: str, version: str, refs: Sequence[PreparedRef]
) -> ReleaseDetails:
    release = writable_release(tx, access, organization_slug, version)
    put_refs(tx, access, release, refs)
    return release_details(tx, current_release(tx, release))


def put_refs(tx: Transaction, access: Access, release: ReleaseRow, refs: Sequence[PreparedRef]) -> None:
    """Make the commits of the refs heads of the release, which the caller has locked, and tell its projects.

    Raises `RepositoryUnknown`, and `LockTimeout` when another call holds one of the repositories for as long as this
    write may wait.
    """
    repositories = lock_known_repositories(tx, release.organization_id, [ref.repository for ref in refs])
    unknown = [ref.repository for ref in refs if ref.repository not in repositories]
    if unknown:
        raise RepositoryUnknown(unknown)
    bare = [PreparedCommit(ref.repository, ref.key, None, None, None, None, {}) for ref in refs]
    written = write_commits(tx, release.organization_id, bare, repositories=repositories, authors={})
    heads = {
        repositories[ref.repository]: Head(commit.id, from_ref=True, previous_key=ref.previous_key)
        for ref, commit in zip(refs, written, strict=True)
    }
    if not put_ref_heads(tx, release.id, heads):
        return
    record_of_release(tx, access, release, "refs_set", refs=[_told(ref) for ref in refs])


def _told(ref: PreparedRef) -> dict[str, Any]:
    told = {"repository": ref.repository, "commit": ref.key}
    return told if ref.previous_key is None else {**told, "previous_commit": ref.previous_key}


def _prepared(ref: RefDraft, *, field: str) -> PreparedRef:
    if _RANGE not in ref.commit:
        previous = ref.previous_commit if ref.previous_commit.strip() else None
        return PreparedRef(ref.repository, _id(ref.commit, field), previous)
    start, _, end = ref.commit.partition(_RANGE)
    # Of `a...b` the right side would begin with a dot: it means something else to Git, and is none of these ranges.
    if _RANGE in end or end.startswith("."):
        raise InvalidField(field, "a range names two commits, a..b")
    return PreparedRef(ref.repository, _id(end, field), _id(start, field))


def _id(text: str, field: str) -> str:
    if not text.strip():
        raise InvalidField(field, "a commit, and each side of a range, must not be blank")
    if len(text) > ID_CHARACTERS:
        raise InvalidField(field, f"the id of a commit has at most {ID_CHARACTERS} characters")
    return text
