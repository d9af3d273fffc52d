"""Packs that lie in the blob store and that no row knows: what a stream left behind that was killed between its sync
and its rows, or what is newer than a database that was restored from a backup."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any, Final

from store.blobs.models import DELETING, Pack
from store.blobs.packs import PackStore, StoredPack
from store.crashpoints import crashpoint
from store.database import Database, Query, Statement, Transaction, hole, query_shape
from store.database.batches import batches, filled, holes
from store.leases import Lease

_AT_ONCE: Final = 500
_NOBODY: Final = b"\0" * 16
_KNOWN: Final = Query(Pack.select(Pack.id).where(Pack.id == hole(Pack.id)))

_BURY: Final = Statement(
    Pack.insert(
        {
            Pack.id: hole(Pack.id),
            Pack.organization_id: _NOBODY,
            Pack.size_bytes: hole(Pack.size_bytes),
            Pack.state: DELETING,
            Pack.create_time: hole(Pack.create_time),
            Pack.touched_at: hole(Pack.create_time),
        }
    ).on_conflict(action="nothing", conflict_target=[Pack.id])
)


@query_shape
def _known(size: int) -> Query[tuple[Any, ...]]:
    return Query(Pack.select(Pack.id).where(Pack.id.in_(holes(Pack.id, size))))


def unknown_packs(database: Database, packs: PackStore, cutoff: int) -> Iterator[StoredPack]:
    """The packs that no row knows and that were last written at `cutoff` or before. Raises BlobsDown.

    A younger one may be of a stream that is about to write its rows.
    """
    listed = packs.list_packs()
    while part := list(islice(listed, _AT_ONCE)):
        known: set[bytes] = set()
        for batch in batches([stored.id for stored in part]):
            known.update(row[0] for row in database.rows(_known(len(batch)), **filled(batch)))
        for stored in part:
            # Asked once more by its key: its row may have come while the list was read.
            if stored.id not in known and stored.modify_time <= cutoff and database.row(_KNOWN, id=stored.id) is None:
                yield stored


def remove_unknown(database: Database, packs: PackStore, lease: Lease, stored: StoredPack) -> bool:
    """Removes a pack that no row knows; False when one does meanwhile.

    First it gets a row that says so, which a later pass of the collector forgets: when a pack was last written is told
    by the clock of the place where it lies, and a stream that is about to write its rows is refused by this one,
    however wrong that clock is. Raises CollectorBusy; BlobsDown: a later pass removes it then.
    """
    buried: bool = database.write(partial(_bury, lease=lease, stored=stored))
    if buried:
        crashpoint("collect.unknown_pack_buried")
        packs.remove(stored.id)
    return buried


def _bury(tx: Transaction, *, lease: Lease, stored: StoredPack) -> bool:
    lease.guard(tx)
    return tx.run(_BURY, id=stored.id, size_bytes=stored.size_bytes, create_time=tx.now) == 1
