"""The repositories of commits, got or created by name."""

from __future__ import annotations

from collections.abc import Sequence

from store.database import Query, Statement, Transaction, hole, holes_for, new_id, query_shape
from store.database.batches import batches, filled, holes
from store.organizations.models import Repository
from store.organizations.repositories import RepositoryState

_INSERT = Statement(
    Repository.insert(
        {
            **holes_for(Repository.id, Repository.organization_id, Repository.display_name),
            Repository.active_name: hole(Repository.display_name),
            Repository.url: "",
            Repository.provider: "",
            Repository.external_id: None,
            Repository.state: int(RepositoryState.ACTIVE),
            Repository.create_time: hole(Repository.create_time, "now"),
            Repository.update_time: hole(Repository.update_time, "now"),
        }
    ).on_conflict(action="nothing", conflict_target=[Repository.organization_id, Repository.active_name])
)


@query_shape
def _active(size: int) -> Query[tuple[str, bytes]]:
    # In order of name: so two calls that lock the same repositories do it in the same order.
    return Query(
        Repository.select(Repository.active_name, Repository.id)
        .where(
            Repository.organization_id == hole(Repository.organization_id),
            Repository.active_name.in_(holes(Repository.active_name, size)),
        )
        .order_by(Repository.active_name),
        row=_pair,
    )


def _pair(name: str, repository_id: bytes) -> tuple[str, bytes]:
    return name, repository_id


def lock_repositories(tx: Transaction, organization_id: bytes, names: Sequence[str]) -> dict[str, bytes]:
    """The ids of the active repositories of these names (distinct, sorted), missing ones created, all locked.

    A repository is the parent of its commits: who holds it may look commits up and insert what is missing, and nobody
    adds the same commits or files meanwhile.
    """
    found: dict[str, bytes] = {}
    missing = list(names)
    while missing:  # once more only where another transaction renamed or disabled one between insert and lock
        found |= lock_known_repositories(tx, organization_id, missing)
        missing = [name for name in missing if name not in found]
        tx.run_many(
            _INSERT,
            [
                {"id": new_id(), "organization_id": organization_id, "display_name": name, "now": tx.now}
                for name in missing
            ],
        )
    return found


def lock_known_repositories(tx: Transaction, organization_id: bytes, names: Sequence[str]) -> dict[str, bytes]:
    """The ids of those active repositories that are there of these names (distinct, sorted), locked."""
    found: dict[str, bytes] = {}
    for batch in batches(names):
        tx.lock(_active(len(batch)), organization_id=organization_id, **filled(batch))
        found.update(tx.rows(_active(len(batch)), organization_id=organization_id, **filled(batch)))
    return found
