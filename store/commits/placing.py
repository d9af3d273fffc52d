"""The commits of a release, replaced or added to: its list, references, heads, authors and counters."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from store.commits.authors import author_emails, get_or_create_authors
from store.commits.heads import put_newest_heads
from store.commits.models import Commit, ReleaseAuthor, ReleaseCommit
from store.commits.positions import BEFORE_ALL, BEHIND_ALL, first_position
from store.commits.prepare import BEFORE_ALL_TIMES, PreparedCommits
from store.commits.references import copy_references, copy_references_of
from store.commits.repositories import lock_repositories
from store.commits.writing import WrittenCommit, write_commits
from store.database import Query, Statement, Transaction, hole
from store.releases.models import Release, ReleaseProject


class _Listed(NamedTuple):
    """A commit in a list, as it is stored."""

    id: bytes
    commit_time: int | None
    repository_id: bytes
    author_id: bytes | None


_LIST = Query(
    ReleaseCommit.select(ReleaseCommit.commit_id)
    .where(ReleaseCommit.release_id == hole(ReleaseCommit.release_id))
    .order_by(ReleaseCommit.position)
)
_LIST_WITH_TIMES = Query(
    ReleaseCommit.select(Commit.id, Commit.commit_time, Commit.repository_id, Commit.author_id)
    .join(Commit, on=(Commit.id == ReleaseCommit.commit_id))
    .where(ReleaseCommit.release_id == hole(ReleaseCommit.release_id))
    .order_by(ReleaseCommit.position),
    row=_Listed,
)
_CUT_LIST = Statement(
    ReleaseCommit.delete().where(
        ReleaseCommit.release_id == hole(ReleaseCommit.release_id),
        ReleaseCommit.position >= hole(ReleaseCommit.position, "first"),
        ReleaseCommit.position <= hole(ReleaseCommit.position, "last"),
    )
)
_INSERT_POSITION = Statement(
    ReleaseCommit.insert(
        {
            ReleaseCommit.release_id: hole(ReleaseCommit.release_id),
            ReleaseCommit.position: hole(ReleaseCommit.position),
            ReleaseCommit.commit_id: hole(ReleaseCommit.commit_id),
        }
    )
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
    ReleaseAuthor.insert(
        {
            ReleaseAuthor.release_id: hole(ReleaseAuthor.release_id),
            ReleaseAuthor.email: hole(ReleaseAuthor.email),
            ReleaseAuthor.author_id: hole(ReleaseAuthor.author_id),
        }
    )
)
_COUNT = Statement(
    Release.update(
        {
            Release.commit_count: hole(Release.commit_count),
            Release.author_count: hole(Release.author_count),
            Release.last_commit_id: hole(Release.last_commit_id, nullable=True),
        }
    ).where(Release.id == hole(Release.id))
)
_COUNT_IN_PROJECTS = Statement(
    ReleaseProject.update({ReleaseProject.commit_count: hole(ReleaseProject.commit_count)}).where(
        ReleaseProject.release_id == hole(ReleaseProject.release_id)
    )
)


def replace_commits(tx: Transaction, organization_id: bytes, release_id: bytes, prepared: PreparedCommits) -> bool:
    """Give the release these commits and no other; whether its list is another one now.

    The caller has locked the release. The head of each repository becomes its newest commit in the list, unless a ref
    named it; without commits there is no head, and a release that had some counts as changed. The counters of the
    release and of its rows in projects follow; its etag does not. What is stored as called for is not written again.
    Writes as many rows as the call names: mark the write as long.

    Raises `LockTimeout` when another call holds one of the repositories for as long as this write may wait.
    """
    repositories, authors, written = _written(tx, organization_id, prepared)
    stored = [commit_id for (commit_id,) in tx.rows(_LIST, release_id=release_id)]
    changed = _set_list(tx, release_id, stored, [commit.id for commit in written])
    if changed:
        # Of a commit without a message an earlier call may have said one.
        none = all(commit.message is not None and not commit.references for commit in prepared.commits)
        copy_references(tx, organization_id, release_id, none=none)
    heads: dict[bytes, bytes] = {}
    for commit, row in zip(prepared.commits, written, strict=True):
        heads.setdefault(repositories[commit.repository], row.id)
    detached = put_newest_heads(tx, release_id, heads) and not heads
    author_count = _set_authors(tx, release_id, {row.author_id for row in written}, authors=authors)
    _count(tx, release_id, commit_ids=[row.id for row in written], author_count=author_count)
    return changed or detached


def append_commits(tx: Transaction, organization_id: bytes, release_id: bytes, prepared: PreparedCommits) -> int | None:
    """Add to the release those of these commits that it does not have; how many it has then, None when none is new.

    All of its commits are put in order of time, newest first and those without a time last; of commits of one time
    those that were there first stay in front. They are put in order, too, when the call says another time of one that
    was there. Heads, authors and counters follow as in `replace_commits`, which see for all else.
    """
    if not prepared.commits:
        return None
    repositories, authors, written = _written(tx, organization_id, prepared)
    stored = tx.rows(_LIST_WITH_TIMES, release_id=release_id)
    known = {row.id for row in stored}
    added = [
        _Listed(row.id, row.commit_time, repositories[commit.repository], row.author_id)
        for commit, row in zip(prepared.commits, written, strict=True)
        if row.id not in known
    ]
    listed = stored
    if added or any(row.moved for row in written):
        listed = sorted([*stored, *added], key=_newest_first)
    commit_ids = [row.id for row in listed]
    changed = _set_list(tx, release_id, [row.id for row in stored], commit_ids)
    copy_references_of(tx, organization_id, release_id, sorted(row.id for row in added))
    heads: dict[bytes, bytes] = {}
    for row in listed:
        heads.setdefault(row.repository_id, row.id)
    put_newest_heads(tx, release_id, heads)
    author_count = _set_authors(tx, release_id, {row.author_id for row in listed}, authors=authors)
    _count(tx, release_id, commit_ids=commit_ids, author_count=author_count)
    return len(commit_ids) if changed else None


def _newest_first(listed: _Listed) -> int:
    return BEFORE_ALL_TIMES if listed.commit_time is None else -listed.commit_time


def _written(
    tx: Transaction, organization_id: bytes, prepared: PreparedCommits
) -> tuple[dict[str, bytes], dict[bytes, str], list[WrittenCommit]]:
    """The call's repositories by name, the e-mails of its authors, and its commits as they are stored now."""
    repositories = lock_repositories(tx, organization_id, prepared.repositories)
    authors = get_or_create_authors(tx, organization_id, prepared.authors)
    written = write_commits(tx, organization_id, prepared.commits, repositories=repositories, authors=authors)
    return repositories, {author_id: email for email, author_id in authors.items()}, written


