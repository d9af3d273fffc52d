"""The issues that commits say they fix, kept by commit and by release."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from store.commits.models import CommitReference, ReleaseCommit, ReleaseReference
from store.database import Query, Reader, Statement, Transaction, hole, query_shape
from store.database.batches import batches, filled, holes
from store.text import folded_key

_INSERT = Statement(
    CommitReference.insert(
        {
            CommitReference.commit_id: hole(CommitReference.commit_id),
            CommitReference.position: hole(CommitReference.position),
            CommitReference.reference: hole(CommitReference.reference),
            CommitReference.folded_reference: hole(CommitReference.folded_reference),
        }
    )
)
_FORGET_OF_RELEASE = Statement(
    ReleaseReference.delete().where(ReleaseReference.release_id == hole(ReleaseReference.release_id))
)


@query_shape
def _of_commits(size: int) -> Query[tuple[bytes, str]]:
    return Query(
        CommitReference.select(CommitReference.commit_id, CommitReference.reference)
        .where(CommitReference.commit_id.in_(holes(CommitReference.commit_id, size)))
        .order_by(CommitReference.commit_id, CommitReference.position),
        row=_pair,
    )


@query_shape
def _forget_commits(size: int) -> Statement:
    return Statement(CommitReference.delete().where(_among(CommitReference.commit_id, size)))


@query_shape
def _forget_in_all_releases(size: int) -> Statement:
    return Statement(ReleaseReference.delete().where(_among(ReleaseReference.commit_id, size)))


@query_shape
def _forget_in_release(size: int) -> Statement:
    return Statement(
        ReleaseReference.delete().where(
            ReleaseReference.release_id == hole(ReleaseReference.release_id),
            _among(ReleaseReference.commit_id, size),
        )
    )


def _copied(*places: object) -> Statement:
    """Copies the references of those commits to those releases that the places in releases say."""
    rows = ReleaseCommit.select(
        ReleaseCommit.release_id,
        CommitReference.reference,
        CommitReference.commit_id,
        hole(ReleaseReference.organization_id),
        CommitReference.folded_reference,
    ).join(CommitReference, on=(CommitReference.commit_id == ReleaseCommit.commit_id))
    columns = [
        ReleaseReference.release_id,
        ReleaseReference.reference,
        ReleaseReference.commit_id,
        ReleaseReference.organization_id,
        ReleaseReference.folded_reference,
    ]
    return Statement(ReleaseReference.insert_from(rows.where(*places), columns))


_COPY_TO_RELEASE = _copied(ReleaseCommit.release_id == hole(ReleaseCommit.release_id))


@query_shape
def _copy_some_to_release(size: int) -> Statement:
    return _copied(ReleaseCommit.release_id == hole(ReleaseCommit.release_id), _among(ReleaseCommit.commit_id, size))


@query_shape
def _copy_to_all_releases(size: int) -> Statement:
    return _copied(_among(ReleaseCommit.commit_id, size))


def _among(field: object, size: int) -> object:
    return field.in_(holes(field, size))  # type: ignore[attr-defined]


def _pair(commit_id: bytes, reference: str) -> tuple[bytes, str]:
    return commit_id, reference


def references_of(reader: Reader, commit_ids: Sequence[bytes]) -> dict[bytes, tuple[str, ...]]:
    """The references of each of these commits that has some, in the order of its message."""
    found: dict[bytes, list[str]] = {}
    for batch in batches(commit_ids):
        for commit_id, reference in reader.rows(_of_commits(len(batch)), **filled(batch)):
            found.setdefault(commit_id, []).append(reference)
    return {commit_id: tuple(references) for commit_id, references in found.items()}


def insert_references(tx: Transaction, references: Iterable[tuple[bytes, Sequence[str]]]) -> None:
    """Keep the references of commits that have none yet; each commit comes once, in order of id."""
    rows = [(commit_id, place, one) for commit_id, own in references if own for place, one in enumerate(own)]
    if rows:
        commit_ids, places, texts = map(list, zip(*rows, strict=True))
        folded = list(map(folded_key, texts))
        columns = {"commit_id": commit_ids, "position": places, "reference": texts, "folded_reference": folded}
        tx.run_columns(_INSERT, columns)


def change_references(tx: Transaction, organization_id: bytes, references: Mapping[bytes, Sequence[str]]) -> None:
    """Make these the references of their commits, in all releases that hold them. Their repositories are locked."""
    stored = references_of(tx, list(references))
    changed = sorted(commit_id for commit_id, own in references.items() if stored.get(commit_id, ()) != tuple(own))
    for batch in batches(changed):
        tx.run(_forget_commits(len(batch)), **filled(batch))
    insert_references(tx, ((commit_id, references[commit_id]) for commit_id in changed))
    for batch in batches(changed):
        ids = filled(batch)
        tx.run(_forget_in_all_releases(len(batch)), **ids)
        tx.run(_copy_to_all_releases(len(batch)), organization_id=organization_id, **ids)


def copy_references(tx: Transaction, organization_id: bytes, release_id: bytes, *, none: bool = False) -> None:
    """Make the references of a release those of its commits. The repositories of all of them are locked.

    none: its commits are known to have no references.
    """
    tx.run(_FORGET_OF_RELEASE, release_id=release_id)
    if not none:
        tx.run(_COPY_TO_RELEASE, release_id=release_id, organization_id=organization_id)


def copy_references_of(tx: Transaction, organization_id: bytes, release_id: bytes, commit_ids: Sequence[bytes]) -> None:
    """Add to the references of a release those of commits that were added to it, whose repositories are locked."""
    for batch in batches(commit_ids):
        ids = filled(batch)
        # There may be leftovers of the time when the release held the commit before: see `ReleaseReference`.
        tx.run(_forget_in_release(len(batch)), release_id=release_id, **ids)
        tx.run(_copy_some_to_release(len(batch)), release_id=release_id, organization_id=organization_id, **ids)
