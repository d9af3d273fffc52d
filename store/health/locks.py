"""The lock of what is counted of a project's sessions: its row of `HealthProject`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from store.database import Query, Transaction, hole, query_shape
from store.database.batches import batches, filled, holes
from store.health.models import HealthProject

LOCK_HEALTH: Final = Query(
    HealthProject.select(HealthProject.project_id, HealthProject.sought_time)
    .where(HealthProject.project_id == hole(HealthProject.project_id))
    .order_by(HealthProject.project_id)
)
"""Locks one project, and says when it was last looked at for releases."""


@query_shape
def _locked(count: int) -> Query[tuple[bytes]]:
    return Query(
        HealthProject.select(HealthProject.project_id)
        .where(HealthProject.project_id.in_(holes(HealthProject.project_id, count)))
        .order_by(HealthProject.project_id)
    )


def lock_known_health(tx: Transaction, project_ids: Iterable[bytes]) -> set[bytes]:
    """Hold what is counted of these projects until the transaction ends; those that had sessions."""
    ids = sorted(set(project_ids))
    return {id_ for batch in batches(ids) for (id_,) in tx.lock_all(_locked(len(batch)), **filled(batch))}
