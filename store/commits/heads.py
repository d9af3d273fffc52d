"""The heads of a release: of each repository one commit, named by a ref or the newest in the list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from store.commits.models import ReleaseHead
from store.database import Query, Statement, Transaction, hole
from store.releases.models import Release


class Head(NamedTuple):
    """A head: its commit, whether a ref named it, and where that ref's range begins."""

    commit_id: bytes
    from_ref: bool = False
    previous_key: str | None = None


def _stored(repository_id: bytes, *columns: object) -> tuple[bytes, Head]:
    return repository_id, Head(*columns)  # type: ignore[arg-type]


_HEADS = Query(
    ReleaseHead.select(
        ReleaseHead.repository_id, ReleaseHead.commit_id, ReleaseHead.from_ref, ReleaseHead.previous_key
    ).where(ReleaseHead.release_id == hole(ReleaseHead.release_id)),
    row=_stored,
)
_DELETE_HEAD = Statement(
    ReleaseHead.delete().where(
        ReleaseHead.release_id == hole(ReleaseHead.release_id),
        ReleaseHead.repository_id == hole(ReleaseHead.repository_id),
    )
)
_INSERT_HEAD = Statement(
    ReleaseHead.insert(
        {
            ReleaseHead.release_id: hole(ReleaseHead.release_id),
            ReleaseHead.repository_id: hole(ReleaseHead.repository_id),
            ReleaseHead.commit_id: hole(ReleaseHead.commit_id),
            ReleaseHead.from_ref: hole(ReleaseHead.from_ref),
            ReleaseHead.previous_key: hole(ReleaseHead.previous_key, nullable=True),
        }
    )
)
_COUNT = Statement(Release.update({Release.head_count: hole(Release.head_count)}).where(Release.id == hole(Release.id)))


def put_newest_heads(tx: Transaction, release_id: bytes, newest: Mapping[bytes, bytes]) -> bool:
    """Make these commits, by repository, the heads of the release, whose list they are the newest of.

    Heads that a ref named stay as they are, unless the list is empty: then no head stays. The caller has locked the
    release. Whether anything is another now.
    """
    stored = dict(tx.rows(_HEADS, release_id=release_id))
    wanted = {repository_id: Head(commit_id) for repository_id, commit_id in newest.items()}
    if newest:
        wanted |= {repository_id: head for repository_id, head in stored.items() if head.from_ref}
    return _put(tx, release_id, stored, wanted)


def put_ref_heads(tx: Transaction, release_id: bytes, heads: Mapping[bytes, Head]) -> bool:
    """Make these heads, by repository, the release's; those of other repositories stay. Whether any is another now.

    The caller has locked the release.
    """
    stored = dict(tx.rows(_HEADS, release_id=release_id))
    return _put(tx, release_id, stored, {**stored, **heads})


def _put(tx: Transaction, release_id: bytes, stored: Mapping[bytes, Head], wanted: Mapping[bytes, Head]) -> bool:
    gone = sorted(repository_id for repository_id, head in stored.items() if wanted.get(repository_id) != head)
    new = sorted(repository_id for repository_id, head in wanted.items() if stored.get(repository_id) != head)
    tx.run_many(_DELETE_HEAD, [{"release_id": release_id, "repository_id": repository_id} for repository_id in gone])
    tx.run_many(
        _INSERT_HEAD,
        [
            {"release_id": release_id, "repository_id": repository_id, **wanted[repository_id]._asdict()}
            for repository_id in new
        ],
    )
    if len(wanted) != len(stored):
        tx.run(_COUNT, id=release_id, head_count=len(wanted))
    return bool(gone or new)