def _set_list(tx: Transaction, release_id: bytes, stored: Sequence[bytes], wanted: Sequence[bytes]) -> bool:
    if stored == wanted:
        return False
    # The longer end that both have alike stays where it is: most commits that are added are among the newest, and all
    # older ones then keep their positions. Moving rows within the table takes as long as writing them anew, or longer.
    front = _alike(stored, wanted)
    back = _alike(stored[front:][::-1], wanted[front:][::-1])
    first = first_position(tx, release_id)
    if back > front:
        cut_first, cut_last = BEFORE_ALL, first + len(stored) - back - 1
        new = wanted[: len(wanted) - back]
        begin = cut_last + 1 - len(new)
    else:
        cut_first, cut_last = first + front, BEHIND_ALL
        new = wanted[front:]
        begin = cut_first
    if cut_first < first + len(stored) and cut_last >= first:
        tx.run(_CUT_LIST, release_id=release_id, first=cut_first, last=cut_last)
    tx.run_columns(
        _INSERT_POSITION,
        {
            "release_id": [release_id] * len(new),
            "position": list(range(begin, begin + len(new))),
            "commit_id": list(new),
        },
    )
    return True


def _alike(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """How many at the beginning of both are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (mine, theirs) in pairs if mine != theirs), min(len(one), len(other)))


def _set_authors(
    tx: Transaction, release_id: bytes, author_ids: AbstractSet[bytes | None], *, authors: dict[bytes, str]
) -> int:
    """Make these the authors of the release; how many they are. authors are the e-mails of some of them."""
    ids = {author_id for author_id in author_ids if author_id is not None}
    stored = dict(tx.rows(_AUTHORS, release_id=release_id))
    emails = {author_id: email for email, author_id in stored.items()} | authors
    # Of commits that an earlier call described, and this one only named.
    emails |= author_emails(tx, sorted(ids - emails.keys()))
    wanted = {emails[author_id]: author_id for author_id in ids}
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


def _count(tx: Transaction, release_id: bytes, *, commit_ids: Sequence[bytes], author_count: int) -> None:
    tx.run(
        _COUNT,
        id=release_id,
        commit_count=len(commit_ids),
        author_count=author_count,
        last_commit_id=commit_ids[0] if commit_ids else None,
    )
    tx.run(_COUNT_IN_PROJECTS, release_id=release_id, commit_count=len(commit_ids))
