"""The commits of a release: its list, heads, authors and counters."""

from __future__ import annotations

from collections.abc import Sequence

from store.commits.authors import author_emails, get_or_create_authors
from store.commits.models import ReleaseAuthor, ReleaseCommit, ReleaseHead
from store.commits.prepare import PreparedCommits
from store.commits.repositories import lock_repositories
from store.commits.writing import WrittenCommit, write_commits
from store.database import Query, Statement, Transaction, hole, holes_for
from store.releases.models import Release, ReleaseProject

_LIST = Query(
    ReleaseCommit.select(ReleaseCommit.commit_id)
    .where(ReleaseCommit.release_id == hole(ReleaseCommit.release_id))
    .order_by(ReleaseCommit.position)
)
_CLEAR_LIST = Statement(ReleaseCommit.delete().where(ReleaseCommit.release_id == hole(ReleaseCommit.release_id)))
_INSERT_POSITION = Statement(
    ReleaseCommit.insert(holes_for(ReleaseCommit.release_id, ReleaseCommit.position, ReleaseCommit.commit_id))
)
_HEADS = Query(
    ReleaseHead.select(ReleaseHead.repository_id, ReleaseHead.commit_id).where(
        ReleaseHead.release_id == hole(ReleaseHead.release_id)
    )
)
_DELETE_HEAD = Statement(
    ReleaseHead.delete().where(
        ReleaseHead.release_id == hole(ReleaseHead.release_id),
        ReleaseHead.repository_id == hole(ReleaseHead.repository_id),
    )
)
_INSERT_HEAD = Statement(
    ReleaseHead.insert(holes_for(ReleaseHead.release_id, ReleaseHead.repository_id, ReleaseHead.commit_id))
)
_AUTHORS = Query(
    ReleaseAuthor.select(ReleaseAuthor.email, ReleaseAuthor.author_id).where(
        ReleaseAuthor.release_id == hole(ReleaseAuthor.release_id)
    )
)
_DELETE_AUTHOR = Statement(
    ReleaseAuthor.delete().where(
        ReleaseAuthor.release_id == hole(ReleaseAuthor.release_id),
        ReleaseAuthor.email == hole(ReleaseAuthor.email),
    )
)
_INSERT_AUTHOR = Statement(
    ReleaseAuthor.insert(holes_for(ReleaseAuthor.release_id, ReleaseAuthor.email, ReleaseAuthor.author_id))
)
_COUNT = Statement(
    Release.update(holes_for(Release.commit_count, Release.author_count, Release.last_commit_id)).where(
        Release.id == hole(Release.id)
    )
)
_COUNT_IN_PROJECTS = Statement(
    ReleaseProject.update({ReleaseProject.commit_count: hole(ReleaseProject.commit_count)}).where(
        ReleaseProject.release_id == hole(ReleaseProject.release_id)
    )
)


def replace_commits(tx: Transaction, organization_id: bytes, release_id: bytes, prepared: PreparedCommits) -> bool:
    """Give the release these commits and no other; whether its list is another one now.

    The caller has locked the release. The head of each repository becomes its newest commit in the list; without
    commits there is no head. The counters of the release and of its rows in projects follow; its etag does not. What
    is stored as called for is not written again. Writes as many rows as the call names: mark the write as long.

    Raises `LockTimeout` when another call holds one of the repositories for as long as this write may wait.
    """
    repositories = lock_repositories(tx, organization_id, prepared.repositories)
    authors = get_or_create_authors(tx, organization_id, prepared.authors)
    written = write_commits(tx, organization_id, prepared.commits, repositories=repositories, authors=authors)

    changed = _set_list(tx, release_id, [commit.id for commit in written])
    heads: dict[bytes, bytes] = {}
    for commit, row in zip(prepared.commits, written, strict=True):
        heads.setdefault(repositories[commit.repository], row.id)
    _set_heads(tx, release_id, heads)
    author_count = _set_authors(tx, release_id, written, authors=dict(zip(authors.values(), authors, strict=True)))
    tx.run(
        _COUNT,
        id=release_id,
        commit_count=len(written),
        author_count=author_count,
        last_commit_id=written[0].id if written else None,
    )
    tx.run(_COUNT_IN_PROJECTS, release_id=release_id, commit_count=len(written))
    return changed


def _set_list(tx: Transaction, release_id: bytes, commit_ids: Sequence[bytes]) -> bool:
    stored = [commit_id for (commit_id,) in tx.rows(_LIST, release_id=release_id)]
    if stored == commit_ids:
        return False
    # Whole, not by difference: one commit more at the top moves all the others.
    if stored:
        tx.run(_CLEAR_LIST, release_id=release_id)
    count = len(commit_ids)
    tx.run_columns(
        _INSERT_POSITION,
        {"release_id": [release_id] * count, "position": list(range(count)), "commit_id": list(commit_ids)},
    )
    return True


def _set_heads(tx: Transaction, release_id: bytes, heads: dict[bytes, bytes]) -> None:
    stored = dict(tx.rows(_HEADS, release_id=release_id))
    gone = [repository_id for repository_id, commit_id in stored.items() if heads.get(repository_id) != commit_id]
    tx.run_many(
        _DELETE_HEAD, [{"release_id": release_id, "repository_id": repository_id} for repository_id in sorted(gone)]
    )
    tx.run_many(
        _INSERT_HEAD,
        [
            {"release_id": release_id, "repository_id": repository_id, "commit_id": commit_id}
            for repository_id, commit_id in sorted(heads.items())
            if stored.get(repository_id) != commit_id
        ],
    )


def _set_authors(
    tx: Transaction, release_id: bytes, written: Sequence[WrittenCommit], *, authors: dict[bytes, str]
) -> int:
    ids = {commit.author_id for commit in written if commit.author_id is not None}
    # Of commits that an earlier call described, and this one only named.
    authors |= author_emails(tx, sorted(ids - authors.keys()))
    wanted = {authors[author_id]: author_id for author_id in ids}
    stored = dict(tx.rows(_AUTHORS, release_id=release_id))
    tx.run_many(
        _DELETE_AUTHOR,
        [{"release_id": release_id, "email": email} for email in sorted(stored.keys() - wanted.keys())],
    )
    tx.run_many(
        _INSERT_AUTHOR,
        [
            {"release_id": release_id, "email": email, "author_id": wanted[email]}
            for email in sorted(wanted.keys() - stored.keys())
        ],
    )
    return len(wanted)
